"""Claims by law for paying late: opened when a debt becomes overdue, read with what has come up, paid by what is beyond
the debt. The debt itself is always paid first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from marketplace.parties import queries as parties
from marketplace.payments.alerts import close_about, raise_alert
from marketplace.perform import Tx
from marketplace.servicing import late_interest
from marketplace.servicing.dues import write_dues
from marketplace.servicing.late_interest import Claim, Terms
from marketplace.servicing.states import OPEN, CollectionState
from marketplace.servicing.tables import CollectionRow, LateClaimRow, LateReceiptRow
from marketplace.servicing.waterfall import Distribution, Due, Step, forgo_late

CLAIMABLE = (*OPEN, CollectionState.SETTLED)  # a debt that was settled late still bears what came up until then
DEBT = (
    "SELECT face_minor - (SELECT coalesce(sum(residual_minor + demanded_minor), 0) FROM dilution_effect e "
    "WHERE e.receivable_id = c.receivable_id) FROM collection c WHERE receivable_id = :id"
)
# What each receipt paid of the debt, and of the principal alone. What a chargeback took back was never paid: of the
# debt and of the interest in proportion. The interest stays in the dues, and is owed there again.
PAID = """
SELECT p.received_on,
    (shared - late) - (taken - CASE WHEN shared > 0 THEN div(late * taken, shared) ELSE 0 END) AS debt,
    (SELECT coalesce(sum(s.minor), 0) FROM share s JOIN due ON due.id = s.due_id AND due.step = 'principal'
     WHERE s.distribution_id = d.id)
    - (SELECT coalesce(sum(r.minor), 0) FROM receipt_reversal v JOIN reversal_share r ON r.reversal_id = v.id
       JOIN due ON due.id = r.due_id AND due.step = 'principal' WHERE v.distribution_id = d.id) AS principal, late
FROM distribution d JOIN debtor_payment p ON p.id = d.payment_id, LATERAL (
    SELECT d.received_minor - d.excess_minor AS shared,
        coalesce((SELECT l.minor FROM late_receipt l WHERE l.distribution_id = d.id), 0)::numeric AS late,
        coalesce((SELECT sum(v.taken_minor - v.excess_minor) FROM receipt_reversal v
                  WHERE v.distribution_id = d.id), 0)::numeric AS taken) AS part
WHERE d.receivable_id = :id ORDER BY p.received_on, d.id
"""


@dataclass(frozen=True)
class Facts:
    """What a claim is reckoned from: the debt, what was paid of it and when, what of the claim was received."""

    debt_minor: int
    paid: tuple[tuple[date, int], ...]
    principal_paid: tuple[tuple[date, int], ...]
    received_minor: int


@dataclass(frozen=True)
class Standing:
    """A claim as it stands on a day."""

    terms: Terms
    claim: Claim
    received_minor: int

    @property
    def left_minor(self) -> int:
        """What is still claimed."""
        return max(0, self.claim.total_minor - self.received_minor)


def open_claim(tx: Tx, row: CollectionRow) -> None:
    """Freeze what the law lets us claim, once, if anything was unpaid when the debt fell due.

    Where the policy does not know the half-year's rate nothing is claimed, and a person is told; the next step of
    collection asks again.
    """
    policy = tx.policy.late_interest
    law = late_interest.law_of(parties.organisation(tx.session, row.debtor_id).country, policy)
    if law is None or tx.session.get(LateClaimRow, row.receivable_id) is not None:
        return
    known = facts(tx.session, row.receivable_id)
    unpaid = late_interest.unpaid_on(known.debt_minor, known.paid, row.due_on)
    if not unpaid:
        return
    found = late_interest.terms(law, row.due_on, row.currency, unpaid, policy)
    first = late_interest.half_year(row.due_on + timedelta(days=1))
    about = UUID(int=first.toordinal() * 2 + (law == late_interest.EU))  # one alert a law and half-year
    if found is None:
        raise_alert(tx, "late_rate_unknown", "policy", about, law=law, half_year=first)
        return
    close_about(tx, about)
    values = {"law": law, "reference_bps": found.reference_bps, "rate_bps": found.rate_bps, "since_on": found.since_on,
              "compensation_minor": found.compensation_minor, "policy_version": tx.policy.version}  # fmt: skip
    tx.session.execute(insert(LateClaimRow).values(receivable_id=row.receivable_id, **values))
    tx.record("late_claim", row.receivable_id, verb="open_late_claim", after=values)


def facts(session: Session, receivable_id: UUID) -> Facts:
    """Return what a claim is reckoned from."""
    rows = session.execute(text(PAID), {"id": receivable_id}).all()
    return Facts(
        int(session.execute(text(DEBT), {"id": receivable_id}).scalar_one()),
        tuple((row.received_on, int(row.debt)) for row in rows),
        tuple((row.received_on, int(row.principal)) for row in rows),
        sum(int(row.late) for row in rows),
    )


def standing(session: Session, collection: Any, day: date) -> Standing | None:
    """Return a claim as it stands through a day; None where there is none, or it is the seller's again.

    `collection`: a row or a read model of one.
    """
    row = session.get(LateClaimRow, collection.receivable_id)
    if row is None or collection.state not in CLAIMABLE:
        return None
    found = Terms(row.law, row.reference_bps, row.rate_bps, row.since_on, row.compensation_minor)
    known = facts(session, row.receivable_id)
    return Standing(found, late_interest.claimed(found, known.debt_minor, known.paid, day), known.received_minor)


def take(
    tx: Tx, row: CollectionRow, dues: Sequence[Due], given: Distribution, day: date
) -> tuple[list[Due], Distribution, int]:  # fmt: skip
    """Let what a receipt has beyond the debt pay the claim: return the dues grown by it, all shares, and how much."""
    now = standing(tx.session, row, day) if given.excess_minor else None
    minor = min(given.excess_minor, now.left_minor) if now else 0
    if not minor:
        return list(dues), given, 0
    shares = late_interest.beyond(dues, row.seller_id, minor, _short(tx, row, dues, day))
    grown = late_interest.grown(dues, shares)
    write_dues(tx, row, dues, grown)
    both = late_interest.together(given.shares, shares)
    return grown, replace(given, shares=both, excess_minor=given.excess_minor - minor), minor


def forgo(tx: Tx, row: CollectionRow, dues: Sequence[Due], given: Distribution, day: date) -> list[Due]:
    """Let holders forgo the late charge on what a receipt of an earlier day had paid of the principal already."""
    days = (row.late_charged_to - max(day, row.expected_on)).days
    borne = any(due.outstanding_minor for due in dues if due.step == Step.RESIDUAL)  # by a residual that had enough
    short = 0 if borne else _short(tx, row, dues, row.late_charged_to)
    after = forgo_late(dues, given.shares, row.late_rate_bps, days, short)
    write_dues(tx, row, dues, after)
    return after


def note(tx: Tx, row: CollectionRow, distribution_id: UUID, minor: int) -> None:
    """Note what of a receipt was interest."""
    if minor:
        values = {"distribution_id": distribution_id, "receivable_id": row.receivable_id, "minor": minor}
        tx.session.execute(insert(LateReceiptRow).values(**values))
        tx.record("late_claim", row.receivable_id, verb="receive_late_interest", after=values)


def _short(tx: Tx, row: CollectionRow, dues: Sequence[Due], day: date) -> int:
    """Return what of the holders' late charge the residual could not bear through a day."""
    principal = sum(due.due_minor for due in dues if due.step == Step.PRINCIPAL)
    charged = sum(due.due_minor for due in dues if due.step == Step.LATE_CHARGE)
    award = Terms("", 0, row.late_rate_bps, row.expected_on, 0)
    paid = facts(tx.session, row.receivable_id).principal_paid
    return max(0, late_interest.claimed(award, principal, paid, day).interest_minor - charged)
