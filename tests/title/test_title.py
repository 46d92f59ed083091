"""No unit of a receivable ever has two owners, and no key is registered twice."""

import threading
from functools import partial
from itertools import pairwise
from uuid import UUID

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from marketplace.db import db, market_now
from marketplace.kernel.errors import Conflict, IntegrityBreach
from marketplace.kernel.ids import new_id
from marketplace.title import actions, queries
from marketplace.title.rules import share_units, without
from tests.support import do

ALICE, BOB, CAROL = new_id(), new_id(), new_id()


@pytest.fixture(autouse=True)
def _in_app(app: Flask) -> object:
    with app.app_context():
        yield


def register(key: bytes = b"k" * 32, face: int = 1_000) -> UUID:
    receivable_id = new_id()
    do(lambda tx: actions.register(tx, receivable_id, ALICE, face, "GBP", key))
    return receivable_id


def owners(receivable_id: UUID) -> list[tuple[UUID, int]]:
    db.session.rollback()
    return [(h.owner_id, h.units) for h in queries.owners_at(db.session, receivable_id, market_now(db.session))]


def test_the_seller_holds_all_of_it_until_it_is_assigned() -> None:
    receivable = register()
    assert owners(receivable) == [(ALICE, 1_000)]
    do(lambda tx: actions.assign(tx, receivable, [(BOB, 2), (CAROL, 1)]))
    assert owners(receivable) == [(BOB, 667), (CAROL, 333)]
    assert [h.owner_id for h in queries.chain(db.session, receivable)] == [ALICE, BOB, CAROL]


def test_the_same_key_is_never_registered_again_even_after_a_withdrawal() -> None:
    receivable = register()
    do(lambda tx: actions.tombstone(tx, receivable, "withdrawn_by_seller"))
    with pytest.raises(Conflict, match="already_listed"):
        register()


def test_an_ended_title_stays_ended() -> None:
    receivable = register()
    do(lambda tx: actions.discharge(tx, receivable))
    assert owners(receivable) == []
    with pytest.raises(IntegrityBreach, match="title_ended"):
        do(lambda tx: actions.assign(tx, receivable, [(BOB, 1)]))


def test_a_buy_back_returns_every_unit_to_the_seller() -> None:
    receivable = register()
    do(lambda tx: actions.assign(tx, receivable, [(BOB, 2), (CAROL, 1)]))
    do(lambda tx: actions.buy_back(tx, receivable, ALICE))
    assert owners(receivable) == [(ALICE, 1_000)]


def test_a_range_is_handed_over_and_the_rest_stays() -> None:
    receivable = register()
    do(lambda tx: actions.assign(tx, receivable, [(BOB, 1), (CAROL, 1)]))
    do(lambda tx: actions.transfer(tx, receivable, BOB, CAROL, 100, 50))
    db.session.rollback()
    assert queries.held_now(db.session, receivable) == [
        (BOB, 0, 100), (CAROL, 100, 150), (BOB, 150, 500), (CAROL, 500, 1_000),
    ]  # fmt: skip
    do(lambda tx: actions.transfer(tx, receivable, CAROL, ALICE, 100, 50))
    assert sum(units for _, units in owners(receivable)) == 1_000


@pytest.mark.parametrize(("giver", "first", "units"), [(CAROL, 0, 10), (BOB, 495, 10), (BOB, 990, 20), (BOB, 0, 0)])
def test_nobody_hands_over_what_he_does_not_hold(giver: UUID, first: int, units: int) -> None:
    receivable = register()
    do(lambda tx: actions.assign(tx, receivable, [(BOB, 1), (CAROL, 1)]))
    with pytest.raises(Conflict, match="units_not_held"):
        do(lambda tx: actions.transfer(tx, receivable, giver, ALICE, first, units))
    assert owners(receivable) == [(BOB, 500), (CAROL, 500)]


def test_a_receivable_is_sold_once_even_after_a_buy_back(owner_engine: object) -> None:
    receivable = register()
    do(lambda tx: actions.assign(tx, receivable, [(BOB, 1)]))
    do(lambda tx: actions.buy_back(tx, receivable, ALICE))
    with pytest.raises(Conflict, match="already_assigned"):
        do(lambda tx: actions.assign(tx, receivable, [(CAROL, 1)]))
    with Session(owner_engine) as session, pytest.raises(IntegrityError, match="ex_holding_sold_once"):
        session.execute(
            text("INSERT INTO holding VALUES (gen_random_uuid(), :r, :c, '[5000,5010)', "
                 "tstzrange(market_now(), NULL), 'award')"),
            {"r": receivable, "c": CAROL},
        )  # fmt: skip


def test_what_left_the_market_comes_back_once_and_is_the_same(owner_engine: object) -> None:
    receivable = register()
    with pytest.raises(Conflict, match="not_withdrawn"):
        do(lambda tx: actions.revive(tx, receivable, ALICE))
    do(lambda tx: actions.tombstone(tx, receivable, "withdrawn"))
    with pytest.raises(Conflict, match="already_assigned"):
        do(lambda tx: actions.revive(tx, receivable, BOB))
    do(lambda tx: actions.revive(tx, receivable, ALICE))
    with pytest.raises(Conflict, match="not_withdrawn"):
        do(lambda tx: actions.revive(tx, receivable, ALICE))
    db.session.rollback()
    assert [(why, back) for _, why, back in queries.tombstones(db.session, receivable)] == [
        ("withdrawn", False), ("relisted", True),
    ]  # fmt: skip
    with Session(owner_engine) as session, pytest.raises(IntegrityError, match="cannot come back"):
        session.execute(text("INSERT INTO title_return (receivable_id, reason_code) VALUES (:r, 'x')"),
                        {"r": receivable})  # fmt: skip


def test_what_was_sold_never_comes_back() -> None:
    receivable = register()
    do(lambda tx: actions.assign(tx, receivable, [(BOB, 1)]))
    do(lambda tx: actions.buy_back(tx, receivable, ALICE))
    do(lambda tx: actions.tombstone(tx, receivable, "bought_back"))
    with pytest.raises(Conflict, match="already_assigned"):
        do(lambda tx: actions.revive(tx, receivable, ALICE))


def test_in_a_race_for_the_same_units_one_wins(app: Flask) -> None:
    receivable = register(b"t" * 32)
    do(lambda tx: actions.assign(tx, receivable, [(BOB, 1)]))

    def take(taker: UUID) -> str:
        do(lambda tx: actions.transfer(tx, receivable, BOB, taker, 10, 100))
        return "taken"

    outcomes = race(app, [partial(take, new_id()) for _ in range(8)])
    assert sorted(outcomes) == ["taken"] + ["units_not_held"] * 7
    assert queries.broken_titles(db.session) == []


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 20)), max_size=6), st.integers(0, 3))
def test_what_is_left_of_ranges_is_what_is_left_of_their_units(taken: list[tuple[int, int]], gap: int) -> None:
    held = [(0, 40), (40 + gap, 100)]
    cuts = [(first, first + size) for first, size in taken]
    left = {unit for a, b in held for unit in range(a, b)} - {unit for a, b in cuts for unit in range(a, b)}
    found = without(held, cuts)
    assert {unit for a, b in found for unit in range(a, b)} == left
    assert sum(b - a for a, b in found) == len(left)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO holding VALUES (gen_random_uuid(), :r, :bob, '[0,10)', tstzrange(market_now(), NULL), 'award')",
         "ex_holding_one_owner"),
        ("INSERT INTO holding VALUES (gen_random_uuid(), :r, :bob, '[1000,1010)', tstzrange(market_now(), NULL), 'award')",  # noqa: E501
         "sum to"),
        ("UPDATE holding SET held_during = tstzrange(lower(held_during), market_now()) WHERE receivable_id = :r",
         "sum to"),
        ("UPDATE holding SET owner_id = :bob WHERE receivable_id = :r", "only end"),
        ("UPDATE holding SET units = '[0,5)' WHERE receivable_id = :r", "only end"),
        ("DELETE FROM holding WHERE receivable_id = :r", "refused"),
        ("DELETE FROM title WHERE receivable_id = :r", "refused"),
        ("UPDATE title SET face_minor = 5 WHERE receivable_id = :r", "refused"),
        ("UPDATE title SET key = sha256('x') WHERE receivable_id = :r", "refused"),
        ("DELETE FROM tombstone", "refused"),
    ],
)  # fmt: skip
def test_the_database_keeps_title_whole(statement: str, said: str, owner_engine: object) -> None:
    receivable = register()
    do(lambda tx: actions.tombstone(tx, receivable, "test"))
    with Session(owner_engine) as session, pytest.raises(DBAPIError, match=said):
        session.execute(text(
            "INSERT INTO event (id, verb, actor_role, request_id, subject_kind, subject_id, body) "
            "SELECT gen_random_uuid(), verb, actor_role, request_id, subject_kind, subject_id, body FROM event LIMIT 1"
        ))  # fmt: skip
        session.execute(text(statement), {"r": receivable, "bob": BOB})
        session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))


def test_title_cannot_move_without_an_event(owner_engine: object) -> None:
    receivable = register()
    with Session(owner_engine) as session, pytest.raises(IntegrityError, match="audit event"):
        session.execute(
            text("UPDATE title SET ended_at = market_now(), end_cause = 'discharge' WHERE receivable_id = :r"),
            {"r": receivable},
        )
        session.execute(
            text(
                "UPDATE holding SET held_during = tstzrange(lower(held_during), market_now()) WHERE receivable_id = :r"
            ),
            {"r": receivable},
        )
        session.commit()


def test_in_a_race_one_listing_wins(app: Flask) -> None:
    outcomes = race(app, [lambda: register(b"r" * 32) and "listed"] * 8)
    assert sorted(outcomes) == ["already_listed"] * 7 + ["listed"]


def test_in_a_race_of_assignments_one_wins(app: Flask) -> None:
    receivable = register(b"a" * 32)

    def sell(buyer: UUID) -> str:
        do(lambda tx: actions.assign(tx, receivable, [(buyer, 1)]))
        return "sold"

    outcomes = race(app, [partial(sell, new_id()) for _ in range(8)])
    assert sorted(outcomes) == ["already_assigned"] * 7 + ["sold"]
    assert sum(units for _, units in owners(receivable)) == 1_000
    assert queries.broken_titles(db.session) == []


def race(app: Flask, tries: list) -> list[str]:
    outcomes: list[str] = []

    def one(attempt) -> None:
        with app.app_context():
            try:
                outcomes.append(attempt())
            except Conflict as error:
                outcomes.append(error.code)

    threads = [threading.Thread(target=one, args=(attempt,)) for attempt in tries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@given(st.integers(1, 10**12), st.lists(st.integers(0, 10**9), min_size=1, max_size=20).filter(any))
def test_shares_of_units_cover_the_face_without_a_gap(face: int, principals: list[int]) -> None:
    ranges = share_units(face, principals)
    assert (ranges[0][0], ranges[-1][1]) == (0, face)
    assert all(before[1] == after[0] for before, after in pairwise(ranges))
