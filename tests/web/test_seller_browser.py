"""A sale as two people see it in a browser: the seller drops a file, the debtor answers on a phone."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.clock import business_date
from tests.receivables.conftest import token_for
from tests.receivables.invoices import paper, ubl
from tests.web.browsing import clean, listening, sign_in

pytestmark = pytest.mark.browser


@pytest.fixture
def market(make_app: Callable[..., Flask]) -> Iterator[tuple[str, Flask]]:
    """A market with people, really listening, with its forms guarded as in earnest."""
    with listening(make_app) as found:
        yield found


@pytest.fixture
def today(market: tuple[str, Flask]) -> date:
    with market[1].app_context():
        now = db.session.execute(text("SELECT market_now()")).scalar_one()
        return business_date(now, "Europe/London")


def sold(page: Any, base: str, today: date) -> str:
    """Sign Alice in, drop an invoice, submit it; return the receivable's id."""
    sign_in(page, base, "seller.alice@example.com", "seller")
    page.goto(f"{base}/seller/new")
    clean(page)
    content = ubl(paper(today))
    page.set_input_files("input[type=file]", files=[{"name": "i.xml", "mimeType": "text/xml", "buffer": content}])
    page.wait_for_url("**/seller/drafts/*")
    clean(page)
    page.fill("input[name=own_rate_bps]", "many")
    page.get_by_role("button", name="Submit for confirmation").click()
    page.get_by_text("Some fields need another look.").wait_for()
    clean(page)
    page.fill("input[name=own_rate_bps]", "7.80")
    page.get_by_role("button", name="Submit for confirmation").click()
    page.wait_for_url("**/seller/invoices/*")
    page.get_by_text("the debtor has been sent a link").wait_for()
    clean(page)
    return str(page.url).rsplit("/", 1)[1]


def test_a_seller_drops_a_file_and_the_debtor_confirms_on_a_phone(
    market: tuple[str, Flask], browser: Any, today: date
) -> None:
    base, app = market
    desk = browser.new_context(viewport={"width": 1280, "height": 900})
    receivable_id = sold(desk.new_page(), base, today)
    with app.app_context():
        token = token_for(receivable_id)
    phone = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    page = phone.new_page()
    page.goto(f"{base}/d/{token}")
    clean(page)
    assert not page.locator("input[name=pay_on]").is_visible()
    page.get_by_text("Part of it is wrong").click()
    assert page.locator("input[name=amount_minor]").is_visible()
    page.get_by_text("Yes, we owe it").click()
    assert not page.locator("input[name=amount_minor]").is_visible()
    page.fill("input[name=pay_on]", str(today + timedelta(days=60)))
    page.get_by_label("No", exact=True).check()
    page.get_by_label("Your name").fill("Kim Park")
    page.get_by_role("button", name="Send the answer").click()
    page.get_by_role("heading", name="Your answer is recorded").wait_for()
    clean(page)
    desk.close()
    phone.close()


def test_without_scripts_every_field_is_there_and_it_works(
    market: tuple[str, Flask], browser: Any, today: date
) -> None:
    base, app = market
    desk = browser.new_context()
    receivable_id = sold(desk.new_page(), base, today)
    with app.app_context():
        token = token_for(receivable_id)
    plain = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 800})
    page = plain.new_page()
    page.goto(f"{base}/d/{token}")
    assert page.locator("input[name=pay_on]").is_visible()
    assert page.locator("select[name=reason]").is_visible()
    page.check("input[value=no]")
    page.select_option("select[name=reason]", "not_ours")
    page.fill("input[name=answered_by]", "Kim Park")
    page.get_by_role("button", name="Send the answer").click()
    assert page.get_by_role("heading", name="Your answer is recorded").is_visible()
    desk.close()
    plain.close()
