"""A seller's bulk uploads: announced, received piece by piece, sealed; then corrected, listed, or left.

The bytes are named by their hashes. Whatever is announced or sent twice is there once, and an upload that broke off
goes on with the pieces that are still missing, from any browser, on any day of the week it is kept.
"""

import hashlib
from dataclasses import asdict
from uuid import UUID

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_new

from marketplace.kernel.errors import Conflict, InvalidInput, Problem, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties.rules import require_own, verb
from marketplace.perform import Result, Tx
from marketplace.receivables import rules
from marketplace.receivables.bulk import queries
from marketplace.receivables.bulk.csv_reading import kept
from marketplace.receivables.bulk.schemas import (
    PIECE_BYTES,
    Announced,
    BeginBulkUpload,
    CorrectBulkRows,
    KeepBulkPieces,
    ListBulkRows,
    OfBulkUpload,
)
from marketplace.receivables.bulk.states import OPEN, UPLOAD, RowState, UploadState
from marketplace.receivables.bulk.tables import BulkFileRow, BulkPieceRow, BulkRowRow, BulkUploadRow
from marketplace.receivables.queries import missing
from marketplace.receivables.schemas import Terms
from marketplace.receivables.tables import DraftRow

RECEIVING_MAX = 10  # uploads of one seller that wait for their files
NAMES_SHOWN = 3


@verb("begin_bulk_upload")
def begin_bulk_upload(tx: Tx, command: BeginBulkUpload) -> Result:
    """Take the list of files that are to come; return what of it is missing.

    The same files announced again, while some of them are missing, are the same upload.

    Raises: InvalidInput naming files or terms; Conflict("uploads_waiting").
    """
    if tx.actor.organisation_id is None or tx.actor.user_id is None:
        raise missing()
    _check_files(tx, command.files)
    _check_terms(tx, command.terms)
    tx.session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
                       {"name": f"bulk {tx.actor.organisation_id}"})  # fmt: skip
    waiting = tx.session.execute(
        select(BulkUploadRow).where(BulkUploadRow.seller_id == tx.actor.organisation_id,
                                    BulkUploadRow.state == UploadState.RECEIVING)
    ).scalars().all()  # fmt: skip
    row = next((one for one in waiting if one.manifest_sha256 == command.manifest_sha256()), None)
    resumed = row is not None
    if row is None:
        if len(waiting) >= RECEIVING_MAX:
            words = N_("%(most)s uploads wait for their files already. Finish one of them or drop it.")
            raise Conflict("uploads_waiting", words, {"most": RECEIVING_MAX})
        row = _announce(tx, command)
    row.terms, row.debtor_email = asdict(command.terms), command.debtor_email
    row.list_as_read = command.list_as_read
    tx.session.flush()
    still = queries.missing_pieces(tx.session, row.id)
    tx.record("bulk_upload", row.id, after={"files": len(command.files), "missing": len(still), "resumed": resumed,
                                            "manifest_sha256": row.manifest_sha256})  # fmt: skip
    return {"upload_id": row.id, "missing": still, "resumed": resumed}


def _check_files(tx: Tx, files: tuple[Announced, ...]) -> None:
    most, words, params = tx.policy.bulk, "", {}
    if not files:
        words = N_("Choose the files first: a ZIP, a CSV, or XML and PDF invoices.")
    elif len(files) > most.files_max:
        words, params = N_("Choose at most %(most)s files at once."), {"most": most.files_max}
    elif sum(one.size_bytes for one in files) > most.bytes_max:
        words, params = N_("The files are larger than %(most)s MB together."), {"most": most.bytes_max // 1_000_000}
    if words:
        raise InvalidInput.of_fields([Problem("documents", "files", words, params)])


def _check_terms(tx: Tx, terms: Terms) -> None:
    problems = rules.judge_terms(deal_type=terms.deal_type, recourse=terms.recourse, reserve_bps=terms.reserve_bps,
                                 own_rate_bps=terms.own_rate_bps, buy_now_bps=terms.buy_now_bps,
                                 policy=tx.policy)  # fmt: skip
    if problems:
        raise InvalidInput.of_fields(problems)


def _announce(tx: Tx, command: BeginBulkUpload) -> BulkUploadRow:
    names = [one.name.rsplit("/", 1)[-1] for one in command.files]
    more = f" + {len(names) - NAMES_SHOWN}" if len(names) > NAMES_SHOWN else ""
    row = BulkUploadRow(
        id=new_id(),
        seller_id=tx.actor.organisation_id,
        user_id=tx.actor.user_id,
        name=(", ".join(names[:NAMES_SHOWN]))[: 200 - len(more)] + more,
        manifest_sha256=command.manifest_sha256(),
        terms=asdict(command.terms),
        debtor_email=command.debtor_email,
        list_as_read=command.list_as_read,
        state=str(UploadState.RECEIVING),
        state_since=tx.now,
        created_at=tx.now,
    )
    tx.session.add(row)
    tx.session.flush()
    tx.session.execute(insert(BulkFileRow), [
        {"id": new_id(), "upload_id": row.id, "position": position, "name": one.name, "size_bytes": one.size_bytes,
         "pieces": list(one.pieces)}
        for position, one in enumerate(command.files, 1)])  # fmt: skip
    return row


@verb("keep_bulk_pieces")
def keep_bulk_pieces(tx: Tx, command: KeepBulkPieces) -> Result:
    """Keep pieces under their hashes; one that is here already is not kept twice.

    Raises: NotFound; Conflict("upload_sealed"); InvalidInput("unknown_piece") for bytes that nobody announced.
    """
    row = _own(tx, command.upload_id)
    _require(row, UploadState.RECEIVING)
    wanted = set(queries.missing_pieces(tx.session, row.id))
    known = set(tx.session.execute(
        select(func.jsonb_array_elements_text(BulkFileRow.pieces)).where(BulkFileRow.upload_id == row.id)
    ).scalars())  # fmt: skip
    pieces = {hashlib.sha256(piece).hexdigest(): piece for piece in command.pieces}
    if not pieces or pieces.keys() - known:
        raise InvalidInput.about(
            "documents",
            "unknown_piece",
            N_("These bytes belong to none of the files that were announced. They may have changed on the way."),
        )
    fresh = [{"upload_id": row.id, "sha256": name, "size_bytes": len(piece), "content": piece}
             for name, piece in pieces.items() if name in wanted]  # fmt: skip
    if fresh:
        tx.session.execute(insert_new(BulkPieceRow).on_conflict_do_nothing(), fresh)
    tx.record("bulk_upload", row.id, after={"pieces": len(fresh), "bytes": sum(one["size_bytes"] for one in fresh)})
    return {"missing": len(wanted) - len(fresh)}


@verb("seal_bulk_upload")
def seal_bulk_upload(tx: Tx, command: OfBulkUpload) -> Result:
    """End the receiving: everything is here, and from now on the upload goes on by itself.

    Raises: NotFound; Conflict("upload_sealed", "pieces_missing"); InvalidInput("pieces_do_not_fit").
    """
    row = _own(tx, command.upload_id)
    _require(row, UploadState.RECEIVING)
    still = len(queries.missing_pieces(tx.session, row.id))
    if still:
        raise Conflict("pieces_missing", N_("%(count)s parts of the files are still missing."), {"count": still})
    sizes: dict[str, int] = dict(tx.session.execute(
        select(BulkPieceRow.sha256, BulkPieceRow.size_bytes).where(BulkPieceRow.upload_id == row.id)
    ).all())  # fmt: skip
    for one in tx.session.execute(select(BulkFileRow).where(BulkFileRow.upload_id == row.id)).scalars():
        lengths = [sizes[piece] for piece in one.pieces]
        if sum(lengths) != one.size_bytes or any(length != PIECE_BYTES for length in lengths[:-1]):
            words = N_("The parts of “%(name)s” do not make up the file that was announced.")
            raise InvalidInput("pieces_do_not_fit", words, {"name": one.name})
    move(tx, row, UploadState.UNPACKING)
    tx.record("bulk_upload", row.id, after={"state": row.state, "bytes": sum(sizes.values())})
    return {"upload_id": row.id, "state": row.state}


@verb("drop_bulk_upload")
def drop_bulk_upload(tx: Tx, command: OfBulkUpload) -> Result:
    """Give up an upload whose files never all came.

    Raises: NotFound; Conflict("upload_sealed").
    """
    row = _own(tx, command.upload_id)
    _require(row, UploadState.RECEIVING)
    move(tx, row, UploadState.DROPPED)
    tx.record("bulk_upload", row.id, after={"state": row.state})
    return {"upload_id": row.id, "state": row.state}


@verb("correct_bulk_rows")
def correct_bulk_rows(tx: Tx, command: CorrectBulkRows) -> Result:
    """Enter what rows need, and have them judged anew; rows that are over are passed by.

    With no values a row is simply tried again. Raises: NotFound; Conflict("upload_moving", "nothing_to_correct").
    """
    upload = _own(tx, command.upload_id)
    if upload.state not in (UploadState.WAITING, UploadState.READING):
        raise Conflict("upload_moving", N_("This upload cannot be corrected at the moment."))
    values = {one.position: kept(one.values) for one in command.corrections}
    rows = tx.session.execute(
        select(BulkRowRow)
        .where(BulkRowRow.upload_id == upload.id, BulkRowRow.position.in_(list(values)),
               BulkRowRow.state.in_([str(state) for state in OPEN]))
        .with_for_update()
    ).scalars().all()  # fmt: skip
    if not rows:
        raise Conflict("nothing_to_correct", N_("None of these rows waits for a correction."))
    for row in rows:
        row.corrections = row.corrections | values[row.position]
        row.state, row.attempts, row.noted_at = str(RowState.UNREAD), 0, tx.now
    if upload.state == UploadState.WAITING:
        move(tx, upload, UploadState.READING)
    tx.session.flush()
    tx.record("bulk_upload", upload.id, after={"corrected": [row.position for row in rows]})
    return {"corrected": len(rows)}


@verb("list_bulk_rows")
def list_bulk_rows(tx: Tx, command: ListBulkRows) -> Result:
    """Ask for the listing of every row that is ready, on these terms.

    Raises: NotFound; InvalidInput for terms; Conflict("upload_moving"); RuleBroken("nothing_ready").
    """
    upload = _own(tx, command.upload_id)
    if upload.state != UploadState.WAITING:
        raise Conflict("upload_moving", N_("This upload is being worked on, or is over."))
    _check_terms(tx, command.terms)
    upload.terms, upload.debtor_email = asdict(command.terms), command.debtor_email
    asked = ask_ready(tx, upload.id)
    if not asked:
        raise RuleBroken("nothing_ready", N_("No row is ready to be listed."))
    move(tx, upload, UploadState.LISTING)
    tx.session.flush()
    tx.record("bulk_upload", upload.id, after={"state": upload.state, "asked": asked, "terms": upload.terms})
    return {"asked": asked}


@verb("leave_bulk_rows")
def leave_bulk_rows(tx: Tx, command: OfBulkUpload) -> Result:
    """End an upload: what is not listed by now is left, and its drafts are dropped.

    Raises: NotFound; Conflict("upload_moving").
    """
    upload = _own(tx, command.upload_id)
    if upload.state != UploadState.WAITING:
        raise Conflict("upload_moving", N_("This upload is being worked on, or is over."))
    left = tx.session.execute(
        update(BulkRowRow)
        .where(BulkRowRow.upload_id == upload.id, BulkRowRow.state.in_([str(state) for state in OPEN]))
        .values(state=str(RowState.LEFT), noted_at=tx.now)
        .returning(BulkRowRow.draft_id)
    ).scalars().all()  # fmt: skip
    drop_drafts(tx, [draft_id for draft_id in left if draft_id is not None])
    move(tx, upload, UploadState.DONE)
    tx.session.flush()
    tx.record("bulk_upload", upload.id, after={"state": upload.state, "left": len(left)})
    return {"left": len(left)}


# -- what the worker's verbs share ------------------------------------------------------------------------------------


def ask_ready(tx: Tx, upload_id: UUID) -> int:
    """Turn what is ready into what is asked for; return how many rows that are."""
    asked = tx.session.execute(
        update(BulkRowRow)
        .where(BulkRowRow.upload_id == upload_id, BulkRowRow.state == RowState.READY)
        .values(state=str(RowState.ASKED), attempts=0, problems=[], noted_at=tx.now)
        .returning(BulkRowRow.id)
    )
    return len(asked.all())


def drop_drafts(tx: Tx, draft_ids: list[UUID]) -> None:
    """Drop drafts that nobody will list."""
    tx.session.execute(
        update(DraftRow)
        .where(DraftRow.id.in_(draft_ids), DraftRow.listed_at.is_(None), DraftRow.dropped_at.is_(None))
        .values(dropped_at=tx.now)
    )


def move(tx: Tx, row: BulkUploadRow, state: UploadState) -> None:
    """Bring an upload on.

    Raises: RuleBroken("wrong_state").
    """
    UPLOAD.check(row.state, state)
    row.state, row.state_since = str(state), tx.now


def _own(tx: Tx, upload_id: UUID) -> BulkUploadRow:
    row = queries.lock_upload(tx.session, upload_id)
    require_own(tx.actor, row.seller_id)
    return row


def _require(row: BulkUploadRow, state: UploadState) -> None:
    if row.state != state:
        raise Conflict("upload_sealed", N_("All files of this upload are here already, or it was dropped."))
