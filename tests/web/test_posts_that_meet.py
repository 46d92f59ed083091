"""Posts of several people at one moment: looked up by one statement, each still its own person's."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from marketplace.db import ENGINE, db
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.parties import sessions
from tests.trading.world import World
from tests.web.test_investor import answer_to_bid, bid, visitor

COOKIE = "duebill"
POSTS = 8


def cookie_of(client: FlaskClient) -> str:
    found = client.get_cookie(COOKIE)
    assert found is not None
    return found.value


def test_each_bid_is_its_investors_and_nobody_elses(app: Flask, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator may not bid, and who has signed out is nobody, whoever they meet."""
    lot, look_up, met = world.lot(), sessions.opened_and_counted, []

    def slowly(engine: Any, tokens: Sequence[str], *limits: int) -> Any:
        met.append(len(tokens))
        time.sleep(0.02)
        return look_up(engine, tokens, *limits)

    monkeypatch.setattr(sessions, "opened_and_counted", slowly)
    for name in ("bob", "carol"):
        world.fund(name, 500_000_000)
    bob, carol, olga, gone = (cookie_of(visitor(app, world, name)) for name in ("bob", "carol", "olga", "alice"))
    leaving = app.test_client()
    leaving.set_cookie(COOKIE, gone)
    assert leaving.post("/sign-out").status_code == 303

    def post(cookie: str) -> list[str]:
        client = app.test_client()  # one for each thread
        client.set_cookie(COOKIE, cookie)
        answers = [answer_to_bid(client, lot, cash="100") for _ in range(POSTS)]
        return [f"{answer.status_code} {answer.location}".split("?")[0] for answer in answers]

    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(post, [bob, carol, olga, gone] * 2))
    here = f"303 /investor/lots/{lot}"
    assert told == [[here] * POSTS, [here] * POSTS, ["403 None"] * POSTS, ["303 /sign-in"] * POSTS] * 2
    assert max(met) > 1, "nobody met"
    with db.engine.connect() as connection:
        placed = connection.execute(text("SELECT investor_id, count(*) FROM bid GROUP BY 1")).all()
    assert {row[0]: row[1] for row in placed} == {world.id("bob"): 2 * POSTS, world.id("carol"): 2 * POSTS}


def test_a_look_up_that_fails_for_all_is_made_again_for_each(
    app: Flask, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lot, look_up, asked = world.lot(), sessions.opened_and_counted, []
    bob = visitor(app, world, "bob")
    world.fund("bob", 500_000)

    def fails_at_first(engine: Any, tokens: Sequence[str], *limits: int) -> Any:
        asked.append(len(tokens))
        if len(asked) == 1:
            raise OperationalError("COUNTED", None, Exception("the connection broke"))
        return look_up(engine, tokens, *limits)

    monkeypatch.setattr(sessions, "opened_and_counted", fails_at_first)
    assert bid(bob, lot, cash="100") == 303
    assert asked == [1, 1]


def test_a_door_that_has_read_lets_go_before_its_verb_takes_a_connection(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch, postgres: EmbeddedPostgres, database: str
) -> None:
    """With one connection for each process, a withdrawal reads whose bid it is, and then performs."""
    monkeypatch.setitem(ENGINE, "pool_size", 1)
    app = make_app()
    assert app.config["SQLALCHEMY_ENGINE_OPTIONS"]["pool_size"] == 1
    with app.app_context():
        world = World(postgres, database)
        lot, bob = world.lot(), visitor(app, world, "bob")
        world.fund("bob", 500_000)
        db.session.remove()
    placed = answer_to_bid(bob, lot, cash="100")
    bid_id = placed.location.partition("?bid=")[2]
    assert bob.post(f"/investor/bids/{bid_id}/withdraw").status_code == 303
