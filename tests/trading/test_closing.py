"""A lot closes on the database's clock, once; the award can be recomputed; the seller decides in time."""

import hashlib
import json
from datetime import timedelta
from uuid import UUID

import pytest

from auction.replay import replay
from marketplace.db import db
from marketplace.kernel.errors import NotFound, NotPermitted, RuleBroken
from marketplace.perform import perform
from marketplace.receivables import queries as receivables
from marketplace.receivables.actions import dispute_receivable
from marketplace.receivables.schemas import DisputeReceivable
from marketplace.trading import queries
from marketplace.trading.actions import (
    accept_award,
    cancel_lot,
    close_lot,
    expire_award,
    mark_settled,
    place_bid,
    refuse_award,
)
from marketplace.trading.rules import LotState
from marketplace.trading.schemas import AcceptAward, CancelLot, CloseLot, ExpireAward, PlaceBid, RefuseAward
from tests.support import SYSTEM, do
from tests.trading.test_bidding import cash
from tests.trading.world import World

HOUR = timedelta(hours=1)


def bid(world: World, who: str, lot: UUID, rate: int, minor: int, least: int = 0) -> UUID:
    return UUID(perform(place_bid, PlaceBid(lot, rate, minor, least), getattr(world, who))["bid_id"])


def a_covered_lot(world: World, **terms: object) -> UUID:
    """£20,000 at 6 % by bob, £30,000 at 7 % by carol, £10,000 at 8 % by dave, for £41,310: carol gets £21,310."""
    lot = world.lot(**terms)
    for who, rate, minor in (("bob", 600, 2_000_000), ("carol", 700, 3_000_000), ("dave", 800, 1_000_000)):
        world.fund(who, 5_000_000)
        bid(world, who, lot, rate, minor)
    world.move_clock(HOUR)
    return lot


def close(lot: UUID) -> dict[str, object]:
    return perform(close_lot, CloseLot(lot), SYSTEM)


def lot_state(lot: UUID) -> tuple[str, str]:
    db.session.rollback()
    found = queries.lot(db.session, lot)
    return found.state, receivables.receivable(db.session, found.receivable_id).state


def test_a_lot_still_taking_bids_does_not_close(world: World) -> None:
    lot = world.lot()
    with pytest.raises(RuleBroken, match="not_due"):
        close(lot)
    assert queries.due_to_close(db.session) == []


def test_only_the_system_closes_a_lot(world: World) -> None:
    lot = a_covered_lot(world)
    for who in ("bob", "alice", "olga", "mallory"):
        with pytest.raises(NotPermitted):
            perform(close_lot, CloseLot(lot), getattr(world, who))


def test_the_close_awards_fills_and_frees_the_losers(world: World) -> None:
    lot = a_covered_lot(world)
    assert queries.due_to_close(db.session) == [lot]
    told = close(lot)
    assert (told["outcome"], told["stop_out_bps"], told["awarded_minor"]) == ("full", 700, 4_131_000)
    assert lot_state(lot) == ("awaiting_seller", "awarded")
    fills = {fill.investor_id: fill for fill in queries.fills(db.session, lot)}
    assert {who: fills[world.id(who)].cash_minor for who in ("bob", "carol")} == {
        "bob": 2_000_000,
        "carol": 2_131_000,
    }
    assert sum(fill.discount_minor for fill in fills.values()) == 4_131_000 * 700 * 50 // 3_650_000
    assert [cash(world, who)[1] for who in ("bob", "carol", "dave")] == [2_000_000, 3_000_000, 0]
    assert [one.state for one in queries.book(db.session, lot)] == ["filled", "filled", "unfilled"]


def test_the_stored_award_replays_with_its_hash(world: World) -> None:
    lot = a_covered_lot(world)
    told = close(lot)
    transcript = queries.transcript(db.session, lot)
    assert hashlib.sha256(transcript).hexdigest() == told["sha256"]
    assert replay(transcript).reproduces
    forged = json.loads(transcript)
    forged["result"]["stop_out_bps"] = 701
    assert replay(json.dumps(forged).encode()).difference == "result.stop_out_bps: states 701, computed 700"


def test_a_lot_that_is_not_covered_fails_frees_everything_and_may_be_offered_again(world: World) -> None:
    lot = world.lot()
    world.fund("bob", 5_000_000)
    bid(world, "bob", lot, 600, 3_300_000)
    world.move_clock(HOUR)
    assert close(lot)["outcome"] == "failed"
    assert lot_state(lot) == ("closed_failed", "rated")
    assert cash(world, "bob") == (5_000_000, 0)
    assert replay(queries.transcript(db.session, lot)).reproduces


def test_a_lot_without_any_bid_fails(world: World) -> None:
    lot = world.lot()
    world.move_clock(HOUR)
    assert close(lot)["outcome"] == "failed"


def test_a_failed_lot_with_too_few_days_left_expires_the_receivable(world: World) -> None:
    lot = world.lot()
    world.move_clock(timedelta(days=40))
    close(lot)
    assert lot_state(lot) == ("closed_failed", "expired")


def test_a_lot_of_a_disputed_receivable_is_cancelled_and_frees_everything(world: World) -> None:
    lot = a_covered_lot(world)
    receivable_id = queries.lot(db.session, lot).receivable_id
    with world.superuser() as superuser:
        superuser.execute("UPDATE receivable SET state = 'held_for_review' WHERE id = %s", (receivable_id,))
    assert close(lot)["outcome"] == "cancelled"
    assert lot_state(lot) == ("cancelled", "held_for_review")
    assert [cash(world, who)[1] for who in ("bob", "carol", "dave")] == [0, 0, 0]


def test_a_dispute_during_the_auction_cancels_the_lot_and_waits_for_review(world: World) -> None:
    lot = a_covered_lot(world)
    receivable_id = queries.lot(db.session, lot).receivable_id
    dispute = DisputeReceivable(amount_minor=1, reason="goods", receivable_id=receivable_id)
    perform(dispute_receivable, dispute, world.olga)
    assert close(lot)["outcome"] == "cancelled"
    assert lot_state(lot) == ("cancelled", "held_for_review")
    review = receivables.open_review(db.session, receivable_id)
    assert review is not None
    assert (review.cause, review.goes_to) == ("dispute", "confirmed")
    assert cash(world, "bob")[1] == 0


def test_group_caps_cut_and_refusals_tell_their_reason(world: World) -> None:
    lot = world.lot(group_cap=3_500)
    for who in ("bob", "carol", "dave"):
        world.fund(who, 5_000_000)
        bid(world, who, lot, 600, 3_000_000)
    world.fund("mallory", 5_000_000)
    refused = bid(world, "mallory", lot, 600, 3_000_000, 3_000_000)
    world.move_clock(HOUR)
    assert close(lot)["outcome"] == "full"
    bids = {one.id: one for one in queries.book(db.session, lot)}
    assert (bids[refused].state, bids[refused].reasons) == ("refused", ["over_group_cap"])
    assert max(fill.cash_minor for fill in queries.fills(db.session, lot)) <= 4_131_000 * 35 // 100
    assert cash(world, "mallory") == (5_000_000, 0)


# --- the seller's window --------------------------------------------------------------------------------


def test_the_seller_accepts_in_time_and_money_may_move(world: World) -> None:
    lot = a_covered_lot(world)
    close(lot)
    perform(accept_award, AcceptAward(lot), world.alice)
    assert lot_state(lot) == ("accepted", "awarded")
    assert queries.accepted(db.session) == [lot]
    do(lambda tx: str(mark_settled(tx, lot).state))
    assert lot_state(lot)[0] == "settled"
    with pytest.raises(RuleBroken, match="wrong_state"):
        do(lambda tx: str(mark_settled(tx, lot).state))


def test_nobody_else_decides(world: World) -> None:
    lot = a_covered_lot(world)
    close(lot)
    for who in ("bob", "mallory", "olga"):
        with pytest.raises((NotFound, NotPermitted)):
            perform(accept_award, AcceptAward(lot), getattr(world, who))
        with pytest.raises((NotFound, NotPermitted)):
            perform(refuse_award, RefuseAward(lot), getattr(world, who))
    assert lot_state(lot)[0] == "awaiting_seller"


def test_a_refused_award_frees_all_holds(world: World) -> None:
    lot = a_covered_lot(world)
    close(lot)
    perform(refuse_award, RefuseAward(lot), world.alice)
    assert lot_state(lot) == ("refused", "rated")
    assert [cash(world, who)[1] for who in ("bob", "carol", "dave")] == [0, 0, 0]
    with pytest.raises(RuleBroken, match="wrong_state"):
        perform(accept_award, AcceptAward(lot), world.alice)


def test_after_the_window_the_seller_is_too_late_and_the_default_applies(world: World) -> None:
    lot = a_covered_lot(world, seller_default="accept")
    close(lot)
    with pytest.raises(RuleBroken, match="not_due"):
        perform(expire_award, ExpireAward(lot), SYSTEM)
    world.move_clock(timedelta(hours=2, seconds=1))
    with pytest.raises(RuleBroken, match="decision_time_over"):
        perform(accept_award, AcceptAward(lot), world.alice)
    assert queries.due_to_expire(db.session) == [lot]
    perform(expire_award, ExpireAward(lot), SYSTEM)
    assert lot_state(lot)[0] == "accepted"


def test_the_default_refusal_frees_all_holds(world: World) -> None:
    lot = a_covered_lot(world)
    close(lot)
    world.move_clock(timedelta(hours=3))
    perform(expire_award, ExpireAward(lot), SYSTEM)
    assert lot_state(lot) == ("refused", "rated")
    assert cash(world, "bob")[1] == 0


def test_below_the_seller_s_own_rate_the_award_is_accepted_at_once(world: World) -> None:
    lot = a_covered_lot(world, own_rate_bps=700)
    assert close(lot)["state"] == LotState.ACCEPTED
    assert queries.lot(db.session, lot).decided_how == "own_rate"


def test_above_the_seller_s_own_rate_the_seller_is_asked(world: World) -> None:
    assert close(a_covered_lot(world, own_rate_bps=699))["state"] == LotState.AWAITING_SELLER


def test_a_single_group_is_never_accepted_automatically(world: World) -> None:
    lot = world.lot(own_rate_bps=850, seller_default="accept")
    world.fund("bob", 5_000_000)
    bid(world, "bob", lot, 100, 4_140_000)
    world.move_clock(HOUR)
    assert close(lot)["state"] == LotState.AWAITING_SELLER
    world.move_clock(timedelta(hours=3))
    perform(expire_award, ExpireAward(lot), SYSTEM)
    assert lot_state(lot) == ("refused", "rated")


def test_a_smaller_amount_clears_the_same_book_again(world: World) -> None:
    lot = a_covered_lot(world)
    close(lot)
    perform(accept_award, AcceptAward(lot, 3_500_000), world.alice)
    award = queries.award(db.session, lot)
    assert award is not None
    assert (award.round, award.awarded_minor, award.stop_out_bps) == (2, 3_500_000, 700)
    fills = {fill.investor_id: fill.cash_minor for fill in queries.fills(db.session, lot)}
    assert fills == {world.id("bob"): 2_000_000, world.id("carol"): 1_500_000}
    assert replay(queries.transcript(db.session, lot, 1)).reproduces
    assert replay(queries.transcript(db.session, lot, 2)).reproduces


@pytest.mark.parametrize("amount", [3_304_799, 4_131_001, 1])
def test_an_amount_outside_the_seller_s_range_is_refused_and_changes_nothing(world: World, amount: int) -> None:
    lot = a_covered_lot(world)
    close(lot)
    with pytest.raises(RuleBroken, match="amount_out_of_range") as refusal:
        perform(accept_award, AcceptAward(lot, amount), world.alice)
    assert refusal.value.problems[0].field == "accepted_minor"
    assert "33,048.00 GBP to 41,310.00 GBP" in refusal.value.problems[0].said()
    assert lot_state(lot)[0] == "awaiting_seller"


def test_an_operator_cancels_with_a_reason_and_everything_is_freed(world: World) -> None:
    lot = a_covered_lot(world)
    close(lot)
    with pytest.raises(RuleBroken, match="reason_missing"):
        perform(cancel_lot, CancelLot(lot, " "), world.olga)
    perform(cancel_lot, CancelLot(lot, "the debtor called"), world.olga)
    assert lot_state(lot) == ("cancelled", "rated")
    assert [cash(world, who)[1] for who in ("bob", "carol", "dave")] == [0, 0, 0]
