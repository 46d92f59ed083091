"""What the provider keeps for moving money: a cost of the platform's own, booked once a line of the provider's.

The provider takes it out of the one balance in which investors' and debtors' money lies too. Booked here, it is the
platform's own part that shrinks, below zero if it must: so much the platform then owes to that balance.
"""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from marketplace.ledger.actions import account, post_entry
from marketplace.ledger.rules import credit, debit
from marketplace.payments.gateway import BalanceLine
from marketplace.payments.tables import ProcessingCostRow
from marketplace.perform import Tx

# Lines that are nothing but a fee. Source: docs.stripe.com/reports/balance-transaction-types.
NOTHING_ELSE = frozenset({"network_cost", "stripe_fee", "stripe_fx_fee", "tax_fee"})


def cost_of(line: BalanceLine) -> int:
    """Return what a line cost in minor units; below zero where the provider gave a fee back."""
    return line.fee_minor - (line.minor if line.kind in NOTHING_ELSE else 0)


def booked(session: Session) -> dict[str, tuple[str, int]]:
    """Return currency and cost of every line whose cost is booked, by the provider's name of the line."""
    row = ProcessingCostRow
    return {found.line_id: (found.currency, found.minor)
            for found in session.execute(select(row.line_id, row.currency, row.minor))}  # fmt: skip


def book(tx: Tx, reconciliation_id: UUID, currency: str, costs: Mapping[str, int]) -> None:
    """Book the costs of lines that a comparison with the provider found: an entry, and one for what came back."""
    cost, ours = account(tx, "processing_costs", None, currency), account(tx, "provider_platform", None, currency)
    for up, down, part in (
        (cost, ours, {line_id: minor for line_id, minor in costs.items() if minor > 0}),
        (ours, cost, {line_id: minor for line_id, minor in costs.items() if minor < 0}),
    ):
        total = abs(sum(part.values()))
        if not total:
            continue
        legs = [debit(up, total), credit(down, total)]
        entry_id = post_entry(tx, "processing_cost", "reconciliation", reconciliation_id, legs)
        tx.session.execute(insert(ProcessingCostRow), [
            {"line_id": line_id, "currency": currency, "minor": minor, "entry_id": entry_id}
            for line_id, minor in sorted(part.items())
        ])  # fmt: skip
