"""The operators' pages as a browser shows them: full, with long names, in both themes, on phone and desk."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.parties.actions import register_user
from marketplace.parties.schemas import RegisterUser
from marketplace.perform import perform
from tests.people import PASSWORD
from tests.support import SYSTEM
from tests.trading.world import World
from tests.web.browsing import clean, sign_in
from tests.web.test_operator import PAGES, a_full_market

pytestmark = pytest.mark.browser
LONG = "Gesellschaft für Oberflächenveredelung und Feinwerktechnik Donaudampfschifffahrt mbH & Co. KGaA"


@pytest.fixture
def pages(app: Flask, postgres: EmbeddedPostgres, database: str) -> Iterator[list[str]]:
    """A full market with a long-named debtor; its pages."""
    with app.app_context():
        world = World(postgres, database)
        receivable_id = a_full_market(world)
        with world.superuser() as owner:
            owner.execute("UPDATE organisation SET legal_name = %s WHERE id = %s", (LONG, world.id("kestrel")))
        perform(register_user, RegisterUser(world.id("olga"), "olga@example.com", "Olga", PASSWORD), SYSTEM)
        yield [path for path in PAGES if not path.endswith(".csv")] + [f"/operator/receivables/{receivable_id}"]


@pytest.mark.parametrize(("width", "scheme"), [pytest.param(390, "dark", marks=pytest.mark.long), (1280, "light")])
def test_pages_are_clean(pages: list[str], live_server: str, browser: Any, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    sign_in(page, live_server, "olga@example.com", "operator")
    for path in pages:
        page.goto(live_server + path)
        clean(page)
    assert faults == []
    context.close()
