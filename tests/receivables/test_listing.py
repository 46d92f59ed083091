"""Listing: what is read, what is refused with every reason, and what can be listed only once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from threading import Barrier, BrokenBarrierError
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from marketplace.db import db, let_go
from marketplace.kernel.errors import Conflict, InvalidInput, NotFound, RuleBroken
from marketplace.perform import perform
from marketplace.receivables import actions, listing, queries
from marketplace.receivables.facts import InvoiceFacts
from marketplace.receivables.schemas import DraftReceivable, ListReceivable, WithdrawReceivable
from tests.people import PersonOfTheTests
from tests.receivables.conftest import told_of
from tests.receivables.invoices import Paper, cii, ubl
from tests.support import do

People = dict[str, PersonOfTheTests]
Listed = Callable[..., dict[str, Any]]


def count(table: str) -> int:
    with db.engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_a_sound_invoice_waits_for_its_debtor_and_the_debtor_gets_a_letter(listed: Listed, invoice: Paper) -> None:
    made = listed(invoice)
    assert made["state"] == "awaiting_confirmation"
    found = queries.receivable(db.session(), UUID(made["receivable_id"]))
    assert found.ref == made["ref"]
    assert (found.face_minor, found.currency, found.number) == (4_860_000, "GBP", "TPC-20418")
    letters = queries.outgoing_mail(db.session(), found.id)
    assert [letter.kind for letter in letters] == ["confirm"]
    assert "/d/" in letters[0].body


def test_a_draft_keeps_the_document_byte_for_byte(drafted: Listed, invoice: Paper) -> None:
    made = drafted(ubl(invoice), filename="../../etc/TPC-20418.xml")
    document = queries.document(db.session(), UUID(made["document_id"]))
    assert document.filename == "TPC-20418.xml"
    assert queries.content(db.session(), document.id) == ubl(invoice)


def test_the_same_invoice_in_another_format_is_refused_naming_the_first(listed: Listed, invoice: Paper) -> None:
    first = listed(invoice)
    with pytest.raises(Conflict) as refusal:
        listed(cii(invoice))
    assert refusal.value.code == "already_listed"
    assert first["ref"] in refusal.value.said()


@pytest.mark.parametrize("number", ["tpc 20418", "TPC20418", "TPC/20418", "ТРС-20418", "TPC_20418"])
def test_a_cosmetic_change_of_the_number_is_refused(listed: Listed, invoice: Paper, number: str) -> None:
    listed(invoice)
    with pytest.raises(Conflict, match="already_listed"):
        listed(invoice.but(number=number))


def test_a_penny_more_and_another_date_make_no_new_invoice(listed: Listed, invoice: Paper) -> None:
    listed(invoice)
    with pytest.raises(Conflict, match="already_listed"):
        listed(invoice.but(pounds=48_601, due=invoice.due + timedelta(days=3)))


def test_withdrawing_does_not_free_the_number(listed: Listed, invoice: Paper, people: People) -> None:
    first = listed(invoice)
    command = WithdrawReceivable(UUID(first["receivable_id"]), "changed our mind")
    perform(actions.withdraw_receivable, command, people["seller_alice"].actor)
    with pytest.raises(Conflict, match="already_listed"):
        listed(invoice)


def test_two_sellers_may_use_the_same_number(listed: Listed, invoice: Paper) -> None:
    listed(invoice)
    other = listed(
        invoice.but(seller="Mallory Trading Ltd", seller_id="07100006", buyer="Osprey Ltd", buyer_id="07714422",
                    pounds=12_300, goods="Fasteners", order="PO-7"),
        "stranger_mallory",
    )  # fmt: skip
    assert other["state"] == "awaiting_confirmation"


def test_somebody_elses_invoice_cannot_be_listed(listed: Listed, invoice: Paper) -> None:
    with pytest.raises(RuleBroken) as refusal:
        listed(invoice, "stranger_mallory")
    assert "seller_is_you" in {problem.rule for problem in refusal.value.problems}


def test_every_reason_is_told_at_once(listed: Listed, invoice: Paper) -> None:
    with pytest.raises(RuleBroken) as refusal:
        listed(invoice.but(due=invoice.issued + timedelta(days=2), currency="SEK", buyer_id="07100001"))
    rules = {problem.rule for problem in refusal.value.problems}
    assert {"overdue", "currency", "debtor_is_seller"} <= rules
    assert count("receivable") == 0


@pytest.mark.parametrize(("days", "rule"), [(14, "tenor"), (181, "tenor"), (-1, "overdue")])
def test_too_short_too_long_and_overdue_are_refused(listed: Listed, invoice: Paper, days: int, rule: str) -> None:
    with pytest.raises(RuleBroken) as refusal:
        listed(invoice.but(due=invoice.issued + timedelta(days=7 + days), issued=invoice.issued))
    assert rule in {problem.rule for problem in refusal.value.problems}


@pytest.mark.parametrize("days", [15, 180])
def test_the_shortest_and_the_longest_term_are_listed(listed: Listed, invoice: Paper, days: int) -> None:
    assert listed(invoice.but(due=invoice.issued + timedelta(days=7 + days)))["ref"].startswith("DB-")


def test_a_credit_note_is_refused_and_nothing_is_kept(drafted: Listed, invoice: Paper) -> None:
    events = count("event")
    with pytest.raises(RuleBroken) as refusal:
        drafted(ubl(invoice.but(type_code="381")))
    assert refusal.value.code == "document_refused"
    assert refusal.value.problems
    assert (count("draft"), count("document"), count("event")) == (0, 0, events)


@pytest.mark.parametrize("content", [b"", b"hello", b"<html></html>", b"%PDF-1.4 nonsense",
                                     b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>"])  # fmt: skip
def test_what_is_no_invoice_is_refused_and_nothing_is_kept(drafted: Listed, content: bytes) -> None:
    with pytest.raises(InvalidInput):
        drafted(content)
    assert (count("draft"), count("document")) == (0, 0)


def test_another_payee_is_held_as_outside_evidence(listed: Listed, invoice: Paper) -> None:
    made = listed(invoice.but(payee="Quick Factors Ltd"))
    assert made["state"] == "held_for_review"
    review = queries.open_review(db.session(), UUID(made["receivable_id"]))
    assert review is not None
    assert review.cause == "outside_evidence"


def test_changing_what_the_invoice_says_is_held_with_the_difference(listed: Listed, invoice: Paper) -> None:
    made = listed(invoice, corrections={"due_on": invoice.due + timedelta(days=5)})
    assert made["state"] == "held_for_review"
    review = queries.open_review(db.session(), UUID(made["receivable_id"]))
    assert review is not None
    assert review.findings["changed"][0]["name"] == "due_on"


def test_the_same_goods_under_a_number_that_reads_alike_are_held(listed: Listed, invoice: Paper) -> None:
    first = listed(invoice.but(number="TPC-2O418"))
    made = listed(invoice.but(number="TPC-20418"))
    assert made["state"] == "held_for_review"
    review = queries.open_review(db.session(), UUID(made["receivable_id"]))
    assert review is not None
    assert [match["receivable_id"] for match in review.matches] == [first["receivable_id"]]


def test_two_that_look_alike_listed_at_once_do_not_slip_past_each_other(
    drafted: Listed, listed: Listed, invoice: Paper, people: People, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(invoice.but(number="A-1", pounds=1_000, goods="Bolts", order="PO-9"))  # so that the debtor is known
    drafts = [UUID(drafted(ubl(invoice.but(number=number)))["draft_id"]) for number in ("TPC-2O418", "TPC-20418")]
    both, register = Barrier(2), listing._register

    def judged_and_not_committed(*args: Any) -> None:
        with suppress(BrokenBarrierError):  # broken when the other one waits for this one, as it should
            both.wait(1)
        register(*args)

    monkeypatch.setattr(listing, "_register", judged_and_not_committed)

    def list_it(draft_id: UUID) -> str:
        with app.app_context():
            made = perform(actions.list_receivable, ListReceivable(draft_id), people["seller_alice"].actor)
            return str(made["state"])

    with ThreadPoolExecutor(2) as sellers:
        assert sorted(sellers.map(list_it, drafts)) == ["awaiting_confirmation", "held_for_review"]


def test_the_same_number_in_another_currency_is_held(listed: Listed, invoice: Paper) -> None:
    listed(invoice)
    made = listed(invoice.but(currency="EUR", pounds=55_000, goods="Rings", order="PO-1"))
    assert made["held_for"] == ["near_match"]


def test_a_typed_invoice_is_held_until_an_operator_saw_the_paper(people: People, invoice: Paper) -> None:
    alice = people["seller_alice"].actor
    facts = InvoiceFacts(number="T-1", currency="GBP", issued_on=invoice.issued, due_on=invoice.due,
                         debtor_name="Kestrel Aerospace UK Ltd", debtor_legal_id="07714421", debtor_country="GB",
                         face_minor=100_000, total_minor=100_000)  # fmt: skip
    draft = perform(actions.draft_receivable, DraftReceivable(facts=facts), alice)
    made = perform(actions.list_receivable, ListReceivable(UUID(draft["draft_id"])), alice)
    assert made["state"] == "held_for_review"


def test_a_draft_is_its_sellers_alone_and_is_listed_once(drafted: Listed, people: People, invoice: Paper) -> None:
    command = ListReceivable(UUID(drafted(ubl(invoice))["draft_id"]))
    with pytest.raises(NotFound):
        perform(actions.list_receivable, command, people["stranger_mallory"].actor)
    perform(actions.list_receivable, command, people["seller_alice"].actor)
    with pytest.raises(Conflict, match="draft_listed"):
        perform(actions.list_receivable, command, people["seller_alice"].actor)


def test_impossible_terms_are_refused_with_each_reason(listed: Listed, invoice: Paper) -> None:
    with pytest.raises(RuleBroken) as refusal:
        listed(invoice, deal_type="outright", recourse="full", reserve_bps=6_000, own_rate_bps=7_000)
    rules = {problem.rule for problem in refusal.value.problems}
    assert rules == {"outright_without_recourse", "reserve_too_high", "own_rate_above_reserve"}


@pytest.mark.parametrize("change", ["face_minor = face_minor + 1", "number = 'X'", "seller_id = debtor_id",
                                    "due_on = due_on + 1", "state = 'funded'"])  # fmt: skip
def test_the_database_refuses_to_change_what_was_listed(listed: Listed, invoice: Paper, change: str) -> None:
    made = listed(invoice)
    with pytest.raises(DBAPIError), db.engine.begin() as connection:
        connection.execute(text(f"UPDATE receivable SET {change} WHERE id = :id"), {"id": made["receivable_id"]})


def test_a_kept_document_cannot_be_changed(drafted: Listed, invoice: Paper) -> None:
    drafted(ubl(invoice))
    with pytest.raises(DBAPIError), db.engine.begin() as connection:
        connection.execute(text("UPDATE document SET filename = 'other.xml'"))


def test_terms_of_the_market_fill_what_the_seller_left_open(listed: Listed, invoice: Paper) -> None:
    found = queries.receivable(db.session(), UUID(listed(invoice)["receivable_id"]))
    assert (found.min_share_bps, found.price_rule, found.deal_type) == (8_000, "uniform", "advance")
    assert found.expected_on >= found.due_on


def test_of_two_listings_of_one_invoice_at_once_only_one_wins(
    app: Flask, drafted: Listed, people: People, invoice: Paper
) -> None:
    alice = people["seller_alice"].actor
    drafts = [UUID(drafted(content)["draft_id"]) for content in (ubl(invoice), cii(invoice), ubl(invoice))]
    ready = Barrier(len(drafts))

    def race(draft_id: UUID) -> str:
        with app.app_context():
            ready.wait()
            try:
                return str(perform(actions.list_receivable, ListReceivable(draft_id), alice)["state"])
            except Conflict as error:
                return error.code

    with ThreadPoolExecutor(len(drafts)) as pool:
        ends = sorted(pool.map(race, drafts))
    assert ends == ["already_listed", "already_listed", "awaiting_confirmation"]
    assert count("title") == 1
    assert count("receivable") == 1


def test_the_web_role_alone_can_list_and_the_worker_role_alone_can_let_it_lapse(
    make_app: Callable[..., Flask], people: People, invoice: Paper
) -> None:
    alice = people["seller_alice"].actor
    with make_app(role="duebill_web").app_context():
        draft = perform(actions.draft_receivable, DraftReceivable("i.xml", ubl(invoice)), alice)
        made = perform(actions.list_receivable, ListReceivable(UUID(draft["draft_id"])), alice)
        let_go()
    with make_app(role="duebill_worker").app_context():
        receivable_id = UUID(made["receivable_id"])
        told_of(receivable_id, people["investor_bob"].organisation_id)
        do(lambda tx: actions.move(tx, receivable_id, "expired", "test").state)
        assert actions.run_expiry() == 0
        let_go()
