"""The seller's pages: a file dropped, read, checked, listed; nobody sees another's."""

import io
from collections.abc import Iterator
from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.clock import business_date
from marketplace.receivables import queries
from marketplace.receivables.listing import expected_day
from tests.people import PersonOfTheTests, register, sign_in
from tests.receivables.invoices import Paper, paper, ubl

People = dict[str, PersonOfTheTests]


@pytest.fixture
def people(app: Flask) -> People:
    return register(app)


@pytest.fixture
def today(app: Flask, people: People) -> Iterator[date]:
    with app.app_context():
        now = db.session.execute(text("SELECT market_now()")).scalar_one()
        yield business_date(now, app.extensions["duebill"].policy.zone)


@pytest.fixture
def alice(app: Flask, people: People) -> FlaskClient:
    return sign_in(app.test_client(), people["seller_alice"])


@pytest.fixture
def mallory(app: Flask, people: People) -> FlaskClient:
    return sign_in(app.test_client(), people["stranger_mallory"])


@pytest.fixture
def invoice(today: date) -> Paper:
    return paper(today)


def drop(client: FlaskClient, content: bytes, name: str = "invoice.xml") -> tuple[int, str, str]:
    answer = client.post("/seller/new", data={"document": (io.BytesIO(content), name)})
    return answer.status_code, answer.headers.get("Location", ""), answer.get_data(as_text=True)


def listed(client: FlaskClient, invoice: Paper, **form: str) -> str:
    """Drop and list an invoice; return the address of its page."""
    _, address, _ = drop(client, ubl(invoice))
    answer = client.post(address, data={"do": "list", **form})
    assert answer.status_code == 303, answer.get_data(as_text=True)
    return answer.headers["Location"]


def test_the_first_page_is_empty_and_says_one_way_on(alice: FlaskClient) -> None:
    page = alice.get("/seller/").get_data(as_text=True)
    assert "No invoice is listed yet" in page
    assert "/seller/new" in page


def test_a_dropped_file_is_read_and_shown_with_checks_and_cost(alice: FlaskClient, invoice: Paper) -> None:
    status, address, _ = drop(alice, ubl(invoice))
    assert status == 303
    page = alice.get(address).get_data(as_text=True)
    for said in ("TPC-20418", "Kestrel Aerospace UK Ltd", "48,600.00", "Can it be listed?", "It costs you", "UBL 2.1"):
        assert said in page


@pytest.mark.parametrize(("how", "reserve"), [({"deal_type": "outright", "recourse": "none"}, 1_200), ({}, 5_000)])
def test_what_comes_now_is_what_the_lot_will_seek(
    app: Flask, alice: FlaskClient, today: date, how: dict[str, str], reserve: int
) -> None:
    """What the face less 0.20 % fee is worth at the highest rate; an advance beyond that seeks no more."""
    far = paper(today, due=today + timedelta(days=165))
    _, address, _ = drop(alice, ubl(far))
    page = alice.post(address, data={"do": "check", "reserve_bps": str(reserve / 100), **how}).get_data(as_text=True)
    expected = expected_day(far.due, app.extensions["duebill"].policy, "GB")
    days = (expected - today - timedelta(days=1)).days
    sought = (4_860_000 - 9_720) * 3_650_000 // (3_650_000 + reserve * days)
    assert f"{sought // 100:,}.{sought % 100:02}" in page


def test_a_highest_rate_below_the_indicative_is_the_rate_that_is_quoted(alice: FlaskClient, invoice: Paper) -> None:
    _, address, _ = drop(alice, ubl(invoice))
    asked = "Bidders may ask 0.01% at most: the sums are at that rate."
    for reserve, told in (("0.01", True), ("40", False)):
        page = alice.post(address, data={"do": "check", "reserve_bps": reserve}).get_data(as_text=True)
        assert (asked in page) is told


def test_submitting_lists_it_and_the_page_never_shows_the_link(alice: FlaskClient, invoice: Paper) -> None:
    address = listed(alice, invoice)
    page = alice.get(address).get_data(as_text=True)
    assert "Awaiting confirmation" in page
    letters = queries.outgoing_mail(db.session(), UUID(address.rsplit("/", 1)[1]))
    token = letters[0].body.split("/d/")[1].split()[0]
    assert token not in page
    assert "DB-" in alice.get("/seller/").get_data(as_text=True)


def test_a_refused_document_tells_every_reason_and_keeps_nothing(alice: FlaskClient, invoice: Paper) -> None:
    status, _, page = drop(alice, ubl(invoice.but(type_code="381")))
    assert status == 422
    assert "credit note" in page
    assert "Nothing was kept" in page
    assert queries.drafts(db.session(), uuid4()) == []


@pytest.mark.parametrize("content", [b"", b"not an invoice", b"%PDF-1.7 broken", b"<html/>",
                                     b"<!DOCTYPE x [<!ENTITY e 'a'>]><x>&e;</x>"])  # fmt: skip
def test_hostile_files_are_refused_clearly(alice: FlaskClient, content: bytes) -> None:
    status, _, page = drop(alice, content)
    assert status == 422
    assert "cannot be listed" in page


def test_fifty_megabytes_are_refused_before_they_are_read(alice: FlaskClient) -> None:
    kind = "multipart/form-data; boundary=x"
    answer = alice.post("/seller/new", data=b"x" * 50_000_000, content_type=kind)
    assert answer.status_code == 413


def test_sending_no_file_says_so(alice: FlaskClient) -> None:
    answer = alice.post("/seller/new", data={})
    assert answer.status_code == 422
    assert "Choose an XML or PDF file first" in answer.get_data(as_text=True)


def test_what_is_wrong_stands_beside_its_field_and_nothing_is_listed(alice: FlaskClient, invoice: Paper) -> None:
    _, address, _ = drop(alice, ubl(invoice))
    answer = alice.post(address, data={"do": "list", "due_on": str(invoice.issued), "face_minor": "abc",
                                       "own_rate_bps": "many"})  # fmt: skip
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert 'id="f-face-minor-error"' in page
    assert 'id="f-own-rate-bps-error"' in page
    assert 'value="abc"' in page
    answer = alice.post(address, data={"do": "list", "due_on": str(invoice.issued)})
    assert answer.status_code == 422
    assert 'id="f-due-on-error"' in answer.get_data(as_text=True)
    assert alice.get(address).status_code == 200


def test_working_it_out_again_lists_nothing(alice: FlaskClient, invoice: Paper) -> None:
    _, address, _ = drop(alice, ubl(invoice))
    answer = alice.post(address, data={"do": "check", "deal_type": "outright", "recourse": "none"})
    assert answer.status_code == 200
    assert "No invoice is listed yet" in alice.get("/seller/").get_data(as_text=True)


def test_a_second_listing_is_refused_naming_the_first(alice: FlaskClient, invoice: Paper) -> None:
    listed(alice, invoice)
    _, address, _ = drop(alice, ubl(invoice.but(number="tpc 20418")))
    answer = alice.post(address, data={"do": "list"})
    page = answer.get_data(as_text=True)
    assert answer.status_code in (409, 422)
    assert "already listed as DB-" in page


def test_a_typed_invoice_goes_the_same_way(alice: FlaskClient, today: date) -> None:
    form = {"number": "T-77", "issued_on": str(today), "due_on": str(today + timedelta(days=40)), "currency": "GBP",
            "face_minor": "1,250.00", "debtor_name": "Kestrel Aerospace UK Ltd", "debtor_legal_id": "07714421",
            "debtor_country": "GB"}  # fmt: skip
    answer = alice.post("/seller/typed", data=form)
    assert answer.status_code == 303
    page = alice.get(answer.headers["Location"]).get_data(as_text=True)
    assert "1,250" in page
    assert "Typed by hand" in page
    answer = alice.post("/seller/typed", data=form | {"face_minor": "12,5,0", "issued_on": "yesterday"})
    assert answer.status_code == 422
    assert 'id="f-face-minor-error"' in answer.get_data(as_text=True)


def test_withdrawing_keeps_it_on_record(alice: FlaskClient, invoice: Paper) -> None:
    address = listed(alice, invoice)
    answer = alice.post(f"{address}/withdraw", data={"reason": "paid already"}, follow_redirects=True)
    assert "Withdrawn" in answer.get_data(as_text=True)
    again = alice.post(f"{address}/withdraw", data={})
    assert again.status_code == 422


def test_a_stranger_finds_nothing_of_anothers(alice: FlaskClient, mallory: FlaskClient, invoice: Paper) -> None:
    _, draft, _ = drop(alice, ubl(invoice))
    address = listed(alice, invoice.but(number="TPC-9"))
    found = queries.receivable(db.session(), UUID(address.rsplit("/", 1)[1]))
    document = f"/seller/documents/{found.document_id}"
    assert alice.get(document).status_code == 200
    for place in (draft, address, document):
        assert mallory.get(place).status_code == 404
    for place in (draft, f"{address}/withdraw", f"{address}/ask-again", f"{address}/documents"):
        assert mallory.post(place, data={"do": "list"}).status_code == 404
    assert "TPC-9" not in mallory.get("/seller/").get_data(as_text=True)


def test_documents_come_back_as_downloads_only(alice: FlaskClient, invoice: Paper) -> None:
    address = listed(alice, invoice)
    found = queries.receivable(db.session(), UUID(address.rsplit("/", 1)[1]))
    answer = alice.get(f"/seller/documents/{found.document_id}")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.mimetype == "application/octet-stream"


@pytest.mark.parametrize("who", ["investor_bob", "operator_olga", "regulator_rex"])
def test_others_may_not_enter(app: Flask, people: People, who: str) -> None:
    client = sign_in(app.test_client(), people[who])
    assert client.get("/seller/").status_code == 403
    assert client.post("/seller/new", data={}).status_code == 403


def test_long_names_and_markup_in_an_invoice_stay_text(alice: FlaskClient, invoice: Paper) -> None:
    name = "A &amp; B &lt;script&gt;alert(1)&lt;/script&gt; " + "Long " * 30
    odd = invoice.but(buyer=name, goods="&lt;b&gt;bold&lt;/b&gt;")
    _, address, _ = drop(alice, ubl(odd))
    page = alice.get(address).get_data(as_text=True)
    assert "<script>alert" not in page
    assert "&lt;b&gt;bold" in page


def test_the_money_page_is_there_before_there_is_money(alice: FlaskClient) -> None:
    page = alice.get("/seller/money").get_data(as_text=True)
    assert "Nothing was paid out yet" in page


def test_accounts_are_read_shown_and_refused_when_they_are_anothers(alice: FlaskClient) -> None:
    assert "No accounts are on file" in alice.get("/seller/accounts").get_data(as_text=True)
    for content in (b"", b"<html/>", b"%PDF-1.4"):
        answer = alice.post("/seller/accounts", data={"document": (io.BytesIO(content), "a.html")})
        assert answer.status_code == 422
    assert "No accounts are on file" in alice.get("/seller/accounts").get_data(as_text=True)


def test_the_list_filters_sorts_and_downloads(alice: FlaskClient, invoice: Paper) -> None:
    listed(alice, invoice)
    other = invoice.but(number="=1+1", order="PO-7", goods="Pumps", pounds=900, buyer="Merlin Ltd", buyer_id="07714425")
    listed(alice, other)
    page = alice.get("/seller/?q=merlin").get_data(as_text=True)
    assert "Merlin Ltd" in page
    assert "Kestrel Aerospace" not in page
    page = alice.get("/seller/?sort=-face").get_data(as_text=True)
    assert page.index("Kestrel Aerospace") < page.index("Merlin Ltd")
    assert "None fits" in alice.get("/seller/?q=nobody").get_data(as_text=True)
    assert alice.get("/seller/?sort=nonsense&show=nonsense").status_code == 200
    file = alice.get("/seller/invoices.csv?sort=face")
    assert file.mimetype == "text/csv"
    text_ = file.get_data(as_text=True)
    assert "'=1+1" in text_
    assert "48600.00" in text_
