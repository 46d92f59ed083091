"""One invoice from its listing to its last penny, as five kinds of people live it, in a real browser on a real stack.

The market is opened as a person opens it; only its auctions are short. Pictures of every page that was passed, at
1280 and 390 pixels, lie in the folder DUEBILL_PICTURES, where one is named.
"""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from config.settings import CONFIG, Settings
from marketplace.demo.companies import debtors, sellers
from marketplace.demo.documents import filename, invoice, invoice_spec
from marketplace.demo.invoice_specs import InvoiceSpec
from tests.stack.running import RunningMarket, free_port

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("market"),  # one market serves them all
]
expect.set_options(timeout=30_000)

PICTURES = os.environ.get("DUEBILL_PICTURES")
AUCTION_MINUTES = 2
PATIENCE_MS = 60_000
SELLER = "Pennine Precision Castings Ltd"
DEBTOR = "Crownfield Homes plc"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMarket]:
    """A demonstration market whose auctions last two minutes."""
    home = tmp_path_factory.mktemp("market")
    policy = home / "policy.toml"
    words = (CONFIG / "policy.toml").read_text(encoding="utf-8")
    policy.write_text(re.sub(r"(?m)^open_minutes = .*", f"open_minutes = {AUCTION_MINUTES}", words), encoding="utf-8")
    running = RunningMarket(home / "var", free_port(), environ={"DUEBILL_POLICY": str(policy)})
    running.opened(seconds=600)
    yield running
    running.close()


def made_up(number: str, seller_name: str, debtor_name: str) -> InvoiceSpec:
    """An invoice nobody has listed yet, of about £40,000."""
    seller = next(company for company in sellers() if company.name == seller_name)
    debtor = next(company for company in debtors() if company.name == debtor_name)
    issued_on = (datetime.now(UTC) - timedelta(days=2)).date()
    return invoice_spec(seller, debtor, issued_on, seed=crc32(number.encode()), number=number, days=60)


@pytest.fixture(scope="module")
def people(browser: Browser, market: RunningMarket) -> Iterator[Callable[[str], Page]]:
    """Give each person a browser of his own, signed in by the button of the demonstration's sign-in page."""
    pages: dict[str, Page] = {}
    base = f"http://127.0.0.1:{market.port}"

    def person(email: str) -> Page:
        if email not in pages:
            visit = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB", base_url=base)
            visit.set_default_timeout(PATIENCE_MS)
            pages[email] = visit.new_page()
            if email:
                _sign_in(pages[email], email)
        return pages[email]

    yield person
    for page in pages.values():
        page.context.close()


def _sign_in(page: Page, email: str) -> None:
    page.goto("/sign-in")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(Settings.demo_password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page).not_to_have_url(re.compile("sign-in"))


def look(page: Page, name: str) -> None:
    """Nothing may stick out to the right of a phone. Take a picture at both widths where pictures are wanted."""
    page.set_viewport_size({"width": 390, "height": 844})
    picture(page, f"{name}-390")
    sticks_out = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    page.set_viewport_size({"width": 1280, "height": 900})
    picture(page, f"{name}-1280")
    assert sticks_out <= 0, f"{name} is {sticks_out} px wider than a phone"


def picture(page: Page, name: str) -> None:
    """Take a picture of the whole page, which costs more than opening it: only if somebody will look at it."""
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)


def upload(page: Page, name: str, content: bytes, kind: str = "application/xml") -> None:
    """Choose a file on the listing page; the page's script sends it at once."""
    choose(page, {"name": name, "mimeType": kind, "buffer": content})


def choose(page: Page, document: Any) -> None:
    """Choose a document, given by its path or its content, on the listing page."""
    page.goto("/seller/new")
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        page.locator("input[name=document]").set_input_files(document)
    page.wait_for_load_state()


def reload_until(page: Page, wanted: str | re.Pattern[str] | Locator, seconds: int = 240) -> None:
    """Look at the page again, ever less often, until it shows it: what happens meanwhile is the scheduler's work."""
    shown = wanted if isinstance(wanted, Locator) else page.get_by_text(wanted)
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    pause_ms = 1_000
    while datetime.now(UTC) < end and not shown.count():
        page.wait_for_timeout(pause_ms)
        page.reload()
        pause_ms = min(pause_ms + 500, 5_000)
    expect(shown.first).to_be_visible()


def test_a_real_invoice_goes_from_listing_to_the_last_penny(people: Callable[[str], Page], tmp_path: Path) -> None:
    spec = made_up(f"FL-{datetime.now(UTC):%y%m%d}", SELLER, DEBTOR)
    receivable_url = seller_lists(people("alice@pennine.example"), spec)
    link = operator_finds_the_letter(people("olga@duebill.example"), spec)
    debtor_confirms(people(""), link)
    investor_brings_cash(people("bob@harcourt.example"))
    lot_url = investors_bid(people, spec)
    seller_accepts(people("alice@pennine.example"), receivable_url)
    anybody_recomputes(people("bob@harcourt.example"), lot_url)
    account = operator_finds_the_letter(people("olga@duebill.example"), spec, "Notice of assignment")
    debtor_acknowledges_and_pays(people(""), account)
    everybody_is_paid(people, receivable_url)
    operator_sees_it_all(people("olga@duebill.example"))
    regulator_proves_it(people("rex@conduct.example"), tmp_path)


def seller_lists(page: Page, spec: InvoiceSpec) -> str:
    look(page, "seller-invoices")
    upload(page, filename(spec, "facturx"), invoice(spec, "facturx"), "application/pdf")
    expect(page.get_by_label("Invoice number")).to_have_value(spec.number)
    look(page, "seller-draft")
    page.get_by_role("button", name="Submit for confirmation").click()
    expect(page.get_by_text("Awaiting confirmation").first).to_be_visible()
    look(page, "seller-receivable")
    return page.url


def operator_finds_the_letter(page: Page, spec: InvoiceSpec, subject: str = "") -> str:
    page.goto("/operator/queue")
    letters = page.locator("details").filter(has_text=subject or f"Is invoice {spec.number} right")
    letter = letters.filter(has_text=spec.number)
    reload_until(page, letter)  # a notice is written a moment after the settlement
    letter.first.locator("summary").click()
    look(page, f"operator-queue-{'notice' if subject else 'confirm'}")
    found = re.search(r"http://127\.0\.0\.1:\d+(/d/\S+)", page.locator("details[open]").first.inner_text())
    assert found, "the letter holds no link"
    return found.group(1).rstrip(".")


def debtor_confirms(page: Page, link: str) -> None:
    page.goto(link)
    look(page, "debtor-slip")
    page.get_by_role("button", name="Send the answer").click()
    expect(page.get_by_role("alert").first).to_be_visible()  # nothing is preselected: an empty answer is refused
    page.get_by_text("Yes, we owe it").click()
    page.get_by_label("You will pay on").fill((datetime.now(UTC) + timedelta(days=60)).date().isoformat())
    page.locator("label[for=n-no]").click()
    page.get_by_label("Your name").fill("Jo Marsh, accounts payable")
    page.get_by_role("button", name="Send the answer").click()
    page.wait_for_load_state()
    look(page, "debtor-confirmed")


def investor_brings_cash(page: Page) -> None:
    page.goto("/investor/cash")
    look(page, "investor-cash-before")
    page.locator("#top-up input[name=amount]").fill("250,000.00")
    page.locator("#top-up button[type=submit]").click()
    page.get_by_role("button", name="Pay now").click(timeout=120_000)
    reload_until(page, re.compile("250,000"))


def investors_bid(people: Callable[[str], Page], spec: InvoiceSpec) -> str:
    bob = people("bob@harcourt.example")
    bob.goto("/investor/")
    look(bob, "investor-market")
    reload_until(bob, re.compile(r"\b[01]:\d\d\b"))
    lot_url = str(bob.locator("tbody a[href*='/investor/lots/']").first.get_attribute("href"))
    rates = {"bob@harcourt.example": "600", "carol@aldwych.example": "620", "dana@northfield.example": "640"}
    for email, rate in rates.items():
        page = people(email)
        page.goto(lot_url)
        if email.startswith("bob"):
            look(page, "investor-lot")
            refused = bid(page, "600", "900000000")
            assert refused == 422, "a bid beyond one's cash must be refused"
            look(page, "investor-bid-refused")
            page.goto(lot_url)
        assert bid(page, rate, "20000") in (200, 303)
    return lot_url


def bid(page: Page, rate: str, cash: str) -> int:
    page.locator("#bid input[name=rate]").fill(rate)
    page.locator("#bid input[name=cash]").fill(cash)
    with page.expect_response(lambda answer: answer.request.method == "POST" and "/bid" in answer.url) as answered:
        page.locator("#bid button[type=submit]").click()
    page.wait_for_load_state()
    return int(answered.value.status)


def seller_accepts(page: Page, receivable_url: str) -> None:
    page.goto(receivable_url)
    reload_until(page, re.compile("^Accept £"))
    look(page, "seller-award")
    page.get_by_role("button", name=re.compile("^Accept £")).click()
    reload_until(page, "Funded")
    look(page, "seller-funded")


def anybody_recomputes(page: Page, lot_url: str) -> None:
    page.goto(lot_url)
    look(page, "investor-lot-closed")
    expect(page.get_by_text(re.compile("ecompute")).first).to_be_visible()


def debtor_acknowledges_and_pays(page: Page, link: str) -> None:
    page.goto(link)
    look(page, "debtor-account")
    page.get_by_label(re.compile("We have read the notice")).check()
    page.get_by_label("Your name").first.fill("Jo Marsh, accounts payable")
    page.get_by_role("button", name="Acknowledge the notice").click()
    page.get_by_role("button", name="Go to the payment page").click()
    page.get_by_role("button", name="Pay now").click()
    page.wait_for_load_state()
    look(page, "debtor-paid")


def everybody_is_paid(people: Callable[[str], Page], receivable_url: str) -> None:
    alice = people("alice@pennine.example")
    alice.goto(receivable_url)
    reload_until(alice, "Settled")
    look(alice, "seller-settled")
    alice.goto("/seller/money")
    look(alice, "seller-money")
    bob = people("bob@harcourt.example")
    for place in ("portfolio", "cash", "statement"):
        bob.goto(f"/investor/{place}")
        look(bob, f"investor-{place}")


def operator_sees_it_all(page: Page) -> None:
    for place in ("", "defaults", "queue", "suspense", "reconciliation", "jobs"):
        page.goto(f"/operator/{place}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        look(page, f"operator-{place or 'today'}")
    page.goto("/operator/jobs")
    expect(page.get_by_role("rowheader", name="Close lots and clear their books")).to_be_visible()


def regulator_proves_it(page: Page, folder: Path) -> None:
    page.goto("/regulator/")
    look(page, "regulator-audit")
    page.get_by_role("button", name="Build bundle").click()
    ready = page.locator("a[href*='/regulator/bundles/']")
    reload_until(page, ready)
    look(page, "regulator-bundle")
    with page.expect_download() as coming:
        ready.first.click()
    bundle = folder / "bundle.zip"
    coming.value.save_as(bundle)
    page.goto("/verify")
    key = re.search(r"[\w./-]+\+[0-9a-f]{8}\+\S+", page.locator("main").inner_text())
    assert key, "the page tells no verifier key"
    with zipfile.ZipFile(bundle) as packed:
        (folder / "verify.py").write_bytes(packed.read(next(n for n in packed.namelist() if n.endswith("verify.py"))))
    told = subprocess.run(
        [sys.executable, "-I", "-S", "verify.py", "bundle.zip", "--key", key.group()],
        cwd=folder, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, timeout=120,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr


def test_the_same_invoice_is_never_listed_again(people: Callable[[str], Page]) -> None:
    page, spec = (
        people("noah@northgate.example"),
        made_up("NC-SAME-77", "Northgate Cold Storage Ltd", "Thornbury Motors plc"),
    )
    upload(page, "first.xml", invoice(spec, "ubl"))
    page.get_by_role("button", name="Submit for confirmation").click()
    expect(page.get_by_text("Awaiting confirmation").first).to_be_visible()
    for again in (spec, replace(spec, number="nc same 77")):
        upload(page, "again.xml", invoice(again, "cii"))
        page.get_by_role("button", name="Submit for confirmation").click()
        expect(page.get_by_role("alert").first).to_contain_text(re.compile("already|DB-"))
    look(page, "seller-duplicate-refused")


def test_a_wrong_filing_and_an_unsigned_webhook_change_nothing(
    market: RunningMarket, people: Callable[[str], Page]
) -> None:
    page = people("noah@northgate.example")
    page.goto("/seller/accounts")
    wrong = {"name": "notes.html", "mimeType": "text/html", "buffer": b"<html><p>no accounts at all</p></html>"}
    with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
        page.locator("input[type=file]").first.set_input_files(wrong)
    assert 400 <= answered.value.status < 500
    look(page, "seller-filing-refused")
    forged = page.request.post("/api/webhooks/stripe", data={"id": "evt_1", "type": "payment_intent.succeeded"})
    assert forged.status == 400
    assert market.status("/healthz") == 200


def hostile() -> dict[str, tuple[str, bytes]]:
    entities = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><Invoice>&b;</Invoice>'
    return {
        "entities": ("bomb.xml", entities),
        "not an invoice": ("notes.xml", b"<notes><note>buy milk</note></notes>"),
        "not even XML": ("photo.pdf", b"%PDF-1.4 nothing inside"),
        "too large": ("large.xml", b"<Invoice>" + b" " * 25_000_000 + b"</Invoice>"),
    }


@pytest.mark.parametrize("kind", list(hostile()))
def test_a_hostile_document_is_refused_in_words(people: Callable[[str], Page], kind: str, tmp_path: Path) -> None:
    page: Any = people("alice@pennine.example")
    name, content = hostile()[kind]
    (tmp_path / name).write_bytes(content)
    choose(page, tmp_path / name)  # by its path: the browser reads 25 MB sooner than it is told them
    expect(page.locator("main").get_by_text(re.compile("cannot|not an|too large|refuse", re.I)).first).to_be_visible()
    assert "Submit for confirmation" not in page.content()
    look(page, f"seller-refused-{kind.replace(' ', '-')}")
