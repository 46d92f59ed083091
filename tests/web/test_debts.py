"""All a debtor owes behind one link: the list, one answer for many, what became of it, and what nobody else sees."""

import csv
import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, text

from marketplace.db import db
from marketplace.kernel.clock import business_date
from marketplace.kernel.ids import new_id
from marketplace.perform import perform
from marketplace.receivables import actions, queries
from marketplace.receivables.debtor.schemas import IssueDebtsLink, RecordDilution
from marketplace.receivables.schemas import DraftReceivable, ListReceivable
from marketplace.reports import debts as reports
from marketplace.servicing.diluting import record_dilution
from tests.people import PersonOfTheTests, register
from tests.receivables.conftest import debtor_of, token_for
from tests.receivables.debtor.test_answers import GOODS, contact
from tests.receivables.debtor.test_confirmation import funded
from tests.receivables.invoices import Paper, paper, ubl

People = dict[str, PersonOfTheTests]


@pytest.fixture
def people(context: Flask) -> People:
    return register(context)


@pytest.fixture
def today(context: Flask, people: People) -> date:
    now = db.session.execute(text("SELECT market_now()")).scalar_one()
    return business_date(now, context.extensions["duebill"].policy.zone)


def listed(people: People, written: Paper) -> UUID:
    alice = people["seller_alice"].actor
    draft = perform(actions.draft_receivable, DraftReceivable("i.xml", ubl(written)), alice)
    return UUID(perform(actions.list_receivable, ListReceivable(UUID(draft["draft_id"])), alice)["receivable_id"])


@pytest.fixture
def many(people: People, today: date) -> list[UUID]:
    """Six invoices of Alice's, one of them numbered like a formula."""
    numbers = ["=1+1", "B272", "C373", "D474", "E575", "A-very-long-number-" + "9876543210" * 6]
    return [
        listed(people, paper(today, number=number, order=f"PO-{n}{n}1", pounds=1_000 + 137 * n, goods=goods,
                             due=today + timedelta(days=40 + 19 * n)))
        for n, (number, goods) in enumerate(zip(numbers, GOODS, strict=True), 1)
    ]  # fmt: skip


@pytest.fixture
def token(people: People, many: list[UUID]) -> str:
    kestrel = debtor_of(many[0]).organisation_id
    assert kestrel is not None
    contact(kestrel, people)
    told = perform(actions.issue_debts_link, IssueDebtsLink(kestrel), people["operator_olga"].actor)
    return str(told["address"]).rpartition("/")[2]


def page(client: FlaskClient, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, answer.get_data(as_text=True)[:2000]
    return answer.get_data(as_text=True)


def states(ids: list[UUID]) -> list[str]:
    db.session.rollback()
    found = queries.receivables(db.session(), ids)
    return [found[one].state for one in ids]


def test_the_list_shows_every_invoice_with_what_is_asked(client: FlaskClient, token: str, many: list[UUID]) -> None:
    shown = page(client, f"/d/{token}")
    assert shown.count("Say whether it is right") == 6
    assert "Choose “To confirm” above" in shown  # the one that is there
    assert "Kestrel Aerospace UK Ltd" in shown
    assert "B272" in page(client, f"/d/{token}?q=b272")
    assert "No invoice in this view" in page(client, f"/d/{token}?q=nothing")
    assert "Nothing of this kind" in page(client, f"/d/{token}?what=disputed")
    for odd in (
        "?page=999",
        "?page=x",
        "?month=13",
        "?sort=evil",
        "?what=evil",
        "?seller=1",
        "?currency=%00",
        "?q=%00",
    ):
        page(client, f"/d/{token}?{odd}")


def test_its_csv_holds_no_formula(client: FlaskClient, token: str) -> None:
    rows = list(csv.reader(io.StringIO(client.get(f"/d/{token}/owed.csv").get_data(as_text=True).lstrip("\ufeff"))))
    assert len(rows) == 7
    assert "'=1+1" in [row[1] for row in rows]


def yes(ids: list[UUID], **more: str) -> dict[str, Any]:
    return {"what": "confirm", "key": str(new_id()), "r": [str(one) for one in ids], "prior_notice": "no",
            "answered_by": "Kim Park"} | more  # fmt: skip


def test_ticked_invoices_are_confirmed_at_once_and_told_of_row_by_row(
    client: FlaskClient, token: str, many: list[UUID], today: date
) -> None:
    own = str(today + timedelta(days=33))
    form = yes(many[:3], **{f"day-{many[1]}": own})
    answer = client.post(f"/d/{token}/answers", data=form)
    assert answer.status_code == 303
    assert states(many) == ["confirmed"] * 3 + ["awaiting_confirmation"] * 3
    assert str(queries.receivable(db.session(), many[1]).promised_on) == own
    told = page(client, answer.headers["Location"])
    assert told.count("Confirmed") >= 3
    assert client.post(f"/d/{token}/answers", data=form).headers["Location"] == answer.headers["Location"]
    rows = client.get(answer.headers["Location"] + "/rows.csv").get_data(as_text=True)
    assert rows.count("Confirmed") == 3


def test_every_invoice_of_the_view_may_be_answered(client: FlaskClient, token: str, many: list[UUID]) -> None:
    assert client.post(f"/d/{token}/answers", data=yes([], every="1")).status_code == 303
    assert set(states(many)) == {"confirmed"}


@pytest.mark.parametrize(("changes", "words"), [
    ({"r": []}, "Tick at least one invoice."),
    ({"prior_notice": ""}, "Say whether anyone else told you to pay them."),
    ({"prior_notice": "yes"}, "Enter who told you to pay them."),
    ({"answered_by": ""}, "Enter your name"),
    ({"pay_on": "2020-01-01"}, "This day has passed."),
    ({"pay_on": "soon"}, "Enter a date like"),
    ({"key": "x"}, "The page was incomplete."),
    ({"r": ["x"]}, "Choose something that is there."),
])  # fmt: skip
def test_an_incomplete_answer_changes_nothing_and_says_why(
    client: FlaskClient, token: str, many: list[UUID], changes: dict[str, Any], words: str
) -> None:
    answer = client.post(f"/d/{token}/answers", data=yes(many[:2]) | changes)
    assert answer.status_code == 422
    summary = answer.get_data(as_text=True).partition('id="problems"')[2].partition("</div></div>")[0]
    assert summary.count(words) == 1
    assert set(states(many)) == {"awaiting_confirmation"}


def test_one_of_them_is_disputed_in_part_and_paid_elsewhere(client: FlaskClient, token: str, many: list[UUID]) -> None:
    shown = page(client, f"/d/{token}/invoices/{many[0]}")
    assert f"/d/{token}/invoices/{many[0]}/answer" in shown
    form = {"answer": "part", "amount_minor": "100.50", "reason": "credit_note", "credit_note": "CN-7",
            "answered_by": "Kim Park"}  # fmt: skip
    answer = client.post(f"/d/{token}/invoices/{many[0]}/answer", data=form)
    assert answer.headers["Location"].endswith(f"/invoices/{many[0]}")
    (dispute,) = queries.disputes(db.session(), many[0])
    assert (dispute.amount_minor, dispute.credit_note) == (10_050, "CN-7")
    assert "You dispute it" in page(client, f"/d/{token}")


def test_a_sold_one_gives_the_notice_in_both_forms(
    client: FlaskClient, token: str, many: list[UUID], people: People
) -> None:
    client.post(f"/d/{token}/answers", data=yes(many[:1]))
    funded(many[0], people)
    page(client, f"/d/{token}/invoices/{many[0]}")
    (notice,) = queries.notices(db.session(), many[0])
    message = client.get(f"/d/{token}/invoices/{many[0]}/documents/{notice.message_document_id}")
    assert b"tsin.008.001.01" in message.data
    form = {"what": "acknowledge", "key": str(new_id()), "r": [str(many[0])], "answered_by": "Kim Park"}
    assert client.post(f"/d/{token}/answers", data=form).status_code == 303
    db.session.rollback()
    (notice,) = queries.notices(db.session(), many[0])
    assert notice.acknowledged_at is not None
    own = token_for(many[0], "account")
    assert client.get(f"/d/{own}/documents/{notice.message_document_id}").status_code == 200
    assert "What else you owe" not in page(client, f"/d/{own}")


def test_a_question_link_pays_nothing_though_it_is_sold(
    client: FlaskClient, token: str, many: list[UUID], people: People, today: date
) -> None:
    question = token_for(many[0])
    client.post(f"/d/{token}/answers", data=yes(many[:1]))
    funded(many[0], people)
    answer = client.post(f"/d/{question}/pay", data={"pay_minor": "1"})
    assert answer.status_code == 422
    assert "This link was made for something else." in answer.get_data(as_text=True)
    for path in ("answers", "owed.csv"):
        assert (client.post if path == "answers" else client.get)(f"/d/{question}/{path}").status_code in (404, 422)


def test_anothers_invoice_or_batch_is_not_found(
    client: FlaskClient, token: str, many: list[UUID], people: People, today: date
) -> None:
    strange = listed(people, paper(today, number="Z-1", buyer="Other Buyer Ltd", buyer_id="09999999", goods="Elbow"))
    assert client.get(f"/d/{token}/invoices/{strange}").status_code == 404
    assert client.get(f"/d/{token}/answers/{new_id()}").status_code == 404
    assert client.post(f"/d/{token}/answers", data=yes([strange])).status_code == 422


def test_whoever_asks_for_a_new_link_is_told_the_same(client: FlaskClient, token: str, many: list[UUID]) -> None:
    said = {client.post(f"/d/{one}/new").get_data(as_text=True).split("<main")[1].split("</main")[0]
            for one in ("forged", token_for(many[0]), token)}  # fmt: skip
    assert len(said) == 1
    assert "on its way to the address on file" in said.pop()


def test_a_credit_note_shows_on_the_debtors_page(
    client: FlaskClient, token: str, many: list[UUID], people: People
) -> None:
    command = RecordDilution(many[0], number="CN-1", amount_minor=5_000)
    perform(record_dilution, command, people["seller_alice"].actor)
    assert "CN-1" in page(client, f"/d/{token}/invoices/{many[0]}")
    assert "B272" not in page(client, f"/d/{token}?what=ended")


@contextmanager
def counted() -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_c: Any, _k: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    yield seen
    event.remove(db.engine, "before_cursor_execute", note)


@pytest.fixture
def crowd(postgres: Any, database: str, many: list[UUID]) -> Callable[[int], None]:
    """Multiply the first invoice, as the database's owner can, with triggers resting."""

    def make(count: int) -> None:
        with postgres.connect(database) as owner:
            owner.execute("SET session_replication_role = replica")
            owner.execute("CREATE TEMP TABLE copy AS SELECT * FROM receivable WHERE id = %s", (many[1],))
            for n in range(count):
                owner.execute("UPDATE copy SET id = gen_random_uuid(), ref = %s, number = %s",
                              (f"DB-99-{n:05d}", f"N{n:05d}"))  # fmt: skip
                owner.execute("INSERT INTO receivable SELECT * FROM copy")
            owner.execute("ANALYZE receivable")

    return make


def test_five_thousand_invoices_take_no_more_statements_than_six(
    client: FlaskClient, token: str, crowd: Callable[[int], None], many: list[UUID]
) -> None:
    page(client, f"/d/{token}")
    with counted() as few:
        page(client, f"/d/{token}")
    crowd(5_000)
    with counted() as lots:
        began = time.monotonic()
        shown = page(client, f"/d/{token}?what=confirm")
        took = time.monotonic() - began
    assert len(lots) == len(few)
    assert "Page 1 of 101" in shown
    assert took < 3
    kestrel = debtor_of(many[0]).organisation_id
    assert kestrel is not None
    found = reports.ids(db.session(), kestrel, reports.Wanted("confirm"), "confirm", 10_000)
    assert len(found) == len(set(found)) == 5_006
