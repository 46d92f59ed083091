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


def test_an_operator_records_a_relation_and_ends_it(app: Flask, client: FlaskClient) -> None:
    sign_in(client, register(app)["operator_olga"])
    page = client.get("/operator/people").get_data(as_text=True)
    assert "No relation is recorded" in page
    form = page.split('id="relation"')[1]
    ids = [part.split('"')[0] for part in form.split('<option value="')[1:]]
    given = {"one_id": ids[0], "other_id": ids[1], "kind": "shared_owner", "reference": "Register of owners, 2026"}
    short = client.post("/operator/people/relations", data=given | {"reference": "x"})
    assert (short.status_code, "3 to 300 characters" in short.text) == (422, True)
    same = client.post("/operator/people/relations", data=given | {"other_id": ids[0]})
    assert (same.status_code, "Choose two organisations." in same.text) == (422, True)
    assert client.post("/operator/people/relations", data=given).status_code == 303
    assert client.post("/operator/people/relations", data=given).status_code == 409
    page = client.get("/operator/people").get_data(as_text=True)
    assert "Register of owners, 2026" in page
    end = page.split("/operator/people/relations/")[1].split('"')[0]
    assert client.post(f"/operator/people/relations/{end}").status_code == 303
    assert client.post(f"/operator/people/relations/{end}").status_code == 409
    assert "No relation is recorded" in client.get("/operator/people").get_data(as_text=True)


def test_an_operator_suspends_a_person_and_a_debtor_and_takes_both_back(app: Flask, client: FlaskClient) -> None:
    people = register(app)
    sign_in(client, people["operator_olga"])
    alice = sign_in(app.test_client(), people["seller_alice"])
    given = {
        "subject": f"person {people['seller_alice'].actor.user_id}",
        "reason": "Left the company in May.",
        "do": "suspend",
    }
    for wrong, said in (({"reason": "short"}, "10 to 300 characters"), ({"subject": "nobody"}, "Choose a person"),
                        ({"subject": "person " + "-" * 36}, "Choose a person"), ({"subject": ""}, "Choose a person"),
                        ({"do": "zzz"}, "Say whether it is suspended")):  # fmt: skip
        refused = client.post("/operator/people/standing", data=given | wrong)
        assert (refused.status_code, said in refused.text) == (422, True), wrong
    assert client.post("/operator/people/standing", data=given).status_code == 303
    assert alice.get("/seller/").status_code == 303, "signed out at once"
    assert "(suspended)" in client.get("/operator/people").text
    again = client.post("/operator/people/standing", data=given)
    assert (again.status_code, "stands like that already" in again.text) == (409, True)
    assert client.post("/operator/people/standing", data=given | {"do": "end"}).status_code == 303
    assert sign_in(app.test_client(), people["seller_alice"]).get("/seller/").status_code == 200
    house = given | {"subject": f"house {people['investor_bob'].organisation_id}"}
    assert client.post("/operator/people/standing", data=house).status_code == 303
    assert client.get("/operator/people").text.count("suspended</span>") == 1
    assert client.post("/operator/people/standing", data=house | {"do": "end"}).status_code == 303


def test_nobody_suspends_himself_or_his_own_house_and_only_operators_may(app: Flask, client: FlaskClient) -> None:
    people = register(app)
    olga = people["operator_olga"]
    sign_in(client, olga)
    page = client.get("/operator/people").text.split('id="standing"')[1]
    for subject in (f"person {olga.actor.user_id}", f"house {olga.organisation_id}"):
        assert subject not in page
        given = {"subject": subject, "reason": "As a trial of the rule.", "do": "suspend"}
        refused = client.post("/operator/people/standing", data=given)
        assert (refused.status_code, "You cannot" in refused.text) == (422, True)
    bob = sign_in(app.test_client(), people["investor_bob"])
    assert bob.post("/operator/people/standing", data=given).status_code == 403
