"""Writing what everybody is due, and moving a collection along its life, under the collection's lock."""

from collections.abc import Sequence
from datetime import date
from operator import is_

from sqlalchemy import text

from marketplace.db import array
from marketplace.kernel.ids import new_texts
from marketplace.perform import Tx
from marketplace.servicing import queries
from marketplace.servicing.states import CLOSED, COLLECTION, CollectionState
from marketplace.servicing.tables import CollectionRow
from marketplace.servicing.waterfall import Due, accrue_late

NEW_DUES = (
    "INSERT INTO due (id, receivable_id, step, party_id, position, due_minor) "
    "SELECT made.id, :receivable_id, made.step, made.party, made.position, made.minor "
    "FROM unnest(CAST(:ids AS uuid[]), CAST(:steps AS text[]), CAST(:parties AS uuid[]), "
    "CAST(:positions AS integer[]), CAST(:minors AS bigint[])) AS made (id, step, party, position, minor)"
)
CHANGED_DUES = (
    "UPDATE due SET due_minor = made.minor "
    "FROM unnest(CAST(:ids AS uuid[]), CAST(:minors AS bigint[])) AS made (id, minor) WHERE due.id = made.id"
)


def known_dues(tx: Tx, row: CollectionRow) -> list[Due]:
    """Return the dues as they stand."""
    return list(queries.collection(tx.session, row.receivable_id).dues)


def dues_on(tx: Tx, row: CollectionRow, day: date) -> list[Due]:
    """Accrue the late charge to a day, write it into the dues, and return them."""
    known = known_dues(tx, row)
    dues = late_to(row, known, day)
    write_dues(tx, row, known, dues)
    row.late_charged_to = max(row.late_charged_to, day)
    tx.session.flush()
    return dues


def late_to(row: CollectionRow | queries.Collection, dues: Sequence[Due], day: date) -> list[Due]:
    """Return the dues with the late charge accrued to a day; nothing is written."""
    return accrue_late(dues, row.late_rate_bps, row.late_charged_to, day)


def write_dues(tx: Tx, row: CollectionRow, before: Sequence[Due], after: Sequence[Due]) -> None:
    """Write the dues that changed; who is new comes behind the others. What was paid never changes here."""
    if len(before) == len(after) and all(map(is_, before, after)):
        return
    known = {(due.step, due.party): due.due_minor for due in before}
    new = [(position, due) for position, due in enumerate(after) if (due.step, due.party) not in known]
    changed = [due for due in after if known.get((due.step, due.party), due.due_minor) != due.due_minor]
    if new:
        tx.session.execute(
            text(NEW_DUES),
            {"receivable_id": row.receivable_id, "ids": array(new_texts(len(new))),
             "steps": array(due.step for _, due in new), "parties": array(due.party or "null" for _, due in new),
             "positions": array(position for position, _ in new), "minors": array(due.due_minor for _, due in new)},
        )  # fmt: skip
    if changed:
        ids = queries.due_ids(tx.session, row.receivable_id)
        tx.session.execute(
            text(CHANGED_DUES),
            {"ids": array(ids[due.step, due.party] for due in changed),
             "minors": array(due.due_minor for due in changed)},
        )  # fmt: skip


def move(tx: Tx, row: CollectionRow, after: CollectionState, reason: str | None = None) -> None:
    """Move a locked collection to a state and record it.

    Raises: RuleBroken("wrong_state").
    """
    COLLECTION.check(row.state, after)
    at = tx.clock()
    before, row.state = row.state, after
    if after in CLOSED:
        row.closed_at = at
    if after == CollectionState.DEFAULTED:
        row.defaulted_at = at
    tx.session.flush()
    tx.record("collection", row.receivable_id, verb="move_collection", before={"state": before},
              after={"state": after}, reason=reason)  # fmt: skip
