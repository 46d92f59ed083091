"""Writing what everybody is due, and moving a collection along its life, under the collection's lock."""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import insert, update

from marketplace.kernel.ids import new_id
from marketplace.kernel.policy import Policy
from marketplace.perform import Tx
from marketplace.servicing import queries
from marketplace.servicing.states import CLOSED, COLLECTION, CollectionState
from marketplace.servicing.tables import CollectionRow, DueRow
from marketplace.servicing.waterfall import Due, accrue_late


def known_dues(tx: Tx, row: CollectionRow) -> list[Due]:
    """Return the dues as they stand."""
    return list(queries.collection(tx.session, row.receivable_id).dues)


def dues_on(tx: Tx, row: CollectionRow, day: date) -> list[Due]:
    """Accrue the late charge to a day, write it into the dues, and return them."""
    known = known_dues(tx, row)
    dues = late_to(tx.policy, row, known, day)
    write_dues(tx, row, known, dues)
    row.late_charged_to = max(row.late_charged_to, day)
    tx.session.flush()
    return dues


def late_to(policy: Policy, row: CollectionRow | queries.Collection, dues: Sequence[Due], day: date) -> list[Due]:
    """Return the dues with the late charge accrued to a day; nothing is written."""
    return accrue_late(dues, row.rate_bps + policy.fees.late_bps_over_award, row.late_charged_to, day)


def write_dues(tx: Tx, row: CollectionRow, before: Sequence[Due], after: Sequence[Due]) -> None:
    """Write the dues that changed; who is new comes behind the others. What was paid never changes here."""
    known = {(due.step, due.party): due for due in before}
    for position, due in enumerate(after):
        earlier = known.get((due.step, due.party))
        if earlier is None:
            tx.session.execute(
                insert(DueRow).values(id=new_id(), receivable_id=row.receivable_id, step=due.step,
                                      party_id=due.party, position=position, due_minor=due.due_minor)
            )  # fmt: skip
        elif earlier.due_minor != due.due_minor:
            tx.session.execute(
                update(DueRow)
                .where(DueRow.receivable_id == row.receivable_id, DueRow.step == due.step)
                .where(DueRow.party_id.is_not_distinct_from(due.party))
                .values(due_minor=due.due_minor)
            )


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
