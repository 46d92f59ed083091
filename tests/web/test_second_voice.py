"""Credit notes that wait for a second voice, as people see them: told, asked about, said yes and no to."""

from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from marketplace.db import db
from marketplace.receivables.debtor import links
from marketplace.servicing.second_voice import waiting
from tests import lives
from tests.support import do
from tests.trading.world import World
from tests.web.browsing import clean, sign_in
from tests.web.test_operator import visitor

WHY = "The debtor’s statement of account was seen."


@pytest.fixture
def told(app: Flask, world: World) -> tuple[UUID, UUID, FlaskClient]:
    """A funded receivable, a credit note beyond its residual that its seller typed, and the seller's visit."""
    receivable_id = lives.funded(world)
    alice = visitor(app, world, "alice")
    typed = {"number": "CN-2026-0041", "amount_minor": "20000.00", "words": "Returned: two castings of forty."}
    answer = alice.post(f"/seller/invoices/{receivable_id}/credit-note", data=typed, follow_redirects=True)
    assert "the debtor is asked whether it is right" in answer.text
    db.session.rollback()
    (proposal,) = waiting(db.session(), receivable_id)
    return receivable_id, proposal.id, alice


def slip_of(receivable_id: UUID) -> str:
    return f"/d/{do(lambda tx: links.issue(tx, receivable_id, links.ACCOUNT))}"


def owed(receivable_id: UUID) -> int:
    db.session.rollback()
    return lives.collection(receivable_id).outstanding_minor


def test_the_seller_sees_that_it_waits_and_may_take_it_back(told: tuple[UUID, UUID, FlaskClient]) -> None:
    receivable_id, proposal_id, alice = told
    assert "Waits for a second voice" in alice.get(f"/seller/invoices/{receivable_id}").text
    assert owed(receivable_id) == 4_860_000
    back = f"/seller/invoices/{receivable_id}/credit-note/{proposal_id}/take-back"
    assert "Taken back" in alice.post(back, follow_redirects=True).text
    assert alice.post(back).status_code == 409
    assert "Waits for a second voice" not in alice.get(f"/seller/invoices/{receivable_id}").text


def test_the_debtor_answers_on_the_page_of_its_notice(
    told: tuple[UUID, UUID, FlaskClient], client: FlaskClient
) -> None:
    receivable_id, proposal_id, _ = told
    slip = slip_of(receivable_id)
    assert "Is this credit note right?" in client.get(slip).text
    answer = f"{slip}/credit-notes/{proposal_id}"
    nameless = client.post(answer, data={"decision": "right"})
    assert (nameless.status_code, "Enter your name" in nameless.text) == (422, True)
    assert client.post(answer, data={"decision": "wrong", "answered_by": "A. Payable"}).status_code == 422
    assert owed(receivable_id) == 4_860_000
    done = client.post(answer, data={"decision": "right", "answered_by": "A. Payable"}, follow_redirects=True)
    assert "You owe less by the credit note." in done.text
    assert "Is this credit note right?" not in done.text
    assert owed(receivable_id) == 2_860_000
    assert client.post(answer, data={"decision": "right", "answered_by": "A."}).status_code == 409


def test_the_debtors_no_leaves_all_as_it_was(told: tuple[UUID, UUID, FlaskClient], client: FlaskClient) -> None:
    receivable_id, proposal_id, _ = told
    slip = slip_of(receivable_id)
    no = {"decision": "wrong", "answered_by": "A. Payable", "reason": "Nothing was returned."}
    done = client.post(f"{slip}/credit-notes/{proposal_id}", data=no, follow_redirects=True)
    assert "you owe the invoice as before" in done.text
    assert owed(receivable_id) == 4_860_000


def test_two_operators_say_so(app: Flask, world: World, told: tuple[UUID, UUID, FlaskClient]) -> None:
    receivable_id, proposal_id, _ = told
    olga, oscar = visitor(app, world, "olga"), visitor(app, world, "oscar", of="olga")
    assert "CN-2026-0041" in olga.get("/operator/buy-backs").text
    page, decide = f"/operator/receivables/{receivable_id}", f"/operator/receivables/{receivable_id}/credit-notes/"
    assert "Returned: two castings of forty." in olga.get(page).text
    assert olga.post(f"{decide}{proposal_id}", data={"decision": "approve", "reason": "ok"}).status_code == 422
    yes = {"decision": "approve", "reason": WHY}
    assert olga.post(f"{decide}{proposal_id}", data=yes).status_code == 303
    assert "You proposed it, so another operator decides." in olga.get(page).text
    assert olga.post(f"{decide}{proposal_id}", data=yes).status_code == 403
    assert WHY in oscar.get(page).text
    assert oscar.post(f"{decide}{proposal_id}", data=yes).status_code == 303
    assert owed(receivable_id) == 2_860_000
    assert oscar.post(f"{decide}{proposal_id}", data={"decision": "refuse", "reason": WHY}).status_code == 409
    assert oscar.post(f"{decide}{receivable_id}", data=yes).status_code == 404


def test_a_holder_sees_it_and_nobody_else_decides(
    app: Flask, world: World, told: tuple[UUID, UUID, FlaskClient]
) -> None:
    receivable_id, proposal_id, alice = told
    bob = visitor(app, world, "bob")
    assert "Waits for a second voice" in bob.get(f"/investor/holdings/{receivable_id}").text
    for who in (alice, bob):
        tried = who.post(f"/operator/receivables/{receivable_id}/credit-notes/{proposal_id}",
                         data={"decision": "approve", "reason": WHY})  # fmt: skip
        assert tried.status_code == 403


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [pytest.param(390, "dark", marks=pytest.mark.long), (1280, "light")])
def test_pages_are_clean(
    app: Flask, world: World, told: tuple[UUID, UUID, FlaskClient], live_server: str, browser: Any, width: int,
    scheme: str,
) -> None:  # fmt: skip
    receivable_id, _, _ = told
    visitor(app, world, "olga"), visitor(app, world, "bob")
    slip = slip_of(receivable_id)
    pages = {
        ("", ""): [slip],
        ("alice", "seller"): [f"/seller/invoices/{receivable_id}/credit-note"],
        ("olga", "operator"): [f"/operator/receivables/{receivable_id}", "/operator/buy-backs"],
        ("bob", "investor"): [f"/investor/holdings/{receivable_id}"],
    }
    for (who, role), paths in pages.items():
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        if who:
            sign_in(page, live_server, f"{who}@example.com", role)
        for path in paths:
            page.goto(live_server + path)
            assert "CN-2026-0041" in page.content(), path
            clean(page)
        context.close()
