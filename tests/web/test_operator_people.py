"""How somebody new comes into the market: an operator registers the organisation, then its people."""

from flask import Flask
from flask.testing import FlaskClient

from tests.people import register, sign_in

HOUSE = {"kind": "seller", "legal_name": "Fenland Joinery Ltd", "country": "GB", "legal_id": "7654321"}
PERSON = {"display_name": "Fay Marsh", "email": "fay@fenland.example", "password": "a long enough password"}


def test_an_operator_registers_a_seller_who_then_signs_in(app: Flask, client: FlaskClient) -> None:
    sign_in(client, register(app)["operator_olga"])
    assert client.post("/operator/people/organisations", data=HOUSE).status_code == 303
    page = client.get("/operator/people").get_data(as_text=True)
    assert "Fenland Joinery Ltd" in page
    house = page.split("Fenland Joinery Ltd</option>")[0].rsplit('value="', 1)[1].split('"')[0]
    assert client.post("/operator/people/users", data=PERSON | {"organisation_id": house}).status_code == 303
    stranger = app.test_client()
    given = {"email": PERSON["email"], "password": PERSON["password"]}
    answer = stranger.post("/sign-in", data=given)
    assert answer.status_code == 303
    assert "/seller" in answer.headers["Location"]


def test_what_is_wrong_stands_beside_its_field_and_changes_nothing(app: Flask, client: FlaskClient) -> None:
    sign_in(client, register(app)["operator_olga"])
    answer = client.post(
        "/operator/people/organisations", data=HOUSE | {"iban": "GB00 WRONG", "country": "Great Britain"}
    )
    assert answer.status_code == 422
    page = answer.get_data(as_text=True)
    assert "its check digits do not fit" in page
    assert "Fenland Joinery Ltd</option>" not in page
    short = client.post("/operator/people/users", data=PERSON | {"password": "short"})
    assert short.status_code == 422


def test_nobody_but_operators_may(app: Flask, client: FlaskClient) -> None:
    sign_in(client, register(app)["seller_alice"])
    assert client.get("/operator/people").status_code == 403
    assert client.post("/operator/people/organisations", data=HOUSE).status_code == 403
