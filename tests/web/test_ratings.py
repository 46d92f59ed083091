"""The operators' pages of ratings: alarms and charts, one party, and a grade that two people change."""

from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from marketplace.db import db
from marketplace.kernel.ids import new_id
from marketplace.perform import perform
from marketplace.rating import queries
from marketplace.rating.behaviour import PaymentRecord
from marketplace.rating.drift import Bucket, against, calibration, drift, inversions, shadow
from marketplace.rating.ratios import NAMES
from marketplace.rating.schemas import NotePayments, NoteWatch
from marketplace.rating.watching import note_payments, note_watch
from marketplace.web.names import RATIOS
from tests import lives
from tests.rating.test_watching import POLICY, WHY
from tests.support import SYSTEM
from tests.trading.world import World
from tests.web.test_operator import visitor


@pytest.fixture
def olga(app: Flask, world: World) -> FlaskClient:
    return visitor(app, world, "olga")


def rated(world: World) -> UUID:
    """Kestrel, rated A-."""
    world.rate(world.receivable())
    return world.id("kestrel")


def test_the_day_s_measures_are_drawn_and_told(world: World, olga: FlaskClient) -> None:
    assert "Nothing is measured yet" in olga.get("/operator/ratings").text
    grades = [Bucket("A", 400, 9, 4_000), Bucket("B", 300, 2, 11_000), Bucket("C", 4, 0, 40_000)]
    measures = (
        drift("equity", [0.5, 0.5], [75, 25], POLICY), calibration(grades, POLICY),
        *(against("backtest", one, POLICY) for one in grades), *inversions(grades, POLICY),
        *(against("vintage", Bucket(f"2026-{month:02d}", 40, month % 2, 9_000), POLICY) for month in range(1, 10)),
        shadow([(4_000, 5_000)] * 40, POLICY),
    )  # fmt: skip
    perform(note_watch, NoteWatch("gb-test", measures), SYSTEM)
    page = olga.get("/operator/ratings").text
    for words in ("alarm", "too few to judge", "Does a better grade default less?", "0.275", "2026-09", "in shadow"):
        assert words in page, words
    assert page.count("<svg viewBox") >= 2
    assert "None" not in page.split("How the model does")[1].split("The model card")[0]


def test_two_operators_change_a_grade_on_its_page(app: Flask, world: World, olga: FlaskClient) -> None:
    kestrel = rated(world)
    path = f"/operator/ratings/{kestrel}"
    oscar = visitor(app, world, "oscar", "olga")
    assert "Nothing can be changed now" not in olga.get(path).text
    refused = olga.post(f"{path}/override", data={"to_grade": "B", "reason": "short"})
    assert refused.status_code == 422
    assert "short" in refused.text
    assert olga.post(f"{path}/override", data={"to_grade": "E", "reason": WHY}).status_code in (400, 422)
    assert olga.post(f"{path}/override", data={"to_grade": "B", "reason": WHY}).status_code == 303
    assert "One changed grade waits for a second person" in oscar.get("/operator/ratings").text
    db.session.rollback()
    override_id = db.session.connection().exec_driver_sql("SELECT id FROM grade_override").scalar_one()
    decide = f"{path}/overrides/{override_id}"
    data = {"approve": "true", "reason": "I have seen the guarantee."}
    assert "You proposed it, so another operator decides." in olga.get(path).text
    assert olga.post(decide, data=data).status_code == 403
    assert oscar.post(decide, data=data | {"reason": ""}).status_code == 422
    assert oscar.post(decide, data=data).status_code == 303
    assert "changed by two people" in olga.get(path).text
    db.session.rollback()
    found = queries.party_rating(db.session(), kestrel)
    assert found is not None
    assert found.grade == "B"


def test_a_party_without_anything_has_a_page_and_nobody_else_sees_it(world: World, olga: FlaskClient) -> None:
    alice = world.id("alice")
    assert "Not rated yet." in olga.get(f"/operator/ratings/{alice}").text
    assert olga.get(f"/operator/ratings/{new_id()}").status_code == 404
    assert olga.post(f"/operator/ratings/{alice}/override", data={"to_grade": "B", "reason": WHY}).status_code == 422


def test_who_pays_late_and_what_fell_stand_on_the_page(world: World, olga: FlaskClient) -> None:
    receivable_id = lives.funded(world)
    kestrel = world.id("kestrel")
    record = PaymentRecord(4, 1, 1, 200, 100, 3_000, 45)
    perform(note_payments, NotePayments(kestrel, record), SYSTEM)
    world.rate(receivable_id)
    with world.superuser() as owner:
        owner.execute(
            "INSERT INTO party_rating SELECT %s, organisation_id, filing_id, level, ratios, prior_ppm, floor_ppm, "
            "200000, 'E', challenger_ppm, z_milli, reasons, missing, model_version, policy_version, market_now() + "
            "interval '1 second' FROM party_rating LIMIT 1",
            (new_id(),),
        )
    page = olga.get("/operator/ratings").text
    assert "It has defaulted here" in page
    assert "Fallen since they were listed" in page
    assert "held by investors" in page
    assert "It is more than thirty days late now" in olga.get(f"/operator/ratings/{kestrel}").text


def test_all_that_the_model_sees_has_a_name_that_people_read() -> None:
    assert {*NAMES, "grades"} == RATIOS.keys()
