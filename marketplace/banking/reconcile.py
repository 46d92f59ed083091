"""The closing balance of the bank's last statement against our books: every difference named, none left over.

Each account is walked from statement to statement: what a statement says the account grew by must be what its entries
say. What our books moved at the bank without an entry of the bank's was booked by hand, by two people: it is explained,
and named as long as it stands.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from marketplace.banking.tables import BankReconciliationRow
from marketplace.db import db
from marketplace.kernel.actors import Actor
from marketplace.kernel.canonical import canonical_bytes
from marketplace.kernel.errors import Conflict
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.payments.alerts import close_others, raise_alert
from marketplace.perform import Result, Tx, perform

# Every closing balance that a statement told, of each day the last that was taken.
STATED = """
SELECT DISTINCT ON (iban, currency, stated_on) one ->> 'iban' AS iban, one ->> 'currency' AS currency,
    (one ->> 'on')::date AS stated_on, (one ->> 'minor')::bigint AS minor
FROM bank_message, jsonb_array_elements(closing) AS one ORDER BY iban, currency, stated_on, kept_at DESC
"""
MOVED = """
SELECT iban, currency, booked_on, sum(CASE WHEN incoming THEN minor ELSE -minor END)::bigint AS minor
FROM bank_entry GROUP BY 1, 2, 3
"""
# What moved in our books at the bank, entry by entry, where the bank's own entries say another sum of the same. What
# two people booked as lying there before an account's first statement, that statement tells: `opening`.
BOOKED = """
WITH booked AS (
    SELECT p.entry_id, p.currency, sum(p.minor)::bigint AS minor FROM posting p JOIN account a ON a.id = p.account_id
    WHERE a.code IN ('bank_lender', 'bank_borrower', 'bank_platform') GROUP BY 1, 2
), told AS (
    SELECT entry_id, currency, sum(CASE WHEN incoming THEN minor ELSE -minor END)::bigint AS minor
    FROM bank_entry GROUP BY 1, 2
)
SELECT e.id, e.kind, booked.currency, booked.minor - coalesce(told.minor, 0) AS beyond,
    m.payload ->> 'opening_iban' AS opening
FROM booked JOIN entry e ON e.id = booked.entry_id
LEFT JOIN told ON told.entry_id = e.id AND told.currency = booked.currency
LEFT JOIN money_decision m ON m.entry_id = e.id AND m.kind = 'manual_entry'
WHERE booked.minor <> coalesce(told.minor, 0) ORDER BY e.id
"""
NOTHING_NEW = N_("No statement was taken yet: there is nothing to compare.")


@dataclass
class Account:
    """One account in one currency: what its statements close with, by day, and what its entries moved, by day.

    `opened` is what two people booked as lying there before the first statement.
    """

    iban: str
    currency: str
    stated: dict[date, int] = field(default_factory=dict)
    moved: dict[date, int] = field(default_factory=dict)
    opened: int = 0

    @property
    def stated_on(self) -> date:
        """The day of the last statement."""
        return max(self.stated)

    def steps(self) -> Iterator[tuple[str, date, int]]:
        """Yield what a statement grew by beyond its entries: (kind, day, minor units), each not zero."""
        last, balance = date.min, self.opened
        for day in sorted(self.stated):
            entries = sum(minor for on, minor in self.moved.items() if last < on <= day)
            missing = self.stated[day] - balance - entries
            if missing:
                yield ("statement_gap" if last > date.min else "before_first_statement"), day, missing
            last, balance = day, self.stated[day]


@dataclass(frozen=True)
class CompareBank:
    """Compare the bank's last statements with the books; nothing is asked of anybody."""


def run_bank_reconciliation() -> int:
    """Compare, as a job; return how many accounts were."""
    try:
        return int(perform(reconcile_bank, CompareBank(), Actor.system("reconcile_bank"))["accounts"])
    except Conflict:
        db.session.rollback()
        return 0


@verb("reconcile_bank")
def reconcile_bank(tx: Tx, _command: CompareBank) -> Result:
    """Keep one row an account and currency; differences without a name raise an alert.

    Raises: Conflict("nothing_to_compare") before the first statement.
    """
    found = accounts(tx.session)
    if not found:
        raise Conflict("nothing_to_compare", NOTHING_NEW)
    unexplained: dict[str, int] = {}
    standing: list[UUID] = []
    booked = _booked(tx.session, found)
    for index, one in enumerate(found):
        first = all(earlier.currency != one.currency for earlier in found[:index])
        row = _compared(one, found, booked.get(one.currency, []) if first else [])
        tx.session.add(row)
        tx.session.flush()
        tx.record("bank_reconciliation", row.id, after={
            "iban_ends": row.iban[-4:], "currency": row.currency, "stated_on": row.stated_on,
            "stated_minor": row.stated_minor, "ledger_minor": row.ledger_minor,
            "explained_minor": row.explained_minor, "unexplained_minor": row.unexplained_minor,
        })  # fmt: skip
        unexplained[f"{row.iban[-4:]}:{row.currency}"] = row.unexplained_minor
        standing += [_tell(tx, row, told) for told in row.breaks if told["kind"] != "booked_by_hand"]
    close_others(tx, "reconciliation_break", "bank_reconciliation", standing)
    return {"accounts": len(found), "unexplained": unexplained}


def accounts(session: Session) -> list[Account]:
    """Return the accounts that a statement closed, in order."""
    found: dict[tuple[str, str], Account] = {}
    for row in session.execute(text(STATED)):
        found.setdefault((row.iban, row.currency), Account(row.iban, row.currency)).stated[row.stated_on] = row.minor
    for row in session.execute(text(MOVED)):
        if (row.iban, row.currency) in found:
            found[row.iban, row.currency].moved[row.booked_on] = row.minor
    return list(found.values())


def _tell(tx: Tx, row: BankReconciliationRow, told: dict[str, Any]) -> UUID:
    """Call a person about a break, once while it stands; return by what the alert knows it."""
    named = canonical_bytes([row.iban, row.currency, told["kind"], told["about"]])
    subject_id = UUID(bytes=hashlib.sha256(named).digest()[:16])
    raise_alert(tx, "reconciliation_break", "bank_reconciliation", subject_id, currency=row.currency,
                iban_ends=row.iban[-4:], what=told["kind"], minor=told["minor"])  # fmt: skip
    return subject_id


def _booked(session: Session, known: list[Account]) -> dict[str, list[tuple[UUID, str, int]]]:
    """Return by currency what our books moved at the bank beyond the bank's entries: (entry, kind, minor units).

    What lay on an account before its first statement is noted there instead.
    """
    found: dict[str, list[tuple[UUID, str, int]]] = {}
    openings = {(one.iban, one.currency): one for one in known}
    for row in session.execute(text(BOOKED)):
        opened = openings.get((row.opening, row.currency))
        if opened is not None:
            opened.opened += row.beyond
            continue
        kind = "booked_by_hand" if row.kind == "manual_entry" else "entry_differs"
        found.setdefault(row.currency, []).append((row.id, kind, row.beyond))
    return found


def _compared(
    one: Account, together: list[Account], booked: list[tuple[UUID, str, int]]
) -> BankReconciliationRow:  # fmt: skip
    """Compare one account. What is booked without an entry of the bank's is told with the currency's first account."""
    told = one.opened + sum(minor for day, minor in one.moved.items() if day <= one.stated_on)
    beyond = sum(minor for _, _, minor in booked)
    breaks: list[dict[str, Any]] = [
        {"kind": kind, "minor": minor, "about": f"{one.iban[-4:]} {day.isoformat()}"}
        for kind, day, minor in one.steps()
    ]
    breaks += [{"kind": kind, "minor": -minor, "about": str(entry_id)} for entry_id, kind, minor in booked]
    by_hand = -sum(minor for _, kind, minor in booked if kind == "booked_by_hand")
    ledger = told + beyond
    stated = one.stated[one.stated_on]
    return BankReconciliationRow(
        id=new_id(), iban=one.iban, currency=one.currency, stated_on=one.stated_on, stated_minor=stated,
        ledger_minor=ledger, explained_minor=by_hand, unexplained_minor=stated - ledger - by_hand, breaks=breaks,
    )  # fmt: skip
