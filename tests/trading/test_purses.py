"""A budget held once for a session: bids on more lots than it covers, and never more spent than it holds."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text

from marketplace.db import db
from marketplace.jobs.invariants import invariants
from marketplace.kernel.errors import InvalidInput, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.perform import perform
from marketplace.reports import market
from marketplace.servicing.schemas import SettleAward
from marketplace.servicing.settlement import settle_award
from marketplace.trading import mandate_queries, queries
from marketplace.trading.actions import accept_award, refuse_award, withdraw_bid
from marketplace.trading.batches import close_lots
from marketplace.trading.placing_many import place_all
from marketplace.trading.purses import RESTING_MAX
from marketplace.trading.schemas import AcceptAward, CloseLots, PlaceBid, RefuseAward, SetSessionCaps, WithdrawBid
from marketplace.trading.sessions import set_session_caps
from tests.support import SYSTEM
from tests.trading.test_bidding import cash
from tests.trading.test_constraints import insert_bid, refuse
from tests.trading.test_mandates import mandate
from tests.trading.test_sessions import bid, close, filled, gathered
from tests.trading.world import World
from tests.web.test_investor import visitor

ALL = 4_140_000


def purse(world: World, who: str, session_id: UUID, minor: int | None, on: bool = True) -> None:
    perform(set_session_caps, SetSessionCaps(session_id, minor, purse=on), getattr(world, who))


def sound() -> None:
    db.session.rollback()
    broken = {one.name for one in invariants(db.session()) if not one.ok}
    assert broken <= {"leaves_equal_events"}  # nobody gives the log its order here


def test_bids_on_more_lots_than_there_is_cash_and_the_budget_is_what_is_held(world: World) -> None:
    world.fund("bob", ALL)
    world.fund("carol", 90_000_000)
    session_id, lots = gathered(world, 3)
    purse(world, "bob", session_id, 4_131_000)
    for lot, rate in zip(lots, (600, 500, 650), strict=True):
        bid(world, "bob", lot, rate, ALL)
        bid(world, "carol", lot, 700, ALL)
    assert cash(world, "bob") == (ALL, 4_131_000)
    close(world, session_id)
    won = [filled(lot, world.id("bob")) for lot in lots]
    assert won == [0, 4_131_000, 0]
    assert cash(world, "bob") == (ALL, 4_131_000)
    holds = ("SELECT count(*), min(minor) FROM hold WHERE subject_kind = 'bid' AND account_id = "
             "(SELECT account_id FROM hold WHERE subject_kind = 'call_session')")  # fmt: skip
    assert tuple(db.session.execute(text(holds)).one()) == (
        1,
        4_131_000,
    )  # the filled bid's own, in place of the budget's
    sound()


def test_what_was_filled_can_be_settled_and_refused(world: World) -> None:
    world.fund("bob", 3 * ALL)
    session_id, (one, two) = gathered(world)
    purse(world, "bob", session_id, 2 * ALL)
    for lot in (one, two):
        bid(world, "bob", lot, 600, ALL)
    close(world, session_id)
    perform(accept_award, AcceptAward(one), world.alice)
    perform(settle_award, SettleAward(one), SYSTEM)
    perform(refuse_award, RefuseAward(two), world.alice)
    assert cash(world, "bob") == (3 * ALL - 4_131_000, 0)
    sound()


def test_the_budget_grows_and_shrinks_with_its_hold_and_goes_only_without_bids(world: World) -> None:
    world.fund("bob", 1_000_000)
    session_id, (lot, _) = gathered(world)
    purse(world, "bob", session_id, 400_000)
    resting = bid(world, "bob", lot, 600, ALL)
    for minor in (1_000_000, 200_000):
        purse(world, "bob", session_id, minor)
        assert cash(world, "bob") == (1_000_000, minor)
    with pytest.raises(RuleBroken, match="insufficient_cash"):
        purse(world, "bob", session_id, 1_000_001)
    for minor in (None, 200_000):
        with pytest.raises(RuleBroken, match="bids_rest_on_budget"):
            purse(world, "bob", session_id, minor, on=False)
    with pytest.raises(InvalidInput):
        purse(world, "bob", session_id, None)
    assert cash(world, "bob") == (1_000_000, 200_000)
    perform(withdraw_bid, WithdrawBid(resting), world.bob)
    purse(world, "bob", session_id, None, on=False)
    assert cash(world, "bob") == (1_000_000, 0)


def test_a_budget_set_twice_at_once_is_set_once_and_neither_fails(world: World, app: Flask) -> None:
    world.fund("bob", 1_000_000)
    session_id, _ = gathered(world)
    purse(world, "bob", session_id, 300_000)

    def again() -> None:
        with app.app_context():
            purse(world, "bob", session_id, 400_000)

    with ThreadPoolExecutor(3) as pool, world.superuser() as connection:
        connection.execute("SELECT FROM call_session WHERE id = %s FOR UPDATE", (session_id,))
        clicks = [pool.submit(again) for _ in range(3)]
        world.somebody_waits(3)
        connection.rollback()
        for click in clicks:
            click.result()
    assert cash(world, "bob") == (1_000_000, 400_000)
    sound()


def test_a_purse_that_outlives_its_session_is_named(world: World) -> None:
    world.fund("bob", 1_000_000)
    session_id, _ = gathered(world)
    purse(world, "bob", session_id, 300_000)
    close(world, session_id)
    sound()
    db.session.rollback()
    with world.superuser() as connection:
        connection.execute("DELETE FROM hold_resolution")
    assert "purses_are_of_open_sessions" in {one.name for one in invariants(db.session()) if not one.ok}


def test_bids_of_a_file_rest_on_it_too_and_bids_elsewhere_do_not(world: World) -> None:
    world.fund("bob", 500_000)
    session_id, (one, two) = gathered(world)
    elsewhere = world.lot()
    purse(world, "bob", session_id, 400_000)
    bids = [PlaceBid(one, 600, ALL), PlaceBid(two, 600, ALL), PlaceBid(elsewhere, 600, 200_000),
            PlaceBid(elsewhere, 600, 100_000)]  # fmt: skip
    assert [told.code for told in place_all(bids, world.bob, "key")] == ["", "", "insufficient_cash", ""]
    assert cash(world, "bob") == (500_000, 500_000)


def test_what_rests_on_a_purse_counts_for_no_more_than_it_holds(world: World) -> None:
    """A seller's cover, and the exposure that an investor's mandates heed: a penny covers nothing, whatever is bid."""
    for who in ("bob", "carol"):
        world.fund(who, 9_000_000)
    session_id, (one, two) = gathered(world, group_cap=10_000)
    purse(world, "bob", session_id, 30_000)
    for lot in (one, two):
        bid(world, "bob", lot, 600, ALL)
        bid(world, "bob", lot, 610, ALL)
    bid(world, "carol", two, 600, 1_000_000)
    db.session.rollback()
    assert queries.cover_minor(db.session(), [one, two]) == {one: 30_000, two: 1_030_000}
    elsewhere = world.lot(minutes=30)
    mandated = mandate(world, "bob", debtor_minor_max=1_000_000, seller_minor_max=1_000_000,
                       outstanding_minor_max=1_000_000)  # fmt: skip
    world.move_clock(timedelta(minutes=31))
    perform(close_lots, CloseLots((elsewhere,)), SYSTEM)
    db.session.rollback()
    assert [note.reasons for note in mandate_queries.notes(db.session, mandated)] == [[]]
    placed = "SELECT cash_minor FROM bid WHERE mandate_id = :mandate"
    assert db.session.execute(text(placed), {"mandate": mandated}).scalar_one() == 970_000


def test_a_purse_carries_so_many_bids_and_no_more(world: World) -> None:
    world.fund("bob", 9_000_000)
    world.fund("carol", 9_000_000)
    session_id, (one, two) = gathered(world)
    for who in ("bob", "carol"):
        purse(world, who, session_id, 10_000)
    mine = bid(world, "bob", one, 600, ALL)
    columns = "lot_id, investor_id, group_id, cash_minor, min_fill_minor, rate_bps, placed_by"
    with world.superuser() as connection:
        connection.execute(f"INSERT INTO bid (id, {columns}) SELECT gen_random_uuid(), {columns} FROM bid, "
                           "generate_series(2, %s)", (RESTING_MAX,))  # fmt: skip
    told = place_all([PlaceBid(two, 600, ALL), PlaceBid(world.lot(), 600, 10_000)], world.bob, "key")
    assert [[one.rule for one in row.problems] for row in told] == [["too_many_bids"], []]
    assert insert_bid(world, two, hold_id=None, investor_id=world.id("bob"), group_id=world.id("bob")) == (
        "bids_on_purse"
    )
    bid(world, "carol", two, 600, ALL)
    perform(withdraw_bid, WithdrawBid(mine), world.bob)
    bid(world, "bob", two, 600, ALL)


def test_the_database_lets_no_bid_go_without_cash_behind_it(world: World) -> None:
    world.fund("bob", 500_000)
    session_id, (lot, _) = gathered(world)
    assert insert_bid(world, lot, hold_id=None) == "bid_rests_on_purse"
    purse(world, "bob", session_id, 400_000)
    resting = bid(world, "bob", lot, 600, ALL)
    assert insert_bid(world, world.lot(), hold_id=None) == "bid_rests_on_purse"
    assert insert_bid(world, lot, hold_id=None, investor_id=world.id("carol"), group_id=world.id("carol")) == (
        "bid_rests_on_purse"
    )
    assert refuse(world, "DELETE FROM session_purse") == "purse_has_bids"
    assert refuse(world, "UPDATE bid SET state = 'filled' WHERE id = %s", resting) == "ck_bid_hold"
    hold = new_id()
    with world.superuser() as connection:
        connection.execute("INSERT INTO hold SELECT %s, account_id, 1, 'call_session', subject_id FROM hold LIMIT 1",
                           (hold,))  # fmt: skip
    assert refuse(world, "UPDATE bid SET hold_id = %s WHERE id = %s", hold, resting) == "bid_keep_columns"
    with world.superuser() as connection:
        connection.execute("ALTER TABLE session_purse DISABLE TRIGGER session_purse_event")
    assert refuse(world, "UPDATE session_purse SET hold_id = %s", hold) == "purse_is_budget"
    world.move_clock(timedelta(hours=1))
    assert refuse(world, "UPDATE session_purse SET set_at = set_at") == "session_cap_in_time"


def test_the_page_holds_the_budget_and_says_so(app: Flask, world: World) -> None:
    world.fund("bob", 500_000)
    session_id, (lot, _) = gathered(world)
    bob = visitor(app, world, "bob")
    path = f"/investor/sessions/{session_id}/caps"
    assert bob.post(path, data={"budget": "", "purse": "1"}).status_code == 422
    too_much = bob.post(path, data={"budget": "9,000", "purse": "1"})
    assert too_much.status_code == 422
    assert "You have less free cash than this budget" in too_much.text
    assert bob.post(path, data={"budget": "4,000", "purse": "1"}).status_code == 303
    assert "£4,000.00 is held for this session" in bob.get(f"/investor/sessions/{session_id}").text
    found = market.line(db.session(), lot, world.id("bob"), world.id("bob"))
    assert found is not None
    assert found.headroom_minor == 4_130_000  # what the lot takes, whatever is free
    assert "It rests on the £4,000.00" in bob.get(f"/investor/lots/{lot}").text
    assert bob.post(f"/investor/lots/{lot}/bids", data={"rate": "700", "cash": "41,000"}).status_code == 303
    assert "all bids of the session" in bob.get("/investor/cash").text
    refused = bob.post(path, data={"budget": "4,000"})
    assert refused.status_code == 422
    assert "Bids of yours rest on this budget" in refused.text
    db.session.rollback()
    assert queries.standing_books(db.session(), [lot])[lot][0].cash_minor == 4_100_000
    assert db.session.execute(text("SELECT count(*) FROM hold")).scalar_one() == 1
