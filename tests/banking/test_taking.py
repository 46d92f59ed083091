"""Bank files in the market: matched by reference or in suspense, reversed, repeated, out of order; nothing twice."""

import threading
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from psycopg.types.json import Jsonb
from sqlalchemy import text

from marketplace.audit.sequencer import sequence_events
from marketplace.banking.actions import TakeBankFile, take_bank_file
from marketplace.db import db
from marketplace.jobs.invariants import invariants
from marketplace.jobs.runner import run_job
from marketplace.jobs.schedule import job
from marketplace.kernel.errors import Conflict, InvalidInput, MarketplaceError, NotPermitted
from marketplace.ledger import queries as ledger
from marketplace.payments import bank_payouts
from marketplace.perform import perform
from marketplace.receivables.debtor.notice_text import creditor_reference
from tests import lives
from tests.banking.files import OTHER, camt, entry, part
from tests.support import SYSTEM
from tests.trading.world import World


def take(raw: bytes, actor: Any = SYSTEM) -> dict[str, Any]:
    done: dict[str, Any] = perform(take_bank_file, TakeBankFile("statement.xml", raw), actor)
    return done


def held(code: str, currency: str = "GBP", owner: UUID | None = None) -> int:
    db.session.rollback()
    return ledger.balance(db.session(), code, owner, currency).posted_minor


def rf(receivable_id: UUID) -> str:
    db.session.rollback()
    ref = db.session.execute(text("SELECT ref FROM receivable WHERE id = :id"), {"id": receivable_id}).scalar_one()
    return creditor_reference(ref).replace(" ", "")


def sound() -> bool:
    while sequence_events():
        pass
    db.session.rollback()
    return [one.name for one in invariants(db.session()) if not one.ok] == []


def test_a_debtors_transfer_finds_its_receivable_and_is_shared_out_once(bank: World) -> None:
    receivable_id = lives.funded(bank)
    raw = camt(entry("A1", "486.00", rf=rf(receivable_id)))
    assert take(raw)["outcomes"] == {"payment": 1}
    assert (held("bank_borrower"), held("debtor_receipts", owner=bank.id("kestrel"))) == (48_600, 48_600)
    assert run_job(job("apply_payments")) == 1
    assert lives.collection(receivable_id).state == "paid_in_part"
    with pytest.raises(Conflict) as again:
        take(raw)
    assert again.value.code == "file_known"
    assert run_job(job("apply_payments")) == 0
    # shared out to lenders, it lies at the bank as before, and is theirs there
    assert (held("bank_borrower"), held("bank_lender"), held("bank_unexplained")) == (0, 48_600, 0)
    assert held("provider_borrower") == 0
    assert sound()


def test_statement_and_notification_of_one_entry_book_it_once_in_any_order(bank: World) -> None:
    one = entry("A1", "10.00", rf=rf(lives.funded(bank)))
    assert take(camt(one, kind="camt.054", message="N-1"))["outcomes"] == {"payment": 1}
    both = take(camt(one, entry("A2", "3.00"), message="S-1"))
    assert (both["entries"], both["known"], both["outcomes"]) == (2, 1, {"suspense": 1})
    assert take(camt(entry("A2", "3.00"), kind="camt.054", message="N-2"))["known"] == 1
    assert held("bank_borrower") == 1_300


def test_a_bank_that_counts_its_entries_anew_each_day_is_not_taken_to_repeat_itself(bank: World) -> None:
    reference = rf(lives.funded(bank))
    friday, monday = (entry("", "10.00", rf=reference, number="1", on=on) for on in ("2026-11-20", "2026-11-23"))
    assert take(camt(friday, message="S-1"))["outcomes"] == {"payment": 1}
    assert take(camt(monday, kind="camt.054", message="N-2"))["outcomes"] == {"payment": 1}
    assert take(camt(monday, message="S-2"))["known"] == 1
    assert held("bank_borrower") == 2_000
    with pytest.raises(InvalidInput, match="entry_changed"):
        take(camt(entry("", "11.00", number="1", on="2026-11-23"), kind="camt.054", message="N-3"))
    with pytest.raises(InvalidInput, match="BookgDt"):
        take(camt(friday.replace("BookgDt", "ValDt"), message="S-3"))
    assert held("bank_borrower") == 2_000
    assert sound()


def test_one_id_with_other_bytes_and_one_entry_with_another_amount_are_refused(bank: World) -> None:
    take(camt(entry("A1", "10.00")))
    for raw, code in (
        (camt(entry("A2", "11.00")), "message_changed"),
        (camt(entry("A1", "11.00"), message="M-2"), "entry_changed"),
        (camt(entry("A1", "10.00", into=False), message="M-3"), "entry_changed"),
        (camt(entry("A9", "10.00"), iban=OTHER, message="M-4"), "not_our_account"),
    ):
        with pytest.raises(MarketplaceError) as refused:
            take(raw)
        assert refused.value.code == code
    assert (held("bank_borrower"), held("suspense")) == (1_000, 1_000)


def test_what_names_nothing_waits_in_suspense_and_a_person_is_told_why(bank: World) -> None:
    receivable_id = lives.funded(bank)
    known = rf(receivable_id)
    raw = camt(
        entry("A1", "1.00"), entry("A2", "2.00", rf=creditor_reference("DB-26-9999")),
        entry("A3", "3.00", rf=known[:-1] + "X"), entry("A4", "4.00", rf=known, currency="EUR"),
        entry("A5", "5.00", rf="RF18539007547034"),
    )  # fmt: skip
    assert take(raw)["outcomes"] == {"suspense": 5}
    assert (held("suspense"), held("suspense", "EUR"), held("bank_borrower", "EUR")) == (1_100, 400, 400)
    db.session.rollback()
    told = db.session.execute(text("SELECT facts->>'why' FROM payment_alert WHERE kind = 'bank_money_unmatched'"))
    assert sorted(why for (why,) in told) == [
        "no_reference", "no_reference", "unknown_reference", "unknown_reference", "wrong_currency",
    ]  # fmt: skip
    assert lives.collection(receivable_id).state == "due"
    assert sound()


def test_a_batch_goes_to_each_receivable(bank: World) -> None:
    first, second = lives.funded(bank), lives.funded(bank)
    raw = camt(entry("B", "30.00", parts=part("10.00", rf(first)) + part("20.00", rf(second))))
    assert take(raw)["outcomes"] == {"payment": 2}
    assert run_job(job("apply_payments")) == 2


def test_one_bad_entry_leaves_nothing_of_the_file(bank: World) -> None:
    with pytest.raises(InvalidInput):
        take(camt(entry("A1", "10.00"), entry("A2", "1.001")))
    db.session.rollback()
    assert db.session.execute(text("SELECT count(*) FROM bank_message")).scalar_one() == 0
    assert held("bank_borrower") == 0


# -- money taken back ---------------------------------------------------------------------------------------------


def test_a_receipt_taken_back_before_it_was_shared_out_is_undone(bank: World) -> None:
    take(camt(entry("A1", "10.00", rf=rf(lives.funded(bank)))))
    back = entry("R1", "10.00", into=False, reversal=True, names=[("AcctSvcrRef", "A1")])
    assert take(camt(back, message="M-2"))["outcomes"] == {"undone": 1}
    assert run_job(job("apply_payments")) == 0
    assert (held("bank_borrower"), held("bank_unexplained")) == (0, 0)
    assert held("debtor_receipts", owner=bank.id("kestrel")) == 0
    assert sound()


def test_a_receipt_taken_back_after_it_was_shared_out_is_for_a_person(bank: World) -> None:
    receivable_id = lives.funded(bank)
    reference = rf(receivable_id)
    take(camt(entry("A1", "10.00", rf=reference)))
    run_job(job("apply_payments"))
    back = camt(entry("R1", "10.00", into=False, reversal=True, rf=reference), message="M-2")
    assert take(back)["outcomes"] == {"taken_back": 1}
    assert (held("bank_borrower"), held("bank_lender"), held("bank_unexplained")) == (-1_000, 1_000, 1_000)
    db.session.rollback()
    told = db.session.execute(text("SELECT facts FROM payment_alert WHERE kind = 'bank_money_taken_back'")).scalar_one()
    assert told["receivable_id"] == str(receivable_id)
    assert bank_payouts.free_minor(db.session(), "GBP") == {"lender": 0, "borrower": -1_000}  # nothing lies there
    assert sound()


@pytest.mark.parametrize("named", [True, False])
def test_money_in_suspense_is_taken_back_from_there_if_it_is_named(bank: World, named: bool) -> None:
    take(camt(entry("A1", "10.00", names=[("EndToEndId", "E-7")])))
    names = [("EndToEndId", "E-7")] if named else []
    done = take(camt(entry("R1", "10.00", into=False, reversal=True, names=names), message="M-2"))
    assert done["outcomes"] == ({"undone": 1} if named else {"taken_back": 1})
    assert held("bank_borrower") == 0
    assert (held("suspense"), held("bank_unexplained")) == ((0, 0) if named else (1_000, 1_000))


def test_a_reversal_that_comes_before_what_it_reverses_is_matched_when_that_comes(bank: World) -> None:
    reference = rf(lives.funded(bank))
    back = entry("R1", "10.00", into=False, reversal=True, rf=reference)
    assert take(camt(back))["outcomes"] == {"taken_back": 1}
    assert take(camt(entry("A1", "10.00", rf=reference), message="M-2"))["outcomes"] == {"undone": 1}
    assert run_job(job("apply_payments")) == 0
    assert (held("bank_borrower"), held("bank_unexplained")) == (0, 0)
    # what comes after the pair is a payment like any other
    assert take(camt(entry("A2", "10.00", rf=reference), message="M-3"))["outcomes"] == {"payment": 1}


def test_which_of_two_like_receipts_was_taken_back_is_not_guessed(bank: World) -> None:
    reference = rf(lives.funded(bank))
    take(camt(entry("A1", "10.00", rf=reference), entry("A2", "10.00", rf=reference)))
    back = entry("R1", "10.00", into=False, reversal=True, rf=reference)
    assert take(camt(back, message="M-2"))["outcomes"] == {"taken_back": 1}
    assert held("bank_unexplained") == 1_000


def test_charges_leave_unexplained_and_their_reversal_explains_them(bank: World) -> None:
    assert take(camt(entry("F1", "2.50", into=False)))["outcomes"] == {"left": 1}
    assert (held("bank_borrower"), held("bank_unexplained")) == (-250, 250)
    back = entry("F2", "2.50", reversal=True, names=[("AcctSvcrRef", "F1")])
    assert take(camt(back, message="M-2"))["outcomes"] == {"undone": 1}
    assert (held("bank_borrower"), held("bank_unexplained"), held("suspense")) == (0, 0, 0)


# -- the walls ----------------------------------------------------------------------------------------------------


def test_three_with_one_file_at_once_book_it_once(bank: World, app: Flask) -> None:
    raw = camt(*(entry(f"K{n}", "1.00") for n in range(20)))
    said: list[object] = []

    def go() -> None:
        with app.app_context():
            try:
                said.append(take(raw)["entries"])
            except Conflict as error:
                said.append(error.code)

    threads = [threading.Thread(target=go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(said, key=str) == [20, "file_known", "file_known"]
    assert held("bank_borrower") == 2_000


BREAKS: dict[str, str | dict[str, object]] = {
    "an amount changes": "UPDATE bank_entry SET minor = 1",
    "an entry vanishes": "DELETE FROM bank_entry",
    "a file vanishes": "DELETE FROM bank_message",
    "a file changes": "UPDATE bank_message SET raw = 'x'",
    "an entry comes twice": {},
    "of nothing": {"key": "x", "minor": 0},
    "a payment of nobody's": {"key": "x", "outcome": "payment"},
    "nothing is undone": {"key": "x", "outcome": "undone"},
    "it became something else": {"key": "x", "outcome": "lost"},
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_database_refuses(bank: World, name: str) -> None:
    take(camt(entry("A1", "10.00")))
    db.session.rollback()
    change = BREAKS[name]
    with bank.superuser(resting=False) as owner, pytest.raises(psycopg.Error, match=r"bank_|is refused"):
        if isinstance(change, str):
            owner.execute(change)
        else:
            owner.execute(
                "INSERT INTO bank_entry SELECT (jsonb_populate_record(e, "
                "jsonb_build_object('id', gen_random_uuid()) || %s)).* FROM bank_entry e",
                (Jsonb(change),),
            )


def test_only_operators_and_the_clock_take_files(bank: World) -> None:
    with pytest.raises(NotPermitted):
        take(camt(entry("A1", "1.00")), bank.bob)
    assert take(camt(entry("A1", "1.00")), bank.olga)["entries"] == 1


def test_a_batch_told_of_whole_and_in_parts_is_booked_once(bank: World) -> None:
    one = lives.funded(bank)
    parts = part("100.00", rf(one)) + part("50.00", rf(one))
    assert take(camt(entry("B1", "150.00", parts=parts), kind="camt.054", message="N-1"))["outcomes"] == {"payment": 2}
    assert take(camt(entry("B1", "150.00"), message="S-1"))["known"] == 1
    assert held("bank_borrower") == 15_000
    assert take(camt(entry("B2", "150.00"), message="S-2"))["outcomes"] == {"suspense": 1}
    assert take(camt(entry("B2", "150.00", parts=parts), kind="camt.054", message="N-2"))["known"] == 2
    assert held("bank_borrower") == 30_000
    for raw in (
        camt(entry("B1", "151.00"), message="S-3"),
        camt(entry("B2", "100.00", parts=part("60.00", rf(one)) + part("40.00", rf(one))), message="S-4"),
    ):
        with pytest.raises(InvalidInput, match="entry_changed"):
            take(raw)
    assert sound()


def test_one_reference_in_two_reports_of_a_file_is_refused(bank: World) -> None:
    raw = camt(entry("C1", "10.00")).decode()
    report = raw[raw.index("<Stmt>") : raw.index("</BkToCstmrStmt>")]
    with pytest.raises(InvalidInput, match="reference_twice"):
        take(raw.replace(report, report * 2).encode())
