"""Reading collections, and the locks that collection needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from marketplace.kernel.errors import NotFound
from marketplace.kernel.policy import Collection as CollectionPolicy
from marketplace.kernel.words import N_
from marketplace.servicing.ageing import Ageing, days_past_due, first_days
from marketplace.servicing.states import OPEN, CollectionState
from marketplace.servicing.tables import AgeingStepRow, CollectionRow, DistributionRow, DueRow, ShareRow
from marketplace.servicing.waterfall import Due, Step


@dataclass(frozen=True)
class Collection:
    """A funded receivable on its way home, with what everybody is due."""

    receivable_id: UUID
    lot_id: UUID
    seller_id: UUID
    debtor_id: UUID
    currency: str
    face_minor: int
    rate_bps: int
    due_on: date
    expected_on: date
    late_charged_to: date
    state: CollectionState
    opened_at: datetime
    defaulted_at: datetime | None
    closed_at: datetime | None
    dues: tuple[Due, ...]

    @property
    def outstanding_minor(self) -> int:
        """What the debtor still owes."""
        return sum(due.outstanding_minor for due in self.dues)

    @property
    def open(self) -> bool:
        """Whether money may still come."""
        return self.state in OPEN

    def days_past_due(self, today: date) -> int:
        """Return days past due; zero once nothing is outstanding."""
        return days_past_due(self.due_on, today) if self.open else 0


@dataclass(frozen=True)
class Receipt:
    """One payment as it was shared out."""

    distribution_id: UUID
    payment_id: UUID
    received_minor: int
    excess_minor: int
    recovery: bool
    distributed_at: datetime
    shares: tuple[tuple[Step, UUID | None, int], ...]


def collection(session: Session, receivable_id: UUID) -> Collection:
    """Return the collection of a receivable with its dues.

    Raises: NotFound when the receivable was never funded.
    """
    row = session.get(CollectionRow, receivable_id, populate_existing=True)
    if row is None:
        raise NotFound("not_found", N_("There is no such receivable."))
    return _collection(row, _dues(session, [receivable_id]).get(receivable_id, []))


def collections(session: Session, receivable_ids: Sequence[UUID]) -> dict[UUID, Collection]:
    """Return the collections of those receivables that were funded, in two statements."""
    rows = session.scalars(select(CollectionRow).where(CollectionRow.receivable_id.in_(receivable_ids))).all()
    dues = _dues(session, [row.receivable_id for row in rows])
    return {row.receivable_id: _collection(row, dues.get(row.receivable_id, [])) for row in rows}


def lock_collection(session: Session, receivable_id: UUID) -> CollectionRow:
    """Return the collection's row, locked until the transaction ends.

    Raises: NotFound.
    """
    row = session.scalars(
        select(CollectionRow).where(CollectionRow.receivable_id == receivable_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound("not_found", N_("There is no such receivable."))
    return row


def due_rows(session: Session, receivable_id: UUID) -> list[DueRow]:
    """Return the dues as rows, in their order."""
    wanted = select(DueRow).where(DueRow.receivable_id == receivable_id).order_by(DueRow.position, DueRow.id)
    return list(session.scalars(wanted))


def receipts(session: Session, receivable_id: UUID) -> list[Receipt]:
    """Return every payment that was shared out, oldest first."""
    rows = session.execute(
        select(DistributionRow, DueRow.step, DueRow.party_id, ShareRow.minor)
        .join(ShareRow, ShareRow.distribution_id == DistributionRow.id, isouter=True)
        .join(DueRow, DueRow.id == ShareRow.due_id, isouter=True)
        .where(DistributionRow.receivable_id == receivable_id)
        .order_by(DistributionRow.distributed_at, DueRow.position)
    ).all()
    grouped: dict[UUID, list[Any]] = {}
    for row in rows:
        grouped.setdefault(row[0].id, []).append(row)
    return [_receipt(group) for group in grouped.values()]


def to_age(session: Session, today: date, policy: CollectionPolicy, limit: int = 100_000) -> list[UUID]:
    """Return open collections that a step is due for and was not yet taken, oldest due date first."""
    reached = [
        (CollectionRow.due_on + first <= today) & ~exists().where(
            AgeingStepRow.receivable_id == CollectionRow.receivable_id, AgeingStepRow.step == step
        )
        for step, first in first_days(policy).items()
    ]  # fmt: skip
    return list(
        session.scalars(
            select(CollectionRow.receivable_id)
            .where(CollectionRow.closed_at.is_(None), CollectionRow.due_on - policy.reminder_days_before <= today)
            .where(or_(*reached))
            .order_by(CollectionRow.due_on, CollectionRow.receivable_id)
            .limit(limit)
        )
    )


def steps_taken(session: Session, receivable_id: UUID) -> dict[Ageing, datetime]:
    """Return which steps of collection were taken, and when."""
    rows = session.execute(
        select(AgeingStepRow.step, AgeingStepRow.taken_at)
        .where(AgeingStepRow.receivable_id == receivable_id)
        .order_by(AgeingStepRow.taken_at)
    )
    return {Ageing(step): taken_at for step, taken_at in rows}


def _dues(session: Session, receivable_ids: Sequence[UUID]) -> dict[UUID, list[Due]]:
    found: dict[UUID, list[Due]] = {}
    for row in session.scalars(
        select(DueRow)
        .where(DueRow.receivable_id.in_(receivable_ids))
        .order_by(DueRow.position, DueRow.id)
        .execution_options(populate_existing=True)
    ):
        found.setdefault(row.receivable_id, []).append(Due(Step(row.step), row.party_id, row.due_minor, row.paid_minor))
    return found


def _collection(row: CollectionRow, dues: Sequence[Due]) -> Collection:
    return Collection(
        row.receivable_id, row.lot_id, row.seller_id, row.debtor_id, row.currency, row.face_minor, row.rate_bps,
        row.due_on, row.expected_on, row.late_charged_to, CollectionState(row.state), row.opened_at,
        row.defaulted_at, row.closed_at, tuple(dues),
    )  # fmt: skip


def _receipt(group: list[Any]) -> Receipt:
    row = group[0][0]
    shares = tuple((Step(step), party, minor) for _, step, party, minor in group if step is not None)
    return Receipt(row.id, row.payment_id, row.received_minor, row.excess_minor, row.recovery,
                   row.distributed_at, shares)  # fmt: skip
