"""What a visitor meets: the landing page, signing in, grades, checking the record."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from marketplace.db import db
from tests.people import PASSWORD, register, sign_in


@pytest.mark.parametrize("address", ["/", "/sign-in", "/grades", "/verify", "/healthz", "/verify/keys.txt"])
def test_a_visitor_can_open(client: FlaskClient, address: str) -> None:
    assert client.get(address).status_code == 200


def test_the_landing_page_says_so_when_nothing_has_cleared(client: FlaskClient) -> None:
    assert "No lot has cleared here yet" in client.get("/").text


def test_people_of_the_demonstration_show_only_there(make_app: Callable[..., Flask]) -> None:
    app = make_app(demo=True)
    register(app, "seller_alice")
    shown = app.test_client().get("/sign-in").text
    assert "Alice Hart" in shown
    assert "demonstration only" in shown
    assert "Alice Hart" not in make_app().test_client().get("/sign-in").text


def test_the_right_password_opens_the_market(app: Flask, client: FlaskClient) -> None:
    people = register(app, "seller_alice")
    sign_in(client, people["seller_alice"])
    assert "Alice Hart" in client.get("/grades").text


@pytest.mark.parametrize("email", ["seller.alice@example.com", "nobody@example.com"])
def test_a_wrong_password_and_an_unknown_address_read_alike(app: Flask, client: FlaskClient, email: str) -> None:
    register(app, "seller_alice")
    answer = client.post("/sign-in", data={"email": email, "password": "not the password"})
    assert answer.status_code == 401
    assert "The e-mail address or the password is not right." in answer.text
    assert answer.text.count(email) == 1


def test_an_empty_form_names_both_fields(client: FlaskClient) -> None:
    answer = client.post("/sign-in", data={})
    assert answer.status_code == 422
    assert "Enter your e-mail address." in answer.text
    assert "Enter your password." in answer.text


def test_guessing_is_stopped_and_told_for_how_long(app: Flask, client: FlaskClient) -> None:
    people = register(app, "seller_alice")
    for _ in range(10):
        client.post("/sign-in", data={"email": people["seller_alice"].email, "password": "a guess"})
    answer = client.post("/sign-in", data={"email": people["seller_alice"].email, "password": PASSWORD})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 900


def test_signing_in_often_is_not_guessing(app: Flask, client: FlaskClient) -> None:
    people = register(app, "seller_alice")
    for _ in range(15):
        sign_in(client, people["seller_alice"])


def test_the_session_rotates_and_the_old_cookie_opens_nothing(app: Flask, client: FlaskClient) -> None:
    people = register(app, "seller_alice")
    sign_in(client, people["seller_alice"])
    cookie = client.get_cookie("duebill")
    assert cookie is not None
    sign_in(client, people["seller_alice"])
    thief = app.test_client()
    thief.set_cookie("duebill", cookie.value)
    assert "Alice Hart" not in thief.get("/grades").text


def test_signing_out_ends_the_session_on_the_server(app: Flask, client: FlaskClient) -> None:
    people = register(app, "seller_alice")
    sign_in(client, people["seller_alice"])
    cookie = client.get_cookie("duebill")
    assert cookie is not None
    assert client.post("/sign-out").status_code == 303
    client.set_cookie("duebill", cookie.value)
    assert "Alice Hart" not in client.get("/grades").text


def test_an_idle_session_ends(app: Flask, client: FlaskClient) -> None:
    people = register(app, "seller_alice")
    sign_in(client, people["seller_alice"])
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("UPDATE web_session SET last_seen_at = clock_timestamp() - interval '61 minutes'"))
    assert "Alice Hart" not in client.get("/grades").text


@pytest.mark.parametrize(
    "next_address",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "\\\\evil", "/\t/evil"],
)
def test_no_address_leads_off_the_site(app: Flask, client: FlaskClient, next_address: str) -> None:
    people = register(app, "seller_alice")
    data = {"email": people["seller_alice"].email, "password": PASSWORD, "next": next_address}
    answer = client.post("/sign-in", data=data)
    assert answer.status_code == 303
    assert "evil" not in answer.headers["Location"]
    there = client.get("/language/zh_Hant", query_string={"next": next_address}).headers["Location"]
    assert there == "/"


def test_signing_in_leads_back_to_where_one_was_going(app: Flask, client: FlaskClient) -> None:
    people = register(app, "seller_alice")
    data = {"email": people["seller_alice"].email, "password": PASSWORD, "next": "/grades?x=1"}
    assert client.post("/sign-in", data=data).headers["Location"] == "/grades?x=1"
