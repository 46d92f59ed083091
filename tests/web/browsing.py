"""What browser tests share: a market that listens, somebody at its door, a page held to the accessibility rules."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from flask import Flask
from werkzeug.serving import make_server

from tests.people import PASSWORD, register

RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],  # every rule is tried; what passed need not be described
}


@contextmanager
def listening(make_app: Callable[..., Flask]) -> Iterator[tuple[str, Flask]]:
    """A market with the tests' people that really listens, with its forms guarded as in earnest."""
    app = make_app(testing=False)
    app.testing = True  # cheap password hashes
    register(app)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", app
    server.shutdown()
    thread.join(10)
    server.server_close()


def sign_in(page: Any, base: str, email: str, role: str) -> None:
    """Sign somebody in through the form, up to the first page of that role's door."""
    page.goto(f"{base}/sign-in")
    page.locator("input[name=email]:visible").fill(email)
    page.locator("input[name=password]:visible").fill(PASSWORD)
    page.locator("input[name=password]:visible").press("Enter")
    page.wait_for_url(f"**/{role}/**")


def broken_rules(page: Any) -> list[tuple[str, list[str]]]:
    """The accessibility rules that a page breaks, each with the elements that break it."""
    if not page.evaluate("'axe' in window"):
        page.add_init_script(AXE_SCRIPT)  # the page's next documents are born with it: it is half a megabyte to send
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate("rules => axe.run(rules).then(results => results.violations)", RULES)
    return [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found]


def clean(page: Any) -> None:
    """Hold a page to the accessibility rules, and to its width."""
    assert broken_rules(page) == [], page.url
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{page.url} scrolls sideways"
