"""Moving a receivable along its life: the one place that changes its state."""

from uuid import UUID

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
