"""What the companies register said, on the pages of operators and sellers; and the wish to ask again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from flask import Flask
from werkzeug.serving import make_server

from config.settings import CompaniesRegister
from marketplace.db import db
from marketplace.kernel.actors import Actor
from marketplace.parties.actions import register_organisation
from marketplace.parties.schemas import RegisterOrganisation
from marketplace.perform import perform
from marketplace.rating.register.asking import run_register
from tests.people import PASSWORD, PersonOfTheTests, register, sign_in
from tests.rating.register import stand_in as made
from tests.rating.register.stand_in import KEY, StandIn, serving
from tests.web.browsing import broken_rules

ALICE, LONG = "07100001", "Kestrel Aerospace Components and Precision Engineering Holdings (North of England) Ltd"


@pytest.fixture
def house() -> Iterator[StandIn]:
    with serving() as running:
        yield running


class Market(NamedTuple):
    app: Flask
    people: dict[str, PersonOfTheTests]
    debtor_id: str


@pytest.fixture
def lively(make_app: Callable[..., Flask], house: StandIn) -> Market:
    """An application that has asked about an insolvent seller, a debtor behind with its accounts, and a lost number."""
    app = make_app(companies_register=CompaniesRegister(KEY, house.url, house.url))
    with app.app_context():
        people = register(app, "seller_alice", "operator_olga")
        house.knows(ALICE, made.profile(ALICE, company_status="liquidation", has_insolvency_history=True))
        house.pages[f"/company/{ALICE}/insolvency"] = made.insolvency()
        behind = made.profile("07714421", company_name=LONG.upper(), has_charges=True)
        behind["accounts"]["next_accounts"]["overdue"] = True
        house.knows("07714421", behind, made.accounts_item("2025-03-31"))
        house.pages["/company/07714421/charges"] = made.charge_list(5, 2)
        house.holds(b"%PDF", "application/pdf")
        house.pages["/company/07714422"] = b"nonsense"
        ids: dict[str, str] = {}
        for name, number in ((LONG, "07714421"), ("Plover Ltd", "07714422"), ("Gone Ltd", "07714423")):
            organisation = RegisterOrganisation("debtor", name, "GB", number)
            made_now = perform(register_organisation, organisation, Actor.system("tests"))["organisation_id"]
            ids[number] = str(made_now)
        run_register()
        db.session.remove()
    return Market(app, people, ids["07714421"])


def seen(market: Market, who: str, path: str, code: int = 200) -> str:
    client = sign_in(market.app.test_client(), market.people[who])
    answer = client.get(path)
    assert answer.status_code == code
    return answer.text


def test_operators_see_the_worst_first_and_may_ask_again(lively: Market) -> None:
    page = seen(lively, "operator_olga", "/operator/register")
    states = [
        page.index(f"</svg>{words}") if f"</svg>{words}" in page else page.rindex(words)
        for words in ("in liquidation", "not in the register", "active")
    ]
    assert states == sorted(states)
    assert ">overdue</span>" in page
    assert "creditors’ voluntary liquidation" in page
    assert "filed on paper or as a picture" in page
    assert "Its answer cannot be read." in page
    assert "3 / 5" in page
    assert "Practitioner" not in page
    assert "Register insolvency" in seen(lively, "operator_olga", "/operator/")
    box = seen(lively, "operator_olga", f"/operator/debtors/{lively.debtor_id}")
    assert "The companies register says" in box
    assert "3 of 5" in box


def test_a_seller_sees_what_the_register_says_of_him(lively: Market) -> None:
    page = seen(lively, "seller_alice", "/seller/accounts")
    assert "in liquidation" in page
    assert "You are not rated while the register says so." in page
    assert LONG not in page
    seen(lively, "seller_alice", "/operator/register", 403)


def test_without_a_key_both_pages_say_what_to_do(app: Flask) -> None:
    with app.app_context():
        quiet = Market(app, register(app, "seller_alice", "operator_olga"), "")
        db.session.remove()
    assert "REGISTRY_API_KEY" in seen(quiet, "operator_olga", "/operator/register")
    assert "Hand in your accounts yourself" in seen(quiet, "seller_alice", "/seller/accounts")


@contextmanager
def served(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_pages_are_clean(lively: Market, browser: Any, width: int, scheme: str) -> None:
    with served(lively.app) as address:
        for who, paths in (("operator_olga", ("/operator/register", f"/operator/debtors/{lively.debtor_id}")),
                           ("seller_alice", ("/seller/accounts",))):  # fmt: skip
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page = context.new_page()
            page.goto(f"{address}/sign-in")
            page.locator("input[name=email]:visible").fill(lively.people[who].email)
            page.locator("input[name=password]:visible").fill(PASSWORD)
            page.locator("input[name=password]:visible").press("Enter")
            page.wait_for_url("**/seller/" if who == "seller_alice" else "**/operator/")
            for path in paths:
                page.goto(address + path)
                assert broken_rules(page) == [], path
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} scrolls sideways"
            context.close()
