"""The verbs of a sale: open a lot, bid, take a bid back, close, accept or refuse the award.

Locks are taken in the order lot, receivable, accounts. Whether a bid is in time is judged by the database's clock
while the lot's row is held, here and again by the database's own trigger.
"""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from sqlalchemy import insert, update
from sqlalchemy.exc import DBAPIError

from marketplace.exchange import queries as exchange
from marketplace.kernel.actors import Role
from marketplace.kernel.clock import business_date
from marketplace.kernel.errors import Conflict, IntegrityBreach, NotPermitted, Problem, RuleBroken
from marketplace.kernel.words import N_
from marketplace.ledger import actions as ledger
from marketplace.parties import queries as parties
from marketplace.parties.rules import require_own, verb
from marketplace.perform import Result, Tx
from marketplace.rating import queries as ratings
from marketplace.receivables import actions as receivables
from marketplace.receivables import queries as receivable_queries
from marketplace.receivables.walls.rechecking import Against
from marketplace.trading import engine, placing, purses, queries, rules, running, steps, title_check
from marketplace.trading.instructing import place_mandates
from marketplace.trading.placing import Seen
from marketplace.trading.rules import BID, BidState, LotState
from marketplace.trading.schemas import (
    AcceptAward,
    CancelLot,
    CloseLot,
    ExpireAward,
    OpenLot,
    PlaceBid,
    RefuseAward,
    RejectAward,
    WithdrawBid,
)
from marketplace.trading.tables import BidRow, LotRow

LATE = N_("The lot closed at %(closes_at)s; bids are no longer taken.")
STAFF = "operator"


@verb("open_lot")
def open_lot(tx: Tx, command: OpenLot) -> Result:
    """Put a rated receivable up for bids, under terms that stay as they are.

    Raises: NotFound, RuleBroken("wrong_state", "lot_not_opened"), Conflict("already_on_auction").
    """
    receivable = receivable_queries.lock_receivable(tx.session, command.receivable_id)
    rating = ratings.receivable_rating(tx.session, receivable.id)
    if rating is None or receivable.state != "rated":
        raise RuleBroken("wrong_state", N_("Only a rated receivable can go on auction."))
    alone = command.open_minutes is not None or receivable.bidding == "open" or receivable.buy_now_bps is not None
    gathering = None if alone else queries.gathering(tx.session, receivable.currency)
    closes_at = tx.now + timedelta(minutes=command.open_minutes or tx.policy.auction.open_minutes)
    if gathering is not None:
        closes_at = gathering.closes_at
    terms = rules.terms_of(
        tx.policy,
        receivable.face_minor,
        receivable.deal_type,
        rating.advance_bps,
        rating.indicative_bps,
        receivable.reserve_bps,
        business_date(closes_at, tx.policy.zone),
        receivable.expected_on,
    )
    owners = parties.organisations(tx.session, [receivable.seller_id, receivable.debtor_id])
    problems = rules.opening_problems(
        terms,
        [owner.good_standing for owner in owners.values()],
        receivable_queries.stops(tx.session, receivable.id) + exchange.stops(tx.session, receivable.id),
    )
    if problems:
        raise RuleBroken("lot_not_opened", N_("The lot cannot open."), problems=problems)
    related = {owner.group for owner in owners.values()}
    related |= {staff.group for staff in parties.of_kind(tx.session, STAFF)}
    row = steps.lot_row(tx, receivable, rating, terms, closes_at, sorted(related))
    row["session_id"] = gathering.id if gathering else None
    tx.session.execute(insert(LotRow).values(row))
    receivables.move(tx, receivable.id, "on_auction")
    tx.record("lot", row["id"], after=row)
    return {"lot_id": row["id"], "closes_at": closes_at}


@verb("place_bid")
def place_bid(tx: Tx, command: PlaceBid) -> Result:
    """Bid in time by the database's clock: hold exactly the cash, or rest on a purse. Improving takes a bid back first.

    Raises: NotFound, RuleBroken("lot_closed", "bid_refused" with every reason, "insufficient_cash").
    """
    if tx.actor.organisation_id is None or tx.actor.user_id is None:
        raise NotPermitted("not_permitted", N_("Only an investor’s own people may bid."))
    seen = placing.look(tx, command.lot_id, tx.actor.organisation_id)
    judged(tx, seen, command)
    before = running.before(tx, seen)
    if command.replaces_bid_id is not None:
        _take_back(tx, command.replaces_bid_id, seen, given_way=True)
    try:
        placed = placing.write(tx, seen, command)
    except DBAPIError as error:
        raise refused_by_database(error, seen) from error
    return placed | running.answer(tx, seen, before)


def judged(tx: Tx, seen: Seen, command: PlaceBid) -> None:
    """Let a bid pass that no rule refuses.

    Raises: RuleBroken("lot_closed", "bid_refused" with every reason).
    """
    refusal = why_not(
        seen,
        command,
        lambda: [*running.late_problems(tx, seen, command), *running.crowding_problems(tx, seen, command)],
    )
    if refusal is not None:
        raise refusal


def why_not(seen: Seen, command: PlaceBid, also: Callable[[], list[Problem]] = list) -> RuleBroken | None:
    """Return the refusal of a bid with every reason, those of `also` among them; None when no rule refuses it."""
    if seen.state != LotState.OPEN or seen.now >= seen.closes_at:
        return closed(seen)
    problems = rules.bid_problems(
        seen,
        rate_bps=command.rate_bps,
        cash_minor=command.cash_minor,
        min_fill_minor=command.min_fill_minor,
        related=seen.related,
        good_standing=bool(seen.good_standing),
    )
    problems += also()
    return RuleBroken("bid_refused", N_("The bid was not placed."), problems=problems) if problems else None


@verb("withdraw_bid")
def withdraw_bid(tx: Tx, command: WithdrawBid) -> Result:
    """Take a bid back while its lot is open, and free its hold.

    An open lot gives none back in its last minutes.

    Raises: NotFound, RuleBroken("lot_closed", "wrong_state", "only_improvements_now").
    """
    lot = queries.lock_lot(tx.session, queries.lot_of_bid(tx.session, command.bid_id), share=True)
    _take_back(tx, command.bid_id, lot, given_way=False)
    return {"bid_id": command.bid_id, "state": BidState.WITHDRAWN}


def _take_back(tx: Tx, bid_id: UUID, lot: LotRow | Seen, *, given_way: bool) -> None:
    """End a bid at the one instant, read after both locks, that everything is judged by; what is another's is missing.

    `given_way`: it makes room for a better one, which an open lot takes in its last minutes too.
    """
    bid = queries.lock_bid(tx.session, bid_id, tx.actor.organisation_id)
    if bid.lot_id != lot.id:
        raise queries.missing()
    at = tx.clock()
    if lot.state != LotState.OPEN or at >= lot.closes_at:
        raise closed(lot)
    BID.check(bid.state, BidState.WITHDRAWN)
    if not given_way and running.only_improvements(lot, at):
        raise RuleBroken(running.ONLY_IMPROVEMENTS, running.WORDS[running.ONLY_IMPROVEMENTS])
    try:
        with tx.session.begin_nested():
            tx.session.execute(
                update(BidRow)
                .where(BidRow.id == bid.id)
                .values(state=BidState.WITHDRAWN, ended_at=at)
                .execution_options(synchronize_session=False)
            )
    except DBAPIError as error:
        raise refused_by_database(error, lot) from error
    ledger.resolve_holds(tx, [bid.hold_id] if bid.hold_id else [], "voided")
    tx.record("bid", bid.id, verb="withdraw_bid", before={"state": bid.state}, after={"state": BidState.WITHDRAWN})


def closed(lot: LotRow | Seen) -> RuleBroken:
    """Return the refusal of a bid that came too late."""
    return RuleBroken("lot_closed", LATE, {"closes_at": lot.closes_at.strftime("%Y-%m-%d %H:%M:%S UTC")})


def refused_by_database(error: DBAPIError, lot: LotRow | Seen) -> Exception:
    """Return the market's word for the database's own refusal, or the error itself."""
    constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    if constraint == "bid_in_time":
        return closed(lot)
    if constraint == "bid_improves":
        return RuleBroken(running.ONLY_IMPROVEMENTS, running.WORDS[running.ONLY_IMPROVEMENTS])
    if constraint == "bids_on_purse":
        return purses.too_many()
    if constraint in ("bid_of_group", "bid_rests_on_purse"):
        return Conflict("changed_meanwhile", N_("Somebody else decided this just now."))
    if constraint == "bid_fits_lot":
        return IntegrityBreach("bid_fits_lot", "A bid passed the rules and not the database.")
    found = ledger.refused_or(error)
    return short_of_cash() if isinstance(found, RuleBroken) else found


def short_of_cash() -> RuleBroken:
    """Return the refusal of a bid that free cash does not cover."""
    words = N_("You have less free cash than this: add some, or bid less.")
    return RuleBroken("insufficient_cash", N_("There is not enough free cash in the account."),
                      problems=[Problem("cash_minor", "insufficient_cash", words)])  # fmt: skip


@verb("cancel_lot")
def cancel_lot(tx: Tx, command: CancelLot) -> Result:
    """Stop a lot before money moves: all bids end, all holds are freed, the receivable is rated again.

    Raises: NotFound, RuleBroken("wrong_state", "reason_missing").
    """
    if not command.reason.strip():
        raise RuleBroken("reason_missing", N_("Say why the lot is stopped."))
    lot = queries.lock_lot(tx.session, command.lot_id)
    steps.cancel(tx, lot, command.reason.strip())
    receivable = receivable_queries.lock_receivable(tx.session, lot.receivable_id)
    stops = receivable_queries.stops(tx.session, receivable.id)
    if receivable.state in ("on_auction", "awarded") and stops:
        title_check.hold_back(tx, receivable.id, stops, Against())
    elif receivable.state in ("on_auction", "awarded"):
        receivables.move(tx, receivable.id, "rated", reason="lot_cancelled")
    return {"lot_id": lot.id, "state": LotState.CANCELLED}


@verb("close_lot")
def close_lot(tx: Tx, command: CloseLot) -> Result:
    """Close a lot whose time has come: clear its sealed book, write the award down, free the losers' holds.

    A lot whose receivable may not be sold after all, for a dispute or because something speaks against its title, is
    cancelled instead. An award at or below the seller's own rate, with two groups or more, is accepted at once.

    Raises: NotFound, RuleBroken("wrong_state", "not_due").
    """
    lot = queries.lock_lot(tx.session, command.lot_id)
    rules.LOT.check(lot.state, LotState.AWAITING_SELLER)
    now = tx.clock()
    if now < lot.closes_at:
        raise RuleBroken("not_due", N_("The lot is still taking bids."))
    if lot.session_id is not None:
        raise RuleBroken("in_session", N_("The lot clears together with the others of its session."))
    receivable = receivable_queries.lock_receivable(tx.session, lot.receivable_id)
    stops = receivable_queries.stops(tx.session, receivable.id)
    on_auction = receivable.state == "on_auction"
    found = title_check.against(tx, receivable.id) if on_auction and not stops else Against()
    if not on_auction or stops or found:
        reasons = [*stops, *found.codes] or [f"receivable_{receivable.state}"]
        title_check.call_off(tx, lot, reasons, found)
        return {"lot_id": lot.id, "state": LotState.CANCELLED, "outcome": "cancelled", "reasons": reasons}
    place_mandates(tx, [lot])
    cleared = engine.clear_lot(lot, queries.standing_bids(tx.session, lot.id))
    steps.write_award(tx, lot, 1, cleared)
    steps.end_losers(tx, lot.id, cleared)
    if cleared.outcome == "failed":
        steps.move_lot(tx, lot, LotState.CLOSED_FAILED, closed_at=now)
        steps.not_sold(tx, lot, "not_covered")
        return {"lot_id": lot.id, "state": LotState.CLOSED_FAILED, "outcome": cleared.outcome}
    decide_by = now + timedelta(minutes=tx.policy.auction.decision_minutes)
    steps.move_lot(tx, lot, LotState.AWAITING_SELLER, closed_at=now, decide_by=decide_by)
    receivables.move(tx, receivable.id, "awarded")
    state = LotState.AWAITING_SELLER
    if rules.accepts_itself(cleared.outcome, cleared.stop_out_bps, cleared.groups, steps.unasked_bps(lot)):
        steps.move_lot(tx, lot, LotState.ACCEPTED, decided_at=now, decided_how="own_rate")
        state = LotState.ACCEPTED
    return {
        "lot_id": lot.id,
        "state": state,
        "outcome": cleared.outcome,
        "stop_out_bps": cleared.stop_out_bps,
        "awarded_minor": cleared.awarded_minor,
        "sha256": cleared.sha256,
    }


@verb("accept_award")
def accept_award(tx: Tx, command: AcceptAward) -> Result:
    """Take the award, or a smaller amount of at least θA, for which the same sealed book is cleared again.

    Raises: NotFound, RuleBroken("wrong_state", "decision_time_over", "amount_out_of_range", "amount_not_covered").
    """
    lot = queries.lock_lot(tx.session, command.lot_id)
    require_own(tx.actor, lot.seller_id)
    _in_time_to_decide(tx, lot)
    award = queries.award(tx.session, lot.id)
    if award is None:
        raise queries.missing()
    wanted = award.awarded_minor if command.accepted_minor is None else command.accepted_minor
    if wanted != award.awarded_minor:
        steps.reduce(tx, lot, wanted, award.awarded_minor)
    steps.move_lot(tx, lot, LotState.ACCEPTED, decided_at=tx.clock(), decided_how="seller")
    return {"lot_id": lot.id, "state": LotState.ACCEPTED, "accepted_minor": wanted}


@verb("refuse_award")
def refuse_award(tx: Tx, command: RefuseAward) -> Result:
    """Leave the award: all holds are freed and the receivable may be offered again.

    Raises: NotFound, RuleBroken("wrong_state", "decision_time_over").
    """
    lot = queries.lock_lot(tx.session, command.lot_id)
    require_own(tx.actor, lot.seller_id)
    _in_time_to_decide(tx, lot)
    steps.refuse(tx, lot, "seller")
    return {"lot_id": lot.id, "state": LotState.REFUSED}


@verb("expire_award")
def expire_award(tx: Tx, command: ExpireAward) -> Result:
    """Apply what the seller chose at listing, once the time to decide is over; never an acceptance with one group.

    Raises: NotFound, RuleBroken("wrong_state", "not_due").
    """
    lot = queries.lock_lot(tx.session, command.lot_id)
    rules.LOT.check(lot.state, LotState.REFUSED)
    now = tx.clock()
    if lot.decide_by is None or now < lot.decide_by:
        raise RuleBroken("not_due", N_("The seller still has time to decide."))
    award = queries.award(tx.session, lot.id)
    if award is not None and rules.default_decision(lot.seller_default, award.groups) == "accept":
        steps.move_lot(tx, lot, LotState.ACCEPTED, decided_at=now, decided_how="default")
        return {"lot_id": lot.id, "state": LotState.ACCEPTED}
    steps.refuse(tx, lot, "default")
    return {"lot_id": lot.id, "state": LotState.REFUSED}


def _in_time_to_decide(tx: Tx, lot: LotRow) -> None:
    rules.LOT.check(lot.state, LotState.ACCEPTED)
    if tx.actor.role == Role.SYSTEM:
        raise RuleBroken("not_the_seller", N_("Only the seller decides before the time is over."))
    if lot.decide_by is None or tx.clock() > lot.decide_by:
        raise RuleBroken("decision_time_over", N_("The time to decide is over; the choice made at listing applies."))


@verb("reject_award")
def reject_award(tx: Tx, command: RejectAward) -> Result:
    """Refuse an accepted award whose title does not stand: no money moves, holds are freed, the receivable is out.

    Its title stays its seller's; a tombstone keeps the reason.

    Raises: NotFound, RuleBroken("wrong_state").
    """
    lot = queries.lock_lot(tx.session, command.lot_id)
    rules.LOT.check(lot.state, LotState.SETTLED)
    receivable = receivable_queries.lock_receivable(tx.session, lot.receivable_id)
    bidders = title_check.bidders_of(tx, lot.id)
    receivables.reject_review(tx, receivable_queries.lock_row(tx.session, receivable.id), command.reason)
    steps.cancel(tx, lot, command.reason, title_check.TITLE_CHECK)
    receivables.move(tx, receivable.id, "rejected", command.reason, title_check.TITLE_CHECK)
    title_check.tell(tx, bidders, receivable.id, receivable.ref, ended=True)
    return {"lot_id": lot.id, "state": LotState.CANCELLED, "receivable_id": receivable.id}


def may_settle(tx: Tx, lot_id: UUID) -> list[str]:
    """Ask every wall before money leaves. Return why it may not: the award then waits, or is called off.

    Called by servicing, in its transaction, with lot and receivable to be locked here in this order.

    Raises: NotFound, RuleBroken("wrong_state"), Conflict("stopped") when it waits already or nobody answered outside.
    """
    lot = queries.lock_lot(tx.session, lot_id)
    rules.LOT.check(lot.state, LotState.SETTLED)
    receivable = receivable_queries.lock_receivable(tx.session, lot.receivable_id)
    stops = receivable_queries.stops(tx.session, receivable.id)
    if receivable_queries.UPHELD_DISPUTE in stops:
        title_check.call_off(tx, lot, stops, Against())
        return stops
    found = title_check.against(tx, receivable.id) if not stops else Against()
    if not stops and not found:
        title_check.require_answers(tx, receivable.id)
    return title_check.hold_award(tx, lot, stops, found) if stops or found else []


def mark_settled(tx: Tx, lot_id: UUID) -> queries.Lot:
    """Say that the money of an accepted award has moved, and return the lot. Called by servicing, in its transaction.

    Raises: NotFound, RuleBroken("wrong_state").
    """
    steps.move_lot(tx, queries.lock_lot(tx.session, lot_id), LotState.SETTLED)
    return queries.lot(tx.session, lot_id)
