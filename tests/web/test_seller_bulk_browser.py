"""A bulk upload in a browser: dropped, cut off in the middle, dropped again, watched, listed; and without scripts."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.clock import business_date
from marketplace.receivables.bulk.work import to_work, work_off
from tests.people import register
from tests.receivables.bulk.bulks import files_of, papers, sealed, zipped
from tests.receivables.invoices import ubl
from tests.web.browsing import clean, listening, sign_in

pytestmark = pytest.mark.browser


@pytest.fixture
def market(make_app: Callable[..., Flask]) -> Iterator[tuple[str, Flask]]:
    """A market that really listens, with its forms guarded as in earnest, and a worker beside it."""
    stop = Event()

    def work(app: Flask) -> None:
        while not stop.wait(0.2):
            with app.app_context():
                for upload_id in to_work(10):
                    work_off(upload_id, 0.5)
                db.session.remove()

    with listening(make_app) as (base, app):
        worker = Thread(target=work, args=(app,), daemon=True)
        worker.start()
        yield base, app
        stop.set()
        worker.join(20)


@pytest.fixture
def today(market: tuple[str, Flask]) -> date:
    with market[1].app_context():
        now = db.session.execute(text("SELECT market_now()")).scalar_one()
        return business_date(now, "Europe/London")


def signed_in(page: Any, base: str) -> Any:
    sign_in(page, base, "seller.alice@example.com", "seller")
    page.goto(f"{base}/seller/bulk")
    return page


def chosen(files: dict[str, bytes]) -> list[dict[str, Any]]:
    return [{"name": name, "mimeType": "text/xml", "buffer": content} for name, content in files.items()]


def count(app: Flask, table: str) -> int:
    with app.app_context(), db.engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def heavy(today: date, number: int) -> dict[str, bytes]:
    """Invoices with so many notes that a few fill a request."""
    return {f"{one.number}.xml": ubl(one).replace(b"<cac:OrderReference>", b"<!--" + b"x" * 2_500_000 +
            one.number.encode() + b"--><cac:OrderReference>") for one in papers(number, today)}  # fmt: skip


def test_a_drop_that_breaks_off_goes_on_another_day_and_lists_each_invoice_once(
    market: tuple[str, Flask], page: Any, today: date
) -> None:
    base, app = market
    files = heavy(today, 8)
    signed_in(page, base)
    clean(page)
    sent: list[str] = []

    def cut_off(route: Any) -> None:
        sent.append(route.request.url)
        if len(sent) > 1:
            route.abort("internetdisconnected")
        else:
            route.continue_()

    page.route("**/pieces", cut_off)
    page.set_input_files("input[type=file]", files=chosen(files))
    page.get_by_role("button", name="Send and read them").click()
    page.get_by_text("The connection broke off. Trying again").wait_for(timeout=30_000)
    page.close()  # the lid of the laptop falls
    assert count(app, "bulk_piece") == 3
    again = page.context.new_page()
    again.goto(f"{base}/seller/bulk")
    again.get_by_text("Files are still coming").wait_for()
    clean(again)
    requests: list[int] = []
    again.on("request", lambda one: requests.append(1) if one.url.endswith("/pieces") else None)
    again.set_input_files("input[type=file]", files=chosen(files))
    again.get_by_role("button", name="Send and read them").click()
    again.get_by_role("heading", name="List the 8 that are ready").wait_for(timeout=60_000)
    assert len(requests) == 2, "three of the pieces were there already"
    clean(again)
    again.get_by_role("button", name="List 8 invoices").click()
    again.locator(".state", has_text="Done").first.wait_for(timeout=60_000)
    clean(again)
    assert (count(app, "bulk_upload"), count(app, "bulk_row"), count(app, "receivable")) == (1, 8, 8)


def test_what_is_missing_is_entered_in_the_row_on_a_phone(market: tuple[str, Flask], browser: Any, today: date) -> None:
    base, _ = market
    phone = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    page = signed_in(phone.new_page(), base)
    clean(page)
    one, two = papers(2, today)
    files = {"a.xml": ubl(one), "b.xml": ubl(two.but(buyer_id="")), "c.xml": ubl(one), "d.txt": b"no invoice"}
    page.set_input_files("input[type=file]", files=chosen({"all.zip": zipped(files)}))
    page.get_by_role("button", name="Send and read them").click()
    page.get_by_role("heading", name="1 row needs something").wait_for(timeout=30_000)
    clean(page)
    page.get_by_text("Enter it", exact=True).click()
    clean(page)
    page.get_by_label("Debtor’s company number").fill("08100001")
    page.get_by_role("button", name="Check row 2 again").click()
    page.get_by_role("heading", name="List the 2 that are ready").wait_for(timeout=30_000)
    clean(page)
    phone.close()


def test_a_moving_upload_shows_how_far_it_is_and_may_be_left(app: Flask, live_server: str, browser: Any) -> None:
    people = register(app)
    with app.app_context():
        now = db.session.execute(text("SELECT market_now()")).scalar_one()
        files = files_of(papers(60, business_date(now, "Europe/London")))
        upload_id = sealed(people["seller_alice"].actor, {"june.zip": zipped(files)})
        work_off(upload_id, 0)  # unpacked
        work_off(upload_id, 0)  # and the first rows read
        db.session.remove()
    for width in (390, 1280):
        visit = browser.new_context(viewport={"width": width, "height": 800})
        page = signed_in(visit.new_page(), live_server)
        page.goto(f"{live_server}/seller/bulk/{upload_id}")
        page.get_by_text("20 of 60").wait_for()
        page.get_by_text("You may leave this page").wait_for()
        clean(page)
        visit.close()


def test_without_scripts_the_form_posts_and_the_page_comes_again(
    market: tuple[str, Flask], browser: Any, today: date, tmp_path: Path
) -> None:
    base, app = market
    plain = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 800})
    page = signed_in(plain.new_page(), base)
    packed = tmp_path / "june.zip"
    packed.write_bytes(zipped(files_of(papers(5, today))))
    page.set_input_files("input[type=file]", files=[packed])
    page.check("input[name=list_as_read]")
    page.get_by_role("button", name="Send and read them").click()
    page.wait_for_url("**/seller/bulk/*-*")
    page.locator(".state", has_text="Done").first.wait_for(timeout=60_000)
    assert count(app, "receivable") == 5
    plain.close()
