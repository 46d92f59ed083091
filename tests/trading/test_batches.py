"""Many lots due at once: closed together as each would close alone, and one that cannot be closed stops no other."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from marketplace.db import db
from marketplace.jobs.runner import run_job
from marketplace.jobs.schedule import job
from marketplace.perform import perform
from marketplace.receivables.actions import dispute_receivable
from marketplace.receivables.schemas import DisputeReceivable
from marketplace.trading import queries
from marketplace.trading.actions import close_lot, place_bid
from marketplace.trading.batches import close_lots
from marketplace.trading.schemas import CloseLot, CloseLots, PlaceBid
from tests.support import SYSTEM
from tests.trading.world import World

HOUR = timedelta(hours=1)
BOOKS = (
    (("bob", 600, 2_000_000, 0), ("carol", 700, 3_000_000, 0), ("dave", 800, 1_000_000, 0)),  # covered, one cut
    (("bob", 600, 1_000_000, 0),),  # not covered
    (("bob", 700, 4_140_000, 0), ("carol", 700, 4_140_000, 4_140_000)),  # one is passed over
    (),  # nobody
    (("bob", 500, 2_500_000, 0), ("carol", 510, 2_500_000, 0)),  # at the seller's own rate
    (("bob", 600, 3_400_000, 0),),  # in part
)


def lots(world: World) -> list[UUID]:
    for who in ("bob", "carol", "dave"):
        world.fund(who, 90_000_000)
    made = []
    for book in BOOKS:
        lot = world.lot(own_rate_bps=520)
        for who, rate, minor, least in book:
            perform(place_bid, PlaceBid(lot, rate, minor, least), getattr(world, who))
        made.append(lot)
    world.move_clock(HOUR)
    return made


def ends(lot: UUID) -> dict[str, Any]:
    """What a close leaves, but for ids and instants."""
    db.session.rollback()
    found, award = queries.lot(db.session, lot), queries.award(db.session, lot)
    assert award is not None
    seen = "SELECT verb, count(*) FROM event WHERE subject_id = :lot GROUP BY verb ORDER BY verb"
    events = [tuple(row) for row in db.session.execute(text(seen), {"lot": lot})]
    return {
        "lot": (found.state, found.decided_how, found.decide_by is not None),
        "receivable": db.session.execute(
            text("SELECT state, state_reason FROM receivable WHERE id = :id"), {"id": found.receivable_id}
        ).one(),
        "award": (award.outcome, award.stop_out_bps, award.awarded_minor, award.discount_minor, award.groups),
        "bids": [(bid.rate_bps, bid.state, bid.reasons, bid.ended_at is None) for bid in queries.book(db.session, lot)],
        "fills": sorted((fill.cash_minor, fill.discount_minor) for fill in queries.fills(db.session, lot)),
        "events": [(name.replace("close_lots", "close_lot"), count) for name, count in events],
    }


def held(lot: UUID) -> int:
    return int(
        db.session.execute(
            text(
                "SELECT coalesce(sum(minor), 0) FROM hold JOIN bid ON bid.hold_id = hold.id WHERE lot_id = :lot "
                "AND NOT EXISTS (SELECT FROM hold_resolution r WHERE r.hold_id = hold.id)"
            ),
            {"lot": lot},
        ).scalar_one()
    )


def test_lots_closed_together_end_as_each_would_alone(world: World) -> None:
    alone, together = lots(world), lots(world)
    for lot in alone:
        perform(close_lot, CloseLot(lot), SYSTEM)
    told = perform(close_lots, CloseLots(tuple(together)), SYSTEM)
    assert told == {"closed": len(BOOKS), "cancelled": 0}
    assert [ends(lot) for lot in together] == [ends(lot) for lot in alone]
    assert [held(lot) for lot in together] == [held(lot) for lot in alone]
    assert [ends(lot)["lot"][0] for lot in together] == [
        "awaiting_seller", "closed_failed", "awaiting_seller", "closed_failed", "accepted", "awaiting_seller",
    ]  # fmt: skip


def test_what_is_not_due_or_closed_already_is_left_as_it_is(world: World) -> None:
    due = lots(world)[0]
    perform(close_lot, CloseLot(due), SYSTEM)
    later = world.lot()
    assert perform(close_lots, CloseLots((due, later)), SYSTEM) == {"closed": 0, "cancelled": 0}
    assert queries.lot(db.session, later).state == "open"


def test_a_disputed_one_is_called_off_among_the_others(world: World) -> None:
    first, second, *_ = lots(world)
    receivable_id = queries.lot(db.session, first).receivable_id
    dispute = DisputeReceivable(amount_minor=1, reason="goods", receivable_id=receivable_id)
    perform(dispute_receivable, dispute, world.olga)
    assert perform(close_lots, CloseLots((first, second)), SYSTEM) == {"closed": 1, "cancelled": 1}
    db.session.rollback()
    assert queries.lot(db.session, first).state == "cancelled"
    assert queries.lot(db.session, second).state == "closed_failed"
    assert held(first) == 0


@pytest.mark.parametrize("place", [0, 4])
def test_a_poisoned_lot_stops_no_other_and_is_told(world: World, place: int) -> None:
    """An award stands there already, whatever wrote it: this lot cannot be closed, all others must."""
    due = lots(world)
    with world.superuser() as connection:
        connection.execute(
            "INSERT INTO award (lot_id, round, outcome, awarded_minor, discount_minor, standing_minor, groups, rule, "
            "rule_version, transcript, sha256) VALUES (%s, 1, 'failed', 0, 0, 0, 0, 'UPM-1', '1.0', '', "
            "encode(sha256(''), 'hex'))",
            (due[place],),
        )
    assert run_job(job("close_lots")) == len(BOOKS) - 1
    db.session.rollback()
    states = [queries.lot(db.session, lot).state for lot in due]
    assert [state == "open" for state in states] == [one == place for one in range(len(due))]
    failures = db.session.execute(text("SELECT subject_id, times FROM job_failure WHERE cleared_at IS NULL")).all()
    assert [tuple(one) for one in failures] == [(due[place], 1)]
    with world.superuser() as connection:
        connection.execute("DELETE FROM award WHERE lot_id = %s", (due[place],))
    assert run_job(job("close_lots")) == 1
    db.session.rollback()
    assert db.session.execute(text("SELECT count(*) FROM job_failure WHERE cleared_at IS NULL")).scalar_one() == 0
