"""What must never happen to a sale, the database itself refuses: each constraint is broken on purpose."""

from datetime import timedelta
from importlib import import_module
from uuid import UUID

import psycopg
import pytest

from marketplace.kernel.ids import new_id
from marketplace.perform import perform
from marketplace.trading.actions import close_lot, place_bid
from marketplace.trading.rules import BID, LOT
from marketplace.trading.schemas import CloseLot, PlaceBid
from migrations.helpers import machine_sql
from tests.support import SYSTEM
from tests.trading.world import World

BID_COLUMNS = "id, lot_id, investor_id, group_id, cash_minor, min_fill_minor, rate_bps, hold_id, placed_by"


def an_open_lot_with_a_bid(world: World, **changes: object) -> tuple[UUID, UUID]:
    world.fund("bob", 9_000_000)
    lot = world.lot(**changes)
    return lot, UUID(perform(place_bid, PlaceBid(lot, 700, 5_000_000), world.bob)["bid_id"])


def insert_bid(world: World, lot: UUID, **changes: object) -> str:
    """Insert a bid directly; return the constraint that refuses it."""
    world_bid = {
        "id": new_id(),
        "lot_id": lot,
        "investor_id": world.id("bob"),
        "group_id": world.id("bob"),
        "cash_minor": 1_000_000,
        "min_fill_minor": 0,
        "rate_bps": 700,
        "hold_id": new_id(),
        "placed_by": new_id(),
        **changes,
    }
    return refuse(
        world,
        f"INSERT INTO bid ({BID_COLUMNS}) VALUES ({', '.join(['%s'] * 9)})",
        *world_bid.values(),
    )


def test_a_bid_one_microsecond_late_is_refused_by_the_database(world: World) -> None:
    lot = world.lot()
    with world.superuser() as superuser:
        superuser.execute("UPDATE lot SET closes_at = market_now() WHERE id = %s", (lot,))
    assert insert_bid(world, lot) == "bid_in_time"


def test_a_bid_in_a_lot_that_is_not_open_is_refused_by_the_database(world: World) -> None:
    assert insert_bid(world, world.lot(state="cancelled")) == "bid_in_time"
    assert insert_bid(world, new_id()) == "bid_in_time"


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"rate_bps": 851}, "bid_fits_lot"),
        ({"cash_minor": 5_000}, "bid_fits_lot"),
        ({"cash_minor": 1_000_001}, "bid_fits_lot"),
        ({"cash_minor": 1_000_000, "min_fill_minor": 1_000_001}, "ck_bid_min_fill"),
        ({"min_fill_minor": -1}, "ck_bid_min_fill"),
        ({"rate_bps": -1}, "ck_bid_rate"),
        ({}, "fk_bid_hold_id"),
    ],
)
def test_a_bid_that_does_not_fit_is_refused_by_the_database(
    world: World, changes: dict[str, int], constraint: str
) -> None:
    assert insert_bid(world, world.lot(), **changes) == constraint


def test_a_bid_of_a_related_group_is_refused_by_the_database(world: World) -> None:
    assert insert_bid(world, world.lot(), group_id=world.id("alice")) == "bid_fits_lot"


def attempt(world: World, statement: str, values: tuple[object, ...]) -> None:
    with world.superuser(resting=False) as superuser:
        superuser.execute(statement, values)
        superuser.execute("SET CONSTRAINTS ALL IMMEDIATE")


def refuse(world: World, statement: str, *values: object) -> str:
    """Run a statement past all rules of the code, triggers awake; return the constraint that refuses it."""
    with pytest.raises(psycopg.errors.IntegrityError) as refusal:
        attempt(world, statement, values)
    return str(refusal.value.diag.constraint_name)


def test_terms_bids_and_states_cannot_be_rewritten(world: World) -> None:
    lot, bid = an_open_lot_with_a_bid(world)
    assert refuse(world, "UPDATE lot SET reserve_bps = 900 WHERE id = %s", lot) == "lot_keep_columns"
    assert refuse(world, "UPDATE lot SET closes_at = closes_at + interval '1 hour'") == "lot_keep_columns"
    assert refuse(world, "UPDATE lot SET state = 'settled' WHERE id = %s", lot) == "lot_state_moves"
    assert refuse(world, "UPDATE bid SET rate_bps = 1 WHERE id = %s", bid) == "bid_keep_columns"
    assert refuse(world, "UPDATE bid SET state = 'placed', seq = DEFAULT") == "bid_keep_columns"
    assert refuse(world, "DELETE FROM bid WHERE id = %s", bid) == "bid_no_delete"
    assert refuse(world, "DELETE FROM lot WHERE id = %s", lot) == "lot_no_delete"
    assert refuse(world, "UPDATE bid SET state = 'filled' WHERE id = %s", bid) == "bid_event"


def test_a_bid_cannot_be_withdrawn_late_past_the_code(world: World) -> None:
    _, bid = an_open_lot_with_a_bid(world)
    world.move_clock(timedelta(hours=1))
    assert refuse(world, "UPDATE bid SET state = 'withdrawn' WHERE id = %s", bid) == "bid_in_time"


def test_a_receivable_has_one_live_lot(world: World) -> None:
    lot, _ = an_open_lot_with_a_bid(world)
    names = "receivable_id, seller_id, debtor_id, deal_type, recourse, currency, face_minor, advance_bps, "
    names += "target_minor, lot_size_minor, minimum_minor, reserve_bps, indicative_bps, min_share_bps, "
    names += "group_cap_bps, fee_bps, late_bps, price_rule, seller_default, expected_on, tenor_days, related_groups, "
    names += "debtor_grade, seller_grade, expected_loss_ppm, expected_loss_recourse_ppm, model_version, "
    names += "policy_version, state, opened_at, closes_at"
    statement = f"INSERT INTO lot (id, number, {names}) SELECT %s, 2, {names} FROM lot WHERE id = %s"
    assert refuse(world, statement, new_id(), lot) == "uq_lot_receivable_id_live"


def test_an_award_and_its_fills_are_sealed_and_add_up(world: World) -> None:
    lot, _ = an_open_lot_with_a_bid(world)
    world.move_clock(timedelta(hours=1))
    perform(close_lot, CloseLot(lot), SYSTEM)
    assert refuse(world, "UPDATE award SET stop_out_bps = 1") == "award_append_only"
    assert refuse(world, "DELETE FROM fill") == "fill_append_only"
    late = "INSERT INTO fill SELECT lot_id, round, %s, investor_id, 1, 0, 700, hold_id FROM fill"
    assert refuse(world, late, new_id()) in {"fill_with_award", "fk_fill_bid_id"}
    crooked = (
        "INSERT INTO award (lot_id, round, outcome, stop_out_bps, awarded_minor, discount_minor, standing_minor, "
        "groups, rule, rule_version, transcript, sha256) SELECT lot_id, 2, outcome, stop_out_bps, awarded_minor, "
        "discount_minor, standing_minor, groups, rule, rule_version, transcript, sha256 FROM award"
    )
    assert refuse(world, crooked) == "award_adds_up"
    forged = crooked.replace("transcript, sha256 FROM", "'x'::bytea, sha256 FROM")
    assert refuse(world, forged) == "ck_award_sha256"


def test_a_fill_is_of_its_bids_lot_investor_and_hold(world: World) -> None:
    lot, _ = an_open_lot_with_a_bid(world)
    world.move_clock(timedelta(hours=1))
    perform(close_lot, CloseLot(lot), SYSTEM)
    again = (
        "WITH second AS (INSERT INTO award (lot_id, round, outcome, stop_out_bps, awarded_minor, discount_minor, "
        "standing_minor, groups, rule, rule_version, transcript, sha256) SELECT lot_id, 2, outcome, stop_out_bps, "
        "awarded_minor, discount_minor, standing_minor, groups, rule, rule_version, transcript, sha256 FROM award) "
        "INSERT INTO fill SELECT lot_id, 2, bid_id, {investor}, cash_minor, discount_minor, rate_bps, {hold} FROM fill"
    )
    assert refuse(world, again.format(investor="%s", hold="hold_id"), world.id("carol")) == "fill_is_its_bids"
    assert refuse(world, again.format(investor="investor_id", hold="%s"), new_id()) == "fill_is_its_bids"
    with world.superuser() as superuser:  # a bid that rests on a purse has no hold, and nothing is equal to that
        superuser.execute("ALTER TABLE bid DROP CONSTRAINT ck_bid_hold")
        superuser.execute("UPDATE bid SET hold_id = NULL")
    assert refuse(world, again.format(investor="investor_id", hold="hold_id")) == "fill_is_its_bids"


def test_the_migration_lists_the_same_states_and_moves_as_the_code() -> None:
    bids, lots = import_module("migrations.versions.0009_trading"), import_module("migrations.versions.0017_matches")
    assert machine_sql(LOT) == (lots.LOT_STATES, lots.LOT_MOVES)
    assert machine_sql(BID) == (bids.BID_STATES, bids.BID_MOVES)
