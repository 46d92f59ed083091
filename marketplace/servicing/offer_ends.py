"""How an offer of a holding ends without a sale: taken back, run out, or overtaken by what happens to the debt."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from marketplace.kernel.errors import NotFound, RuleBroken
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx
from marketplace.receivables import queries as receivables_queries
from marketplace.servicing.schemas import ExpireOffer, WithdrawOffer
from marketplace.servicing.states import OFFER, OfferState
from marketplace.servicing.tables import HoldingOfferRow


def missing() -> NotFound:
    """Return the refusal that an absent offer and another's share."""
    return NotFound("not_found", N_("There is no such thing, or you may not see it."))


def lock_offer(tx: Tx, offer_id: UUID) -> HoldingOfferRow:
    """Lock the receivable an offer is of, then the offer. Locks come receivable, offer, collection, title, accounts.

    Raises: NotFound.
    """
    found = tx.session.get(HoldingOfferRow, offer_id)
    if found is None:
        raise missing()
    receivables_queries.lock_receivable(tx.session, found.receivable_id)
    return tx.session.scalars(
        select(HoldingOfferRow).where(HoldingOfferRow.id == offer_id).with_for_update()
        .execution_options(populate_existing=True)
    ).one()  # fmt: skip


@verb("withdraw_offer")
def withdraw_offer(tx: Tx, command: WithdrawOffer) -> Result:
    """Take one's own offer back while it is open.

    Raises: NotFound, for another's offer too; RuleBroken("wrong_state").
    """
    offer = lock_offer(tx, command.offer_id)
    if offer.owner_id != tx.actor.organisation_id:
        raise missing()
    if offer.state != OfferState.OPEN:
        raise RuleBroken("wrong_state", N_("This offer has ended."))
    end(tx, offer, OfferState.WITHDRAWN, tx.clock(), "owner")
    return {"offer_id": offer.id, "state": offer.state}


@verb("expire_offer")
def expire_offer(tx: Tx, command: ExpireOffer) -> Result:
    """End an open offer whose time is over, by the database's clock.

    Raises: NotFound; RuleBroken("wrong_state", "not_due").
    """
    offer = lock_offer(tx, command.offer_id)
    OFFER.check(offer.state, OfferState.EXPIRED)
    now = tx.clock()
    if now < offer.closes_at:
        raise RuleBroken("not_due", N_("The offer still stands."))
    end(tx, offer, OfferState.EXPIRED, now, "time_over")
    return {"offer_id": offer.id, "state": offer.state}


def void_offers(tx: Tx, receivable_id: UUID, reason: str) -> int:
    """End all open offers of a receivable whose lock the caller holds: what was offered is no longer what it was."""
    rows = tx.session.scalars(
        select(HoldingOfferRow)
        .where(HoldingOfferRow.receivable_id == receivable_id, HoldingOfferRow.state == OfferState.OPEN)
        .order_by(HoldingOfferRow.id).with_for_update().execution_options(populate_existing=True)
    ).all()  # fmt: skip
    for offer in rows:
        end(tx, offer, OfferState.VOID, tx.clock(), reason)
    return len(rows)


def end(tx: Tx, offer: HoldingOfferRow, state: OfferState, at: datetime, reason: str) -> None:
    """Move a locked offer to one of its ends and record it.

    Raises: RuleBroken("wrong_state").
    """
    OFFER.check(offer.state, state)
    before, offer.state, offer.ended_at, offer.end_reason = offer.state, state, at, reason
    tx.session.flush()
    tx.record("offer", offer.id, verb="end_offer", before={"state": before},
              after={"state": state, "reason": reason, "receivable_id": offer.receivable_id})  # fmt: skip
