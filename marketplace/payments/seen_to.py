"""An operator says that what he was called about is seen to, and what was done."""

from sqlalchemy import select

from marketplace.kernel.errors import Conflict, NotFound, RuleBroken
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.payments.schemas import CloseAlert
from marketplace.payments.tables import PaymentAlertRow
from marketplace.perform import Result, Tx

# Calls that end with their trouble: as long as it lasts, nobody can say that it is over.
ENDS_ITSELF = ("reconciliation_break", "late_rate_unknown", "bank_money_unmatched", "call_unknown")


@verb("close_alert")
def close_alert(tx: Tx, command: CloseAlert) -> Result:
    """End a call to the operators: one of them has seen to it and says what was done. It moves no money.

    Raises: NotFound; Conflict("seen_to") the second time; RuleBroken("ends_itself") while its trouble lasts.
    """
    row = tx.session.scalars(
        select(PaymentAlertRow).where(PaymentAlertRow.id == command.alert_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    if row.closed_at is not None:
        raise Conflict("seen_to", N_("Somebody has seen to this already."))
    if row.kind in ENDS_ITSELF:
        raise RuleBroken("ends_itself", N_("This ends by itself, when what it is about is put right."))
    row.closed_at = tx.clock()
    tx.session.flush()
    tx.record("payment_alert", row.id, after={"closed_at": row.closed_at}, reason=command.reason)
    return {"alert_id": row.id}
