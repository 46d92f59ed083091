"""Selling a holding to another investor: a fixed price, first come, money and title in one transaction.

Locks come receivable, offer, collection, title, accounts, in the order of everywhere else, so that a sale, a debtor's
payment and a buy-back of one receivable follow each other, whichever comes first.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.orm import Session

from marketplace.kernel.errors import Conflict, NotPermitted, Problem, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.money import bps_of
from marketplace.kernel.words import N_
from marketplace.ledger import actions as ledger
from marketplace.ledger.rules import credit, debit
from marketplace.parties import queries as parties
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx
from marketplace.receivables import queries as receivables_queries
from marketplace.servicing import offer_rules as rules
from marketplace.servicing import queries
from marketplace.servicing.ageing import days_past_due
from marketplace.servicing.dues import known_dues, write_dues
from marketplace.servicing.offer_ends import lock_offer, missing
from marketplace.servicing.offer_rules import Standing
from marketplace.servicing.schemas import PRICE_CHANGED, AcceptOffer, OfferHolding
from marketplace.servicing.states import OFFER, OfferState
from marketplace.servicing.tables import CollectionRow, HoldingOfferRow
from marketplace.servicing.waterfall import Due, Step, hand_over, to_come_minor
from marketplace.title import actions as title
from marketplace.title import queries as title_queries
from marketplace.title.rules import Piece, without
from marketplace.trading import queries as trading_queries

ENDED = N_("Nothing is outstanding on this receivable any more.")
TAKEN = N_("Somebody else has bought it.")
YOURS = N_("You have bought it already: it is among your holdings.")
GONE = N_("This offer has ended.")


@verb("offer_holding")
def offer_holding(tx: Tx, command: OfferHolding) -> Result:
    """Offer units of one's own at a fixed price, until a deadline. What they can still bring is noted with it.

    Raises: NotFound when the actor holds nothing of it; RuleBroken("wrong_state", "offer_refused" with every reason).
    """
    owner_id = _own_house(tx)
    receivables_queries.lock_receivable(tx.session, command.receivable_id)
    row = queries.lock_collection(tx.session, command.receivable_id)
    held = title_queries.held_now(tx.session, row.receivable_id)
    own = [(first, beyond) for owner, first, beyond in held if owner == owner_id]
    if not own:
        raise missing()
    if row.closed_at is not None:
        raise RuleBroken("wrong_state", ENDED)
    lot = trading_queries.lot(tx.session, row.lot_id)
    free = without(own, _on_offer(tx.session, row.receivable_id))
    total, hours = sum(b - a for a, b in own), command.hours or tx.policy.secondary.open_hours
    principal, to_come = part_of(known_dues(tx, row), owner_id, min(command.units, total), total)
    problems = rules.offering_problems(
        units=command.units, price_minor=command.price_minor, hours=hours, step=lot.lot_size_minor, free=free,
        to_come_minor=to_come, policy=tx.policy.secondary,
    )  # fmt: skip
    if problems:
        raise RuleBroken("offer_refused", N_("The holding was not offered."), problems=problems)
    first, now = rules.first_free(free, command.units), tx.clock()
    offer = HoldingOfferRow(
        id=new_id(), receivable_id=row.receivable_id, owner_id=owner_id, currency=row.currency,
        units=Range(first, first + command.units), price_minor=command.price_minor, principal_minor=principal,
        to_come_minor=to_come, fee_bps=tx.policy.secondary.fee_bps, policy_version=tx.policy.version,
        offered_by=tx.actor.user_id, offered_at=now, closes_at=now + timedelta(hours=hours), state=OfferState.OPEN,
        refusal_until=rules.refusal_ends(
            now, _rooms(tx, row, held, lot, owner_id, command.units), tx.policy.secondary
        ),
    )  # fmt: skip
    tx.session.add(offer)
    tx.session.flush()
    tx.record("offer", offer.id, after={
        "receivable_id": row.receivable_id, "owner_id": owner_id, "first_unit": first, "units": command.units,
        "price_minor": offer.price_minor, "principal_minor": principal, "to_come_minor": to_come,
        "currency": row.currency, "refusal_until": offer.refusal_until, "closes_at": offer.closes_at,
        "state": offer.state,
    })  # fmt: skip
    return {"offer_id": offer.id, "closes_at": offer.closes_at, "refusal_until": offer.refusal_until}


def _own_house(tx: Tx) -> UUID:
    if tx.actor.organisation_id is None or tx.actor.user_id is None:
        raise NotPermitted("not_permitted", N_("Only an investor’s own people may do this."))
    return tx.actor.organisation_id


def _on_offer(session: Session, receivable_id: UUID) -> list[tuple[int, int]]:
    rows = session.scalars(
        select(HoldingOfferRow)
        .where(HoldingOfferRow.receivable_id == receivable_id, HoldingOfferRow.state == OfferState.OPEN)
    )  # fmt: skip
    return [row.piece for row in rows]


def part_of(dues: Sequence[Due], owner_id: UUID, units: int, held_units: int) -> tuple[int, int]:
    """Return the principal and the whole of what would go over with so many units of an owner's."""
    nobody = UUID(int=0)
    after = hand_over(dues, owner_id, nobody, units, held_units)
    principal = next(due.due_minor for due in after if (due.step, due.party) == (Step.PRINCIPAL, nobody))
    return principal, to_come_minor(after, nobody)


def _rooms(
    tx: Tx, row: CollectionRow, held: Sequence[Piece], lot: trading_queries.Lot, owner_id: UUID, units: int
) -> list[bool]:  # fmt: skip
    """Tell of every co-holder whether it could lawfully buy."""
    others = sorted({owner for owner, _, _ in held} - {owner_id})
    most = bps_of(row.face_minor, lot.group_cap_bps)
    standings = [_standing(tx.session, held, other, owner_id, units) for other in others]
    related = trading_queries.related_now(tx.session, lot)
    return [rules.has_room(standing, related, units, most) for standing in standings]


def _standing(session: Session, held: Sequence[Piece], buyer_id: UUID, owner_id: UUID, units: int) -> Standing:
    """Return how a buyer stands to a receivable; within one group an offer moves nothing into it."""
    houses = parties.organisations(session, [buyer_id, *(owner for owner, _, _ in held)])
    buyer = houses[buyer_id]
    own = sum(b - a for owner, a, b in held if owner in houses and houses[owner].group == buyer.group)
    within = owner_id in houses and houses[owner_id].group == buyer.group
    return Standing(buyer.group, buyer.good_standing, own - (units if within else 0),
                    any(owner == buyer_id for owner, _, _ in held))  # fmt: skip


@verb("accept_offer")
def accept_offer(tx: Tx, command: AcceptOffer) -> Result:
    """Buy what is offered: cash goes over, units go over, and with them all that is still to come.

    What a debtor paid before stays with who held the units then. A payment, a buy-back or a write-off in between voids
    the offer.

    Raises: NotFound; Conflict("offer_taken", "offer_ended"); RuleBroken("offer_over", "price_changed",
    "offer_refused" with every reason, "insufficient_cash").
    """
    buyer_id = _own_house(tx)
    offer = lock_offer(tx, command.offer_id)
    now = tx.clock()
    _still_open(offer, command, now, buyer_id)
    row = queries.lock_collection(tx.session, offer.receivable_id)
    flags = _check_buyer(tx, row, offer, buyer_id, command.acknowledged, now)
    first, units = offer.piece[0], offer.size
    held = title_queries.held_now(tx.session, offer.receivable_id)
    total = sum(b - a for owner, a, b in held if owner == offer.owner_id)
    dues = known_dues(tx, row)
    write_dues(tx, row, dues, hand_over(dues, offer.owner_id, buyer_id, units, total))
    title.transfer(tx, row.receivable_id, offer.owner_id, buyer_id, first, units)
    fee = rules.fee_minor(offer.price_minor, offer.fee_bps)
    entry_id = _pay(tx, offer, buyer_id, fee)
    OFFER.check(offer.state, OfferState.ACCEPTED)
    offer.state, offer.ended_at, offer.buyer_id, offer.fee_minor = OfferState.ACCEPTED, now, buyer_id, fee
    offer.acknowledged, offer.entry_id = flags, entry_id
    tx.session.flush()
    tx.record("offer", offer.id, before={"state": OfferState.OPEN}, after={
        "state": offer.state, "receivable_id": row.receivable_id, "owner_id": offer.owner_id, "buyer_id": buyer_id,
        "first_unit": first, "units": units, "price_minor": offer.price_minor, "fee_minor": fee,
        "acknowledged": flags, "entry_id": entry_id,
    })  # fmt: skip
    return {"offer_id": offer.id, "receivable_id": row.receivable_id, "units": units, "entry_id": entry_id}


def _still_open(offer: HoldingOfferRow, command: AcceptOffer, now: datetime, buyer_id: UUID) -> None:
    if offer.state == OfferState.ACCEPTED:
        raise Conflict("offer_taken", YOURS if offer.buyer_id == buyer_id else TAKEN)
    if offer.state != OfferState.OPEN:
        raise Conflict("offer_ended", GONE)
    if now >= offer.closes_at:
        raise RuleBroken("offer_over", N_("The offer ran out at %(closes_at)s."),
                         {"closes_at": offer.closes_at.strftime("%Y-%m-%d %H:%M:%S UTC")})  # fmt: skip
    if command.price_minor != offer.price_minor:
        raise RuleBroken.about("price_minor", "price_changed", PRICE_CHANGED)


def _check_buyer(
    tx: Tx, row: CollectionRow, offer: HoldingOfferRow, buyer_id: UUID, acknowledged: bool, now: datetime
) -> list[str]:  # fmt: skip
    """Return what the buyer had to acknowledge.

    Raises: RuleBroken("offer_refused") with every reason.
    """
    flags = flags_now(tx.session, row, days_past_due(row.due_on, tx.today))
    problems = _problems(tx.session, row, offer.owner_id, offer.size, offer.refusal_until, buyer_id, now,
                         flags=[] if acknowledged else flags)  # fmt: skip
    if problems:
        raise RuleBroken("offer_refused", N_("You cannot buy this holding."), problems=problems)
    return flags


def against_buying(session: Session, offer: queries.Offer, buyer_id: UUID, now: datetime) -> list[Problem]:
    """Return every reason why this organisation may not buy an offer now, whatever it acknowledges."""
    row = queries.collection(session, offer.receivable_id)
    return _problems(session, row, offer.owner_id, offer.units, offer.refusal_until, buyer_id, now)


def _problems(
    session: Session, row: CollectionRow | queries.Collection, owner_id: UUID, units: int,
    refusal_until: datetime | None, buyer_id: UUID, now: datetime, flags: Sequence[str] = (),
) -> list[Problem]:  # fmt: skip
    lot = trading_queries.lot(session, row.lot_id)
    held = title_queries.held_now(session, row.receivable_id)
    problems = rules.buying_problems(
        _standing(session, held, buyer_id, owner_id, units), units=units,
        most_units=bps_of(row.face_minor, lot.group_cap_bps), related=trading_queries.related_now(session, lot),
        refusal_until=refusal_until, now=now, flags=flags, acknowledged=False,
    )  # fmt: skip
    if buyer_id == owner_id:
        problems.insert(0, Problem("investor", "own_offer", N_("This offer is your own.")))
    return problems


def flags_now(session: Session, row: CollectionRow, dpd: int) -> list[str]:
    """Return what speaks against a receivable now: overdue, defaulted, disputed."""
    disputed = receivables_queries.open_dispute(session, row.receivable_id) is not None
    return rules.flags_of(dpd, row.state, disputed)


def _pay(tx: Tx, offer: HoldingOfferRow, buyer_id: UUID, fee: int) -> UUID:
    """Write one entry within the lenders' pool; a fee leaves it over the provider's accounts."""
    currency, price = offer.currency, offer.price_minor
    legs = [
        debit(ledger.account(tx, "investor_cash", buyer_id, currency), price),
        credit(ledger.account(tx, "investor_cash", offer.owner_id, currency), price - fee),
    ]
    if fee:
        legs += [
            credit(ledger.account(tx, "provider_lender", None, currency), fee),
            debit(ledger.account(tx, "provider_platform", None, currency), fee),
            credit(ledger.account(tx, "platform_fees", None, currency), fee),
        ]
    try:
        return ledger.post_entry(tx, "transfer_holding", "receivable", offer.receivable_id, legs)
    except RuleBroken as refusal:
        words = N_("You have less free cash than this costs: add some first.")
        raise RuleBroken(
            refusal.code, refusal.words, problems=[Problem("price_minor", refusal.code, words)]
        ) from refusal
