"""What a story came to, counted from the database after the fact, never from what the story meant to do."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from marketplace.jobs.invariants import invariants

COUNTS = {
    "listed": "SELECT count(*) FROM receivable",
    "confirmed": "SELECT count(*) FROM receivable WHERE confirmed_at IS NOT NULL",
    "rated": "SELECT count(DISTINCT receivable_id) FROM receivable_rating",
    "lots": "SELECT count(*) FROM lot",
    "bids": "SELECT count(*) FROM bid",
    "awarded": "SELECT count(DISTINCT lot_id) FROM award WHERE outcome <> 'failed'",
    "overdue": "SELECT count(*) FROM ageing_step WHERE step = 'overdue'",
    "defaulted": "SELECT count(*) FROM collection WHERE defaulted_at IS NOT NULL",
}
SUMS = {
    "funded_minor": "SELECT coalesce(sum(due_minor), 0) FROM due WHERE step = 'principal'",
    "collected_minor": "SELECT coalesce(sum(received_minor), 0) FROM distribution",
    "paid_to_investors_minor": "SELECT coalesce(sum(minor), 0) FROM share JOIN due ON due.id = due_id "
    "WHERE step IN ('principal', 'discount', 'late_charge')",
    "paid_to_sellers_minor": "SELECT coalesce(sum(amount_minor), 0) FROM payout "
    "WHERE purpose IN ('advance', 'residual') AND state = 'paid'",
    "fees_minor": "SELECT coalesce(sum(minor), 0) FROM share JOIN due ON due.id = due_id WHERE step = 'platform_fee'",
    "recovered_minor": "SELECT coalesce(sum(received_minor), 0) FROM distribution WHERE recovery",
}
BY_CURRENCY = (
    "SELECT currency, sum(due_minor) FROM due JOIN collection USING (receivable_id) WHERE step = 'principal' "
    "GROUP BY currency ORDER BY currency"
)


def tally(session: Session) -> dict[str, Any]:
    """Return counts, sums of minor units (over all currencies) and every invariant."""
    found: dict[str, Any] = {
        name: int(session.execute(text(statement)).scalar_one()) for name, statement in (COUNTS | SUMS).items()
    }
    found["funded_by_currency"] = {row[0]: int(row[1]) for row in session.execute(text(BY_CURRENCY))}
    found["invariants"] = [{"name": check.name, "ok": check.ok} for check in invariants(session)]
    return found
