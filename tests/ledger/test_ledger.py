"""The ledger balances, stays sealed, and never gives away what it does not hold."""

import threading
from collections.abc import Callable
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.orm import Session

from marketplace.db import db
from marketplace.kernel.errors import IntegrityBreach, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.ledger import actions, queries
from marketplace.ledger.rules import Leg, chart, credit, debit, netted
from marketplace.perform import Tx
from tests.support import do

BOB, ALICE, DEAL = new_id(), new_id(), new_id()


@pytest.fixture(autouse=True)
def _in_app(app: Flask) -> object:
    with app.app_context():
        yield


def fund(minor: int = 1_000, owner: UUID = BOB) -> UUID:
    def body(tx: Tx) -> str:
        legs = [
            debit(actions.account(tx, "provider_lender", None, "GBP"), minor),
            credit(actions.account(tx, "investor_cash", owner, "GBP"), minor),
        ]
        return str(actions.post_entry(tx, "fund", "funding", DEAL, legs))

    return UUID(do(body))


def hold(minor: int) -> UUID:
    cash = lambda tx: actions.account(tx, "investor_cash", BOB, "GBP")  # noqa: E731
    return UUID(do(lambda tx: str(actions.place_hold(tx, cash(tx), minor, "bid", DEAL))))


def cash() -> queries.BalanceNow:
    return queries.balance(db.session, "investor_cash", BOB, "GBP")


def sql(statement: str, **values: object) -> Callable[[Tx], None]:
    return lambda tx: tx.session.execute(text(statement), values) and None


def test_money_that_comes_in_can_be_held_and_spent_once() -> None:
    fund(1_000)
    held = hold(600)
    assert (cash().posted_minor, cash().held_minor, cash().free_minor) == (1_000, 600, 400)

    def settle(tx: Tx) -> None:
        legs = [
            debit(actions.account(tx, "investor_cash", BOB, "GBP"), 600),
            credit(actions.account(tx, "seller_advance", ALICE, "GBP"), 600),
        ]
        actions.post_entry(tx, "settle", "lot", DEAL, legs, holds=[held])

    do(settle)
    db.session.rollback()
    assert (cash().posted_minor, cash().held_minor) == (400, 0)
    with pytest.raises(IntegrityBreach, match="hold_resolved"):
        do(lambda tx: actions.resolve_holds(tx, [held], "voided"))
    assert queries.crooked_balances(db.session) == []


def test_a_hold_beyond_free_cash_is_refused_and_changes_nothing() -> None:
    fund(1_000)
    hold(600)
    with pytest.raises(RuleBroken, match="insufficient_cash"):
        hold(401)
    assert cash().free_minor == 400


def test_the_database_refuses_an_entry_that_does_not_balance() -> None:
    with pytest.raises(IntegrityError, match="does not balance"):
        do(lambda tx: actions.post_entry(tx, "x", "x", DEAL, [
            debit(actions.account(tx, "provider_lender", None, "GBP"), 5),
            credit(actions.account(tx, "investor_cash", BOB, "GBP"), 4)]))  # fmt: skip


def test_the_database_refuses_an_entry_across_pools_or_currencies() -> None:
    for pool_code, currency in (("provider_borrower", "GBP"), ("provider_lender", "EUR")):
        with pytest.raises(IntegrityError, match="does not balance"):
            do(lambda tx, code=pool_code, cur=currency: actions.post_entry(tx, "x", "x", DEAL, [
                debit(actions.account(tx, code, None, cur), 5),
                credit(actions.account(tx, "investor_cash", BOB, "GBP"), 5)]))  # fmt: skip


def test_an_entry_needs_two_postings() -> None:
    with pytest.raises(IntegrityError, match="does not balance"):
        do(lambda tx: actions.post_entry(tx, "x", "x", DEAL, []))


def test_a_sealed_entry_takes_no_further_posting() -> None:
    entry = fund()
    fees = do(lambda tx: str(actions.account(tx, "platform_fees", None, "GBP")))
    late = sql(
        "INSERT INTO posting (entry_id, account_id, currency, pool, side, minor) "
        "SELECT :entry, id, currency, pool, side, 1 FROM account WHERE id = :fees",
        entry=entry, fees=fees,
    )  # fmt: skip
    with pytest.raises(IntegrityError, match="sealed"):
        do(late)


@pytest.mark.parametrize("table", ["entry", "posting", "hold", "hold_resolution", "account"])
@pytest.mark.parametrize("change", ["DELETE FROM {0}", "TRUNCATE {0} CASCADE"])
def test_what_is_written_stays(table: str, change: str) -> None:
    held = (fund(), hold(10))[1]
    do(lambda tx: actions.resolve_holds(tx, [held], "voided"))
    with pytest.raises((IntegrityError, ProgrammingError)):
        do(sql(change.format(table)))


def test_a_posting_cannot_be_changed_even_by_the_owner(owner_engine: object) -> None:
    fund()
    with Session(owner_engine) as session, pytest.raises(IntegrityError, match="refused"):
        session.execute(text("UPDATE posting SET minor = minor + 1"))


@pytest.mark.parametrize("role", ["duebill_web", "duebill_worker", "duebill_reader"])
def test_no_role_of_the_application_may_write_a_balance(role: str) -> None:
    fund()

    def overwrite(tx: Tx) -> None:
        tx.session.execute(text(f"SET LOCAL ROLE {role}"))
        tx.session.execute(text("UPDATE balance SET posted_minor = 0"))

    with pytest.raises(ProgrammingError, match="permission denied"):
        do(overwrite)


def test_a_change_of_the_ledger_without_an_event_cannot_commit(owner_engine: object) -> None:
    entry = new_id()
    with Session(owner_engine) as session:
        session.execute(
            text(
                "INSERT INTO entry (id, kind, subject_kind, subject_id, business_on) VALUES (:e, 'x', 'x', :e, now())"
            ),
            {"e": entry},
        )
        with pytest.raises(IntegrityError, match=r"audit event|does not balance"):
            session.commit()


def test_an_entry_is_reversed_once() -> None:
    entry = fund()
    do(lambda tx: str(actions.reverse_entry(tx, entry, "booked twice")))
    assert cash().posted_minor == 0
    with pytest.raises((IntegrityBreach, IntegrityError, RuleBroken)):
        do(lambda tx: str(actions.reverse_entry(tx, entry, "again")))


def test_holds_in_a_race_never_exceed_the_cash(app: Flask) -> None:
    fund(1_000)
    outcomes: list[str] = []

    def try_hold() -> None:
        with app.app_context():
            try:
                hold(300)
                outcomes.append("held")
            except RuleBroken as error:
                outcomes.append(error.code)

    threads = [threading.Thread(target=try_hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["held"] * 3 + ["insufficient_cash"] * 5
    assert cash().free_minor == 100


def test_the_same_key_gives_the_same_answer_and_acts_once() -> None:
    first = do(lambda tx: str(new_id()), key="k")
    assert do(lambda tx: str(new_id()), key="k") == first


def test_legs_on_one_account_are_netted() -> None:
    assert netted([Leg(BOB, 5), Leg(ALICE, -5), Leg(BOB, -5), Leg(ALICE, 5)]) == []


def test_every_liability_to_a_client_is_guarded() -> None:
    assert all(kind.guarded == (kind.kind == "liability") for kind in chart().values())


def test_an_account_the_chart_does_not_know_is_refused() -> None:
    with pytest.raises(IntegrityBreach, match="no_such_account"):
        do(lambda tx: str(actions.account(tx, "petty_cash", None, "GBP")))
