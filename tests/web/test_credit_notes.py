"""Credit notes through the doors: dropped where a listing was expected, read, recorded once, shown."""

import io
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.clock import business_date
from marketplace.receivables import queries
from marketplace.receivables.debtor import queries as debtor_queries
from tests.people import PersonOfTheTests, register
from tests.receivables.conftest import debtor_of
from tests.receivables.invoices import Paper, paper, ubl
from tests.web.test_debts import listed

People = dict[str, PersonOfTheTests]


@pytest.fixture
def people(context: Flask) -> People:
    return register(context)


@pytest.fixture
def invoice(context: Flask, people: People) -> Paper:
    now = db.session.execute(text("SELECT market_now()")).scalar_one()
    return paper(business_date(now, context.extensions["duebill"].policy.zone))


@pytest.fixture
def receivable_id(people: People, invoice: Paper) -> UUID:
    return listed(people, invoice)


def credit_note(
    written: Paper, number: str = "CN-7", pounds: int = 600, lowers: tuple[str, ...] = ("TPC-20418",)
) -> bytes:
    """Return a UBL credit note that lowers these invoices."""
    refs = "".join(f"<cac:BillingReference><cac:InvoiceDocumentReference><cbc:ID>{one}</cbc:ID>"
                   f"</cac:InvoiceDocumentReference></cac:BillingReference>" for one in lowers)  # fmt: skip
    made = ubl(written.but(number="CN-7", pounds=600)).decode()
    for old, new in (
        ("xsd:Invoice-2", "xsd:CreditNote-2"), ("<Invoice ", "<CreditNote "), ("</Invoice>", "</CreditNote>"),
        ("InvoiceTypeCode>", "CreditNoteTypeCode>"), (">380<", ">381<"), ("cac:InvoiceLine>", "cac:CreditNoteLine>"),
        ("InvoicedQuantity", "CreditedQuantity"), (f"<cbc:DueDate>{written.due}</cbc:DueDate>", ""),
        ("</cac:OrderReference>", f"</cac:OrderReference>{refs}"),
    ):  # fmt: skip
        made = made.replace(old, new)
    return made.encode()


def sign_in(client: FlaskClient, person: PersonOfTheTests) -> FlaskClient:
    from tests.people import PASSWORD

    client.post("/sign-in", data={"email": person.email, "password": PASSWORD})
    return client


def drop(client: FlaskClient, address: str, content: bytes) -> str:
    data = {"document": (io.BytesIO(content), "cn.xml")}
    answer = client.post(address, data=data, content_type="multipart/form-data")
    assert answer.status_code == 303, answer.get_data(as_text=True)[:1500]
    return answer.headers["Location"]


def test_dropped_as_a_listing_it_is_offered_as_what_it_is(
    client: FlaskClient, people: People, invoice: Paper, receivable_id: UUID
) -> None:
    sign_in(client, people["seller_alice"])
    way = drop(client, "/seller/new", credit_note(invoice))
    assert f"/seller/invoices/{receivable_id}/credit-note/" in way
    shown = client.get(way).get_data(as_text=True)
    assert "CN-7" in shown
    assert "TPC-20418" in shown
    document_id = way.rpartition("/")[2]
    answer = client.post(f"/seller/invoices/{receivable_id}/credit-note", data={"document_id": document_id})
    assert answer.status_code == 303, answer.get_data(as_text=True)[:1500]
    db.session.rollback()
    (made,) = debtor_queries.dilutions(db.session(), receivable_id)
    assert (made.number, made.amount_minor, str(made.document_id)) == ("CN-7", 60_000, document_id)
    found = queries.receivable(db.session(), receivable_id)
    assert (found.state, found.state_reason) == ("withdrawn", "credit_note")
    assert "CN-7" in client.get(f"/seller/invoices/{receivable_id}").get_data(as_text=True)
    again = client.post(f"/seller/invoices/{receivable_id}/relist", data={})
    assert again.status_code in (404, 405, 422)


def test_one_that_lowers_nothing_listed_is_refused_as_before(
    client: FlaskClient, people: People, invoice: Paper, receivable_id: UUID
) -> None:
    sign_in(client, people["seller_alice"])
    data = {"document": (io.BytesIO(credit_note(invoice, lowers=("ELSE-1",))), "cn.xml")}
    answer = client.post("/seller/new", data=data, content_type="multipart/form-data")
    assert answer.status_code == 422
    assert "This is a credit note" in answer.get_data(as_text=True)


@pytest.mark.parametrize(("changes", "lowers", "words"), [
    ({}, ("OTHER-9",), "It names the invoice OTHER-9, not this one."),
    ({"buyer": "Somebody Else Ltd", "buyer_id": "01234567"}, ("TPC-20418",), "It was issued to Somebody Else Ltd"),
    ({"currency": "EUR"}, ("TPC-20418",), "It is in EUR, the invoice in GBP."),
    ({}, ("TPC-20418", "TPC-1"), "It lowers several invoices."),
])  # fmt: skip
def test_one_that_belongs_elsewhere_is_refused_in_words(
    client: FlaskClient, people: People, invoice: Paper, receivable_id: UUID, changes: dict[str, str],
    lowers: tuple[str, ...], words: str,
) -> None:  # fmt: skip
    sign_in(client, people["seller_alice"])
    content = credit_note(invoice.but(**changes), lowers=lowers)
    way = drop(client, f"/seller/invoices/{receivable_id}/credit-note/file", content)
    data = {"document_id": way.rpartition("/")[2]}
    answer = client.post(f"/seller/invoices/{receivable_id}/credit-note", data=data)
    assert answer.status_code == 422
    assert words in answer.get_data(as_text=True)
    assert queries.receivable(db.session(), receivable_id).state == "awaiting_confirmation"


@pytest.mark.parametrize(("form", "words"), [
    ({}, "Enter the credit note’s number."),
    ({"number": "CN-1"}, "Enter the credit note’s amount."),
    ({"number": "CN-1", "amount_minor": "lots"}, "Enter an amount like 10,000.00."),
    ({"number": "CN-1", "amount_minor": "48600.01"}, "Only GBP 48,600.00 is still owed"),
    ({"document_id": "x"}, "Choose something that is there."),
])  # fmt: skip
def test_what_is_typed_wrongly_changes_nothing(
    client: FlaskClient, people: People, receivable_id: UUID, form: dict[str, str], words: str
) -> None:
    sign_in(client, people["seller_alice"])
    answer = client.post(f"/seller/invoices/{receivable_id}/credit-note", data=form)
    assert answer.status_code == 422
    assert words in answer.get_data(as_text=True)
    assert debtor_queries.dilutions(db.session(), receivable_id) == []


def test_an_invoice_is_no_credit_note(client: FlaskClient, people: People, invoice: Paper, receivable_id: UUID) -> None:
    sign_in(client, people["seller_alice"])
    data = {"document": (io.BytesIO(ubl(invoice)), "i.xml")}
    answer = client.post(f"/seller/invoices/{receivable_id}/credit-note/file", data=data,
                         content_type="multipart/form-data")  # fmt: skip
    assert answer.status_code == 422
    assert "This file is no credit note." in answer.get_data(as_text=True)


def test_an_operator_types_one_and_verifies_an_address(
    client: FlaskClient, people: People, receivable_id: UUID, invoice: Paper
) -> None:
    sign_in(client, people["operator_olga"])
    kestrel = debtor_of(receivable_id).organisation_id
    assert client.get(f"/operator/debtors/{kestrel}").status_code == 200
    refused = client.post(f"/operator/debtors/{kestrel}/contact", data={"address": "x"})
    assert refused.status_code == 422
    assert "Say how the address was verified" in refused.get_data(as_text=True)
    good = {"address": "ap@kestrel.example", "language": "zh_Hans", "evidence": "Rang the switchboard."}
    assert client.post(f"/operator/debtors/{kestrel}/contact", data=good).status_code == 303
    assert client.post(f"/operator/debtors/{kestrel}/link").status_code == 303
    shown = client.get(f"/operator/debtors/{kestrel}").get_data(as_text=True)
    assert "简体中文" in shown
    assert "All it owes" in shown
    made = client.post(f"/operator/receivables/{receivable_id}/credit-note",
                       data={"number": "CN-1", "amount_minor": "10.00"})  # fmt: skip
    assert made.status_code == 303
    assert "CN-1" in client.get(f"/operator/receivables/{receivable_id}").get_data(as_text=True)


@pytest.mark.parametrize("who", ["investor_bob", "stranger_mallory"])
def test_nobody_else_finds_any_of_it(client: FlaskClient, people: People, receivable_id: UUID, who: str) -> None:
    sign_in(client, people[who])
    kestrel = debtor_of(receivable_id).organisation_id
    for address in (f"/seller/invoices/{receivable_id}/credit-note", f"/operator/debtors/{kestrel}",
                    f"/operator/receivables/{receivable_id}/credit-note"):  # fmt: skip
        assert client.get(address).status_code in (403, 404)
        assert client.post(address, data={"number": "CN-1", "amount_minor": "1"}).status_code in (403, 404, 405)
    assert debtor_queries.dilutions(db.session(), receivable_id) == []
