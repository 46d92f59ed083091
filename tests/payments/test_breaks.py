"""Fifty kinds of break between the provider and our books, each seeded into sound ones: every one is found by name."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from marketplace.db import db
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.ledger.actions import account, post_entry
from marketplace.ledger.rules import credit, debit
from marketplace.payments.gateway import BalanceLine
from marketplace.payments.reconcile import Compare, _sheets
from marketplace.perform import Tx
from tests.support import do

BOB = UUID(int=7)
CURRENCIES = ("EUR", "GBP")
AT = datetime(2026, 11, 2, 9, tzinfo=UTC)
# Two receipts, two transfers one of which came back, a chargeback, and one that was given back: all booked.
LINES = (
    BalanceLine("txn_1", "charge", 50_000, 0, "GBP", AT, "ch_1", "pi_1"),
    BalanceLine("txn_2", "payment", 30_000, 0, "GBP", AT, "py_2", "pi_2"),
    BalanceLine("txn_3", "transfer", -10_000, 0, "GBP", AT, "tr_1"),
    BalanceLine("txn_4", "transfer", -6_000, 0, "GBP", AT, "tr_2"),
    BalanceLine("txn_5", "transfer_refund", 6_000, 0, "GBP", AT, "trr_2"),
    BalanceLine("txn_6", "adjustment", -4_000, 0, "GBP", AT, "du_1"),
    BalanceLine("txn_7", "adjustment", -3_000, 0, "GBP", AT, "du_2"),
    BalanceLine("txn_8", "adjustment", 3_000, 0, "GBP", AT, "du_2"),
)
KINDS = ("receipt", "receipt", "transfer", "transfer", "reversal", "chargeback", "chargeback", "reinstatement")
ROWS = """
    INSERT INTO funding (id, organisation_id, currency, amount_minor, words, return_url, state, session_id, intent_id,
        received_minor, received_currency)
    SELECT gen_random_uuid(), %(bob)s, 'GBP', minor, '', '', 'succeeded', 'cs' || intent, intent, minor, 'GBP'
    FROM (VALUES ('pi_1', 50000), ('pi_2', 30000)) AS made (intent, minor);
    INSERT INTO payout (id, organisation_id, currency, amount_minor, purpose, subject_kind, subject_id, business_key,
        state, transfer_id, reversal_id, payout_id, paid_at)
    SELECT gen_random_uuid(), %(bob)s, 'GBP', minor, 'withdrawal', 'x', %(bob)s, transfer, state, transfer, reversal,
        'po_' || transfer, market_now()
    FROM (VALUES ('tr_1', 10000, 'paid', NULL), ('tr_2', 6000, 'returned', 'trr_2'))
        AS made (transfer, minor, state, reversal);
    INSERT INTO chargeback (id, dispute_id, payment_kind, payment_id, currency, minor, state, entry_id, booked_at,
        reinstated_entry_id)
    SELECT gen_random_uuid(), dispute, 'funding', id, 'GBP', minor, ended, gen_random_uuid(), market_now(),
        CASE ended WHEN 'won' THEN gen_random_uuid() END
    FROM funding, (VALUES ('du_1', 4000, 'lost'), ('du_2', 3000, 'won')) AS made (dispute, minor, ended)
    WHERE intent_id = 'pi_1'"""
BOOKED = sum(line.minor for line in LINES)


def shown(*lines: BalanceLine) -> Compare:
    """Return what the provider shows: these lines and the balance that they come to."""
    sums = dict.fromkeys(CURRENCIES, 0)
    for line in lines:
        sums[line.currency] = sums.get(line.currency, 0) + line.minor - line.fee_minor
    return Compare(tuple(sums.items()), lines)


def without(place: int) -> Compare:
    return shown(*LINES[:place], *LINES[place + 1 :])


def changed(place: int, **what: object) -> Compare:
    return shown(*LINES[:place], replace(LINES[place], **what), *LINES[place + 1 :])  # type: ignore[arg-type]


def seeds() -> Iterator[tuple[str, Compare, set[str]]]:
    """Yield each kind of break: its name, what the provider shows then, and what must be named."""
    for place, (line, kind) in enumerate(zip(LINES, KINDS, strict=True)):
        about = f"{kind} {place}"
        yield f"{about} is missing", without(place), {f"{kind}_missing"}
        yield f"{about} is a penny more", changed(place, minor=line.minor + 1), {f"{kind}_differs"}
        euro = {f"{kind}_differs", f"{kind}_missing"}
        yield f"{about} is in another currency", changed(place, currency="EUR"), euro
        yield f"{about} is told twice", shown(*LINES, line), {"told_twice"}
        yield f"{about} comes again", shown(*LINES, replace(line, line_id="txn_9")), {"told_twice"}
        yield f"{about} costs a fee", changed(place, fee_minor=30), {"to book as a cost"}
    strangers = {"charge": "receipt_not_ours", "transfer": "transfer_not_ours_yet",
                 "transfer_failure": "reversal_not_booked", "payout": "payout", "topup": "topup"}  # fmt: skip
    for kind, name in strangers.items():
        minor = -77 if kind in ("transfer", "payout") else 77
        line = BalanceLine("txn_9", kind, minor, 0, "GBP", AT, "x_9", "pi_9")
        yield f"a {kind} of nobody's", shown(*LINES, line), {name}
    whole = BalanceLine("txn_9", "stripe_fee", -77, 0, "GBP", AT, None)
    yield "a line that is nothing but a fee", shown(*LINES, whole), {"to book as a cost"}
    dollars = BalanceLine("txn_9", "charge", 77, 0, "USD", AT, "x_9", "pi_9")
    yield "a fee in a currency that nobody trades", shown(*LINES, replace(whole, currency="USD")), {"to book as a cost"}
    yield "money in a currency that nobody trades", shown(*LINES, dollars), {"receipt_not_ours"}
    crossed = (replace(LINES[0], minor=50_005), replace(LINES[1], minor=29_995), *LINES[2:])
    yield "two receipts that make good for each other", shown(*crossed), {"receipt_differs"}
    swapped = (replace(LINES[0], minor=50_005), LINES[1], replace(LINES[2], minor=-10_005), *LINES[3:])
    yield "a receipt and a transfer that do", shown(*swapped), {"receipt_differs", "transfer_differs"}
    sound = shown(*LINES)
    balance = tuple((currency, minor + 9) for currency, minor in sound.balance)
    yield "a balance that its lines do not make", replace(sound, balance=balance), {"between_two_reads"}


SEEDS = list(seeds())
FEE = "INSERT INTO processing_cost (line_id, currency, minor, entry_id)"
ENTRY = "(SELECT id FROM entry LIMIT 1)"
# What may be wrong on our side: the statement that seeds it, and what is named then.
OURS = {
    "a receipt nobody booked": ("UPDATE funding SET state = 'processing' WHERE intent_id = 'pi_1'",
                                "receipt_not_booked"),
    "a receipt that is parked": ("UPDATE funding SET state = 'parked' WHERE intent_id = 'pi_1'", "receipt_parked"),
    "a receipt we never asked for": ("DELETE FROM funding WHERE intent_id = 'pi_2'", "receipt_not_ours"),
    "a transfer we forgot": ("DELETE FROM payout WHERE transfer_id = 'tr_1'", "transfer_not_ours_yet"),
    "a fee that was booked and is none": (f"{FEE} VALUES ('txn_1', 'GBP', 5, {ENTRY})", "provider_fee_differs"),
    "a fee of a line that is not there": (f"{FEE} VALUES ('txn_77', 'GBP', 5, {ENTRY})", "provider_fee_missing"),
    "a chargeback nobody booked": ("UPDATE chargeback SET entry_id = NULL, booked_at = NULL WHERE dispute_id = 'du_1'",
                                   "chargeback_not_booked"),
}  # fmt: skip


@pytest.fixture
def books(context: Flask, postgres: EmbeddedPostgres, database: str) -> Iterator[Session]:
    """Sound books as a superuser's session sees them, all triggers at rest."""

    def receive(tx: Tx) -> None:
        legs = [debit(account(tx, "provider_lender", None, "GBP"), BOOKED),
                credit(account(tx, "investor_cash", BOB, "GBP"), BOOKED)]  # fmt: skip
        post_entry(tx, "received", "test", BOB, legs)

    do(receive)
    with postgres.connect(database) as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in ROWS.split(";"):
            connection.execute(statement, {"bob": BOB})
        connection.commit()
        connection.execute("SET session_replication_role = origin")
    with Session(db.engine) as session:
        yield session


def named(session: Session, what: Compare) -> tuple[set[str], int]:
    """Return the names of what was found in all currencies, and what nothing explains in all of them."""
    sheets = _sheets(session, what, CURRENCIES)
    kinds = {str(one["kind"]) for sheet in sheets for one in sheet.breaks}
    kinds |= {"to book as a cost" for sheet in sheets if sheet.costs}
    return kinds, sum(abs(sheet.unexplained_minor) for sheet in sheets)


def test_every_seeded_break_at_the_provider_is_found_by_name(books: Session) -> None:
    assert named(books, shown(*LINES)) == (set(), 0)
    found = {name: named(books, what) for name, what, _ in SEEDS}
    assert found == {name: (kinds, 0) for name, _, kinds in SEEDS}
    assert len(found) >= 50


@pytest.mark.parametrize("what", OURS)
def test_every_seeded_break_of_our_own_is_found_by_name(
    books: Session, postgres: EmbeddedPostgres, database: str, what: str
) -> None:
    statement, kind = OURS[what]
    with postgres.connect(database) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement)
    kinds, _ = named(books, shown(*LINES))
    assert kind in kinds


def test_an_entry_that_nothing_outside_stands_for_stays_unexplained(books: Session) -> None:
    def invent(tx: Tx) -> None:
        legs = [debit(account(tx, "provider_lender", None, "GBP"), 5),
                credit(account(tx, "investor_cash", BOB, "GBP"), 5)]  # fmt: skip
        post_entry(tx, "invented", "test", BOB, legs)

    do(invent)
    assert named(books, shown(*LINES)) == (set(), 5)


def test_what_was_taken_and_given_back_before_anybody_booked_it_is_no_break(
    books: Session, postgres: EmbeddedPostgres, database: str
) -> None:
    with postgres.connect(database) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE chargeback SET entry_id = NULL, booked_at = NULL, reinstated_entry_id = NULL "
                           "WHERE dispute_id = 'du_2'")  # fmt: skip
    assert named(books, shown(*LINES)) == (set(), 0)
    assert named(books, without(7)) == ({"reinstatement_missing"}, 0)  # said to be won, and the money is not back
    assert named(books, changed(6, minor=-2_999)) == ({"chargeback_differs"}, 0)
