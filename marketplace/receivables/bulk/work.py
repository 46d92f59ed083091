"""The worker behind bulk uploads: a few rows at a time, each through the verbs that every listing goes through.

Whatever ends this process, the next one goes on: rows are states in the database, drafting and listing carry the row
as their idempotency key, and a row at which a worker ended before is taken alone.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID

from flask import Flask, current_app
from sqlalchemy import text
from sqlalchemy.orm import Session

from marketplace.db import db, market_now
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.clock import business_date
from marketplace.kernel.errors import InvalidInput, MarketplaceError, Problem
from marketplace.kernel.policy import Policy
from marketplace.perform import perform
from marketplace.receivables import queries, rules
from marketplace.receivables.actions import draft_receivable, list_receivable, upload_document
from marketplace.receivables.bulk import queries as bulk_queries
from marketplace.receivables.bulk.actions import drop_bulk_upload
from marketplace.receivables.bulk.archive import Entry
from marketplace.receivables.bulk.csv_reading import unkept
from marketplace.receivables.bulk.judging import KNOWN, claim_of, gave_up, judged, merged, open_faults, shown
from marketplace.receivables.bulk.noting import clear_bulk_upload, note_bulk_rows, take_bulk_rows, unpack_bulk_upload
from marketplace.receivables.bulk.queries import Row, Stored, Upload
from marketplace.receivables.bulk.schemas import NoteBulkRows, OfBulkUpload, Outcome, TakeBulkRows
from marketplace.receivables.bulk.states import OVER, RowState, UploadState
from marketplace.receivables.bulk.unpacking import content_of, unpack
from marketplace.receivables.facts import InvoiceFacts
from marketplace.receivables.schemas import DraftReceivable, ListReceivable, UploadDocument
from marketplace.receivables.states import ReceivableState
from marketplace.receivables.walls.considering import consider

log = logging.getLogger(__name__)
JOB = "run_bulk"
BATCH = 20
READERS = 2
BATCH_BYTES = 32_000_000
ATTEMPTS_MAX = 4
SLICE_SECONDS = 8.0  # then another upload has its turn
NO_INVOICE_INSIDE = "no_embedded_xml"  # a PDF for people only
IN_FLIGHT = "request_in_flight"
SYSTEM = Actor.system(JOB)


def to_work(limit: int) -> list[UUID]:
    """Return the uploads that can be brought on now."""
    session = db.session()
    return bulk_queries.to_work(session, limit, _policy().bulk.receiving_days, market_now(session))


def work_off(upload_id: UUID, seconds: float = SLICE_SECONDS) -> int:
    """Bring one upload on for some seconds; return how many rows were noted. Of several workers one works."""
    until, done = time.monotonic() + seconds, 0
    with _alone(upload_id) as alone:
        while alone:
            db.session.rollback()
            upload = bulk_queries.upload(db.session(), upload_id)
            noted = _step(upload)
            if noted is None:
                break
            done += noted
            if time.monotonic() > until:
                break
    return done


@contextmanager
def _alone(upload_id: UUID) -> Iterator[bool]:
    """Hold an upload against other workers, as long as this process lives."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        name = {"name": f"bulk {upload_id}"}
        held = connection.execute(text("SELECT pg_try_advisory_lock(hashtextextended(:name, 1))"), name).scalar_one()
        try:
            yield held
        finally:
            if held:
                connection.execute(text("SELECT pg_advisory_unlock(hashtextextended(:name, 1))"), name)


def _step(upload: Upload) -> int | None:
    """Do one step of an upload; return how many rows were noted, None when there is nothing to do."""
    this = OfBulkUpload(upload.id)
    if upload.state == UploadState.UNPACKING:
        perform(unpack_bulk_upload, unpack(db.session(), this, _policy()), SYSTEM)
        return 0
    if upload.state == UploadState.READING:
        return _batch(upload, RowState.UNREAD, _read)
    if upload.state == UploadState.LISTING:
        return _batch(upload, RowState.ASKED, _list)
    if upload.state == UploadState.RECEIVING and upload.id in to_work(1_000):
        perform(drop_bulk_upload, this, SYSTEM)
        return 0
    if upload.state in OVER:
        perform(clear_bulk_upload, this, SYSTEM)
    return None


Work = Callable[[Upload, Row, bytes | None], Outcome | None]


def _batch(upload: Upload, waiting: RowState, work: Work) -> int | None:
    rows = bulk_queries.to_take(db.session(), upload.id, waiting, BATCH)
    worn = [row for row in rows if row.attempts >= ATTEMPTS_MAX]
    if worn or not rows:
        noted = perform(note_bulk_rows, NoteBulkRows(upload.id, tuple(gave_up(row.id) for row in worn)), SYSTEM)
        return int(noted["noted"])
    contents = _contents(rows, waiting)
    rows = rows[: len(contents)]
    perform(take_bulk_rows, TakeBulkRows(upload.id, tuple(row.id for row in rows)), SYSTEM)
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    # Listings of one seller wait for each other anyway: only reading gains from a second hand.
    if waiting == RowState.UNREAD and len(rows) > 1:
        with ThreadPoolExecutor(READERS) as readers:
            found = list(readers.map(partial(_guarded, app, work, upload), rows, contents))
    else:
        found = [_guarded(app, work, upload, row, content) for row, content in zip(rows, contents, strict=True)]
    outcomes = tuple(outcome for outcome in found if outcome is not None)
    noted = perform(note_bulk_rows, NoteBulkRows(upload.id, outcomes), SYSTEM)
    return int(noted["noted"]) if outcomes else None


def _contents(rows: Sequence[Row], waiting: RowState) -> list[bytes | MarketplaceError | None]:
    """Return the bytes of the rows that still need them, as many as may be held at once, at least one row's."""
    stored: dict[UUID, Stored] = {}
    found: list[bytes | MarketplaceError | None] = []
    held = 0
    for row in rows:
        needed = row.file_id is not None and (row.draft_id is None or (waiting == RowState.ASKED and bool(row.given)))
        if not needed or row.file_id is None:
            found.append(None)
            continue
        if row.file_id not in stored:
            stored = {row.file_id: bulk_queries.file(db.session(), row.file_id)}
        try:
            content = content_of(stored[row.file_id], Entry.from_json(row.entry, row.label) if row.entry else None)
        except MarketplaceError as refusal:
            found.append(refusal)
            continue
        held += len(content)
        if held > BATCH_BYTES and found:
            break
        found.append(content)
    return found


def _guarded(
    app: Flask, work: Work, upload: Upload, row: Row, content: bytes | MarketplaceError | None
) -> Outcome | None:  # fmt: skip
    """Work on one row; whatever goes wrong with it stays with it. None when it has to be tried again."""
    with app.app_context():
        try:
            if isinstance(content, MarketplaceError):
                raise content
            return work(upload, row, content)
        except MarketplaceError as refusal:
            db.session.rollback()
            if refusal.code == IN_FLIGHT:
                return None
            return _refused(row, refusal)
        except Exception:  # a row of a kind that nobody has seen yet
            db.session.rollback()
            log.exception("row %s of bulk upload %s", row.position, upload.id)
            return gave_up(row.id) if row.attempts + 1 >= ATTEMPTS_MAX else None


def _refused(row: Row, refusal: MarketplaceError) -> Outcome:
    problems = refusal.problems or (Problem("", refusal.code, refusal.words, refusal.params),)
    return Outcome(row.id, str(RowState.REFUSED), problems)


def _actor(upload: Upload) -> Actor:
    """Return the seller's person who sent the upload; the audit trail tells that a job acted for them."""
    return Actor(Role.SELLER, upload.user_id, upload.seller_id, on_behalf_of=JOB)


def _key(row: Row) -> str:
    return f"bulk-row-{row.id}"


# -- reading ----------------------------------------------------------------------------------------------------------


def _read(upload: Upload, row: Row, content: bytes | None) -> Outcome:
    draft_id = row.draft_id or _drafted(upload, row, content)
    session = db.session()
    made = queries.find_receivable(session, draft_id)
    if made is not None:  # the seller listed the draft by hand
        return _made(row, made, draft_id)
    found = queries.draft(session, draft_id)
    corrections = _corrections(row, found.evidence)
    today = business_date(market_now(session), _policy().zone)
    considered = consider(session, found, corrections, today, _policy())
    typed = found.evidence == "typed"
    problems = merged(open_faults(row.faults, corrections), rules.failures(considered.checks))
    state = judged(problems, typed=typed)
    claim = claim_of(considered.facts, considered.debtor.id if considered.debtor else None)
    looks = tuple(Problem(check.name, check.rule, check.remedy or check.words, check.params)
                  for check in rules.held(considered.checks))  # fmt: skip
    return Outcome(row.id, str(state), _first_known(problems), looks, draft_id, None, shown(considered.facts, claim))


def _first_known(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return the problems; where the invoice is known, that alone is what there is to say."""
    return tuple(problem for problem in problems if problem.rule == KNOWN) or tuple(problems)


def _drafted(upload: Upload, row: Row, content: bytes | None) -> UUID:
    """Draft the row's file, or what its CSV says: also where the file it names is a paper for people only."""
    typed = DraftReceivable(facts=InvoiceFacts(**unkept(row.given)))
    if content is None:
        return _perform_draft(upload, row, typed)
    try:
        return _perform_draft(upload, row, DraftReceivable(row.label.rsplit("/", 1)[-1], content))
    except InvalidInput as refusal:
        if refusal.code != NO_INVOICE_INSIDE or not row.given:
            raise
    return _perform_draft(upload, row, typed)


def _perform_draft(upload: Upload, row: Row, command: DraftReceivable) -> UUID:
    return UUID(perform(draft_receivable, command, _actor(upload), idempotency_key=_key(row))["draft_id"])


def _corrections(row: Row, evidence: str) -> dict[str, Any]:
    """Return what the seller says beyond the draft: a CSV beside an e-invoice, and what was entered since."""
    return unkept({**(row.given if evidence != "typed" else {}), **row.corrections})


# -- listing ----------------------------------------------------------------------------------------------------------


def _list(upload: Upload, row: Row, content: bytes | None) -> Outcome:
    assert row.draft_id is not None
    session = db.session()
    made = queries.find_receivable(session, row.draft_id)
    if made is None:
        found = queries.draft(session, row.draft_id)
        corrections = _corrections(row, found.evidence)
        if upload.debtor_email and not found.read.corrected(corrections).debtor_email:
            corrections["debtor_email"] = upload.debtor_email
        session.rollback()
        command = ListReceivable(row.draft_id, corrections, upload.terms)
        try:
            perform(list_receivable, command, _actor(upload), idempotency_key=_key(row))
        except MarketplaceError as refusal:
            if refusal.code == IN_FLIGHT or not refusal.problems:
                raise
            state = judged(refusal.problems, typed=found.evidence == "typed")
            if state == RowState.READY:  # once more, after all others; then it is refused
                state = RowState.REFUSED if row.problems else RowState.ASKED
            return Outcome(row.id, str(state), _first_known(refusal.problems), row.looks)
        made = queries.receivable(session, row.draft_id)
    if content is not None and made.evidence == "typed" and content.startswith(b"%PDF-"):
        paper = UploadDocument(made.id, row.label.rsplit(": ", 1)[-1], content)
        perform(upload_document, paper, _actor(upload), idempotency_key=_key(row))
    return _made(row, made, row.draft_id)


def _made(row: Row, made: queries.Receivable, draft_id: UUID) -> Outcome:
    held = made.state == ReceivableState.HELD_FOR_REVIEW
    state = RowState.HELD if held else RowState.LISTED
    return Outcome(row.id, str(state), (), row.looks, draft_id, made.id, shown(made.facts, None))


def _policy() -> Policy:
    found: Policy = current_app.extensions["duebill"].policy
    return found


def run_in_full(upload_id: UUID, tell: Callable[[Session, UUID], None] | None = None) -> None:
    """Work an upload off to where it waits for the seller or is over, telling how far it is after each slice."""
    while True:
        if not work_off(upload_id, 1.0):
            time.sleep(0.1)  # somebody else works on it
        session = db.session()
        session.rollback()
        if tell is not None:
            tell(session, upload_id)
        if not bulk_queries.upload(session, upload_id).moving:
            return
