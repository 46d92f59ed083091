"""The provider's balance against our clearing accounts: every line explained, every difference named.

What the provider holds on the platform's balance, plus what left for connected accounts and has neither arrived at a
bank nor come back, is what our three clearing accounts say, plus what is explained by name. The rest is unexplained,
and must be zero.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from marketplace.db import db, market_now
from marketplace.kernel.actors import Actor
from marketplace.kernel.clock import business_date
from marketplace.kernel.ids import new_id
from marketplace.kernel.policy import Policy
from marketplace.ledger import queries as ledger
from marketplace.parties.rules import verb
from marketplace.payments import processing_costs, provider_lines
from marketplace.payments.alerts import close_others, raise_alert
from marketplace.payments.gateway import BalanceLine
from marketplace.payments.inbox import ask_after_disputes
from marketplace.payments.rules import ChargebackState, PaymentState, PayoutState, Rail
from marketplace.payments.stripe_gateway import current_gateway
from marketplace.payments.tables import (
    PAYING,
    ChargebackRow,
    FundingRow,
    Paying,
    PaymentAlertRow,
    PayoutRow,
    ReconciliationRow,
)
from marketplace.perform import Result, Tx, perform

CLEARING = ("provider_lender", "provider_borrower", "provider_platform")
CAME_IN = {"charge", "payment"}
WENT_OUT = {"transfer"}
OWN_PAYOUT = "payout"  # of the platform's own balance to its own bank: money of ours, and nobody is paid
CAME_BACK = {"transfer_refund", "transfer_cancel", "transfer_failure"}


# What two people booked on our accounts with the provider, at the bank's word or their own: a payout of our own
# balance, a top-up of it, a receipt of a stranger's. Each has a line of the provider's.
BY_TWO = """
SELECT e.subject_id, a.currency, sum(p.minor)::bigint AS minor FROM entry e JOIN posting p ON p.entry_id = e.id
JOIN account a ON a.id = p.account_id AND a.code IN ('provider_lender', 'provider_borrower', 'provider_platform')
WHERE e.kind IN ('own_money_moved', 'manual_entry') GROUP BY 1, 2 HAVING sum(p.minor) <> 0 ORDER BY min(e.id::text)
"""


@dataclass
class Sheet:
    """One currency's comparison, in minor units. `breaks` name what differs and by how much."""

    currency: str
    provider_minor: int = 0
    in_flight_minor: int = 0
    ledger_minor: int = 0
    explained_minor: int = 0
    breaks: list[dict[str, Any]] = field(default_factory=list)
    costs: dict[str, int] = field(default_factory=dict)

    @property
    def unexplained_minor(self) -> int:
        """What nothing explains."""
        return self.provider_minor + self.in_flight_minor - self.ledger_minor - self.explained_minor

    def explain(self, kind: str, minor: int, about: str) -> None:
        """Name a difference."""
        self.explained_minor += minor
        self.breaks.append({"kind": kind, "minor": minor, "about": about})


@dataclass(frozen=True)
class Compare:
    """What the provider showed: balance by currency, and its lines since `read_from`, or every one of them."""

    balance: tuple[tuple[str, int], ...]
    lines: tuple[BalanceLine, ...]
    read_from: datetime | None = None


def run_reconciliation() -> dict[str, int]:
    """Compare provider and ledger, keep the result, and return what is unexplained by currency."""
    gateway = current_gateway()
    policy: Policy = current_app.extensions["duebill"].policy
    with Session(db.engine) as session:
        since = provider_lines.read_from(session, business_date(market_now(session), policy.zone), policy.zone)
    balance, lines = gateway.balance(), gateway.balance_lines(since=since)
    command = Compare(tuple(sorted(balance.items())), tuple(lines), since)
    with Session(db.engine) as session:
        unheard_of = _unheard_of(session, command.lines)
    ask_after_disputes(gateway, unheard_of)
    result = perform(reconcile, command, Actor.system("reconcile"))
    return dict(result["unexplained"])


def _unheard_of(session: Session, lines: Iterable[BalanceLine]) -> list[str]:
    """Return disputes that took or gave back money without our knowing, oldest first: their events were lost."""
    rows = session.execute(select(ChargebackRow.dispute_id, ChargebackRow.state))
    known: dict[str | None, str] = {row.dispute_id: row.state for row in rows}
    found = {
        str(line.source_id): None
        for line in lines
        if line.intent_id and _kind_of(line)[0] in ("chargeback", "reinstatement")
        and (line.source_id not in known or (line.minor > 0 and known[line.source_id] != ChargebackState.WON))
    }  # fmt: skip
    return list(reversed(found))


@verb("reconcile")
def reconcile(tx: Tx, command: Compare) -> Result:
    """Keep one row a currency, and book what the provider kept for its work.

    Differences raise an alert, once while they stay the same; it closes when they end.
    """
    sheets = _sheets(tx.session, command, tx.policy.currencies)
    standing = []
    for sheet in sheets:
        called = _called_already(tx.session, sheet)
        row = ReconciliationRow(
            id=new_id(), currency=sheet.currency, provider_minor=sheet.provider_minor,
            in_flight_minor=sheet.in_flight_minor, ledger_minor=sheet.ledger_minor,
            explained_minor=sheet.explained_minor, unexplained_minor=sheet.unexplained_minor, breaks=sheet.breaks,
            read_from=command.read_from,
        )  # fmt: skip
        tx.session.add(row)
        tx.session.flush()
        tx.record("reconciliation", row.id, after={
            "currency": sheet.currency, "provider_minor": sheet.provider_minor,
            "in_flight_minor": sheet.in_flight_minor, "ledger_minor": sheet.ledger_minor,
            "explained_minor": sheet.explained_minor, "unexplained_minor": sheet.unexplained_minor,
        })  # fmt: skip
        if sheet.costs:
            processing_costs.book(tx, row.id, sheet.currency, sheet.costs)
        if not (sheet.unexplained_minor or sheet.breaks):
            continue
        if called is None:
            raise_alert(tx, "reconciliation_break", "reconciliation", row.id, currency=sheet.currency,
                        unexplained_minor=sheet.unexplained_minor, breaks=len(sheet.breaks))  # fmt: skip
        standing.append(called or row.id)
    provider_lines.keep(tx, command.lines)
    close_others(tx, "reconciliation_break", "reconciliation", standing)
    return {"unexplained": {sheet.currency: sheet.unexplained_minor for sheet in sheets}}


def _called_already(session: Session, sheet: Sheet) -> UUID | None:
    """Return the comparison whose alert is open and since which nothing differs otherwise; None if there is none."""
    alert, row = PaymentAlertRow, ReconciliationRow
    last = session.scalars(select(row).where(row.currency == sheet.currency).order_by(row.at.desc()).limit(1)).first()
    if last is None or (last.unexplained_minor, last.breaks) != (sheet.unexplained_minor, sheet.breaks):
        return None
    return session.scalars(
        select(alert.subject_id).join(row, row.id == alert.subject_id)
        .where(alert.kind == "reconciliation_break", alert.closed_at.is_(None), row.currency == sheet.currency)
        .order_by(row.at.desc()).limit(1)
    ).first()  # fmt: skip


def _sheets(session: Session, command: Compare, currencies: Iterable[str]) -> list[Sheet]:
    known = provider_lines.kept(session)
    lines = provider_lines.joined(known, command.lines, command.read_from)
    shown = {line.currency for line in (*lines, *known)}
    sheets = {currency: Sheet(currency) for currency in sorted({*currencies, *dict(command.balance), *shown})}
    for currency, minor in command.balance:
        sheets[currency].provider_minor = minor
    for currency, sheet in sheets.items():
        for code in CLEARING:
            sheet.ledger_minor += ledger.balance(session, code, None, currency).posted_minor
    _flights(session, sheets)
    for kind, line in provider_lines.contradictions(known, command.lines, command.read_from):
        sheets[line.currency].explain(kind, 0, line.line_id)  # what it comes to is named where it is missed
    _explain_lines(session, sheets, lines)
    return list(sheets.values())


def _flights(session: Session, sheets: dict[str, Sheet]) -> None:
    """Add what was transferred and is not at a bank, or failed and is not back: ours, off the platform's balance."""
    rows = session.scalars(
        select(PayoutRow).where(
            PayoutRow.state.in_((PayoutState.TRANSFERRED, PayoutState.IN_TRANSIT, PayoutState.FAILED)),
            PayoutRow.rail == Rail.PROVIDER,
        )
    )
    for row in rows:
        sheets[row.currency].in_flight_minor += row.amount_minor


def _explain_lines(session: Session, sheets: dict[str, Sheet], lines: Iterable[BalanceLine]) -> None:
    """Match every line to what we know and everything we know to a line; name each that differs, line by line.

    Sums alone would let two wrong lines make good for each other.
    """
    expected, costs = _expected(session), processing_costs.booked(session)
    moved: dict[str, int] = defaultdict(int)
    own: Counter[str] = Counter()
    told: set[str] = set()
    for line in lines:
        sheet = sheets[line.currency]
        moved[line.currency] += line.minor - line.fee_minor
        if line.line_id in told:
            sheet.explain("told_twice", line.minor - line.fee_minor, line.line_id)
            continue
        told.add(line.line_id)
        _explain_cost(sheet, line, costs.pop(line.line_id, None))
        if line.kind in processing_costs.NOTHING_ELSE:
            continue
        kind, unknown = _kind_of(line)
        found = expected.get((kind, (line.intent_id if kind == "receipt" else line.source_id) or ""))
        if found is None:
            own[_sum_of(line)] += 1
            found = expected.get(("entry_by_two", f"{_sum_of(line)}:{own[_sum_of(line)]}"))
        _explain_line(sheet, line, found, unknown)
    for line_id, (currency, minor) in costs.items():
        if currency in sheets:
            sheets[currency].explain("provider_fee_missing", minor, line_id)
    for one in expected.values():
        if one.booked_minor and not one.seen and one.currency in sheets:
            sheets[one.currency].explain(f"{one.kind}_missing", -one.booked_minor, one.about)
    for currency, sheet in sheets.items():
        if sheet.provider_minor != moved[currency]:
            # The balance and its lines were read a moment apart: the difference came between the two.
            sheet.explain("between_two_reads", sheet.provider_minor - moved[currency], "balance")


def _explain_cost(sheet: Sheet, line: BalanceLine, booked: tuple[str, int] | None) -> None:
    """Keep what a line cost if it is new: it is booked at once and calls nobody. Name what differs from what was."""
    cost = processing_costs.cost_of(line)
    if booked is None and cost:
        sheet.costs[line.line_id] = cost
        sheet.explained_minor -= cost
    elif booked is not None and booked != (line.currency, cost):
        sheet.explain("provider_fee_differs", booked[1] - cost, line.line_id)


@dataclass
class Expected:
    """A movement that our books know of: what is booked of it (signed as the provider signs it), or why nothing is."""

    kind: str
    about: str
    currency: str
    booked_minor: int
    unbooked: str = ""
    seen: bool = False


def _explain_line(sheet: Sheet, line: BalanceLine, one: Expected | None, unknown: str) -> None:
    if one is None:
        sheet.explain(unknown, line.minor, str(line.source_id))
    elif one.unbooked:
        sheet.explain(one.unbooked, line.minor, one.about)
    elif one.seen:
        sheet.explain("told_twice", line.minor, one.about)
    elif one.currency != line.currency:
        sheet.explain(f"{one.kind}_differs", line.minor, one.about)
    else:
        one.seen = True
        if line.minor != one.booked_minor:
            sheet.explain(f"{one.kind}_differs", line.minor - one.booked_minor, one.about)


def _kind_of(line: BalanceLine) -> tuple[str, str]:
    """Return what a line is about, and what it is called where we know of no such thing."""
    if line.kind in CAME_IN:
        return "receipt", "receipt_not_ours"
    if line.kind in WENT_OUT:
        return "transfer", "transfer_not_ours_yet"
    if line.kind == OWN_PAYOUT:
        return line.kind, line.kind
    if line.kind in CAME_BACK:
        return "reversal", "reversal_not_booked"
    return ("chargeback" if line.minor < 0 else "reinstatement"), line.kind


def _sum_of(line: BalanceLine) -> str:
    """Return by what a line that nothing of ours caused is known in our books: nothing but its sum, the first first."""
    return f"{line.currency}:{line.minor}"


def _expected(session: Session) -> dict[tuple[str, str], Expected]:
    """Return what the provider's lines should tell, by what it is and the provider's own name for it."""
    found = {("receipt", intent): _receipt(row) for intent, row in _by_intent(session).items()}
    for payout in session.scalars(select(PayoutRow).where(PayoutRow.transfer_id.is_not(None))):
        about, minor = str(payout.id), payout.amount_minor
        found["transfer", str(payout.transfer_id)] = Expected("transfer", about, payout.currency, -minor)
        if payout.reversal_id:
            found["reversal", payout.reversal_id] = Expected("reversal", about, payout.currency, minor)
    found |= _by_two_people(session)
    for row in session.scalars(select(ChargebackRow)):
        about, name = str(row.id), row.dispute_id
        not_yet = "chargeback_not_booked"
        # Won before it was booked: it went and came, and nothing of it is booked or ever will be.
        idle = row.state == ChargebackState.WON and row.entry_id is None
        gone, back = idle or row.entry_id, idle or row.reinstated_entry_id
        found["chargeback", name] = Expected(
            "chargeback", about, row.currency, -row.minor if gone else 0, "" if gone else not_yet
        )
        found["reinstatement", name] = Expected(
            "reinstatement", about, row.currency, row.minor if back else 0, "" if back else not_yet
        )
    return found


def _by_two_people(session: Session) -> dict[tuple[str, str], Expected]:
    """Return what two people booked on our accounts with the provider: it must have come or gone there."""
    known: Counter[str] = Counter()
    found = {}
    for row in session.execute(text(BY_TWO)):
        name = f"{row.currency}:{row.minor}"
        known[name] += 1
        about = str(row.subject_id)
        found["entry_by_two", f"{name}:{known[name]}"] = Expected("entry_by_two", about, row.currency, row.minor)
    return found


def _receipt(row: Paying) -> Expected:
    about, minor = str(row.id), row.received_minor or 0
    if row.state == PaymentState.PARKED and isinstance(row, FundingRow):
        return Expected("receipt", about, row.currency, 0, "receipt_parked")
    if row.state not in (PaymentState.SUCCEEDED, PaymentState.PARKED):
        return Expected("receipt", about, row.currency, 0, "receipt_not_booked")
    return Expected("receipt", about, row.received_currency or row.currency, minor)


def _by_intent(session: Session) -> dict[str, Paying]:
    found: dict[str, Paying] = {}
    for table in PAYING:
        for row in session.scalars(select(table).where(table.intent_id.is_not(None))):
            found[str(row.intent_id)] = row
    return found
