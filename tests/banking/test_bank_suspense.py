"""Money that a bank file told of and nothing matched is worked off item by item, by two people, to the penny."""

from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from marketplace.db import db
from marketplace.jobs.runner import run_job
from marketplace.jobs.schedule import job
from marketplace.kernel.errors import MarketplaceError, RuleBroken
from marketplace.payments import bank_payouts
from marketplace.payments.queries import open_alerts
from marketplace.perform import perform
from marketplace.servicing import bank_suspense, suspense
from marketplace.servicing.bank_desk import propose_bank_suspense
from marketplace.servicing.bank_desk_schemas import ProposeBankSuspense
from marketplace.servicing.decision_schemas import DecideMoney, ProposeSuspense
from marketplace.servicing.decisions import decide_money, propose_suspense
from tests import lives
from tests.banking.files import OTHER, camt, entry
from tests.banking.test_payout_files import WHY, by_two, file_of, proposed, state
from tests.banking.test_taking import held, rf, sound, take
from tests.trading.world import World
from tests.web.test_operator import visitor

SENDER = ("Kestrel Foods", OTHER)


def left() -> list[bank_suspense.BankItem]:
    db.session.rollback()
    return bank_suspense.items(db.session())


def work(
    item: bank_suspense.BankItem, decision: str, minor: int, receivable: UUID | None = None
) -> ProposeBankSuspense:
    return ProposeBankSuspense(item.bank_entry_id, decision, minor, receivable, WHY)


def test_an_item_is_applied_in_part_and_the_rest_goes_back_to_its_sender(bank: World) -> None:
    receivable_id = lives.funded(bank)
    take(camt(entry("A", "500.00", sender=SENDER, text="for INV-1"), entry("B", "1.00", on="2026-11-01")))
    oldest, item = left()
    assert oldest.days - item.days == 19
    assert (item.left_minor, item.sender_name, item.sender_iban, item.words) == (50_000, *SENDER, "for INV-1")
    by_two(propose_bank_suspense, work(item, "apply", 48_600, receivable_id), bank)
    assert run_job(job("apply_payments")) == 1
    assert lives.collection(receivable_id).state == "paid_in_part"
    assert [one.left_minor for one in left()] == [100, 1_400]
    by_two(propose_bank_suspense, work(item, "return", 1_400), bank)
    db.session.rollback()
    (waiting,) = bank_payouts.waiting(db.session())
    assert (waiting.name, waiting.iban, waiting.minor, waiting.purpose) == (*SENDER, 1_400, "return")
    assert (held("suspense"), held("return_in_transit", owner=bank.id("olga"))) == (100, 1_400)
    file_of(bank, waiting.id)
    ours = [("EndToEndId", waiting.id.hex)]
    assert take(camt(entry("P", "14.00", into=False, names=ours), message="M-2"))["outcomes"] == {"paid_out": 1}
    assert held("return_in_transit", owner=bank.id("olga")) == 0
    assert [held(f"bank_{pool}") for pool in ("lender", "borrower", "platform")] == [48_600, 100, 0]
    back = entry("R", "14.00", names=ours, returned="AC04")
    assert take(camt(back, message="M-3"))["outcomes"] == {"came_back": 1}
    assert (state(waiting.id), [one.left_minor for one in left()]) == ("returned", [100, 1_400])
    assert sound()


def test_what_a_debtor_paid_too_much_by_the_bank_goes_back_by_the_bank(bank: World) -> None:
    receivable_id = lives.funded(bank)
    paid = take(camt(entry("A", "48700.00", rf=rf(receivable_id), sender=SENDER)))
    assert (paid["outcomes"], run_job(job("apply_payments"))) == ({"payment": 1}, 1)
    assert (held("suspense"), held("provider_platform")) == (10_000, 0)
    assert sum(held(f"bank_{pool}") for pool in ("lender", "borrower", "platform")) == 4_870_000
    db.session.rollback()
    payment_id = db.session.execute(text("SELECT payment_id FROM bank_entry")).scalar_one()
    by_two(propose_suspense, ProposeSuspense(payment_id, "return", 10_000, None, WHY), bank)
    db.session.rollback()
    (waiting,) = bank_payouts.waiting(db.session())
    assert (waiting.iban, waiting.minor, waiting.pool) == (OTHER, 10_000, "borrower")
    file_of(bank, waiting.id)
    debit = entry("P", "100.00", into=False, names=[("EndToEndId", waiting.id.hex)])
    assert take(camt(debit, message="M-2"))["outcomes"] == {"paid_out": 1}
    assert (held("suspense"), held("return_in_transit", owner=bank.id("kestrel"))) == (0, 0)
    assert sound()


def test_what_was_applied_and_is_too_much_goes_back_to_whom_the_bank_named(bank: World) -> None:
    receivable_id = lives.funded(bank)
    take(camt(entry("A", "48700.00", sender=SENDER)))
    (item,) = left()
    by_two(propose_bank_suspense, work(item, "apply", 4_870_000, receivable_id), bank)
    assert run_job(job("apply_payments")) == 1
    db.session.rollback()
    (excess,) = suspense.items(db.session())
    by_two(propose_suspense, ProposeSuspense(excess.payment_id, "return", 10_000, None, WHY), bank)
    db.session.rollback()
    (waiting,) = bank_payouts.waiting(db.session())
    assert (waiting.name, waiting.iban, waiting.minor) == (*SENDER, 10_000)


def test_what_cannot_be_done_with_an_item_is_named_and_two_cannot_take_it_twice(bank: World) -> None:
    receivable_id = lives.funded(bank)
    take(camt(entry("A", "5.00"), entry("B", "5.00", currency="EUR"), entry("C", "9.00", sender=SENDER)))
    items = {(one.currency, one.minor): one for one in left()}
    pounds, euros, sent = items["GBP", 500], items["EUR", 500], items["GBP", 900]
    for command, code in (
        (work(pounds, "return", 500), "sender_unknown"), (work(pounds, "apply", 501, receivable_id), "more_than_left"),
        (work(euros, "apply", 500, receivable_id), "not_owed_here"), (work(pounds, "apply", 500), "receivable_needed"),
        (work(pounds, "apply", 500, bank.id("bob")), "not_owed_here"),
        (ProposeBankSuspense(receivable_id, "return", 1, None, WHY), "not_found"),
    ):  # fmt: skip
        with pytest.raises(MarketplaceError) as refused:
            perform(propose_bank_suspense, command, bank.olga)
        assert refused.value.code == code
    back = proposed(propose_bank_suspense, work(sent, "return", 900), bank)
    by_two(propose_bank_suspense, work(sent, "apply", 100, receivable_id), bank)
    with pytest.raises(RuleBroken, match="more_than_left"):
        perform(decide_money, DecideMoney(back, True), bank.oscar)
    assert held("suspense") == 1_300


def test_money_worked_off_closes_its_call_and_another_proposal_about_it_hears_so(bank: World, app: Flask) -> None:
    receivable_id = lives.funded(bank)
    take(camt(entry("A", "9.00", sender=SENDER)))
    (item,) = left()
    back = proposed(propose_bank_suspense, work(item, "return", 900), bank)
    olga = visitor(app, bank, "olga")
    assert "minor £" not in olga.get("/operator/suspense").text
    assert "why no reference, amount £9.00" in olga.get("/operator/suspense").text
    by_two(propose_bank_suspense, work(item, "apply", 100, receivable_id), bank)
    assert [one.kind for one in alerts()] == ["bank_money_unmatched"]
    assert "£8.00 of it is left" in olga.get("/operator/bank").text
    db.session.rollback()
    by_two(propose_bank_suspense, work(item, "apply", 800, receivable_id), bank)
    assert alerts() == []
    page = olga.get("/operator/bank").text
    assert "worked off" in page
    assert page.count("in suspense") == 1  # what the file became when it was taken
    with pytest.raises(RuleBroken, match="worked_off"):
        perform(decide_money, DecideMoney(back, True), bank.oscar)


def alerts() -> list[Any]:
    db.session.rollback()
    return [one for one in open_alerts(db.session()) if one.kind.startswith("bank_money")]


def test_what_an_investor_or_a_seller_put_in_by_transfer_becomes_his_cash(bank: World) -> None:
    take(camt(entry("A", "500.00", text="for bidding"), entry("B", "20.00", text="for a buy-back")))
    lent, put_in = sorted(left(), key=lambda one: -one.minor)
    for item, who in ((lent, "bob"), (put_in, "alice")):
        command = ProposeBankSuspense(item.bank_entry_id, "fund", item.minor, None, WHY, bank.id(who))
        by_two(propose_bank_suspense, command, bank)
    assert (held("investor_cash", owner=bank.id("bob")), held("seller_cash", owner=bank.id("alice"))) == (50_000, 2_000)
    assert (held("suspense"), held("bank_lender"), held("bank_borrower"), left()) == (0, 50_000, 2_000, [])
    take(camt(entry("C", "1.00"), message="M-2"))
    (rest,) = left()
    for who, code in (("kestrel", "no_cash_account"), ("", "owner_needed")):
        command = ProposeBankSuspense(rest.bank_entry_id, "fund", 1, None, WHY, bank.id(who) if who else None)
        with pytest.raises(MarketplaceError) as refused:
            perform(propose_bank_suspense, command, bank.olga)
        assert refused.value.code == code
    assert sound()


def test_what_was_worked_off_is_not_undone_out_of_other_peoples_money(bank: World) -> None:
    receivable_id = lives.funded(bank)
    take(camt(entry("A", "5.00", names=[("EndToEndId", "E-7")]), entry("B", "9.00")))
    item = next(one for one in left() if one.minor == 500)
    by_two(propose_bank_suspense, work(item, "apply", 500, receivable_id), bank)
    reversal = entry("R", "5.00", into=False, reversal=True, names=[("EndToEndId", "E-7")])
    assert take(camt(reversal, message="M-2"))["outcomes"] == {"taken_back": 1}
    assert (held("suspense"), held("bank_unexplained")) == (900, 500)
    assert sound()


def test_the_page_shows_age_and_sender_and_proposes(bank: World, app: Flask) -> None:
    receivable_id = lives.funded(bank)
    take(camt(entry("A", "5.00", sender=SENDER, on="2026-11-01"), entry("B", "7.00")))
    olga = visitor(app, bank, "olga")
    page = olga.get("/operator/suspense").text
    for words in ("Kestrel Foods", OTHER, "came by the bank, nothing matched", "sender not told", "it can be applied"):
        assert words in page, words
    sent = next(one for one in left() if one.sender_iban)
    where = f"/operator/suspense/bank/{sent.bank_entry_id}"
    db.session.rollback()
    ref = db.session.execute(text("SELECT ref FROM receivable WHERE id = :id"), {"id": receivable_id}).scalar_one()
    form = {"amount": "5.00", "ref": ref, "reason": WHY, "decision": "apply"}
    for change, status in (({"ref": "DB-99-1"}, 422), ({"amount": "x"}, 422), ({"amount": "5.01"}, 422),
                           ({"decision": "keep"}, 422), ({"decision": "fund"}, 422), ({}, 303)):  # fmt: skip
        assert olga.post(where, data=form | change).status_code == status, change
    for change, field in (({"amount": "0"}, "amount"), ({"amount": "x"}, "amount"), ({"amount": "99"}, "amount"),
                          ({"ref": "DB-99-1"}, "ref"), ({"decision": "fund"}, "who"),
                          ({"decision": "x"}, "deed")):  # fmt: skip
        refused = olga.post(where, data=form | change).text
        assert f'id="{field if field == "deed" else f"{field}-{sent.bank_entry_id}"}-error"' in refused, change
    assert olga.post(f"/operator/suspense/bank/{receivable_id}", data=form).status_code == 404
    told = olga.get("/operator/ledger").text
    for words in ("Apply bank money from suspense", ref, "Kestrel Foods", OTHER, "2026-11-01"):
        assert words in told, words
    assert str(receivable_id) not in told


def test_what_the_bank_took_back_is_not_there_to_be_worked_off_any_more(bank: World) -> None:
    receivable_id = lives.funded(bank)
    take(camt(entry("A", "1.00", sender=SENDER, names=[("EndToEndId", "E-7")]), entry("B", "9.00")))
    item = next(one for one in left() if one.minor == 100)
    by_two(propose_bank_suspense, work(item, "apply", 40, receivable_id), bank)
    back = proposed(propose_bank_suspense, work(item, "return", 60), bank)
    reversal = entry("R", "1.00", into=False, reversal=True, names=[("EndToEndId", "E-7")])
    assert take(camt(reversal, message="M-2"))["outcomes"] == {"taken_back": 1}
    assert [one.minor for one in left()] == [900]
    with pytest.raises(RuleBroken, match="worked_off"):
        perform(decide_money, DecideMoney(back, True), bank.oscar)
    assert (held("suspense"), held("bank_unexplained"), held("bank_borrower")) == (900, 40, 900)
    assert sound()


def test_an_excess_that_the_bank_took_back_with_its_receipt_is_not_returned(bank: World) -> None:
    reference = rf(lives.funded(bank))
    take(camt(entry("A", "48700.00", rf=reference, sender=SENDER)))
    run_job(job("apply_payments"))
    db.session.rollback()
    assert [one.left_minor for one in suspense.items(db.session())] == [10_000]
    back = entry("R", "48700.00", into=False, reversal=True, names=[("AcctSvcrRef", "A")])
    assert take(camt(back, message="M-2"))["outcomes"] == {"taken_back": 1}
    db.session.rollback()
    assert suspense.items(db.session()) == []


def test_the_database_lets_nobody_work_off_more_than_there_is_or_give_back_alone(bank: World) -> None:
    take(camt(entry("A", "1.00", sender=SENDER), entry("B", "2.00")))
    item = next(one for one in left() if one.minor == 100)
    decision = proposed(propose_bank_suspense, work(item, "return", 100), bank)
    again = "UPDATE money_decision SET state = 'done', decided_by = %(oscar)s, decided_at = market_now()"
    lone = (
        "INSERT INTO payout (id, organisation_id, currency, amount_minor, purpose, subject_kind, subject_id, "
        "business_key, rail) SELECT %(id)s, id, 'GBP', 5, 'return', 'x', id, 'x', 'bank' FROM organisation LIMIT 1"
    )
    given = (
        "INSERT INTO entry (id, kind, subject_kind, subject_id, business_on) "
        "VALUES (%(id)s, 'return_returned', 'payout', %(id)s, '2026-11-23')"
    )
    facts = {"oscar": bank.oscar.user_id, "id": decision}
    for statements, rule in (
        (("UPDATE money_decision SET payload = payload || '{\"minor\": 101}'", again), "more is worked off"),
        ((lone, given), "neither the bank gave"),
    ):
        with bank.superuser() as owner, pytest.raises(psycopg.Error, match=rule):
            owner.execute(statements[0], facts)
            owner.execute("SET session_replication_role = origin")
            owner.execute(statements[1], facts)
            owner.execute(
                "SET CONSTRAINTS money_decision_worked_off_once, entry_payout_is_returned_for_cause IMMEDIATE"
            )
