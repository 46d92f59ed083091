"""Bids that meet are placed in one transaction, each with its own verdict, and tell nobody anything of rivals."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import create_engine, make_url, text

from marketplace.db import MEETING, db, driver, meeting_engine
from marketplace.kernel.actors import Actor
from marketplace.kernel.canonical import canonical_bytes
from marketplace.kernel.errors import (
    IntegrityBreach,
    InvalidInput,
    NotFound,
    NotPermitted,
    RuleBroken,
)
from marketplace.kernel.ids import new_id
from marketplace.perform import Asked, Outcome, perform
from marketplace.trading import placing, placing_together
from marketplace.trading.actions import place_bid, why_not
from marketplace.trading.placing_together import place_together
from marketplace.trading.schemas import PlaceBid
from tests.trading.test_bidding import cash, count
from tests.trading.test_placing import crowd
from tests.trading.world import World, libpq

STEP = 10_000


def turn_of(*asked: Asked) -> list[Outcome]:
    return placing_together._turn(asked)


def codes(told: list[Outcome]) -> list[str | None]:
    """Return what became of each: None where it is to be placed alone, nothing where it is in."""
    return [one if one is None else "" for one in told]


@contextmanager
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect what the driver is told meanwhile."""
    sent: list[str] = []
    execute = psycopg.Cursor.execute

    def note(cursor: Any, query: str, *given: Any, **how: Any) -> Any:
        sent.append(query)
        return execute(cursor, query, *given, **how)

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.Cursor, "execute", note)
        yield sent


@contextmanager
def altered(monkeypatch: pytest.MonkeyPatch, part: str, old: str, new: str) -> Iterator[None]:
    """Let bids be placed by a statement of which a part says something else."""
    whole = getattr(placing_together, part)
    assert old in whole
    with monkeypatch.context() as patched:
        patched.setattr(placing_together, part, whole.replace(old, new))
        placing_together._statement.cache_clear()
        yield
    placing_together._statement.cache_clear()


def test_each_is_judged_by_itself_and_those_that_something_speaks_against_are_left_alone(world: World) -> None:
    for who in ("bob", "carol", "dave"):
        world.fund(who, 300_000)
    lot, closed = world.lot(), world.lot(minutes=1)
    answering, related = world.lot(buy_now_bps=600), world.lot(related_groups=[world.id("dave")])
    world.move_clock(timedelta(minutes=2))
    told = turn_of(
        Asked(PlaceBid(lot, 700, 200_000), world.bob), Asked(PlaceBid(lot, 690, 100_000, 50_000), world.carol),
        Asked(PlaceBid(lot, 851, 15_000), world.dave), Asked(PlaceBid(closed, 700, 100_000), world.carol),
        Asked(PlaceBid(lot, 700, 200_000), world.bob), Asked(PlaceBid(related, 700, 100_000), world.dave),
        Asked(PlaceBid(answering, 700, 100_000), world.carol), Asked(PlaceBid(new_id(), 700, 100_000), world.carol),
        Asked(PlaceBid(lot, 700, 100_000), world.alice), Asked(PlaceBid(lot, 680, 100_000), world.mallory),
    )  # fmt: skip
    assert codes(told) == ["", "", None, None, None, None, None, None, None, None]
    rows = db.session.execute(text("SELECT investor_id, rate_bps, cash_minor, min_fill_minor FROM bid ORDER BY seq"))
    assert [tuple(row) for row in rows] == [
        (world.id("bob"), 700, 200_000, 0),
        (world.id("carol"), 690, 100_000, 50_000),
    ]
    assert (cash(world, "bob"), cash(world, "carol")) == ((300_000, 200_000), (300_000, 100_000))


def test_it_leaves_what_a_bid_alone_leaves(world: World) -> None:
    """Rows and events are the same but for ids and instants."""
    world.fund("bob", 500_000)
    lot = world.lot()
    perform(place_bid, PlaceBid(lot, 700, 100_000, STEP), world.bob)
    together = place_together(PlaceBid(lot, 700, 100_000, STEP), world.bob)
    assert set(together) == {"bid_id", "hold_id"}
    events = db.session.execute(
        text("SELECT verb, actor_role, actor_user_id, actor_organisation_id, on_behalf_of, subject_kind, "
             "convert_from(body, 'UTF8')::jsonb AS body FROM event ORDER BY line DESC LIMIT 4")
    ).all()[::-1]  # fmt: skip
    new = ("subject_id", "hold_id", "seq")
    own = ("id", "at", "subject_id", "request_id", "after")

    def plain(row: Any) -> tuple[object, ...]:
        after = {name: value for name, value in row.body["after"].items() if name not in new}
        return (*row[:-1], {name: value for name, value in row.body.items() if name not in own}, after)

    assert [plain(row) for row in events[:2]] == [plain(row) for row in events[2:]]
    assert events[3].body["after"]["hold_id"] == together["hold_id"]
    seqs = db.session.execute(text("SELECT seq FROM bid ORDER BY seq")).scalars().all()
    assert [events[1].body["after"]["seq"], events[3].body["after"]["seq"]] == seqs
    kept = "id, placed_at, hold_id, seq"
    columns = f"to_jsonb(bid) - ARRAY(SELECT trim(one) FROM unnest(string_to_array('{kept}', ',')) AS one)"
    assert db.session.execute(text(f"SELECT count(DISTINCT {columns}) FROM bid")).scalar_one() == 1


def test_a_bid_passes_if_and_only_if_the_rules_find_nothing_against_it(world: World) -> None:
    """The condition of the statement and the rules that speak in words are two tellings of one thing."""
    group = new_id()
    for who in ("bob", "carol", "dave"):
        world.fund(who, 10**9)
    with world.superuser() as connection:
        connection.execute("UPDATE organisation SET good_standing = false WHERE id = %s", (world.id("carol"),))
        connection.execute("UPDATE organisation SET group_id = %s WHERE id = %s", (group, world.id("dave")))
        connection.commit()
    lots = [world.lot(), world.lot(lot_size_minor=STEP, minimum_minor=5 * STEP), world.lot(related_groups=[group])]
    bids = [PlaceBid(lot, rate, cash_minor, least) for lot in lots for rate in (0, 849, 850, 851)
            for cash_minor in (STEP - 1, STEP, 4 * STEP, 5 * STEP, 5 * STEP + 1)
            for least in (0, cash_minor, cash_minor + 1)]  # fmt: skip
    passed = 0
    for who in ("bob", "carol", "dave"):
        house = world.actors[who].organisation_id
        assert house is not None
        seen = placing.see_many(db.session(), lots, house)
        for at in range(0, len(bids), 60):
            turn = bids[at : at + 60]
            sound = [why_not(seen[bid.lot_id], bid) is None for bid in turn]
            told = turn_of(*(Asked(bid, world.actors[who]) for bid in turn))
            assert [(bid, one is not None) for bid, one in zip(turn, told, strict=True)] == list(
                zip(turn, sound, strict=True)
            )
            passed += sum(sound)
    assert 0 < passed < 3 * len(bids) / 2
    assert count("bid") == passed


def test_cash_goes_to_who_came_first(world: World) -> None:
    world.fund("bob", 100_000)
    lot = world.lot()
    told = turn_of(*(Asked(PlaceBid(lot, 700, minor), world.bob) for minor in (80_000, 30_000, 20_000)))
    assert codes(told) == ["", None, None]
    assert codes(turn_of(Asked(PlaceBid(lot, 700, 20_000), world.bob))) == [""]
    assert cash(world, "bob") == (100_000, 100_000)


@pytest.mark.parametrize(("placed", "rate", "minor"), [(True, 700, 100_000), (False, 851, 100_000),
                                                       (False, 700, 900_000)])  # fmt: skip
def test_the_same_is_said_whatever_rivals_have_bid(
    world: World, monkeypatch: pytest.MonkeyPatch, placed: bool, rate: int, minor: int
) -> None:
    world.fund("bob", 500_000)
    empty, crowded = world.lot(), world.lot()
    crowd(world, crowded)
    turn_of(Asked(PlaceBid(new_id(), 700, STEP), world.bob))  # a new connection is set up first
    heard = []
    for lot in (empty, crowded):
        with said(monkeypatch) as sent:
            told = turn_of(Asked(PlaceBid(lot, rate, minor), world.bob))
        heard.append((codes(told), sent))
    assert heard[0] == heard[1]
    assert heard[0][0] == ["" if placed else None]
    (statement,) = heard[0][1]
    assert "FROM bid" not in statement
    assert "JOIN bid" not in statement


def test_what_the_database_refuses_stops_nobody_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A late bid that the statement lets pass undoes the turn: each is then placed alone, and the late one is not."""
    for who in ("bob", "carol"):
        world.fund(who, 300_000)
    lot, closed = world.lot(), world.lot(minutes=1)
    world.move_clock(timedelta(minutes=2))
    events = count("event")
    with altered(monkeypatch, "SOUND", "now < closes_at", "true"):
        asked = [Asked(PlaceBid(lot, 700, STEP), world.bob), Asked(PlaceBid(closed, 700, STEP), world.carol)]
        assert turn_of(*asked) == [None, None]
        assert (count("bid"), count("hold"), count("event")) == (0, 0, events)
        place_together(PlaceBid(lot, 700, STEP), world.bob)
        with pytest.raises(RuleBroken) as refusal:
            place_together(PlaceBid(closed, 700, STEP), world.carol)
    assert refusal.value.code == "lot_closed"
    assert (count("bid"), count("hold")) == (1, 1)


def test_what_is_refused_at_the_commit_is_not_told_as_placed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without events the database lets nothing stand, and says so when the transaction ends."""
    world.fund("bob", 300_000)
    lot = world.lot()
    with altered(monkeypatch, "PLACE", "ORDER BY place, one.nth", "WHERE false"):
        assert turn_of(Asked(PlaceBid(lot, 700, STEP), world.bob)) == [None]
    assert (count("bid"), count("hold"), cash(world, "bob")) == (0, 0, (300_000, 0))
    assert codes(turn_of(Asked(PlaceBid(lot, 700, STEP), world.bob))) == [""]


def test_events_of_a_turn_are_written_as_any_other(world: World) -> None:
    """Byte for byte: each body is the canonical JSON of what it says."""
    world.fund("bob", 300_000)
    place_together(PlaceBid(world.lot(), 700, STEP), world.bob)
    bodies = db.session.execute(text("SELECT body FROM event ORDER BY line DESC LIMIT 2")).scalars().all()
    told = [json.loads(body) for body in bodies]
    assert [one["verb"] for one in told] == ["place_bid", "place_hold"]
    assert [canonical_bytes(one) for one in told] == [bytes(body) for body in bodies]


def test_a_lot_that_somebody_holds_keeps_nobody_else_waiting(world: World) -> None:
    for who in ("bob", "carol"):
        world.fund(who, 300_000)
    held, free = world.lot(), world.lot()
    with world.superuser() as closer:
        closer.execute("SELECT FROM lot WHERE id = %s FOR UPDATE", (held,))
        told = turn_of(Asked(PlaceBid(held, 700, STEP), world.bob), Asked(PlaceBid(free, 700, STEP), world.carol))
    assert codes(told) == [None, ""]


def test_an_account_that_somebody_holds_is_not_waited_for_long(world: World) -> None:
    for who in ("bob", "carol"):
        world.fund(who, 300_000)
    lot = world.lot()
    with world.superuser() as settling:
        settling.execute("UPDATE balance SET held_minor = held_minor WHERE account_id IN "
                         "(SELECT id FROM account WHERE organisation_id = %s)", (world.id("bob"),))  # fmt: skip
        told = turn_of(Asked(PlaceBid(lot, 700, STEP), world.bob), Asked(PlaceBid(lot, 700, STEP), world.carol))
    assert told == [None, None]
    assert codes(turn_of(Asked(PlaceBid(lot, 700, STEP), world.carol))) == [""]


def test_a_key_gives_its_first_result_and_acts_once(world: World) -> None:
    for who in ("bob", "carol"):
        world.fund(who, 300_000)
    lot = world.lot()
    bid = PlaceBid(lot, 700, STEP)
    first = place_together(bid, world.bob, "a key")
    assert place_together(bid, world.bob, "a key") == first
    assert perform(place_bid, bid, world.bob, idempotency_key="a key") == first
    alone = perform(place_bid, bid, world.bob, idempotency_key="another key")
    assert place_together(bid, world.bob, "another key") == alone
    with pytest.raises(InvalidInput) as reused:
        place_together(PlaceBid(lot, 700, 2 * STEP), world.bob, "a key")
    assert reused.value.code == "idempotency_key_reused"
    with pytest.raises(InvalidInput) as unfit:
        place_together(bid, world.bob, "x" * 256)
    assert unfit.value.code == "idempotency_key"
    told = turn_of(Asked(bid, world.carol, "a key"), Asked(bid, world.carol, "a key"), Asked(bid, world.bob, "a key"))
    assert codes(told) == ["", None, None]  # another's key is another key; who asks again is answered alone
    assert count("bid") == 3


def test_keys_under_way_elsewhere_are_neither_taken_nor_waited_for_long(world: World) -> None:
    world.fund("bob", 300_000)
    lot = world.lot()
    who = f"{world.bob.user_id}@{world.bob.organisation_id}"
    with world.superuser() as other:
        other.execute("INSERT INTO idempotency (actor, endpoint, key, request_hash) "
                      "VALUES (%s, 'place_bid', 'a key', sha256('x'))", (who,))  # fmt: skip
        assert turn_of(Asked(PlaceBid(lot, 700, STEP), world.bob, "a key")) == [None]
        other.rollback()
    assert codes(turn_of(Asked(PlaceBid(lot, 700, STEP), world.bob, "a key"))) == [""]


def test_while_the_market_is_halted_nobody_bids(world: World) -> None:
    world.fund("bob", 300_000)
    lot = world.lot()
    with world.superuser() as signer:
        signer.execute("INSERT INTO log_halt (code, words) VALUES ('rolled_back', 'an old backup')")
    with pytest.raises(IntegrityBreach) as halted:
        place_together(PlaceBid(lot, 700, STEP), world.bob, "a key")
    assert halted.value.code == "read_only"
    assert (count("bid"), count("idempotency")) == (0, 0)


def test_refusals_are_those_of_a_bid_alone(world: World) -> None:
    world.fund("bob", 300_000)
    lot = world.lot()
    with pytest.raises(NotFound):
        place_together(PlaceBid(new_id(), 700, STEP), world.bob)
    for who in (world.alice, world.olga, Actor(world.bob.role, None, world.id("bob"))):
        with pytest.raises(NotPermitted):
            place_together(PlaceBid(lot, 700, STEP), who)
    first = place_together(PlaceBid(lot, 700, STEP), world.bob)["bid_id"]
    place_together(PlaceBid(lot, 650, STEP, 0, first), world.bob)
    assert db.session.execute(text("SELECT array_agg(state ORDER BY seq) FROM bid")).scalar_one() == [
        "withdrawn",
        "placed",
    ]


def test_threads_that_meet_are_all_answered_and_the_books_agree(world: World, app: Flask) -> None:
    """Eight threads with cash for half of what they bid: what is told is what is there, to the last bid."""
    people = ("bob", "carol", "dave", "mallory")
    for who in people:
        world.fund(who, 10 * STEP)
    lots = [world.lot() for _ in range(3)]
    told: list[tuple[str, str]] = []

    def bid(place: int) -> None:
        with app.app_context():
            for turn in range(10):
                who = people[(place + turn) % 4]
                try:
                    found = place_together(PlaceBid(lots[turn % 3], 700, STEP), world.actors[who], f"{place} {turn}")
                    told.append((who, found["bid_id"]))
                except RuleBroken as refusal:
                    told.append((who, refusal.code))

    threads = [threading.Thread(target=bid, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(told) == 80
    bids = [one for _, one in told if one != "insufficient_cash"]
    assert sorted(bids) == sorted(str(one) for one in db.session.execute(text("SELECT id FROM bid")).scalars())
    assert len(bids) == 40
    assert [cash(world, who) for who in people] == [(10 * STEP, 10 * STEP)] * 4
    assert count("idempotency") == 40


def test_lots_are_found_by_their_ids_however_few_were_open_when_the_plan_was_made(world: World) -> None:
    """A plan is kept for the life of a connection: by the index of open lots it would walk all that open later."""
    lot = world.lot()
    with world.superuser() as connection:
        connection.execute(
            "INSERT INTO lot SELECT (jsonb_populate_record(lot, jsonb_build_object('id', gen_random_uuid(), "
            "'number', n, 'state', 'cancelled', 'closed_at', lot.closes_at))).* "
            "FROM lot, generate_series(1000, 3000) AS n WHERE lot.id = %s", (lot,)
        )  # fmt: skip
        connection.commit()
        connection.autocommit = True
        connection.execute("ANALYZE lot")
    with driver(db.engines[MEETING], outright=True) as connection:
        statement = placing_together._statement("2026.11", True)
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN (GENERIC_PLAN) {statement}"))
    assert "using pk_lot on lot" in plan
    assert "ix_lot_state" not in plan


def test_without_its_connection_bids_go_alone_over_the_others(world: World) -> None:
    world.fund("bob", 300_000)
    lot = world.lot()
    db.session.execute(text("SELECT 1"))
    db.session.remove()
    db.engines[MEETING].dispose()
    allow = f"ALTER DATABASE {world.database} WITH ALLOW_CONNECTIONS "
    with psycopg.connect(libpq(world.postgres.url("postgres")), autocommit=True) as elsewhere:
        elsewhere.execute(allow + "false")
        try:
            assert turn_of(Asked(PlaceBid(lot, 700, STEP), world.bob)) == [None]
            assert place_together(PlaceBid(lot, 700, STEP), world.bob)["bid_id"]
        finally:
            elsewhere.execute(allow + "true")
    assert codes(turn_of(Asked(PlaceBid(lot, 700, STEP), world.bob))) == [""]


def test_its_connection_keeps_what_the_address_says(world: World) -> None:
    url = world.postgres.url(world.database).replace("postgresql://", "postgresql+psycopg://")
    address = make_url(url).update_query_dict({"options": "-c application_name=ours"})
    engine = create_engine(**meeting_engine(address.render_as_string(hide_password=False)))
    with engine.connect() as connection:
        names = ("application_name", "lock_timeout", "statement_timeout", "plan_cache_mode")
        told = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]
    engine.dispose()
    assert told == ["ours", "100ms", "30s", "force_generic_plan"]
