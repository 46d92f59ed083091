"""A regulator sees everything, changes nothing, and leaves a trace of every look."""

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, text
from werkzeug.serving import make_server

from marketplace.audit import verify
from marketplace.audit.building import build_bundles
from marketplace.audit.checkpoint import SignerPlace, ensure_key, sign_once
from marketplace.audit.sequencer import sequence_events
from marketplace.db import db
from marketplace.embedded_postgres import EmbeddedPostgres
from tests import lives
from tests.people import PASSWORD, PersonOfTheTests, register, sign_in
from tests.trading.test_closing import a_covered_lot, close
from tests.trading.world import World
from tests.web.browsing import broken_rules

PAGES = ("/regulator/audit", "/regulator/events", "/regulator/events/3", "/regulator/replay", "/regulator/outcomes",
         "/regulator/defaults", "/regulator/look-ups")  # fmt: skip


@dataclass
class Watched:
    """A market with one closed auction, a signed log, and a regulator."""

    app: Flask
    place: SignerPlace
    lot: UUID
    people: dict[str, PersonOfTheTests]

    def sign(self) -> None:
        with self.app.app_context():
            while sequence_events(1_000):
                pass
        engine = create_engine(self.place.database_url)
        sign_once(self.place, engine)
        engine.dispose()

    def build(self) -> None:
        with self.app.app_context():
            build_bundles(self.app.extensions["duebill"].settings.home / "bundles")

    def count(self, verb: str) -> int:
        with self.app.app_context():
            counted = text("SELECT count(*) FROM event WHERE verb = :verb")
            found: int = db.session.execute(counted, {"verb": verb}).scalar_one()
            db.session.remove()
            return found


@pytest.fixture
def watched(app: Flask, postgres: EmbeddedPostgres, database: str, tmp_path: Path) -> Watched:
    people = register(app, "regulator_rex", "operator_olga", "stranger_mallory")
    with app.app_context():
        lot = a_covered_lot(World(postgres, database))
        close(lot)
    place = SignerPlace(postgres.url(database, "duebill_signer"), tmp_path / "signer", [tmp_path / "witness"])
    ensure_key(place, "duebill.test/audit")
    made = Watched(app, place, lot, people)
    made.sign()
    return made


@pytest.fixture
def rex(watched: Watched, client: FlaskClient) -> FlaskClient:
    return sign_in(client, watched.people["regulator_rex"])


def words(client: FlaskClient, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return str(answer.get_data(as_text=True))


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_and_is_recorded(watched: Watched, rex: FlaskClient, page: str) -> None:
    before = watched.count("look_up")
    assert "<h1>" in words(rex, page)
    assert watched.count("look_up") == before + 1


@pytest.mark.parametrize("page", [*PAGES, "/regulator/format"])
def test_nobody_else_may_look(watched: Watched, client: FlaskClient, page: str) -> None:
    assert client.get(page).status_code == 303
    for name in ("operator_olga", "stranger_mallory"):
        sign_in(client, watched.people[name])
        assert client.get(page).status_code == 403


def test_outcomes_have_a_default_rate_of_each_grade_and_of_all(app: Flask, world: World) -> None:
    rex = sign_in(app.test_client(), register(app, "regulator_rex")["regulator_rex"])
    lives.funded(world)
    db.session.rollback()
    assert '<td class="num">–</td>' in words(rex, "/regulator/outcomes").split("<tfoot>")[1]
    with world.superuser() as owner:
        owner.execute("UPDATE collection SET state = 'defaulted', defaulted_at = market_now()")
    page = words(rex, "/regulator/outcomes")
    assert page.count('<td class="num">100.00%<span class="sub">1 / 1</span></td>') == 2


def test_a_bundle_is_ordered_built_verified_and_downloaded(watched: Watched, rex: FlaskClient, tmp_path: Path) -> None:
    assert rex.post("/regulator/bundles", data={}).status_code == 303
    assert "Being built" in words(rex, "/regulator/audit")
    watched.build()
    page = words(rex, "/regulator/audit")
    assert "Whole and consistent." in page
    address = page.split('href="/regulator/bundles/')[1].split('"')[0]
    path = tmp_path / "b.zip"
    with rex.get(f"/regulator/bundles/{address}") as answer:
        path.write_bytes(answer.data)
    with zipfile.ZipFile(path) as opened:
        assert opened.testzip() is None
    key = words(rex, "/verify/keys.txt").strip()
    assert verify.verify(str(path), key)["ok"]
    assert watched.count("export_bundle") == 1


def test_a_bundle_that_cannot_be_built_says_why(watched: Watched, rex: FlaskClient) -> None:
    rex.post("/regulator/bundles", data={"from_on": "2100-01-01"})
    watched.build()
    assert "There are no signed events in this period." in words(rex, "/regulator/audit")
    rex.get("/language/zh_Hant")
    assert "There are no signed events" not in words(rex, "/regulator/audit")


def test_a_wrong_order_is_refused_beside_its_field(rex: FlaskClient) -> None:
    answer = rex.post("/regulator/bundles", data={"from_on": "2026-03-01", "to_on": "2026-02-01"})
    assert answer.status_code == 422
    assert "not before the first" in answer.get_data(as_text=True)
    assert rex.post("/regulator/bundles", data={"previous_size": "many"}).status_code == 422
    assert rex.post("/regulator/bundles", data={"previous_size": "9" * 20}).status_code == 422
    unknown = rex.post("/regulator/bundles", data={"previous_size": "999999"})
    assert unknown.status_code == 422
    assert "There is no checkpoint of size 999999." in unknown.get_data(as_text=True)
    assert 'id="f-previous-size-error"' in unknown.get_data(as_text=True)
    for number in ("99999999999999999999", "9223372036854775808", "²", "-1"):
        assert rex.get("/regulator/events", query_string={"before": number}).status_code == 422, number
    for page in ("events?verb=%00x", "events?role=%00x", "replay?ref=%00x"):
        assert rex.get(f"/regulator/{page}").status_code == 200, page


def test_an_award_is_computed_again_and_the_same(watched: Watched, rex: FlaskClient) -> None:
    page = words(rex, f"/regulator/replay/{watched.lot}")
    assert "Identical." in page
    assert "share at the margin" in page
    assert watched.count("replay_auction") == 1
    assert rex.get("/regulator/replay?ref=db-26-0001").status_code == 303
    assert rex.get(f"/regulator/replay/{watched.lot}/transcript.json").status_code == 200
    assert "No award of that reference" in words(rex, "/regulator/replay?ref=DB-99")


def test_an_award_changed_behind_the_books_back_is_called_out(
    watched: Watched, rex: FlaskClient, postgres: EmbeddedPostgres, database: str
) -> None:
    with World.superuser(_world(postgres, database)) as connection:
        connection.execute(
            "UPDATE award SET transcript = forged.raw, sha256 = encode(sha256(forged.raw), 'hex') FROM "
            "(SELECT convert_to(replace(convert_from(transcript, 'UTF8'), '\"rate_bps\":800', '\"rate_bps\":690'), "
            "'UTF8') AS raw FROM award) AS forged"
        )
    assert "Not the same." in words(rex, f"/regulator/replay/{watched.lot}")


def _world(postgres: EmbeddedPostgres, database: str) -> World:
    made = World.__new__(World)
    made.postgres, made.database = postgres, database
    return made


def test_events_are_found_by_what_they_are(watched: Watched, rex: FlaskClient) -> None:
    assert "place bid" in words(rex, "/regulator/events?verb=place_bid")
    assert "No event fits" in words(rex, "/regulator/events?verb=nothing")
    assert f"{watched.lot}"[:12] in words(rex, f"/regulator/events?subject={watched.lot}")
    sheet = rex.get("/regulator/events?format=csv")
    assert sheet.mimetype == "text/csv"


@pytest.mark.parametrize("query", ["subject=x", "actor=1", "before=a", "from=yesterday"])
def test_a_filter_that_makes_no_sense_is_named(rex: FlaskClient, query: str) -> None:
    assert 'id="problems"' in words(rex, f"/regulator/events?{query}", 422)


def test_an_event_shows_its_proof(rex: FlaskClient) -> None:
    page = words(rex, "/regulator/events/0")
    assert "Leads to the root" in page
    assert "Does not hold" not in page
    words(rex, "/regulator/events/99999", 404)


def test_what_was_looked_at_is_listed(rex: FlaskClient) -> None:
    words(rex, "/regulator/events?verb=place_bid")
    page = words(rex, "/regulator/look-ups")
    assert "Searched the log" in page
    assert "verb = place_bid" in page


# -- in a browser -------------------------------------------------------------------------------------------------


@pytest.fixture
def address(watched: Watched, make_app: Any) -> Iterator[str]:
    app = make_app(testing=False)
    app.testing = True
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_axe_finds_nothing_and_nothing_overflows(
    watched: Watched, rex: FlaskClient, address: str, browser: Any, scheme: str
) -> None:
    rex.post("/regulator/bundles", data={})
    watched.build()
    rex.post("/regulator/bundles", data={"from_on": "2026-01-01"})
    for width in (390, 1280):
        visit = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, locale="en-GB")
        page = visit.new_page()
        page.goto(f"{address}/sign-in")
        page.fill("input[name=email]", watched.people["regulator_rex"].email)
        page.fill("input[name=password]", PASSWORD)
        page.click("main button[type=submit]")
        page.wait_for_url("**/regulator/**")
        for path in (*PAGES, f"/regulator/replay/{watched.lot}"):
            page.goto(address + path)
            if shots := os.environ.get("DUEBILL_SHOTS"):
                name = path.strip("/").replace("/", "-")[:30]
                page.screenshot(path=f"{shots}/{name}-{width}-{scheme}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} overflows at {width}"
            assert broken_rules(page) == [], path
        visit.close()
