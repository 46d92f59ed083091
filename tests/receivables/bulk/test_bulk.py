"""Bulk uploads: sent in any order, unpacked once, each row by itself, nothing doubled whatever happens."""

import os
from collections.abc import Callable
from datetime import date
from uuid import UUID

import pytest
from flask import Flask, current_app
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from marketplace.db import db
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import Conflict, InvalidInput, NotFound, RuleBroken
from marketplace.parties.actions import suspend_user
from marketplace.parties.schemas import SuspendUser
from marketplace.perform import perform
from marketplace.receivables import actions
from marketplace.receivables.bulk import actions as bulk
from marketplace.receivables.bulk import queries as bulk_queries
from marketplace.receivables.bulk.csv_reading import parse_cells
from marketplace.receivables.bulk.noting import unpack_bulk_upload
from marketplace.receivables.bulk.schemas import (
    Announced,
    BeginBulkUpload,
    CorrectBulkRows,
    Correction,
    KeepBulkPieces,
    ListBulkRows,
    OfBulkUpload,
)
from marketplace.receivables.bulk.unpacking import unpack
from marketplace.receivables.bulk.work import run_in_full, to_work, work_off
from marketplace.receivables.schemas import ListReceivable, Terms
from tests.receivables.bulk.bulks import (
    begin,
    counts,
    files_of,
    list_ready,
    papers,
    rows,
    sealed,
    send,
    state,
    why,
    worked,
    zipped,
)
from tests.receivables.conftest import People
from tests.receivables.invoices import Paper, cii, ubl
from tests.receivables.papers import plain_pdf
from tests.support import SYSTEM


@pytest.fixture
def alice(people: People, context: Flask) -> Actor:
    return people["seller_alice"].actor


def scalar(statement: str) -> int:
    with db.engine.connect() as connection:
        return int(connection.execute(text(statement)).scalar_one())


def test_a_zip_is_read_previewed_and_listed_row_by_row(alice: Actor, today: date) -> None:
    files = files_of(papers(12, today))
    files["credit.xml"] = ubl(papers(1, today, 50)[0].but(type_code="381"))
    files["notes.txt"] = b"please see attached"
    files["again.xml"] = files["TPC-31000.xml"]
    files["nameless.xml"] = ubl(papers(1, today, 51)[0].but(buyer_id=""))
    upload_id = worked(alice, {"june.zip": zipped(files)})
    assert state(upload_id) == "waiting"
    assert counts(upload_id) == {"ready": 12, "refused": 2, "known": 1, "needs": 1}
    assert scalar("SELECT count(*) FROM receivable") == 0
    found = {row.label: row for row in rows(upload_id)}
    assert "credit note" in why(found["credit.xml"])
    assert "neither" in why(found["notes.txt"])
    assert "same file as row 1" in why(found["again.xml"])
    assert "company number" in why(found["nameless.xml"])
    list_ready(alice, upload_id, deal_type="outright", recourse="none")
    assert counts(upload_id) == {"listed": 12, "refused": 2, "known": 1, "needs": 1}
    assert scalar("SELECT count(*) FROM receivable WHERE deal_type = 'outright'") == 12
    assert all(row.ref and row.ref.startswith("DB-") for row in rows(upload_id) if row.state == "listed")


def test_sent_again_nothing_is_doubled_and_each_row_names_its_listing(alice: Actor, today: date) -> None:
    files = {"june.zip": zipped(files_of(papers(8, today)))}
    first = worked(alice, files, list_as_read=True)
    assert state(first) == "done"
    refs = [row.ref for row in rows(first)]
    second = worked(alice, files, list_as_read=True)
    assert first != second
    assert counts(second) == {"known": 8}
    assert [f"already listed as {ref}" in why(row) for row, ref in zip(rows(second), refs, strict=True)] == [True] * 8
    assert scalar("SELECT count(*) FROM receivable") == 8


def test_one_invoice_in_two_files_is_one_listing(alice: Actor, today: date) -> None:
    one = papers(1, today)[0]
    upload_id = worked(alice, {"a.xml": ubl(one), "b.xml": cii(one), "c.xml": ubl(one.but(number="tpc 31000"))},
                       list_as_read=True)  # fmt: skip
    assert scalar("SELECT count(*) FROM receivable") == 1
    assert counts(upload_id) == {"listed": 1, "known": 2}


def test_an_interrupted_upload_goes_on_with_what_is_missing(alice: Actor, today: date) -> None:
    files = files_of(papers(6, today))
    begun = begin(alice, files)
    upload_id = UUID(begun["upload_id"])
    assert len(begun["missing"]) == 6
    half = dict(list(files.items())[:3])
    send(alice, upload_id, half)
    send(alice, upload_id, half)
    with pytest.raises(Conflict, match="pieces_missing"):
        perform(bulk.seal_bulk_upload, OfBulkUpload(upload_id), alice)
    backwards = dict(reversed(files.items()))
    again = begin(alice, backwards)
    assert (again["upload_id"], again["resumed"], len(again["missing"])) == (begun["upload_id"], True, 3)
    send(alice, upload_id, files)
    perform(bulk.seal_bulk_upload, OfBulkUpload(upload_id), alice)
    run_in_full(upload_id)
    assert counts(upload_id) == {"ready": 6}
    assert scalar("SELECT count(*) FROM bulk_upload") == 1


def test_a_file_of_several_pieces_is_put_together_again(alice: Actor, today: date) -> None:
    files = {**files_of(papers(3, today)), "noise.bin": os.urandom(9_000_000)}
    upload_id = worked(alice, {"large.zip": zipped(files)})
    assert scalar("SELECT count(*) FROM bulk_piece") == 3
    assert counts(upload_id) == {"ready": 3, "refused": 1}


def test_what_nobody_announced_is_not_kept_and_what_is_announced_wrongly_is_refused(alice: Actor) -> None:
    upload_id = UUID(begin(alice, {"a.xml": b"<a/>"})["upload_id"])
    with pytest.raises(InvalidInput, match="unknown_piece"):
        perform(bulk.keep_bulk_pieces, KeepBulkPieces(upload_id, (b"<b/>",)), alice)
    with pytest.raises(InvalidInput):
        perform(bulk.begin_bulk_upload, BeginBulkUpload(()), alice)
    huge = Announced("a", 300_000_000, ("0" * 64,) * 72)
    with pytest.raises(InvalidInput):
        perform(bulk.begin_bulk_upload, BeginBulkUpload((huge,)), alice)
    lying = Announced("a", 9, (Announced.of("a", b"<a/>").pieces[0],))
    other = UUID(perform(bulk.begin_bulk_upload, BeginBulkUpload((lying,)), alice)["upload_id"])
    send(alice, other, {"a": b"<a/>"})
    with pytest.raises(InvalidInput, match="pieces_do_not_fit"):
        perform(bulk.seal_bulk_upload, OfBulkUpload(other), alice)
    with pytest.raises(InvalidInput):
        begin(alice, {"b.xml": b"<b/>"}, terms=Terms(deal_type="outright", recourse="full"))


def test_another_seller_finds_nothing(alice: Actor, people: People, today: date) -> None:
    mallory = people["stranger_mallory"].actor
    files = files_of(papers(2, today))
    receiving, upload_id = UUID(begin(alice, {"x.xml": b"<x/>"})["upload_id"]), worked(alice, files)
    for verb, command in (
        (bulk.keep_bulk_pieces, KeepBulkPieces(receiving, (b"<x/>",))),
        (bulk.seal_bulk_upload, OfBulkUpload(receiving)),
        (bulk.drop_bulk_upload, OfBulkUpload(receiving)),
        (bulk.correct_bulk_rows, CorrectBulkRows(upload_id, (Correction(1, {}),))),
        (bulk.list_bulk_rows, ListBulkRows(upload_id)),
        (bulk.leave_bulk_rows, OfBulkUpload(upload_id)),
    ):
        with pytest.raises(NotFound):
            perform(verb, command, mallory)
    assert begin(mallory, {"x.xml": b"<x/>"})["upload_id"] != str(receiving)
    assert [one.id for one in bulk_queries.uploads(db.session(), alice.organisation_id)] == [upload_id, receiving]
    refused = worked(mallory, files)
    assert counts(refused) == {"refused": 2}, "the seller on the invoice is somebody else"


def test_a_csv_alone_is_typed_and_held_for_a_look(alice: Actor, today: date) -> None:
    sheet = (
        "number;currency;issued_on;due_on;amount_due;total;debtor_name;debtor_legal_id;debtor_country;colour\r\n"
        f"K-1;GBP;{today};{_in(today, 60)};1.234,50;1.234,50;Kestrel Aerospace UK Ltd;07714421;GB;red\r\n"
        f"K-2;GBP;{today};{_in(today, 60)};1,234;;Kestrel Aerospace UK Ltd;07714421;GB;\r\n"
        f"K-3;GBP;02/10/2026;{_in(today, 60)};99;;Kestrel Aerospace UK Ltd;;GB;\r\n"
        f"K-1;GBP;{today};{_in(today, 60)};1.234,50;;Kestrel Aerospace UK Ltd;07714421;GB;\r\n"
    )
    upload_id = worked(alice, {"lines.csv": sheet.encode("utf-16")})
    found = rows(upload_id)
    assert [row.state for row in found] == ["ready", "needs", "needs", "known"]
    assert found[0].face_minor == 123_450
    assert "thousands or as a fraction" in why(found[1])
    assert [problem.field for problem in found[1].problems] == ["face_minor"]
    assert {problem.field for problem in found[2].problems} >= {"issued_on", "debtor_legal_id"}
    assert "row 1" in why(found[3])
    assert "colour" in bulk_queries.upload(db.session(), upload_id).notes[0].said()
    values, problems = parse_cells({"amount_due": "1234.00", "currency": "GBP"})
    assert not problems
    perform(bulk.correct_bulk_rows, CorrectBulkRows(upload_id, (Correction(2, values),)), alice)
    run_in_full(upload_id)
    assert [row.state for row in rows(upload_id)] == ["ready", "ready", "needs", "known"]
    list_ready(alice, upload_id)
    assert counts(upload_id) == {"held": 2, "needs": 1, "known": 1}
    perform(bulk.leave_bulk_rows, OfBulkUpload(upload_id), alice)
    assert state(upload_id) == "done"
    assert counts(upload_id) == {"held": 2, "left": 1, "known": 1}
    assert scalar("SELECT count(*) FROM draft WHERE listed_at IS NULL AND dropped_at IS NULL") == 0


def _in(today: date, days: int) -> date:
    return date.fromordinal(today.toordinal() + days)


def test_a_csv_with_files_adds_what_the_files_do_not_say(alice: Actor, today: date) -> None:
    one, two, three = papers(3, today)
    sheet = (
        "file,number,currency,issued_on,due_on,amount_due,debtor_name,debtor_legal_id,debtor_country,debtor_email\n"
        "one.xml,,,,,,,,,ap@customer.example\n"
        f"paper.pdf,P-7,GBP,{today},{_in(today, 50)},500.00,Merlin Ltd,07714425,GB,\n"
        "absent.pdf,P-8,GBP,,,,,,,\n"
        "one.xml,,,,,,,,,\n"
        f"two.xml,,GBP,,,{two.pounds - 1}.00,,,,\n"
    )
    files = {"lines.csv": sheet.encode(), "in/one.xml": ubl(one), "in/two.xml": ubl(two), "three.xml": ubl(three),
             "paper.pdf": plain_pdf()}  # fmt: skip
    upload_id = worked(alice, {"all.zip": zipped(files)})
    found = rows(upload_id)
    assert [row.state for row in found] == ["ready", "ready", "refused", "refused", "ready", "ready"]
    assert "There is no file" in why(found[2])
    assert "Row 1 names" in why(found[3])
    list_ready(alice, upload_id)
    assert counts(upload_id) == {"listed": 2, "held": 2, "refused": 2}
    assert scalar("SELECT count(*) FROM receivable WHERE debtor_email = 'ap@customer.example'") == 1
    assert scalar("SELECT count(*) FROM receivable_document") == 1, "the paper is filed with what was typed"


def test_the_email_for_all_fills_what_no_file_says(alice: Actor, today: date) -> None:
    worked(alice, files_of(papers(2, today)), debtor_email="ap@example.com", list_as_read=True)
    assert scalar("SELECT count(*) FROM receivable WHERE debtor_email = 'ap@example.com'") == 2


def test_what_is_missing_is_entered_and_listed(alice: Actor, today: date, invoice: Paper) -> None:
    upload_id = worked(alice, {"a.xml": ubl(invoice.but(buyer_id=""))})
    assert counts(upload_id) == {"needs": 1}
    with pytest.raises(RuleBroken, match="nothing_ready"):
        perform(bulk.list_bulk_rows, ListBulkRows(upload_id), alice)
    perform(bulk.correct_bulk_rows, CorrectBulkRows(upload_id, (Correction(1, {"debtor_legal_id": "07714421"}),)),
            alice)  # fmt: skip
    run_in_full(upload_id)
    list_ready(alice, upload_id)
    assert counts(upload_id) == {"listed": 1}
    with pytest.raises(Conflict):
        perform(bulk.correct_bulk_rows, CorrectBulkRows(upload_id, (Correction(1, {}),)), alice)


def test_a_draft_listed_by_hand_meanwhile_is_that_rows_listing(alice: Actor, today: date) -> None:
    upload_id = worked(alice, files_of(papers(2, today)))
    first = rows(upload_id)[0]
    perform(actions.list_receivable, ListReceivable(first.draft_id), alice)
    list_ready(alice, upload_id)
    assert counts(upload_id) == {"listed": 2}
    assert rows(upload_id)[0].receivable_id == first.draft_id


def test_an_archive_that_cannot_be_used_refuses_the_upload_in_words(alice: Actor) -> None:
    for content, words in ((b"PK\x03\x04 cut off", "cut off"), (zipped({}), "no invoice"),
                           (b"Rar!\x1a\x07\x00rest", "no ZIP")):  # fmt: skip
        upload_id = worked(alice, {"a.zip": content})
        assert state(upload_id) == "refused"
        assert words in bulk_queries.upload(db.session(), upload_id).notes[0].said()


def test_too_many_rows_are_refused(alice: Actor) -> None:
    files = {f"{index}.xml": b"<a/>" + str(index).encode() for index in range(2_001)}
    upload_id = worked(alice, {"a.zip": zipped(files)})
    assert state(upload_id) == "refused"
    assert "2000 invoices" in bulk_queries.upload(db.session(), upload_id).notes[0].said()


def test_the_bytes_go_when_the_upload_is_over_and_an_old_one_is_dropped(
    alice: Actor, today: date, owner_engine: Engine
) -> None:
    worked(alice, files_of(papers(2, today)), list_as_read=True)
    begin(alice, {"x.xml": b"<x/>"})
    for upload_id in to_work(10):
        work_off(upload_id)
    assert scalar("SELECT count(*) FROM bulk_piece") == 0
    assert scalar("SELECT count(*) FROM bulk_upload WHERE state = 'receiving'") == 1
    with owner_engine.begin() as connection:
        connection.execute(text("UPDATE clock_shift SET shift = shift + interval '8 days'"))
    for upload_id in to_work(10):
        work_off(upload_id)
    assert scalar("SELECT count(*) FROM bulk_upload WHERE state = 'dropped'") == 1
    assert to_work(10) == []


def test_of_a_person_who_was_locked_out_nothing_is_listed(alice: Actor, people: People, today: date) -> None:
    upload_id = sealed(alice, files_of(papers(2, today)))
    assert to_work(10) == [upload_id]
    perform(suspend_user, SuspendUser(alice.user_id, "left"), Actor.system("test"))
    assert to_work(10) == []


def test_the_web_role_takes_them_in_and_the_worker_role_reads_and_lists_them(
    make_app: Callable[..., Flask], people: People, today: date
) -> None:
    alice, files = people["seller_alice"].actor, files_of(papers(3, today)) | {"b.txt": b"no invoice"}
    with make_app(role="duebill_web").app_context():
        upload_id = sealed(alice, {"june.zip": zipped(files)})
    with make_app(role="duebill_worker").app_context():
        run_in_full(upload_id)
    with make_app(role="duebill_web").app_context():
        perform(bulk.correct_bulk_rows, CorrectBulkRows(upload_id, (Correction(1, {}),)), alice)
    with make_app(role="duebill_worker").app_context():
        run_in_full(upload_id)
    with make_app(role="duebill_web").app_context():
        perform(bulk.list_bulk_rows, ListBulkRows(upload_id), alice)
    with make_app(role="duebill_worker").app_context():
        run_in_full(upload_id)
        assert counts(upload_id) == {"listed": 3, "refused": 1}
        for one in to_work(10):
            work_off(one)
        assert scalar("SELECT count(*) FROM bulk_piece") == 0


@pytest.mark.parametrize("change", ["position = 9", "state = 'listed'", "state = 'left'", "given = '{\"a\": 1}'",
                                    "same_as = 1", "sha256 = NULL"])  # fmt: skip
def test_the_database_refuses_what_no_row_may_do(alice: Actor, today: date, owner_engine: Engine, change: str) -> None:
    sealed_id = sealed(alice, files_of(papers(1, today)))
    policy = current_app.extensions["duebill"].policy
    perform(unpack_bulk_upload, unpack(db.session(), OfBulkUpload(sealed_id), policy), SYSTEM)
    db.session.rollback()
    with pytest.raises(DBAPIError), owner_engine.begin() as connection:
        connection.execute(text(f"UPDATE bulk_row SET {change}"))
