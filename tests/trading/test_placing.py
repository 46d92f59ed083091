"""A bid is two statements. Rivals' bids change neither them nor their number: no refusal tells by its time."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import event, text

from marketplace.db import db
from marketplace.kernel.errors import RuleBroken
from marketplace.perform import perform
from marketplace.trading.actions import place_bid
from marketplace.trading.schemas import PlaceBid
from tests.trading.test_bidding import count
from tests.trading.world import World


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collect the text of every statement sent meanwhile."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


def outcome(world: World, lot: UUID, rate: int, cash: int) -> tuple[str, list[str]]:
    """Bid as bob; return what became of it and the statements it took."""
    with statements() as sent:
        try:
            perform(place_bid, PlaceBid(lot, rate, cash), world.bob)
        except RuleBroken as refusal:
            return refusal.code, sent
    return "placed", sent


def crowd(world: World, lot: UUID) -> None:
    """Let rivals cover the lot three times over, below every rate that bob tries."""
    for who in ("carol", "dave", "mallory"):
        world.fund(who, 4_200_000)
        perform(place_bid, PlaceBid(lot, 300, 4_200_000), getattr(world, who))


@pytest.mark.parametrize(
    ("expected", "rate", "cash"),
    [("placed", 700, 100_000), ("bid_refused", 851, 100_000), ("insufficient_cash", 700, 900_000)],
)
def test_a_bid_takes_the_same_statements_whatever_rivals_have_bid(
    world: World, expected: str, rate: int, cash: int
) -> None:
    world.fund("bob", 500_000)
    empty, crowded = world.lot(), world.lot()
    crowd(world, crowded)
    alone, among = outcome(world, empty, rate, cash), outcome(world, crowded, rate, cash)
    assert alone == among
    assert alone[0] == expected
    # The beginning, the look, and the write unless the rules refuse: nothing besides reads anybody's bids.
    assert len(alone[1]) == (2 if expected == "bid_refused" else 3)
    assert not [sent for sent in alone[1] if "FROM bid" in sent or "JOIN bid" in sent]


def test_a_late_bid_takes_the_same_statements_whatever_rivals_have_bid(world: World) -> None:
    world.fund("bob", 500_000)
    empty, crowded = world.lot(), world.lot()
    crowd(world, crowded)
    world.move_clock(timedelta(hours=1))
    alone = outcome(world, empty, 700, 100_000)
    assert alone[0] == "lot_closed"
    assert alone == outcome(world, crowded, 700, 100_000)


def test_both_events_of_a_bid_are_written_with_it_in_order_and_canonical(world: World) -> None:
    world.fund("bob", 500_000)
    told = perform(place_bid, PlaceBid(world.lot(), 700, 100_000), world.bob)
    rows = db.session.execute(
        text("SELECT verb, subject_id, convert_from(body, 'UTF8')::jsonb AS body, convert_from(body, 'UTF8') AS bytes "
             "FROM event ORDER BY line DESC LIMIT 2")
    ).all()[::-1]  # fmt: skip
    assert [(row.verb, str(row.subject_id)) for row in rows] == [
        ("place_hold", told["hold_id"]),
        ("place_bid", told["bid_id"]),
    ]
    seq = db.session.execute(text("SELECT seq FROM bid")).scalar_one()
    assert rows[1].body["after"]["seq"] == seq > 0
    assert rows[0].body["after"]["minor"] == 100_000
    assert all(" " not in row.bytes for row in rows)
    assert f'"seq":{seq},' in rows[1].bytes
    assert set(told) == {"bid_id", "hold_id"}  # the market's own count of bids is nobody's to know


def test_the_database_refuses_a_bid_that_passed_too_early_and_nothing_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the rules in between, the table's own triggers still refuse what is late; hold and events go with it."""
    from marketplace.trading import placing

    world.fund("bob", 500_000)
    lot = world.lot()
    world.move_clock(timedelta(hours=1))
    look = placing.look

    def early(*given: object) -> placing.Seen:
        seen = look(*given)  # type: ignore[arg-type]
        return placing.Seen(**{**seen.__dict__, "now": seen.closes_at - timedelta(seconds=1)})

    monkeypatch.setattr(placing, "look", early)
    events = count("event")
    assert outcome(world, lot, 700, 100_000)[0] == "lot_closed"
    assert (count("bid"), count("hold"), count("event")) == (0, 0, events)
