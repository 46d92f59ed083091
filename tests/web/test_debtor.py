"""The debtor's slip: nothing preselected, one answer, a link that ends, an account with a phrase, a way to pay."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.clock import business_date
from marketplace.perform import perform
from marketplace.receivables import actions, queries
from marketplace.receivables.debtor import links
from marketplace.receivables.schemas import DraftReceivable, ListReceivable
from tests.people import PersonOfTheTests, register
from tests.receivables.conftest import token_for, told_of
from tests.receivables.invoices import paper, ubl
from tests.support import do

People = dict[str, PersonOfTheTests]


@pytest.fixture
def people(context: Flask) -> People:
    return register(context)


@pytest.fixture
def today(context: Flask, people: People) -> date:
    now = db.session.execute(text("SELECT market_now()")).scalar_one()
    return business_date(now, context.extensions["duebill"].policy.zone)


@pytest.fixture
def waiting(people: People, today: date) -> UUID:
    """An invoice of Alice's that waits for Kestrel's answer."""
    alice = people["seller_alice"].actor
    draft = perform(actions.draft_receivable, DraftReceivable("i.xml", ubl(paper(today))), alice)
    made = perform(actions.list_receivable, ListReceivable(UUID(draft["draft_id"])), alice)
    return UUID(made["receivable_id"])


@pytest.fixture
def state(waiting: UUID) -> Callable[[], str]:
    def now() -> str:
        db.session.rollback()
        return queries.receivable(db.session(), waiting).state

    return now


def yes(today: date, **changes: str) -> dict[str, str]:
    return {"answer": "yes", "pay_on": str(today + timedelta(days=60)), "prior_notice": "no",
            "answered_by": "Kim Park"} | changes  # fmt: skip


def test_the_slip_states_the_facts_and_preselects_nothing(client: FlaskClient, waiting: UUID) -> None:
    page = client.get(f"/d/{token_for(waiting)}").get_data(as_text=True)
    for said in ("Is this invoice right?", "48,600", "TPC-20418", "Thornfield Castings Ltd", "PO-88120"):
        assert said in page
    assert "checked" not in page
    db.session.rollback()
    link = links.find(db.session(), token_for(waiting))
    assert link.first_opened_at is not None


def test_a_yes_confirms_and_the_page_then_shows_the_answer(
    client: FlaskClient, waiting: UUID, today: date, state: Callable[[], str]
) -> None:
    token = token_for(waiting)
    answer = client.post(f"/d/{token}/answer", data=yes(today))
    assert answer.status_code == 303
    assert state() == "confirmed"
    page = client.get(f"/d/{token}").get_data(as_text=True)
    assert "Your answer is recorded" in page
    assert "Kim Park" in page
    assert "Send the answer" not in page
    again = client.post(f"/d/{token}/answer", data=yes(today))
    assert again.status_code in (409, 422)


@pytest.mark.parametrize("form", [{}, {"answer": "maybe"}, {"answer": "yes"}, {"answer": "part"}, {"answer": "no"},
                                  {"answer": "yes", "pay_on": "soon", "prior_notice": "no", "answered_by": "K"},
                                  {"answer": "part", "amount_minor": "all", "reason": "goods", "answered_by": "K"},
                                  {"answer": "part", "amount_minor": "99,999.00", "reason": "goods",
                                   "answered_by": "K"}])  # fmt: skip
def test_an_incomplete_answer_changes_nothing(
    client: FlaskClient, waiting: UUID, state: Callable[[], str], form: dict[str, str]
) -> None:
    answer = client.post(f"/d/{token_for(waiting)}/answer", data=form)
    assert answer.status_code == 422
    assert 'id="problems"' in answer.get_data(as_text=True)
    assert state() == "awaiting_confirmation"


def test_a_prior_notice_asks_for_the_name_and_holds(
    client: FlaskClient, waiting: UUID, today: date, state: Callable[[], str]
) -> None:
    address = f"/d/{token_for(waiting)}/answer"
    answer = client.post(address, data=yes(today, prior_notice="yes"))
    assert answer.status_code == 422
    assert 'id="f-claimant-error"' in answer.get_data(as_text=True)
    client.post(address, data=yes(today, prior_notice="yes", claimant="Quick Factors"))
    assert state() == "held_for_review"


@pytest.mark.parametrize(("form", "amount"), [({"answer": "part", "amount_minor": "1,000.50"}, 100_050),
                                              ({"answer": "no"}, 4_860_000)])  # fmt: skip
def test_a_no_in_part_or_whole_is_a_dispute(
    client: FlaskClient, waiting: UUID, state: Callable[[], str], form: dict[str, str], amount: int
) -> None:
    more = {"reason": "goods", "answered_by": "Kim Park"}
    assert client.post(f"/d/{token_for(waiting)}/answer", data=form | more).status_code == 303
    assert state() == "held_for_review"
    dispute = queries.open_dispute(db.session(), waiting)
    assert dispute is not None
    assert dispute.amount_minor == amount


@pytest.mark.parametrize("token", ["x", "abc.def", "é", "a" * 500])
def test_a_forged_link_shows_nothing(client: FlaskClient, waiting: UUID, token: str) -> None:
    for answer in (client.get(f"/d/{token}"), client.post(f"/d/{token}/answer", data={"answer": "yes"}),
                   client.post(f"/d/{token}/pay"), client.get(f"/d/{token}/documents/{waiting}")):  # fmt: skip
        assert answer.status_code == 404
        assert "TPC-20418" not in answer.get_data(as_text=True)


def test_a_link_that_ran_out_says_so(
    client: FlaskClient, waiting: UUID, today: date, postgres: Any, database: str
) -> None:
    token = token_for(waiting)
    with postgres.connect(database) as connection:
        connection.execute("UPDATE clock_shift SET shift = '15 days'")
    answer = client.get(f"/d/{token}")
    assert answer.status_code == 410
    assert "run out" in answer.get_data(as_text=True)
    assert client.post(f"/d/{token}/answer", data=yes(today)).status_code == 410


def funded(receivable_id: UUID, people: People) -> str:
    """Take a confirmed receivable to funded and return the token of its second letter."""
    for after in ("rated", "on_auction", "awarded", "funded"):
        do(lambda tx, after=after: actions.move(tx, receivable_id, after).state)
    told_of(receivable_id, people["investor_bob"].organisation_id)
    return token_for(receivable_id, links.ACCOUNT)


def test_the_second_link_shows_and_takes_the_notice(
    client: FlaskClient, waiting: UUID, today: date, people: People
) -> None:
    client.post(f"/d/{token_for(waiting)}/answer", data=yes(today))
    token = funded(waiting, people)
    page = client.get(f"/d/{token}").get_data(as_text=True)
    assert "Where to pay this invoice" in page
    (notice,) = queries.notices(db.session(), waiting)
    saved = client.get(f"/d/{token}/documents/{notice.document_id}")
    assert saved.mimetype == "application/pdf"
    assert saved.data.startswith(b"%PDF-")
    refused = client.post(f"/d/{token}/acknowledge", data={"number": "1", "answered_by": "Kim"})
    assert refused.status_code == 422
    taken = client.post(f"/d/{token}/acknowledge", data={"number": "1", "read": "1", "answered_by": "Kim"})
    assert taken.status_code == 303
    db.session.rollback()
    assert queries.receivable(db.session(), waiting).notice_acknowledged_at is not None


def test_only_this_invoices_documents_are_given_out(client: FlaskClient, waiting: UUID) -> None:
    token = token_for(waiting)
    found = queries.receivable(db.session(), waiting)
    assert client.get(f"/d/{token}/documents/{found.document_id}").status_code == 200
    assert client.get(f"/d/{token}/documents/{waiting}").status_code == 404


def test_nothing_can_be_paid_before_it_is_financed(client: FlaskClient, waiting: UUID) -> None:
    assert client.post(f"/d/{token_for(waiting)}/pay", data={}).status_code == 422
