"""Moving a receivable along its life: the one place that changes its state."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, update

from marketplace.db import among
from marketplace.kernel.errors import Conflict, IntegrityBreach
from marketplace.kernel.words import N_
from marketplace.perform import Tx
from marketplace.receivables import queries
from marketplace.receivables.states import RECEIVABLE, UNSOLD_ENDS, ReceivableState
from marketplace.receivables.tables import ReceivableRow
from marketplace.title import actions as title

ENDS = UNSOLD_ENDS | {ReceivableState.DISCHARGED, ReceivableState.BOUGHT_BACK, ReceivableState.WRITTEN_OFF}


def move(
    tx: Tx, receivable_id: UUID, to_state: str, reason: str | None = None, code: str | None = None
) -> queries.Receivable:
    """Lock the receivable, move it to a state, and record it. An unsold end leaves a tombstone on its title.

    `reason` is a stable code or an operator's words; `code` the tombstone's reason code.

    Raises: NotFound("not_found"); RuleBroken("wrong_state").
    """
    row = queries.lock_row(tx.session, receivable_id)
    return move_row(tx, row, ReceivableState(to_state), reason, code)


def move_row(
    tx: Tx, row: ReceivableRow, to_state: ReceivableState, reason: str | None = None, code: str | None = None
) -> queries.Receivable:
    """Move a receivable that is locked already. `code` is the tombstone's reason code, by default the state's name.

    Raises: RuleBroken("wrong_state").
    """
    before = row.state
    RECEIVABLE.check(before, to_state)
    row.state, row.state_reason, row.state_since = str(to_state), reason, tx.clock()
    if to_state in ENDS:
        row.closed_at = row.state_since
    tx.session.flush()
    if to_state in UNSOLD_ENDS:
        title.tombstone(tx, row.id, code or str(to_state))
    tx.record("receivable", row.id, before={"state": before}, after={"state": row.state}, reason=reason)
    return queries.as_receivable(row)


def lock_many(tx: Tx, receivable_ids: Sequence[UUID]) -> dict[UUID, queries.Receivable]:
    """Lock receivables in order of id until the end of the transaction, and return them by id."""
    rows = tx.session.execute(
        select(ReceivableRow)
        .where(among(ReceivableRow.id, receivable_ids))
        .order_by(ReceivableRow.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).scalars()
    return {row.id: queries.as_receivable(row) for row in rows}


def move_many(
    tx: Tx, receivable_ids: Sequence[UUID], before: ReceivableState, after: ReceivableState, reason: str | None = None
) -> None:
    """Move locked receivables, all of one state, to another, in one statement, and record each.

    For states that are no end: a tombstone is left one by one.

    Raises: RuleBroken("wrong_state"); Conflict("changed_meanwhile") when one of them is not in that state.
    """
    if not receivable_ids:
        return
    RECEIVABLE.check(before, after)
    if after in ENDS or after in UNSOLD_ENDS:
        raise IntegrityBreach("not_together", "Receivables end one by one.")
    moved = tx.session.execute(
        update(ReceivableRow)
        .where(among(ReceivableRow.id, receivable_ids), ReceivableRow.state == str(before))
        .values(state=str(after), state_reason=reason, state_since=tx.clock())
        .returning(ReceivableRow.id)
        .execution_options(synchronize_session=False)
    ).all()
    if len(moved) != len(receivable_ids):
        raise Conflict("changed_meanwhile", N_("Somebody else decided this just now."))
    told = {"state": str(before)}, {"state": str(after)}
    tx.record_many("receivable", tx.verb, [(one, *told) for one in receivable_ids], reason=reason)
