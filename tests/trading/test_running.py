"""Lots that answer to their bids: the rate an open one shows, its soft close, its last minutes, and buy-now."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.errors import NotFound, RuleBroken
from marketplace.perform import perform
from marketplace.trading import queries, running
from marketplace.trading.actions import close_lot, open_lot, place_bid, withdraw_bid
from marketplace.trading.batches import close_lots
from marketplace.trading.calls import calls_of
from marketplace.trading.schemas import CloseLot, CloseLots, OpenLot, PlaceBid, WithdrawBid
from tests.support import SYSTEM
from tests.trading.test_constraints import refuse
from tests.trading.test_opening import POLICY
from tests.trading.test_races import at_once
from tests.trading.world import World

SOFT = {"bidding": "open", "late_seconds": 120, "extend_seconds": 120, "extensions_max": 10,
        "improve_only_seconds": 300}  # fmt: skip


@pytest.fixture
def rich(world: World) -> World:
    for who in ("bob", "carol", "dave"):
        world.fund(who, 90_000_000)
    return world


def bid(world: World, who: str, lot: UUID, rate: int, minor: int, least: int = 0, replaces: UUID | None = None) -> UUID:
    return UUID(perform(place_bid, PlaceBid(lot, rate, minor, least, replaces), getattr(world, who))["bid_id"])


def of(lot: UUID) -> queries.Lot:
    db.session.rollback()
    return queries.lot(db.session(), lot)


def shown(lot: UUID) -> int | None:
    db.session.rollback()
    return running.shown(db.session(), [lot])[lot]


def left(world: World, lot: UUID, seconds: float) -> None:
    """Let the market's clock come so near to the close."""
    with world.superuser() as connection:
        connection.execute("UPDATE clock_shift SET shift = shift + (SELECT closes_at - market_now() FROM lot "
                           "WHERE id = %s) - make_interval(secs => %s)", (lot, seconds))  # fmt: skip


def covered(world: World, **terms: object) -> tuple[UUID, UUID]:
    """An open lot that would clear at 7 %, and carol's bid that says so."""
    lot = world.lot(**(SOFT | terms))
    bid(world, "bob", lot, 600, 2_000_000)
    return lot, bid(world, "carol", lot, 700, 3_000_000)


def test_an_open_lot_shows_its_rate_in_steps_of_five_and_nothing_while_it_would_fail(rich: World) -> None:
    lot = rich.lot(**SOFT)
    assert shown(lot) is None
    bid(rich, "bob", lot, 601, 2_000_000)
    assert shown(lot) is None
    bid(rich, "carol", lot, 701, 3_000_000)
    assert shown(lot) == 705
    bid(rich, "dave", lot, 598, 2_200_000)
    assert shown(lot) == 605


def test_a_sealed_lot_shows_nothing(rich: World) -> None:
    lot = rich.lot()
    bid(rich, "bob", lot, 600, 5_000_000)
    assert running.shown(db.session(), [lot]) == {}


def test_a_late_bid_that_lowers_the_rate_moves_the_close_and_is_on_record(rich: World) -> None:
    lot, carols = covered(rich)
    left(rich, lot, 100)
    before = of(lot).closes_at
    bid(rich, "carol", lot, 680, 3_000_000, replaces=carols)
    assert (of(lot).closes_at, of(lot).extensions) == (before + timedelta(seconds=120), 1)
    told = db.session.execute(text("SELECT convert_from(body, 'UTF8')::jsonb FROM event WHERE verb = 'extend_lot'"))
    body = told.scalar_one()
    assert (body["before"]["extensions"], body["after"]["extensions"]) == (0, 1)


@pytest.mark.parametrize(("seconds", "rate"), [(100, 699), (125, 680)])
def test_a_bid_that_is_not_late_or_does_not_lower_what_is_shown_moves_nothing(
    rich: World, seconds: int, rate: int
) -> None:
    lot, carols = covered(rich)
    left(rich, lot, seconds)
    before = of(lot).closes_at
    bid(rich, "carol", lot, rate, 3_000_000, replaces=carols)
    assert (of(lot).closes_at, of(lot).extensions) == (before, 0)


def test_the_close_moves_ten_times_at_most(rich: World) -> None:
    lot, last = covered(rich, extensions_max=2)
    for rate, extensions in ((680, 1), (670, 2), (660, 2)):
        left(rich, lot, 60)
        last = bid(rich, "carol", lot, rate, 3_000_000, replaces=last)
        assert of(lot).extensions == extensions


def test_a_lot_that_moved_its_close_closes_there_and_not_before(rich: World) -> None:
    lot, carols = covered(rich)
    left(rich, lot, 60)
    bid(rich, "carol", lot, 650, 3_000_000, replaces=carols)
    rich.move_clock(timedelta(seconds=100))
    assert perform(close_lots, CloseLots((lot,)), SYSTEM) == {"closed": 0, "cancelled": 0}
    rich.move_clock(timedelta(seconds=100))
    assert perform(close_lot, CloseLot(lot), SYSTEM)["stop_out_bps"] == 650


@pytest.mark.parametrize(
    ("rate", "cash", "least", "rule"),
    [(700, 3_000_000, 0, "rate_not_lower"), (690, 2_990_000, 0, "less_cash"),
     (690, 3_000_000, 10_000, "higher_least_fill")],
)  # fmt: skip
def test_in_the_last_minutes_a_bid_must_improve_one_of_ones_own(
    rich: World, rate: int, cash: int, least: int, rule: str
) -> None:
    lot, carols = covered(rich)
    left(rich, lot, 250)
    with pytest.raises(RuleBroken) as refusal:
        bid(rich, "carol", lot, rate, cash, least, replaces=carols)
    assert [problem.rule for problem in refusal.value.problems] == [rule]
    for who, replaces in (("dave", None), ("dave", carols)):
        with pytest.raises(RuleBroken) as refusal:
            bid(rich, who, lot, 500, 3_000_000, replaces=replaces)
        assert [problem.rule for problem in refusal.value.problems] == ["only_improvements_now"]
    with pytest.raises(RuleBroken, match="only_improvements_now"):
        perform(withdraw_bid, WithdrawBid(carols), rich.carol)
    bid(rich, "carol", lot, 690, 3_000_000, replaces=carols)


def test_before_the_last_minutes_bids_come_and_go_as_ever(rich: World) -> None:
    lot, carols = covered(rich)
    left(rich, lot, 310)
    perform(withdraw_bid, WithdrawBid(carols), rich.carol)
    assert shown(lot) is None
    bid(rich, "dave", lot, 650, 3_000_000)
    assert shown(lot) == 650


def test_a_covered_lot_closes_at_once_at_its_buy_now_rate(rich: World) -> None:
    lot = rich.lot(buy_now_bps=620, group_cap=5_000)
    bid(rich, "bob", lot, 610, 4_140_000)  # one group may take half of it
    assert of(lot).bought_at is None
    told = perform(place_bid, PlaceBid(lot, 620, 4_140_000), rich.carol)
    assert told["bought"] is True
    found = of(lot)
    assert found.bought_at == found.closes_at
    with pytest.raises(RuleBroken, match="lot_closed"):
        bid(rich, "dave", lot, 500, 4_140_000)
    closed = perform(close_lot, CloseLot(lot), SYSTEM)
    assert (closed["outcome"], closed["stop_out_bps"], closed["state"]) == ("full", 620, "accepted")


def time_passes(world: World, by: str) -> None:
    """Let the market's clock go on by so much between a bid's row and what the lot answers to it."""
    with world.superuser() as connection:
        connection.execute(f"""
            CREATE FUNCTION time_passes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = public, pg_temp SET session_replication_role = replica AS $$
            BEGIN UPDATE clock_shift SET shift = shift + interval '{by}'; RETURN NULL; END $$""")
        connection.execute("CREATE TRIGGER zz_time_passes AFTER INSERT ON bid FOR EACH STATEMENT "
                           "EXECUTE FUNCTION time_passes()")  # fmt: skip


def test_a_bid_in_time_buys_though_its_answer_ends_after_the_close(rich: World) -> None:
    lot = rich.lot(buy_now_bps=620)
    closes_at = of(lot).closes_at
    left(rich, lot, 30)
    time_passes(rich, "1 minute")
    assert perform(place_bid, PlaceBid(lot, 600, 4_140_000), rich.bob)["bought"] is True
    assert (of(lot).closes_at, of(lot).bought_at) == (closes_at, closes_at)
    assert perform(close_lot, CloseLot(lot), SYSTEM)["outcome"] == "full"


def test_a_late_bid_moves_the_close_though_its_answer_ends_after_it(rich: World) -> None:
    lot, carols = covered(rich)
    closes_at = of(lot).closes_at
    left(rich, lot, 30)
    time_passes(rich, "1 minute")
    bid(rich, "carol", lot, 680, 3_000_000, replaces=carols)
    assert (of(lot).closes_at, of(lot).extensions) == (closes_at + timedelta(seconds=120), 1)


def test_a_bid_is_taken_back_at_the_instant_that_was_judged(rich: World, app: Flask) -> None:
    """The last minutes begin while its row is waited for: it is refused in words, not at the commit."""
    lot, carols = covered(rich)
    left(rich, lot, 310)
    with ThreadPoolExecutor(1) as pool, rich.superuser() as connection:
        connection.execute("SELECT FROM bid WHERE id = %s FOR UPDATE", (carols,))

        def take_back() -> object:
            with app.app_context():
                return perform(withdraw_bid, WithdrawBid(carols), rich.carol)

        waiting = pool.submit(take_back)
        rich.somebody_waits()
        left(rich, lot, 290)
        connection.rollback()
        with pytest.raises(RuleBroken, match="only_improvements_now"):
            waiting.result(30)


def test_who_may_not_take_a_bid_back_hears_the_same_in_the_last_minutes(rich: World) -> None:
    lot, carols = covered(rich)
    left(rich, lot, 250)
    with pytest.raises(NotFound, match="not_found"):
        perform(withdraw_bid, WithdrawBid(carols), rich.dave)
    rich.move_clock(timedelta(minutes=5))
    with pytest.raises(RuleBroken, match="lot_closed"):
        perform(withdraw_bid, WithdrawBid(carols), rich.carol)


def test_bought_by_one_group_alone_it_still_asks_the_seller(rich: World) -> None:
    lot = rich.lot(buy_now_bps=620)
    assert perform(place_bid, PlaceBid(lot, 600, 4_140_000), rich.bob)["bought"] is True
    assert perform(close_lot, CloseLot(lot), SYSTEM)["state"] == "awaiting_seller"


def test_above_the_buy_now_rate_or_short_of_the_target_it_stays_open(rich: World) -> None:
    lot = rich.lot(buy_now_bps=620)
    bid(rich, "bob", lot, 621, 4_140_000)
    bid(rich, "carol", lot, 600, 4_000_000)
    assert (of(lot).bought_at, of(lot).state) == (None, "open")


def test_an_answering_lot_takes_fifty_standing_bids_of_one_investor(rich: World) -> None:
    lot = rich.lot(buy_now_bps=500)
    mine = bid(rich, "bob", lot, 700, 10_000)
    columns = "lot_id, investor_id, group_id, cash_minor, min_fill_minor, rate_bps, placed_by"
    with rich.superuser() as connection:
        connection.execute(f"INSERT INTO bid (id, {columns}) SELECT gen_random_uuid(), {columns} FROM bid, "
                           "generate_series(2, %s)", (running.OWN_MAX,))  # fmt: skip
    with pytest.raises(RuleBroken) as refusal:
        bid(rich, "bob", lot, 600, 10_000)
    assert [problem.rule for problem in refusal.value.problems] == ["too_many_bids"]
    bid(rich, "carol", lot, 600, 10_000)
    bid(rich, "bob", lot, 690, 10_000, replaces=mine)
    bid(rich, "bob", rich.lot(), 600, 10_000)


def test_an_open_lot_has_no_call_points(rich: World) -> None:
    lot, _ = covered(rich)
    rich.move_clock(timedelta(minutes=30))
    now = db.session.execute(text("SELECT market_now() + interval '1 day'")).scalar_one()
    assert calls_of(db.session(), POLICY, now, rich.id("carol"), [lot]) == []


@pytest.mark.parametrize(
    ("bidding", "asked", "given", "numbers"),
    [("open", 900, 850, (120, 120, 10, 300)), ("sealed", None, None, (0, 0, 0, 0))],  # buy-now: never above the reserve
)
def test_the_sellers_choice_at_listing_is_the_lots(
    rich: World, bidding: str, asked: int | None, given: int | None, numbers: tuple[int, ...]
) -> None:
    receivable = rich.receivable(bidding=bidding, buy_now_bps=asked)
    rich.rate(receivable)
    lot = of(UUID(perform(open_lot, OpenLot(receivable), rich.olga)["lot_id"]))
    assert (lot.bidding, lot.buy_now_bps) == (bidding, given)
    assert (lot.late_seconds, lot.extend_seconds, lot.extensions_max, lot.improve_only_seconds) == numbers


def test_the_database_lets_no_close_move_without_its_reason(rich: World) -> None:
    lot, _ = covered(rich, buy_now_bps=600)
    rich.move_clock(timedelta(minutes=1))
    later = "UPDATE lot SET closes_at = closes_at + interval '120 seconds', extensions = extensions + 1 WHERE id = %s"
    assert refuse(rich, later, lot) == "lot_moves_close"  # no bid was late
    assert refuse(rich, "UPDATE lot SET closes_at = closes_at + interval '1 hour' WHERE id = %s", lot) == (
        "lot_moves_close"
    )
    now = "UPDATE lot SET closes_at = now.at, bought_at = now.at FROM (SELECT market_now() AS at) AS now WHERE id = %s"
    assert refuse(rich, now, lot) == "lot_moves_close"  # what stands at 6 % does not cover it
    left(rich, lot, 60)
    assert refuse(rich, later.replace("120 seconds", "240 seconds"), lot) == "lot_moves_close"
    assert refuse(rich, "UPDATE lot SET extensions_max = 99 WHERE id = %s", lot) == "lot_keep_columns"
    assert refuse(rich, "UPDATE lot SET bidding = 'sealed' WHERE id = %s", lot) == "lot_keep_columns"


def test_the_database_takes_only_improvements_in_the_last_minutes(rich: World) -> None:
    lot, carols = covered(rich)
    left(rich, lot, 250)
    columns = "id, lot_id, investor_id, group_id, cash_minor, min_fill_minor, rate_bps, hold_id, placed_by"
    given = columns.replace("id, lot_id", "gen_random_uuid(), lot_id").replace("hold_id", "gen_random_uuid()")
    same = f"INSERT INTO bid ({columns}) SELECT {given} FROM bid WHERE id = %s"
    assert refuse(rich, same, carols) == "bid_improves"
    taken_back = "UPDATE bid SET state = 'withdrawn', ended_at = market_now() WHERE id = %s"
    with rich.superuser() as connection:
        connection.execute("ALTER TABLE bid DISABLE TRIGGER bid_update_noted")  # else the missing event is told first
    assert refuse(rich, taken_back, carols) == "bid_gives_way"


def test_answering_lots_join_no_session(rich: World) -> None:
    lot, _ = covered(rich)
    session = ("INSERT INTO call_session (id, currency, closes_at, opened_at) "
               "SELECT id, currency, closes_at, opened_at FROM lot WHERE id = %s")  # fmt: skip
    with rich.superuser() as connection:
        connection.execute(session, (lot,))
        connection.execute("ALTER TABLE lot DISABLE TRIGGER lot_keep_session")
    assert refuse(rich, "UPDATE lot SET session_id = id WHERE id = %s", lot) == "ck_lot_session"


def test_of_many_at_once_one_buys_it_and_nobody_comes_after_him(rich: World, app: Flask) -> None:
    """Each holds the lot's row alone while he bids: the one who covers it closes it, and those behind him are late."""
    lot = rich.lot(buy_now_bps=620)
    who = ("bob", "carol", "dave")
    results = at_once(app, *[lambda one=one: perform(place_bid, PlaceBid(lot, 610, 2_070_000), getattr(rich, one))
                             for one in who * 3])  # fmt: skip
    refused = [one.code for one in results if isinstance(one, RuleBroken)]
    assert refused == ["lot_closed"] * 7
    assert [bool(one.get("bought")) for one in results if isinstance(one, dict)].count(True) == 1
    found = of(lot)
    latest = db.session.execute(
        text("SELECT max(placed_at), count(*) FROM bid WHERE lot_id = :lot"), {"lot": lot}
    ).one()
    assert (latest.count, found.bought_at) == (2, found.closes_at)
    assert latest.max <= found.closes_at


def test_of_many_late_bids_at_once_the_first_that_lowers_the_rate_moves_the_close(rich: World, app: Flask) -> None:
    lot, _ = covered(rich, improve_only_seconds=0)
    before = of(lot).closes_at
    left(rich, lot, 60)
    at_once(app, *[lambda rate=rate: perform(place_bid, PlaceBid(lot, rate, 4_140_000), rich.dave)
                   for rate in (640, 630, 620, 610, 600, 590)])  # fmt: skip
    found = of(lot)
    assert (found.extensions, found.closes_at) == (1, before + timedelta(seconds=120))  # none is late after it
    assert shown(lot) == 590


def test_a_bid_cannot_be_late_for_two_closes(rich: World) -> None:
    lot, _ = covered(rich)
    with rich.superuser() as connection:
        connection.execute("ALTER TABLE lot DISABLE TRIGGER lot_keep_columns")
    assert refuse(rich, "UPDATE lot SET late_seconds = extend_seconds + 1 WHERE id = %s", lot) == "ck_lot_late"
