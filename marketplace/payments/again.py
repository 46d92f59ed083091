"""Payouts that came back, and sending the same money once more."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import String, cast, func, select
from sqlalchemy.orm import Session, aliased

from marketplace.kernel.errors import Conflict, NotFound
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.payments.actions import request_payout
from marketplace.payments.alerts import close_about
from marketplace.payments.bank_payouts import RETURN_UNDONE
from marketplace.payments.calls import lock_payout
from marketplace.payments.rules import PayoutState, Purpose
from marketplace.payments.tables import PayoutRow, ProviderTransitionRow
from marketplace.perform import Result, Tx

# What is owed to a seller; whoever asked for his own money asks again himself, and suspense is worked off anew.
OWED = (Purpose.ADVANCE, Purpose.RESIDUAL)


@dataclass(frozen=True)
class SendAgain:
    """A payout that came back, to be paid once more."""

    payout_id: UUID


@dataclass(frozen=True)
class CameBack:
    """A payout whose money is back in the account it left, and was not sent again."""

    id: UUID
    organisation_id: UUID
    purpose: str
    currency: str
    amount_minor: int
    failure_code: str | None
    since: datetime


def came_back(session: Session, limit: int = 200) -> list[CameBack]:
    """Return what is owed to sellers and did not reach them, longest ago first."""
    retry = aliased(PayoutRow)
    undone = select(ProviderTransitionRow.object_id).where(
        ProviderTransitionRow.object_id == func.concat("payout:", cast(PayoutRow.id, String)),
        ProviderTransitionRow.transition == RETURN_UNDONE,
    )
    sent = select(retry.id).where(retry.business_key == func.concat("again:", cast(PayoutRow.id, String)))
    rows = session.scalars(
        select(PayoutRow).where(PayoutRow.state == PayoutState.RETURNED, PayoutRow.purpose.in_(OWED), ~sent.exists(),
                                ~undone.exists())
        .order_by(PayoutRow.state_since, PayoutRow.id).limit(limit)
    )  # fmt: skip
    return [
        CameBack(row.id, row.organisation_id, row.purpose, row.currency, row.amount_minor, row.failure_code,
                 row.state_since)
        for row in rows
    ]  # fmt: skip


@verb("send_payout_again")
def send_payout_again(tx: Tx, command: SendAgain) -> Result:
    """Pay what came back once more, by the rail and on the account that the payee has now; each payout once.

    Raises: NotFound; Conflict("payout_requested") the second time, Conflict("not_back"), Conflict("return_undone");
    RuleBroken("insufficient_cash") when the seller has used the money otherwise.
    """
    known = tx.session.get(PayoutRow, command.payout_id)
    if known is None or known.purpose not in OWED:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    row = lock_payout(tx, known.id)
    if row.state != PayoutState.RETURNED:
        raise Conflict("not_back", N_("This pay-out has not come back."))
    if tx.session.get(ProviderTransitionRow, (f"payout:{row.id}", RETURN_UNDONE)) is not None:
        raise Conflict("return_undone", N_("The bank took back what it had given back: the payee has this money."))
    payout_id = request_payout(tx, row.organisation_id, row.currency, row.amount_minor, row.purpose, row.subject_kind,
                               row.subject_id, f"again:{row.id}")  # fmt: skip
    close_about(tx, row.id)
    return {"payout_id": payout_id}
