"""The pages as a browser shows them: both themes, phone and desk, judged by axe; and what the scripts add."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from flask import Flask, render_template_string
from werkzeug.serving import make_server

from marketplace.kernel.errors import Problem
from marketplace.web.format import GRADES
from marketplace.web.frame import server_now
from marketplace.web.states import LOOKS
from tests.people import PASSWORD, register
from tests.web.browsing import broken_rules

pytestmark = pytest.mark.browser

SHEET = Path(__file__).parent / "sheet.html"
PAGES = ("/", "/sign-in", "/grades", "/verify", "/nothing", "/sheet")


@pytest.fixture
def market(make_app: Callable[..., Flask]) -> Iterator[str]:
    """A demonstration with people, really listening; its scripts, forms and headers as in earnest."""
    app = make_app(testing=False, demo=True, demo_password=PASSWORD)
    app.add_url_rule("/sheet", view_func=_sheet)
    app.testing = True  # cheap password hashes
    register(app)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(10)
    server.server_close()


def _sheet() -> str:
    wrong = [
        Problem("rate", "reserve", "Bid 850 bp or less."),
        Problem("cash", "limit", "Bid %(most)s or less.", {"most": "£40,000"}),
        Problem("", "status", "Your professional status has ended."),
        Problem("agreed", "required", "Tick it."),
    ]
    return render_template_string(
        SHEET.read_text(encoding="utf-8"),
        problems=wrong,
        now=server_now(),
        soon=server_now() + timedelta(minutes=9),
        looks=LOOKS,
        grades=GRADES,
    )


@pytest.mark.parametrize(("width", "scheme"), [
    (390, "dark"), (1280, "light"),
    pytest.param(390, "light", marks=pytest.mark.long), pytest.param(1280, "dark", marks=pytest.mark.long),
])  # fmt: skip
def test_pages_are_clean(market: str, browser: Any, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    for path in PAGES:
        page.goto(market + path)
        assert page.locator("html").get_attribute("data-bs-theme") == scheme
        assert broken_rules(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} scrolls sideways"
    assert [fault for fault in faults if "404" not in fault] == []
    context.close()


def test_a_page_that_breaks_rules_is_not_clean(page: Any) -> None:
    page.set_content("<main><h1>Money</h1><input><p style='color: #ccc; background: #fff'>Pale</p></main>")
    assert {"color-contrast", "label"} <= {rule for rule, _ in broken_rules(page)}
    page.goto("data:text/html,<html lang=en><title>Money</title><main><h1>Money</h1><img src=x></main>")
    assert broken_rules(page) == [("image-alt", ['<img src="x">'])]


@pytest.mark.parametrize("name", ["Alice Hart", "Bob Ash", "Olga Brand", "Rex Aldous"])
def test_every_page_of_a_person_is_clean_when_there_is_nothing_yet(market: str, browser: Any, name: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(f"{market}/sign-in")
    page.get_by_role("button", name=name).click()
    page.wait_for_load_state()
    addresses = page.eval_on_selector_all(".nav-main a", "links => links.map(link => link.href)")
    assert addresses
    for address in addresses:
        page.goto(address)
        assert broken_rules(page) == [], address
    context.close()


def test_one_click_is_a_person_and_the_menu_signs_out(market: str, page: Any) -> None:
    page.goto(f"{market}/sign-in?next=/grades")
    page.get_by_role("button", name="Alice Hart").click()
    page.wait_for_url("**/grades")
    page.locator(".me summary").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{market}/")
    assert page.get_by_text("You are signed out.").is_visible()


def test_the_theme_stays_from_page_to_page(market: str, page: Any) -> None:
    page.goto(market)
    page.get_by_role("button", name="Switch to dark").click()
    page.goto(f"{market}/grades")
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"
    assert page.get_by_role("button", name="Switch to light").is_visible()


def test_the_countdown_follows_the_server_not_this_machine(market: str, browser: Any) -> None:
    context = browser.new_context()
    context.clock.install(time="2031-01-01T00:00:00Z")  # this machine is years ahead
    page = context.new_page()
    page.goto(f"{market}/sheet")
    assert page.locator(".strip .count").inner_text().startswith(("8:5", "9:00"))
    page.clock.run_for(60_000)
    assert page.locator(".strip .count").inner_text().startswith(("7:5", "8:00"))
    context.close()


def test_without_script_everything_is_there(market: str, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{market}/sign-in?next=/grades")
    page.get_by_role("button", name="Olga Brand").click()
    page.wait_for_load_state()
    assert page.locator(".me summary").inner_text().startswith("Olga Brand")
    page.goto(f"{market}/sheet")
    assert (
        page.locator(".strip .count").inner_text().startswith("8:")
        or page.locator(".strip .count").inner_text() == "9:00"
    )
    context.close()


def test_the_page_is_reached_by_keyboard(market: str, page: Any) -> None:
    page.goto(market)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"


def test_a_page_prints_on_white_without_the_bar(market: str, page: Any) -> None:
    page.goto(f"{market}/verify")
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("header.top").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") in {
        "rgba(0, 0, 0, 0)",
        "rgb(255, 255, 255)",
    }
