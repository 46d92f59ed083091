"""The pages of bulk uploads: a form without a script, the script's own addresses, rows, corrections, files."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, text

from config.settings import read_policy
from marketplace.db import db
from marketplace.kernel.clock import business_date
from marketplace.receivables.bulk.work import run_in_full
from tests.people import PersonOfTheTests, register, sign_in
from tests.receivables.bulk.bulks import files_of, papers, zipped
from tests.receivables.invoices import ubl

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


def posted(client: FlaskClient, files: dict[str, bytes], **form: str) -> tuple[int, str, str]:
    sent = [(io.BytesIO(content), name) for name, content in files.items()]
    answer = client.post("/seller/bulk", data={"documents": sent, **form})
    return answer.status_code, answer.headers.get("Location", ""), answer.get_data(as_text=True)


def read(client: FlaskClient, files: dict[str, bytes], **form: str) -> str:
    """Post files, work them off, and return the address of the upload."""
    status, address, page = posted(client, files, **form)
    assert status == 303, page
    run_in_full(UUID(address.rsplit("/", 1)[1]))
    db.session.rollback()
    return address


def page_of(client: FlaskClient, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def test_a_form_without_a_script_is_read_previewed_and_listed(alice: FlaskClient, today: date) -> None:
    assert "Nothing was uploaded yet" in page_of(alice, "/seller/bulk")
    files = files_of(papers(3, today)) | {"credit.xml": ubl(papers(1, today, 9)[0].but(type_code="381"))}
    status, address, _ = posted(alice, {"june.zip": zipped(files)}, debtor_email="ap@example.com")
    assert status == 303
    page = page_of(alice, address)
    assert "You may leave this page" in page
    assert '<noscript><meta http-equiv="refresh"' in page
    run_in_full(UUID(address.rsplit("/", 1)[1]))
    page = page_of(alice, address)
    for said in ("List the 3 that are ready", "credit note", "Ready", "ap@example.com"):
        assert said in page
    assert "Nothing was listed" not in page
    answer = alice.post(f"{address}/list", data={"deal_type": "outright", "recourse": "none", "own_rate_bps": "7.5"})
    assert answer.status_code == 303
    run_in_full(UUID(address.rsplit("/", 1)[1]))
    page = page_of(alice, address)
    assert page.count("DB-") >= 3
    with db.engine.connect() as connection:
        kept = connection.execute(text("SELECT deal_type, own_rate_bps, debtor_email FROM receivable")).all()
    assert kept == [("outright", 750, None)] * 3, "the terms of the last form count: its e-mail was taken out"
    assert "june.zip" in page_of(alice, "/seller/bulk")


def test_bad_terms_and_no_files_stand_beside_their_fields(alice: FlaskClient) -> None:
    status, _, page = posted(alice, {}, own_rate_bps="many", debtor_email="nobody")
    assert status == 422
    assert 'id="f-own-rate-bps-error"' in page
    assert 'id="f-debtor-email-error"' in page
    status, _, page = posted(alice, {})
    assert status == 422
    assert "Choose the files first" in page
    status, _, page = posted(alice, {"a.xml": b"<a/>"}, deal_type="outright", recourse="full")
    assert status == 422
    assert "without recourse" in page


def test_the_script_sends_what_is_missing_and_only_that(alice: FlaskClient, app: Flask, people: People,
                                                        today: date) -> None:  # fmt: skip
    files = list(files_of(papers(4, today)).values())
    hashes = [hashlib.sha256(content).hexdigest() for content in files]
    said = {"files": [{"name": f"{n}.xml", "size": len(files[n]), "pieces": [hashes[n]]} for n in range(4)],
            "terms": {"list_as_read": "true"}}  # fmt: skip
    begun = alice.post("/seller/bulk/begin", json=said).get_json()
    assert sorted(begun["missing"]) == sorted(hashes)
    some = {"piece": [(io.BytesIO(content), "piece") for content in files[:2]]}
    assert alice.post(begun["pieces"], data=some).get_json() == {"missing": 2}
    assert alice.post(begun["seal"]).status_code == 409
    assert "2 parts are missing" in page_of(alice, begun["address"])
    again = alice.post("/seller/bulk/begin", json=said).get_json()
    assert again["upload"] == begun["upload"]
    assert again["resumed"]
    assert sorted(again["missing"]) == sorted(hashes[2:])
    mallory = sign_in(app.test_client(), people["stranger_mallory"])
    rest = {"piece": [(io.BytesIO(content), "piece") for content in files[2:]]}
    assert mallory.post(begun["pieces"], data=rest).status_code == 404
    rest = {"piece": [(io.BytesIO(content), "piece") for content in files[2:]]}
    assert alice.post(begun["pieces"], data=rest).get_json() == {"missing": 0}
    assert alice.post(begun["seal"]).get_json() == {"address": begun["address"]}
    run_in_full(UUID(begun["upload"]))
    assert "Listed" in page_of(alice, begun["address"])
    for path in ("", "/progress", "/rows.csv", "/corrections.csv"):
        assert mallory.get(begun["address"] + path).status_code == 404


@pytest.mark.parametrize("body", [
    b"", b"[]", b"{", b'{"files": 3}', b'{"files": [3]}', b'{"files": [{}]}', b"[" * 100_000, b"\xff",
    b'{"files": [{"name": "a", "size": -1, "pieces": []}]}', b'{"files": [{"name": "a", "size": 1, "pieces": ["x"]}]}',
    b'{"files": [{"name": "\\ud800", "size": 1, "pieces": []}], "terms": 5}',
    b'{"files": [{"name": "a", "size": 99999999999999999999, "pieces": []}]}',
])  # fmt: skip
def test_a_crooked_announcement_is_refused_in_words(alice: FlaskClient, body: bytes) -> None:
    answer = alice.post("/seller/bulk/begin", data=body, content_type="application/json")
    assert answer.status_code == 422
    assert answer.get_json()["problems"][0]["words"]


def test_what_a_row_needs_is_entered_in_it_or_in_a_csv(alice: FlaskClient, today: date) -> None:
    one, two, three = papers(3, today)
    address = read(alice, {"a.xml": ubl(one.but(buyer_id="")), "b.xml": ubl(two.but(buyer_id="")), "c.xml": ubl(three)})
    page = page_of(alice, address)
    assert "2 rows need something" in page
    assert 'id="r1-debtor_legal_id"' in page
    answer = alice.post(f"{address}/rows/1", data={"due_on": "soon", "debtor_legal_id": "08100000"})
    assert answer.status_code == 422
    answer = alice.post(f"{address}/rows/1?show=open", data={"debtor_legal_id": "08100000"})
    assert answer.status_code == 303
    assert "show=open" in answer.headers["Location"]
    run_in_full(UUID(address.rsplit("/", 1)[1]))
    sheet = alice.get(f"{address}/corrections.csv").get_data(as_text=True)
    lines = sheet.splitlines()
    assert lines[0].lstrip("\ufeff").startswith("row,file,why,number")
    assert len(lines) == 2
    cells = lines[1].split(",")
    assert cells[0] == "2"
    position = lines[0].split(",").index("debtor_legal_id")
    fixed = lines[1].rsplit(",", len(lines[0].split(",")) - position)
    fixed[1] = "08100001"
    sent = "\n".join([lines[0], ",".join(fixed), "77,x,,,,,,,,,,,nobody,,,,,,"])
    answer = alice.post(f"{address}/corrections", data={"corrections": (io.BytesIO(sent.encode()), "c.csv")})
    assert answer.status_code == 303, answer.get_data(as_text=True)
    run_in_full(UUID(address.rsplit("/", 1)[1]))
    assert "List the 3 that are ready" in page_of(alice, address)
    for wrong in (b"", b"a,b\n1,2", b"row,due_on\n1,soon\n", b"\xff\xfe\xff"):
        answer = alice.post(f"{address}/corrections", data={"corrections": (io.BytesIO(wrong), "c.csv")})
        assert answer.status_code == 422
    assert alice.post(f"{address}/corrections").status_code == 422


def test_results_download_as_a_csv_that_is_no_formula(alice: FlaskClient, today: date) -> None:
    one = papers(1, today)[0]
    address = read(alice, {"=cmd.xml": ubl(one.but(number="=1+1")), "b.txt": b"nothing"})
    sheet = alice.get(f"{address}/rows.csv").get_data(as_text=True)
    assert "'=cmd.xml" in sheet
    assert "'=1+1" in sheet
    assert "neither an XML invoice nor a PDF" in sheet
    header = alice.get("/seller/bulk/template.csv").get_data(as_text=True)
    assert header.lstrip("\ufeff").startswith("file,number,document_type,currency")


def test_a_page_of_many_rows_takes_few_statements(alice: FlaskClient, today: date) -> None:
    address = read(alice, {"june.zip": zipped(files_of(papers(70, today)))})
    seen: list[str] = []

    def note(*args: Any) -> None:
        seen.append(args[2])

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        page = page_of(alice, address)
        full = len(seen)
        assert "Page 1 of 2" in page
        assert "TPC-31000.xml" in page_of(alice, f"{address}?q=tpc-31000")
        assert "None fits" in page_of(alice, f"{address}?q=nobody%25")
        assert page_of(alice, f"{address}?page=99&show=nonsense").count("<tr id=") == 20
        seen.clear()
        page_of(alice, f"{address}?q=tpc-31000")
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    assert len(seen) - 1 <= full <= 16, seen


def test_an_upload_is_dropped_or_left(alice: FlaskClient, today: date) -> None:
    begun = alice.post(
        "/seller/bulk/begin", json={"files": [{"name": "a", "size": 1, "pieces": ["0" * 64]}]}
    ).get_json()
    assert alice.post(f"{begun['address']}/drop").status_code == 303
    assert "Dropped" in page_of(alice, begun["address"])
    assert alice.post(f"{begun['address']}/drop").status_code == 409
    address = read(alice, files_of(papers(2, today)))
    assert alice.post(f"{address}/leave").status_code == 303
    page = page_of(alice, address)
    assert "2 rows were left" in page
    assert alice.post(f"{address}/list").status_code == 409
    assert "No draft waits" in page_of(alice, "/seller/new")


def test_drafts_of_an_upload_do_not_crowd_the_sellers_own(alice: FlaskClient, today: date) -> None:
    read(alice, files_of(papers(2, today)))
    assert "No draft waits" in page_of(alice, "/seller/new")


def test_more_than_an_upload_may_hold_is_refused_before_it_is_read(make_app: Callable[..., Flask]) -> None:
    table = read_policy()
    app = make_app(policy_table={**table, "bulk": {**table["bulk"], "bytes_max": 100_000}})
    alice = sign_in(app.test_client(), register(app)["seller_alice"])
    status, _, page = posted(alice, {"a.zip": b"x" * 2_000_000})
    assert status == 413
    assert "At most 1 MB" in page
    said = {"files": [{"name": "a", "size": 200_000, "pieces": ["0" * 64]}]}
    answer = alice.post("/seller/bulk/begin", data=json.dumps(said), content_type="application/json")
    assert answer.status_code == 422
