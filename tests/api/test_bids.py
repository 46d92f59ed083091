"""Bids over the API: whose key it is decides, each is answered in its place, a list sent twice is placed once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from marketplace.api.v1 import FIELDS
from marketplace.db import db
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import Conflict
from marketplace.kernel.ids import new_id
from marketplace.parties.api_keys import KEYS_MAX, create_api_key
from marketplace.parties.schemas import CreateApiKey
from marketplace.perform import perform
from marketplace.trading.actions import close_lot
from marketplace.trading.bid_file import ROWS_MAX
from marketplace.trading.schemas import CloseLot
from tests.support import SYSTEM
from tests.trading.world import World
from tests.web.test_investor import visitor


def key_of(app: Flask, world: World, who: str, client: FlaskClient | None = None) -> str:
    """Let somebody make a key on the page; return what the page shows, this once."""
    client = client or visitor(app, world, who)
    page = client.post("/investor/keys", data={"name": "Desk 4"})
    assert page.status_code == 200
    token = page.text.partition('user-select-all">')[2].partition("<")[0]
    assert token.startswith("dbk_")
    assert token not in client.get("/investor/keys").text
    return token


def post(app: Flask, token: str, body: Any, key: str = "one", **more: Any) -> TestResponse:
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
    return app.test_client().post("/api/v1/bids", json=body, headers={**headers, **more})


def placed() -> int:
    db.session.rollback()
    return int(db.session.execute(text("SELECT count(*) FROM bid")).scalar_one())


def test_each_bid_is_answered_in_its_place_and_a_list_sent_twice_is_placed_once(app: Flask, world: World) -> None:
    world.fund("bob", 3_000_000)
    lot = world.lot()  # DB-26-0001
    token = key_of(app, world, "bob")
    sound = {"lot": "DB-26-0001", "rate_bps": 700, "cash_minor": 1_000_000}
    body = {"bids": [sound, sound | {"rate_bps": 851, "cash_minor": 15_000}, sound | {"lot": "DB-26-9999"},
                     sound | {"cash_minor": "much"}, {"lot_id": str(lot), "rate_bps": 650, "cash_minor": 500_000},
                     sound | {"cash_minor": 2_000_000}, {}]}  # fmt: skip
    first = post(app, token, body)
    assert first.status_code == 200
    told = first.get_json()
    assert [one["place"] for one in told["bids"]] == list(range(7))
    assert [one.get("code", "in") for one in told["bids"]] == [
        "in", "bid_refused", "not_found", "invalid_fields", "in", "insufficient_cash", "not_found",
    ]  # fmt: skip
    assert [error["rule"] for error in told["bids"][1]["errors"]] == ["above_reserve", "not_lot_multiple"]
    assert told["placed"] == placed() == 2
    assert post(app, token, body).get_json() == told
    assert placed() == 2
    assert "seq" not in first.text


def test_a_list_sent_again_means_the_lots_it_meant_before(app: Flask, world: World) -> None:
    """Meanwhile one lot has failed and opened again as number 2, and another has opened at all."""
    world.fund("bob", 3_000_000)
    lot = world.lot()
    token = key_of(app, world, "bob")
    sound = {"lot": "DB-26-0001", "rate_bps": 700, "cash_minor": 10_000}
    body = {"bids": [sound, sound | {"lot": "DB-26-0003"}, sound | {"rate_bps": 7.1}]}
    first = post(app, token, body).get_json()
    assert [one.get("code", "in") for one in first["bids"]] == ["in", "not_found", "invalid_fields"]
    world.move_clock(timedelta(hours=2))
    perform(close_lot, CloseLot(lot), SYSTEM)
    again = world.lot()
    with world.superuser() as connection:
        connection.execute("UPDATE lot SET number = 2, receivable_id = (SELECT receivable_id FROM lot WHERE id = %s) "
                           "WHERE id = %s", (lot, again))  # fmt: skip
    world.lot()  # DB-26-0003
    second = post(app, token, body)
    assert (second.status_code, second.get_json()) == (200, first)
    assert placed() == 1
    other = post(app, token, {"bids": [*body["bids"], sound]})
    assert (other.status_code, other.get_json()["code"]) == (422, "idempotency_key_reused")
    assert placed() == 1
    assert post(app, token, body, "new").get_json()["placed"] == 2
    verbs = "SELECT count(*) FROM event WHERE verb = 'name_lots'"
    assert db.session.execute(text(verbs)).scalar_one() == 2


def test_texts_that_no_database_keeps_and_lists_without_end_are_refused(app: Flask, world: World) -> None:
    world.fund("bob", 3_000_000)
    world.lot()
    token = key_of(app, world, "bob")
    half = '{"lot": "\\ud800", "rate_bps": 700, "cash_minor": 10000}'
    odd = '{"lot": "DB-26-0001", "\\ud800": "\\ud800", "rate_bps": 7, "cash_minor": 1}'
    sound = '{"lot": "DB-26-0001", "rate_bps": 700, "cash_minor": 10000}'
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def send(body: str, key: str) -> TestResponse:
        return app.test_client().post("/api/v1/bids", data=body, headers=headers | {"Idempotency-Key": key})

    told = send(f'{{"bids": [{half}, {odd}, {sound}]}}', "half").get_json()
    assert [one.get("code", "in") for one in told["bids"]] == ["not_found", "invalid_fields", "in"]
    for number, depth in enumerate((400, 900, 950, 980, 100_000)):
        deep = send('{"bids": [' + '{"lot":' * depth + "1" + "}" * depth + "]}", f"deep {number}")
        assert deep.status_code in (200, 422)
        assert (deep.get_json().get("code") or deep.get_json()["bids"][0]["code"]) in ("invalid_fields", "not_found")
    assert send("[" * 100_000, "deep").get_json()["code"] == "invalid_fields"


def test_more_lists_or_bids_than_a_minute_takes_are_refused_for_the_rest_of_it(app: Flask, world: World) -> None:
    policy = app.extensions["duebill"].policy.session
    token = key_of(app, world, "bob")
    whole = {"bids": [{}] * ROWS_MAX}
    lists = policy.bids_per_minute_max // ROWS_MAX
    answers = [post(app, token, whole, str(number)) for number in range(lists + 1)]
    if answers[-1].status_code == 200:  # a minute has ended meanwhile
        answers = [post(app, token, whole, f"again {number}") for number in range(lists + 1)]
    assert [one.status_code for one in answers] == [200] * lists + [429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert answers[-1].get_json()["code"] == "too_many_requests"
    carol = key_of(app, world, "carol")
    for _ in range(policy.posts_per_minute_max + 1):
        refused = post(app, carol, {"bids": []})
        if refused.status_code == 429:
            break
    assert refused.status_code == 429
    assert post(app, token, whole, "other person").status_code == 429


def test_a_number_that_is_not_whole_is_refused_and_never_cut(app: Flask, world: World) -> None:
    """7.1 meant as per cent must not stand as 7 basis points."""
    world.fund("bob", 3_000_000)
    world.lot()
    sound = {"lot": "DB-26-0001", "rate_bps": 700, "cash_minor": 10_000}
    wrong = [("rate_bps", 7.1), ("rate_bps", 695.99), ("rate_bps", 700.0), ("rate_bps", "700"), ("rate_bps", True),
             ("cash_minor", 10_000.5), ("cash_minor", 1e4), ("min_fill_minor", 0.9)]  # fmt: skip
    told = post(app, key_of(app, world, "bob"), {"bids": [sound | {name: value} for name, value in wrong]}).get_json()
    assert [one.get("code") for one in told["bids"]] == ["invalid_fields"] * len(wrong)
    assert [one["errors"][0]["field"] for one in told["bids"]] == [name for name, _ in wrong]
    assert placed() == 0


def test_a_field_that_is_not_known_is_refused_and_places_nothing(app: Flask, world: World) -> None:
    """A bid that was to replace another must not stand beside it for a letter."""
    world.fund("bob", 3_000_000)
    world.lot()
    misspelt = {"lot": "DB-26-0001", "rate_bps": 700, "cash_minor": 10_000, "replaces_bid": "x", "\ud800": 1}
    (told,) = post(app, key_of(app, world, "bob"), {"bids": [misspelt]}).get_json()["bids"]
    assert told["code"] == "invalid_fields"
    assert {(one["field"], one["rule"]) for one in told["errors"]} >= {("replaces_bid", "unknown")}
    assert placed() == 0


@pytest.mark.parametrize(
    ("body", "key", "code", "status"),
    [({}, "k", "invalid_fields", 422), ({"bids": "all"}, "k", "invalid_fields", 422), ([], "k", "invalid_fields", 422),
     ({"bids": [7]}, "k", "invalid_fields", 422), ({"bids": []}, "k", "invalid_fields", 422),
     ({"bids": [{}] * (ROWS_MAX + 1)}, "k", "invalid_fields", 422),
     ({"bids": [{}]}, "", "idempotency_key", 422), ({"bids": [{}]}, "k" * 201, "idempotency_key", 422),
     ({"bids": [{"lot": "\x00", "lot_id": "\x00"}]}, "k", None, 200), ({"bids": [{"lot": {}}]}, "k", None, 200)],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_and_never_breaks(
    app: Flask, world: World, body: Any, key: str, code: str | None, status: int
) -> None:
    answer = post(app, key_of(app, world, "bob"), body, key)
    assert (answer.status_code, answer.get_json().get("code")) == (status, code)
    assert placed() == 0


def test_only_a_living_key_of_an_investor_bids(app: Flask, world: World) -> None:
    world.fund("bob", 3_000_000)
    world.lot()
    bob = visitor(app, world, "bob")
    token, body = (
        key_of(app, world, "bob", bob),
        {"bids": [{"lot": "DB-26-0001", "rate_bps": 700, "cash_minor": 10_000}]},
    )
    for wrong in ("", "dbk_wrong", token[4:], token + "x", "dbk_é"):
        assert post(app, wrong, body).status_code == 401
    assert post(app, token, body, Authorization=f"Basic {token}").status_code == 401
    page = bob.get("/investor/keys").text
    end = page.partition('action="/investor/keys/')[2].partition('"')[0]
    assert visitor(app, world, "carol").post(f"/investor/keys/{end}").status_code == 404
    assert post(app, token, body, "before").get_json()["placed"] == 1
    assert bob.post(f"/investor/keys/{end}").status_code == 303
    assert bob.post(f"/investor/keys/{end}").status_code == 409
    assert post(app, token, body, "after").status_code == 401
    assert placed() == 1


def test_what_a_key_did_is_told_apart_and_an_operator_ends_it(app: Flask, world: World) -> None:
    world.fund("bob", 3_000_000)
    lot = world.lot()
    bob = visitor(app, world, "bob")
    token, body = (
        key_of(app, world, "bob", bob),
        {"bids": [{"lot": "DB-26-0001", "rate_bps": 700, "cash_minor": 10_000}]},
    )
    assert ">never<" in bob.get("/investor/keys").text
    assert post(app, token, body).get_json()["placed"] == 1
    assert ">never<" not in bob.get("/investor/keys").text
    assert bob.post(f"/investor/lots/{lot}/bids", data={"rate": "650", "cash": "100"}).status_code == 303
    through = "SELECT on_behalf_of FROM event WHERE verb = 'place_bid' ORDER BY line"
    key = db.session.execute(text("SELECT id FROM api_key")).scalar_one()
    assert list(db.session.execute(text(through)).scalars()) == [f"key {key}", None]
    olga = visitor(app, world, "olga")
    page = olga.get("/operator/people").text
    assert "Desk 4" in page
    assert f'action="/operator/people/keys/{key}/end"' in page
    assert visitor(app, world, "carol").post(f"/operator/people/keys/{key}/end").status_code == 403
    assert olga.post(f"/operator/people/keys/{key}/end").status_code == 303
    assert olga.post(f"/operator/people/keys/{key}/end").status_code == 409
    assert olga.post(f"/operator/people/keys/{new_id()}/end").status_code == 404
    assert post(app, token, body, "after").status_code == 401
    assert "Nobody has made a key that is alive." in olga.get("/operator/people").text
    ended = "SELECT actor_role FROM event WHERE verb = 'end_api_key'"
    assert db.session.execute(text(ended)).scalar_one() == "operator"


def test_a_key_of_somebody_locked_out_opens_nothing(app: Flask, world: World) -> None:
    token = key_of(app, world, "bob")
    with world.superuser() as connection:
        connection.execute("UPDATE user_account SET active = false WHERE organisation_id = %s", (world.id("bob"),))
    assert post(app, token, {"bids": [{}]}).status_code == 401


def test_the_page_refuses_a_name_that_is_none_and_an_eleventh_key(app: Flask, world: World) -> None:
    bob = visitor(app, world, "bob")
    assert bob.post("/investor/keys", data={"name": " "}).status_code == 422
    codes = [bob.post("/investor/keys", data={"name": f"Key {place}"}).status_code for place in range(11)]
    assert codes == [200] * 10 + [409]


def test_the_page_says_every_field_that_a_program_may_send(app: Flask, world: World) -> None:
    page = visitor(app, world, "bob").get("/investor/keys").text
    for name in FIELDS:
        assert name in page, name


def test_of_many_keys_made_at_once_none_is_the_eleventh(app: Flask, world: World) -> None:
    visitor(app, world, "bob")
    with world.superuser() as connection:
        person = connection.execute("SELECT id FROM user_account WHERE organisation_id = %s", (world.id("bob"),))
        bob = Actor(Role.INVESTOR, person.fetchone()[0], world.id("bob"))  # type: ignore[index]
    for number in range(KEYS_MAX - 1):
        perform(create_api_key, CreateApiKey("Desk", bytes([number]) * 32), bob)

    def create(number: int) -> str:
        with app.app_context():
            try:
                return str(perform(create_api_key, CreateApiKey("Desk", bytes([number]) * 32), bob)["key_id"])
            except Conflict as refusal:
                return refusal.code

    with ThreadPoolExecutor(6) as pool, world.superuser() as connection:
        connection.execute("SELECT FROM user_account WHERE id = %s FOR UPDATE", (bob.user_id,))
        made = [pool.submit(create, number) for number in range(100, 106)]
        world.somebody_waits(6)
        connection.rollback()
        assert sorted(one.result() for one in made)[1:] == ["keys_enough"] * 5


def test_the_database_keeps_a_key_as_it_was_and_ended(app: Flask, world: World) -> None:
    from tests.trading.test_constraints import refuse

    key_of(app, world, "bob")
    assert refuse(world, "UPDATE api_key SET expires_at = expires_at + interval '1 year'") == "api_key_keep_columns"
    assert refuse(world, "DELETE FROM api_key") == "api_key_no_delete"
    assert refuse(world, "UPDATE api_key SET ended_at = now()") == "api_key_event"
    with world.superuser() as connection:
        connection.execute("UPDATE api_key SET ended_at = now()")
    assert refuse(world, "UPDATE api_key SET ended_at = NULL") == "api_key_ends_once"
