"""The bank's closing balance against our books: what agrees, and every kind of difference by its name and age."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from marketplace.banking.reconcile import CompareBank, reconcile_bank, run_bank_reconciliation
from marketplace.db import db
from marketplace.kernel.errors import Conflict
from marketplace.payments import queries
from marketplace.payments.gateway import BalanceLine
from marketplace.payments.reconcile import Compare, reconcile
from marketplace.perform import perform
from marketplace.reports import breaks
from marketplace.servicing.bank_desk import propose_bank_suspense
from marketplace.servicing.decision_schemas import ProposeManualEntry
from marketplace.servicing.decisions import propose_manual_entry
from tests import lives
from tests.banking.files import IBAN, OTHER, camt, entry
from tests.banking.test_bank_suspense import left, work
from tests.banking.test_payout_files import WHY, by_two
from tests.banking.test_taking import held, rf, sound, take
from tests.support import SYSTEM
from tests.trading.world import World
from tests.web.test_operator import visitor

AT = datetime(2026, 11, 2, 9, tzinfo=UTC)


def stated(code: str, amount: str, on: str) -> str:
    return (
        f'<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy="GBP">{amount}</Amt>'
        f"<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>{on}</Dt></Dt></Bal>"
    )


def statement(*entries: str, opened: str, closed: str, on: str = "2026-11-20", message: str = "M-1") -> bytes:
    return camt(*entries, message=message, balances=stated("OPBD", opened, on) + stated("CLBD", closed, on))


def compared() -> list[tuple[int, int, int, int]]:
    assert run_bank_reconciliation() == 1
    db.session.rollback()
    rows = breaks.last_at_bank(db.session())
    return [(row.stated_minor, row.ledger_minor, row.explained_minor, row.unexplained_minor) for row in rows]


def named() -> list[tuple[str, int]]:
    db.session.rollback()
    return sorted((one.kind, one.minor) for one in breaks.standing(db.session()) if one.place == "bank")


def test_what_was_received_shared_out_and_suspended_agrees(bank: World) -> None:
    receivable_id = lives.funded(bank)
    with pytest.raises(Conflict, match="nothing_to_compare"):
        perform(reconcile_bank, CompareBank(), SYSTEM)
    assert run_bank_reconciliation() == 0
    take(statement(entry("A", "486.00", rf=rf(receivable_id)), entry("B", "5.00"), opened="0.00", closed="491.00"))
    take(camt(entry("C", "7.00", on="2026-11-21"), kind="camt.054", message="N-1"))  # told, and on no statement yet
    assert compared() == [(49_100, 49_100, 0, 0)]
    assert named() == []
    take(
        statement(entry("C", "7.00", on="2026-11-21"), opened="491.00", closed="498.00", on="2026-11-21", message="M-2")
    )
    assert compared() == [(49_800, 49_800, 0, 0)]
    assert sound()


def test_every_kind_of_difference_is_named_and_ages(bank: World, app: Flask) -> None:
    take(statement(entry("A", "5.00"), opened="10.00", closed="15.00"))
    assert compared() == [(1_500, 500, 0, 1_000)]
    assert named() == [("before_first_statement", 1_000)]
    bank.move_clock(timedelta(days=3))
    take(statement(entry("B", "1.00", on="2026-11-22"), opened="18.00", closed="19.00", on="2026-11-22", message="M-2"))
    by_two(
        propose_manual_entry, ProposeManualEntry("GBP", "bank_lender", None, "provider_lender", None, 250, WHY), bank
    )
    assert compared() == [(1_900, 850, -250, 1_300)]
    assert named() == [("before_first_statement", 1_000), ("booked_by_hand", -250), ("statement_gap", 300)]
    with bank.superuser() as owner:  # a bank's entry that says another sum than our own entry of it
        owner.execute("UPDATE bank_entry SET minor = 90 WHERE key = 'B'")
    assert compared() == [(1_900, 850, -250, 1_300)]
    assert named() == [
        ("before_first_statement", 1_000), ("booked_by_hand", -250), ("entry_differs", -10), ("statement_gap", 310),
    ]  # fmt: skip
    ages = {one.kind: one.days for one in breaks.standing(db.session())}
    assert (ages["before_first_statement"], ages["statement_gap"]) == (3, 0)
    page = visitor(app, bank, "olga").get("/operator/reconciliation").text
    for words in ("Before first statement", "Booked by hand", "does not reconcile", "3 days", "£13"):
        assert words in page, words
    assert "unexplained £13" in page  # in the strip of every page
    told = db.session.execute(text("SELECT count(*) FROM payment_alert WHERE subject_kind = 'bank_reconciliation'"))
    assert told.scalar_one() == 3
    for change in ("UPDATE bank_reconciliation SET unexplained_minor = 0", "DELETE FROM bank_reconciliation"):
        with bank.superuser(resting=False) as owner, pytest.raises(psycopg.Error, match="is refused"):
            owner.execute(change)


def test_what_lay_there_before_the_first_statement_is_booked_by_two_and_explained(bank: World, app: Flask) -> None:
    take(statement(entry("A", "5.00"), opened="10.00", closed="15.00"))
    assert [compared(), compared()] == [[(1_500, 500, 0, 1_000)]] * 2
    alerts = "SELECT facts ->> 'what', closed_at IS NULL FROM payment_alert WHERE kind = 'reconciliation_break'"
    assert db.session.execute(text(alerts)).all() == [("before_first_statement", True)]  # once while it stands
    olga, oscar = visitor(app, bank, "olga"), visitor(app, bank, "oscar")
    form = {"debit_code": "bank_platform", "credit_code": "provider_platform", "amount": "10.00", "currency": "GBP",
            "reason": WHY, "opening_iban": IBAN}  # fmt: skip
    for change in ({"opening_iban": OTHER}, {"credit_code": "platform_reserve", "debit_code": "provider_platform"}):
        answer = olga.post("/operator/ledger/entries", data=form | change)
        assert (answer.status_code, "An opening balance lies on one" in answer.text) == (422, True)
    assert olga.post("/operator/ledger/entries", data=form).status_code == 303
    assert f"before the first statement of</span> {IBAN}" in oscar.get("/operator/ledger").text
    db.session.rollback()
    decision = db.session.execute(text("SELECT id FROM money_decision")).scalar_one()
    oscar.post(f"/operator/ledger/decisions/{decision}", data={"decision": "agree"})
    assert (compared(), named(), held("bank_platform")) == ([(1_500, 1_500, 0, 0)], [], 1_000)
    assert db.session.execute(text(alerts)).all() == [("before_first_statement", False)]
    with bank.superuser() as owner:  # and where it is back, it is told again
        owner.execute("UPDATE money_decision SET payload = payload - 'opening_iban'")
    assert compared() == [(1_500, 1_500, -1_000, 1_000)]
    assert db.session.execute(text(alerts)).all() == [("before_first_statement", True)]


@pytest.mark.parametrize("pool", ["lender", "borrower"])
def test_our_own_money_that_was_moved_to_the_bank_is_no_break(bank: World, pool: str) -> None:
    take(statement(entry("A", "5.00"), opened="0.00", closed="5.00"))
    (item,) = left()
    by_two(propose_bank_suspense, work(item, f"own_{pool}", 500), bank)
    assert (held("suspense"), held(f"bank_{pool}"), held(f"provider_{pool}"), left()) == (0, 500, -500, [])
    assert compared() == [(500, 500, 0, 0)]
    assert sound()


def provider_shows(*minors: int) -> list[tuple[str, int]]:
    """Let the provider show payouts of our own balance; return the differences, none of them unexplained."""
    return provider_told(*(BalanceLine(f"txn_{n}", "payout", minor, 0, "GBP", AT, f"po_{n}")
                           for n, minor in enumerate(minors)))  # fmt: skip


def provider_told(*lines: BalanceLine) -> list[tuple[str, int]]:
    """Let the provider show these lines and their sum; return the differences, none of them unexplained."""
    done = perform(reconcile, Compare((("GBP", sum(line.minor for line in lines)),), lines), SYSTEM)
    assert done["unexplained"]["GBP"] == 0
    db.session.rollback()
    row = next(one for one in queries.last_reconciliations(db.session()) if one.currency == "GBP")
    return [(one["kind"], one["minor"]) for one in row.breaks]


def test_what_left_the_provider_for_our_bank_is_one_with_what_came_there(bank: World) -> None:
    take(camt(entry("A", "5.00"), entry("B", "5.00"), entry("C", "7.00")))
    first, second, third = sorted(left(), key=lambda one: one.minor)
    assert provider_shows(-500) == [("payout", -500)]  # nobody said yet that it came
    by_two(propose_bank_suspense, work(first, "own_lender", 500), bank)
    assert provider_shows(-500) == []
    by_two(propose_bank_suspense, work(second, "own_borrower", 500), bank)
    assert provider_shows(-500) == [("entry_by_two_missing", 500)]
    assert provider_shows(-500, -500) == []
    by_two(propose_bank_suspense, work(third, "own_lender", 300), bank)
    assert provider_shows(-500, -500, -700) == [("payout", -700), ("entry_by_two_missing", 300)]
    by_two(propose_bank_suspense, work(third, "own_borrower", 400), bank)
    assert provider_shows(-500, -500, -700) == []
    assert sound()


def test_a_line_that_nothing_of_ours_caused_is_settled_by_an_entry_of_two_people(bank: World) -> None:
    def shown(*more: BalanceLine) -> list[tuple[str, int]]:
        return provider_told(BalanceLine("txn_a", "topup", 700, 0, "GBP", AT, "tu_1"),
                             BalanceLine("txn_b", "charge", 900, 0, "GBP", AT, "ch_1", "pi_1"), *more)  # fmt: skip

    assert shown() == [("topup", 700), ("receipt_not_ours", 900)]
    by_two(propose_manual_entry, ProposeManualEntry("GBP", "provider_platform", None, "platform_fees", None, 700, WHY),
           bank)  # fmt: skip
    assert shown() == [("receipt_not_ours", 900)]
    by_two(propose_manual_entry, ProposeManualEntry("GBP", "provider_borrower", None, "suspense", None, 900, WHY), bank)
    assert shown() == []
    assert shown(BalanceLine("txn_c", "topup", 700, 0, "GBP", AT, "tu_2")) == [("topup", 700)], "one entry, one line"
    assert sound()
