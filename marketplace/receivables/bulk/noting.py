"""The worker's verbs on bulk uploads: write rows down, count attempts, note outcomes, let go of the bytes."""

from collections import Counter
from dataclasses import asdict, replace
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update

from marketplace.kernel.errors import Conflict
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx
from marketplace.receivables.bulk.actions import ask_ready, drop_drafts, move
from marketplace.receivables.bulk.judging import same_as, same_file
from marketplace.receivables.bulk.queries import holders, lock_upload, problems_json
from marketplace.receivables.bulk.schemas import (
    NewRow,
    NoteBulkRows,
    OfBulkUpload,
    Outcome,
    TakeBulkRows,
    UnpackBulkUpload,
)
from marketplace.receivables.bulk.states import MADE, OPEN, OVER, ROW, RowState, UploadState
from marketplace.receivables.bulk.tables import BulkPieceRow, BulkRowRow, BulkUploadRow

WORKED_ON = (str(RowState.UNREAD), str(RowState.ASKED))
GIVEN_UP = (RowState.KNOWN, RowState.REFUSED)


@verb("unpack_bulk_upload")
def unpack_bulk_upload(tx: Tx, command: UnpackBulkUpload) -> Result:
    """Write down the rows of an upload, once; or why there are none.

    Raises: Conflict("unpacked") when it was done already.
    """
    upload = lock_upload(tx.session, command.upload_id)
    if upload.state != UploadState.UNPACKING:
        raise Conflict("unpacked", N_("This upload is unpacked already."))
    upload.notes = problems_json(command.notes)
    move(tx, upload, UploadState.REFUSED if command.refused else UploadState.READING)
    if command.rows:
        tx.session.execute(insert(BulkRowRow), [
            _new(tx, upload.id, position, row) for position, row in enumerate(command.rows, 1)])  # fmt: skip
    if not command.refused:
        _go_on(tx, upload)
    tx.session.flush()
    tx.record("bulk_upload", upload.id, after={"state": upload.state, "rows": len(command.rows),
                                               "refused": [note.rule for note in command.notes]})  # fmt: skip
    return {"upload_id": upload.id, "rows": len(command.rows), "state": upload.state}


def _new(tx: Tx, upload_id: UUID, position: int, row: NewRow) -> dict[str, object]:
    state, problems = RowState.UNREAD, []
    if row.same_as is not None:
        state, problems = RowState.KNOWN, [same_file(row.same_as)]
    elif row.refused is not None:
        state, problems = RowState.REFUSED, [row.refused]
    plain = {name: value for name, value in asdict(row).items() if name not in ("faults", "refused")}
    return plain | {"id": new_id(), "upload_id": upload_id, "position": position, "state": str(state),
                    "faults": problems_json(row.faults), "problems": problems_json(problems),
                    "noted_at": tx.now}  # fmt: skip


@verb("take_bulk_rows")
def take_bulk_rows(tx: Tx, command: TakeBulkRows) -> Result:
    """Count an attempt at each of these rows."""
    tx.session.execute(
        update(BulkRowRow)
        .where(BulkRowRow.id.in_(command.row_ids), BulkRowRow.upload_id == command.upload_id)
        .values(attempts=BulkRowRow.attempts + 1)
    )
    tx.record("bulk_upload", command.upload_id, after={"rows": len(command.row_ids)})
    return {"rows": len(command.row_ids)}


@verb("note_bulk_rows")
def note_bulk_rows(tx: Tx, command: NoteBulkRows) -> Result:
    """Note what came of rows, and bring the upload on when this step has none left. A row that moved on stays."""
    upload = lock_upload(tx.session, command.upload_id)
    outcomes = {one.row_id: one for one in command.outcomes}
    rows = tx.session.execute(
        select(BulkRowRow)
        .where(BulkRowRow.id.in_(list(outcomes)), BulkRowRow.upload_id == upload.id,
               BulkRowRow.state.in_(WORKED_ON))
        .order_by(BulkRowRow.position)
        .with_for_update()
    ).scalars().all()  # fmt: skip
    claims = [str(one.shown["claim"]) for one in command.outcomes if one.shown.get("claim")]
    holds = holders(tx.session, upload.id, claims)
    for row in rows:
        _note(tx, row, _once(outcomes[row.id], row.position, holds))
    tx.session.flush()
    drop_drafts(tx, [row.draft_id for row in rows if row.state in GIVEN_UP and row.draft_id])
    _go_on(tx, upload)
    tx.session.flush()
    tx.record("bulk_upload", upload.id, after={"state": upload.state, "outcomes": Counter(row.state for row in rows)})
    return {"noted": len(rows), "state": upload.state}


def _once(outcome: Outcome, position: int, holds: dict[str, int]) -> Outcome:
    """Return the outcome; of two rows with one invoice only the first may be listed."""
    claim = outcome.shown.get("claim")
    if outcome.state != RowState.READY or not claim:
        return outcome
    first = holds.setdefault(claim, position)
    return outcome if first == position else replace(outcome, state=str(RowState.KNOWN), problems=(same_as(first),))


def _note(tx: Tx, row: BulkRowRow, outcome: Outcome) -> None:
    if outcome.state == row.state:  # put off
        row.attempts = 0
    else:
        ROW.check(row.state, outcome.state)
        row.state, row.noted_at = str(outcome.state), tx.now
    row.problems, row.looks = problems_json(outcome.problems), problems_json(outcome.looks)
    row.draft_id = outcome.draft_id or row.draft_id
    if outcome.state in MADE:
        row.receivable_id = outcome.receivable_id
    for name, value in outcome.shown.items():
        setattr(row, name, value)


def _go_on(tx: Tx, upload: BulkUploadRow) -> None:
    """Bring an upload to its next step when nothing of this one is left to do."""
    counted = tx.session.execute(
        select(BulkRowRow.state, func.count()).where(BulkRowRow.upload_id == upload.id).group_by(BulkRowRow.state)
    )
    counts: dict[str, int] = dict(counted.all())
    if upload.state == UploadState.READING and not counts.get(RowState.UNREAD):
        if upload.list_as_read and ask_ready(tx, upload.id):
            move(tx, upload, UploadState.LISTING)
            return
    elif upload.state != UploadState.LISTING or counts.get(RowState.ASKED):
        return
    waits = any(counts.get(state) for state in OPEN)
    move(tx, upload, UploadState.WAITING if waits else UploadState.DONE)


@verb("clear_bulk_upload")
def clear_bulk_upload(tx: Tx, command: OfBulkUpload) -> Result:
    """Let go of the bytes of an upload that is over: what was read is kept as documents.

    Raises: Conflict("upload_moving").
    """
    upload = lock_upload(tx.session, command.upload_id)
    if upload.state not in OVER:
        raise Conflict("upload_moving", N_("This upload is being worked on, or is over."))
    gone = tx.session.execute(delete(BulkPieceRow).where(BulkPieceRow.upload_id == upload.id)
                              .returning(BulkPieceRow.sha256)).all()  # fmt: skip
    tx.record("bulk_upload", upload.id, after={"pieces_let_go": len(gone)})
    return {"pieces": len(gone)}
