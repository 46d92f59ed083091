"""What lies in suspense, payment by payment, since when, and what is left of it."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from marketplace.kernel.words import N_
from marketplace.ledger import actions as ledger
from marketplace.ledger.rules import credit, debit
from marketplace.payments import chargebacks
from marketplace.perform import Tx

NAME_IT = N_("Name the receivable it is to be applied to, and only then.")
NOT_SO_MUCH = N_("There is not so much of this payment left in suspense.")
WORKED_OFF = N_(
    "Nothing of this money is in suspense any more: another decision or the bank took it. Withdraw this one."
)


@dataclass(frozen=True)
class SuspenseItem:
    """Money of one payment that is nobody's yet. `cause`: excess, not_as_asked, or unmatched (nothing was owed)."""

    payment_id: UUID
    debtor_id: UUID
    receivable_id: UUID
    cause: str
    currency: str
    left_minor: int
    since: datetime
    days: int
    rail: str
    received_on: date


ITEMS = """
SELECT * FROM (
    SELECT p.id AS payment_id, p.organisation_id AS debtor_id, p.receivable_id, s.cause,
        CASE WHEN s.cause = 'not_as_asked' THEN p.received_currency ELSE p.currency END AS currency,
        (s.minor - coalesce((SELECT sum((m.payload ->> 'minor')::bigint) FROM money_decision m
            WHERE m.subject_id = p.id AND m.state = 'done' AND m.kind IN ('suspense_apply', 'suspense_return')), 0)
          + coalesce((SELECT sum(o.amount_minor) FROM payout o WHERE o.purpose = 'return' AND o.subject_id = p.id
            AND o.state IN ('failed', 'returned') AND NOT EXISTS (SELECT FROM provider_transition t
                WHERE t.object_id = 'payout:' || o.id AND t.transition = 'return_undone_by_bank')), 0)
          - coalesce((SELECT sum(v.excess_minor) FROM receipt_reversal v
            WHERE v.distribution_id = s.distribution_id), 0)
          - coalesce((SELECT sum(c.minor) FROM chargeback c WHERE s.distribution_id IS NULL AND c.payment_id = p.id
            AND c.entry_id IS NOT NULL AND c.reinstated_entry_id IS NULL), 0)
        )::bigint AS left_minor,
        p.state_since AS since, (market_now()::date - p.state_since::date) AS days,
        p.rail, p.received_on
    FROM debtor_payment p JOIN LATERAL (
        SELECT 'excess' AS cause, d.excess_minor AS minor, d.id AS distribution_id FROM distribution d
            WHERE d.payment_id = p.id AND d.excess_minor > 0
        UNION ALL
        SELECT 'not_as_asked', p.received_minor, NULL WHERE p.state = 'parked' AND EXISTS (
            SELECT FROM entry e WHERE e.subject_id = p.id AND e.kind = 'debtor_payment_suspended')
        UNION ALL
        SELECT 'unmatched', p.amount_minor, NULL WHERE p.state = 'succeeded' AND p.distribution_id IS NULL
            AND (p.applied_at IS NULL OR EXISTS (SELECT FROM entry e WHERE e.subject_id = p.id
                 AND e.kind = 'debtor_payment_unmatched'))
            AND NOT EXISTS (SELECT FROM collection c WHERE c.receivable_id = p.receivable_id
                            AND c.currency = p.currency)
    ) AS s ON true
    WHERE (CAST(:payment_id AS uuid) IS NULL OR p.id = :payment_id)
        AND NOT EXISTS (SELECT FROM bank_entry b JOIN bank_entry u ON u.reverses_id = b.id WHERE b.payment_id = p.id)
) AS items WHERE left_minor > 0 ORDER BY since, payment_id LIMIT 500
"""


def items(session: Session, payment_id: UUID | None = None) -> list[SuspenseItem]:
    """Return what is left in suspense, longest there first; of one payment when named."""
    return [SuspenseItem(**row._mapping) for row in session.execute(text(ITEMS), {"payment_id": payment_id})]


def lock(tx: Tx, payment_id: UUID) -> SuspenseItem | None:
    """Lock a payment, then return what is left of it in suspense: whoever takes of it reads it here, one at a time.

    Money for which nothing was owed still lies with the debtor's receipts: it is put where it is worked off.
    """
    applied = tx.session.execute(
        text("SELECT applied_at FROM debtor_payment WHERE id = :id FOR UPDATE"), {"id": payment_id}
    ).one_or_none()
    item = next(iter(items(tx.session, payment_id)), None)
    if applied is None or item is None or item.cause != "unmatched" or applied.applied_at is not None:
        return item
    legs = [
        debit(ledger.account(tx, "debtor_receipts", item.debtor_id, item.currency), item.left_minor),
        credit(ledger.account(tx, "suspense", None, item.currency), item.left_minor),
    ]
    ledger.post_entry(tx, "debtor_payment_unmatched", "debtor_payment", item.payment_id, legs)
    chargebacks.note_taken(tx, item.payment_id)
    return item
