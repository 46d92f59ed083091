"""The provider's balance against our clearing accounts: every line explained, every difference named.

What the provider holds on the platform's balance, plus what left for connected accounts and has neither arrived at a
bank nor come back, is what our three clearing accounts say, plus what is explained by name. The rest is unexplained,
and must be zero.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from marketplace.kernel.actors import Actor
from marketplace.kernel.ids import new_id
from marketplace.ledger import queries as ledger
from marketplace.parties.rules import verb
from marketplace.payments.alerts import raise_alert
from marketplace.payments.gateway import BalanceLine
from marketplace.payments.rules import PaymentState, PayoutState
from marketplace.payments.stripe_gateway import current_gateway
from marketplace.payments.tables import PAYING, ChargebackRow, FundingRow, Paying, PayoutRow, ReconciliationRow
from marketplace.perform import Result, Tx, perform

CLEARING = ("provider_lender", "provider_borrower", "provider_platform")
CAME_IN = {"charge", "payment"}
WENT_OUT = {"transfer"}
CAME_BACK = {"transfer_refund", "transfer_cancel", "transfer_failure"}


@dataclass
class Sheet:
    """One currency's comparison, in minor units. `breaks` name what differs and by how much."""

    currency: str
    provider_minor: int = 0
    in_flight_minor: int = 0
    ledger_minor: int = 0
    explained_minor: int = 0
    breaks: list[dict[str, Any]] = field(default_factory=list)

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
    """What the provider showed: balance by currency, and every line of it."""

    balance: tuple[tuple[str, int], ...]
    lines: tuple[BalanceLine, ...]


def run_reconciliation() -> dict[str, int]:
    """Compare provider and ledger, keep the result, and return what is unexplained by currency."""
    gateway = current_gateway()
    command = Compare(tuple(sorted(gateway.balance().items())), tuple(gateway.balance_lines()))
    result = perform(reconcile, command, Actor.system("reconcile"))
    return dict(result["unexplained"])


@verb("reconcile")
def reconcile(tx: Tx, command: Compare) -> Result:
    """Keep one row a currency; differences without a name raise an alert."""
    sheets = _sheets(tx.session, command, tx.policy.currencies)
    for sheet in sheets:
        row = ReconciliationRow(
            id=new_id(), currency=sheet.currency, provider_minor=sheet.provider_minor,
            in_flight_minor=sheet.in_flight_minor, ledger_minor=sheet.ledger_minor,
            explained_minor=sheet.explained_minor, unexplained_minor=sheet.unexplained_minor, breaks=sheet.breaks,
        )  # fmt: skip
        tx.session.add(row)
        tx.session.flush()
        tx.record("reconciliation", row.id, after={
            "currency": sheet.currency, "provider_minor": sheet.provider_minor,
            "in_flight_minor": sheet.in_flight_minor, "ledger_minor": sheet.ledger_minor,
            "explained_minor": sheet.explained_minor, "unexplained_minor": sheet.unexplained_minor,
        })  # fmt: skip
        if sheet.unexplained_minor or sheet.breaks:
            raise_alert(tx, "reconciliation_break", "reconciliation", row.id, currency=sheet.currency,
                        unexplained_minor=sheet.unexplained_minor, breaks=len(sheet.breaks))  # fmt: skip
    return {"unexplained": {sheet.currency: sheet.unexplained_minor for sheet in sheets}}


def _sheets(session: Session, command: Compare, currencies: Iterable[str]) -> list[Sheet]:
    sheets = {currency: Sheet(currency) for currency in sorted({*currencies, *dict(command.balance)})}
    for currency, minor in command.balance:
        sheets[currency].provider_minor = minor
    for currency, sheet in sheets.items():
        for code in CLEARING:
            sheet.ledger_minor += ledger.balance(session, code, None, currency).posted_minor
    _flights(session, sheets)
    _explain_lines(session, sheets, command)
    return list(sheets.values())


def _flights(session: Session, sheets: dict[str, Sheet]) -> None:
    """Add what was transferred and is not at a bank, or failed and is not back: ours, off the platform's balance."""
    rows = session.scalars(
        select(PayoutRow).where(
            PayoutRow.state.in_((PayoutState.TRANSFERRED, PayoutState.IN_TRANSIT, PayoutState.FAILED))
        )
    )
    for row in rows:
        sheets[row.currency].in_flight_minor += row.amount_minor


def _explain_lines(session: Session, sheets: dict[str, Sheet], command: Compare) -> None:
    """Match every line to what we know; name each that is not ours, not booked, or differs."""
    paying = _by_intent(session)
    moved: dict[str, int] = defaultdict(int)
    sent = session.scalars(select(PayoutRow).where(PayoutRow.transfer_id.is_not(None)))
    known = {row.transfer_id: row for row in sent}
    back = {row.reversal_id: row for row in known.values() if row.reversal_id}
    disputes = {row.dispute_id: row for row in session.scalars(select(ChargebackRow))}
    for line in command.lines:
        sheet = sheets[line.currency]
        moved[line.currency] += line.minor - line.fee_minor
        if line.fee_minor:
            sheet.explain("provider_fee", -line.fee_minor, line.line_id)
        if line.kind in CAME_IN:
            _explain_receipt(sheet, line, paying.get(line.intent_id or ""))
        elif line.kind in WENT_OUT:
            if line.source_id not in known:
                sheet.explain("transfer_not_ours_yet", line.minor, str(line.source_id))
        elif line.kind in CAME_BACK:
            if line.source_id not in back:
                sheet.explain("reversal_not_booked", line.minor, str(line.source_id))
        elif line.source_id in disputes:
            _explain_chargeback(sheet, line, disputes[line.source_id])
        else:
            sheet.explain(line.kind, line.minor, str(line.source_id))
    for currency, sheet in sheets.items():
        if sheet.provider_minor != moved[currency]:
            # The balance and its lines were read a moment apart: the difference came between the two.
            sheet.explain("between_two_reads", sheet.provider_minor - moved[currency], "balance")


def _explain_receipt(sheet: Sheet, line: BalanceLine, row: Paying | None) -> None:
    if row is None:
        sheet.explain("receipt_not_ours", line.minor, str(line.source_id))
    elif row.state == PaymentState.PARKED and isinstance(row, FundingRow):
        sheet.explain("receipt_parked", line.minor, str(row.id))
    elif row.state not in (PaymentState.SUCCEEDED, PaymentState.PARKED):
        sheet.explain("receipt_not_booked", line.minor, str(row.id))


def _explain_chargeback(sheet: Sheet, line: BalanceLine, row: ChargebackRow) -> None:
    """Money taken back (below zero) and given back again: in our books once each is booked there."""
    booked = row.entry_id if line.minor < 0 else row.reinstated_entry_id
    if booked is None:
        sheet.explain("chargeback_not_booked", line.minor, str(line.source_id))


def _by_intent(session: Session) -> dict[str, Paying]:
    found: dict[str, Paying] = {}
    for table in PAYING:
        for row in session.scalars(select(table).where(table.intent_id.is_not(None))):
            found[str(row.intent_id)] = row
    return found
