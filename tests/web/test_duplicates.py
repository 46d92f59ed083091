"""Two listings that look alike, through the doors: held, laid side by side, decided by two; and one brought back."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from marketplace.db import db
from marketplace.perform import perform
from marketplace.receivables import actions, queries
from marketplace.receivables.schemas import WithdrawReceivable
from tests.people import PersonOfTheTests, sign_in
from tests.receivables.conftest import drafted, invoice, listed, people, today
from tests.receivables.invoices import Paper, ubl
from tests.web.browsing import clean
from tests.web.browsing import sign_in as sign_in_there

__all__ = ["drafted", "invoice", "listed", "people", "today"]  # fixtures of the receivables' tests, used here

People = dict[str, PersonOfTheTests]
Listed = Callable[..., dict[str, Any]]
WHY = "Rang the buyer: these are two deliveries."


@pytest.fixture
def held(listed: Listed, invoice: Paper) -> tuple[UUID, UUID]:
    """A listing held beside another: its id and its review's."""
    listed(invoice.but(number="TPC-2O418", goods="Turbine seal ring 40 mm"))
    made = UUID(listed(invoice.but(goods="Turbine seal ring, 40 mm", order="PO-88121"))["receivable_id"])
    review = queries.open_review(db.session(), made)
    assert review is not None
    return made, review.id


def state(receivable_id: UUID) -> str:
    db.session.rollback()
    return queries.receivable(db.session(), receivable_id).state


def test_two_people_release_a_pair_on_its_page(client: FlaskClient, people: People, held: tuple[UUID, UUID]) -> None:
    receivable_id, review_id = held
    address = f"/operator/duplicates/{review_id}"
    sign_in(client, people["operator_olga"])
    assert b"DB-" in client.get("/operator/duplicates").data
    page = client.get(address).get_data(as_text=True)
    for part in ("TPC-2<mark>0</mark>418", "TPC-2<mark>O</mark>418", "Turbine seal ring", "the same", "differs"):
        assert part in page
    assert client.post(f"{address}/release", data={"reason": ""}).status_code == 422
    assert client.post(f"{address}/release", data={"reason": WHY}).status_code == 303
    assert b"A second operator decides" in client.get(address).data
    assert client.post(f"{address}/release", data={"reason": WHY}).status_code == 403
    sign_in(client, people["operator_oscar"])
    assert client.post(f"{address}/release", data={"reason": WHY}).status_code == 303
    assert state(receivable_id) == "awaiting_confirmation"
    assert b"Released" in client.get(address).data
    assert client.get(f"/operator/duplicates/{receivable_id}").status_code == 404


def test_refused_until_put_right_the_seller_is_shown_the_way_back(
    client: FlaskClient, people: People, held: tuple[UUID, UUID]
) -> None:
    receivable_id, review_id = held
    sign_in(client, people["operator_olga"])
    answer = client.post(f"/operator/duplicates/{review_id}/reject", data={"reason": WHY, "curable": "1"})
    assert answer.status_code == 303
    sign_in(client, people["seller_alice"])
    page = client.get(f"/seller/invoices/{receivable_id}").get_data(as_text=True)
    assert "Bring it back" in page
    assert WHY in page
    back = f"/seller/invoices/{receivable_id}/bring-back"
    assert client.post(back, data={"own_rate_bps": "nonsense"}).status_code == 422
    assert client.post(back, data={"deal_type": "advance", "recourse": "full"}).status_code == 303
    assert state(receivable_id) == "held_for_review"


def test_a_withdrawn_invoice_dropped_again_is_brought_back(
    client: FlaskClient, people: People, listed: Listed, drafted: Listed, invoice: Paper
) -> None:
    made = UUID(listed(invoice)["receivable_id"])
    perform(actions.withdraw_receivable, WithdrawReceivable(made, "not now"), people["seller_alice"].actor)
    draft_id = drafted(ubl(invoice))["draft_id"]
    sign_in(client, people["seller_alice"])
    page = client.get(f"/seller/drafts/{draft_id}").get_data(as_text=True)
    assert "You withdrew this invoice on" in page
    assert "Submit for confirmation" not in page
    answer = client.post(f"/seller/drafts/{draft_id}/bring-back", data={"deal_type": "outright", "recourse": "none"})
    assert answer.status_code == 303
    assert answer.location.endswith(f"/seller/invoices/{made}")
    found = queries.receivable(db.session(), made)
    assert (found.state, found.round, found.deal_type) == ("awaiting_confirmation", 2, "outright")


def test_a_stranger_brings_nothing_back(client: FlaskClient, people: People, listed: Listed, invoice: Paper) -> None:
    made = UUID(listed(invoice)["receivable_id"])
    perform(actions.withdraw_receivable, WithdrawReceivable(made, "not now"), people["seller_alice"].actor)
    sign_in(client, people["stranger_mallory"])
    assert client.post(f"/seller/invoices/{made}/bring-back", data={}).status_code == 404


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_pages_are_clean(
    held: tuple[UUID, UUID], people: People, live_server: str, browser: Any, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    sign_in_there(page, live_server, people["operator_olga"].email, "operator")
    for path in ("/operator/duplicates", f"/operator/duplicates/{held[1]}", "/operator/queue"):
        page.goto(live_server + path)
        clean(page)
    context.close()
