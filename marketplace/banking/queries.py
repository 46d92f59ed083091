"""Reads of the bank's files."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, literal_column, select
from sqlalchemy.orm import Session

from marketplace.banking.tables import BankEntryRow, BankMessageRow

# What two people have not yet worked off of an entry `b` in suspense; what came back from its sender is there again.
LEFT_MINOR = """
(b.minor - coalesce((SELECT sum((m.payload ->> 'minor')::bigint) FROM money_decision m WHERE m.subject_id = b.id
        AND m.state = 'done' AND m.kind IN ('bank_suspense_apply', 'bank_suspense_return', 'bank_suspense_own')), 0)
    + coalesce((SELECT sum(o.amount_minor) FROM payout o WHERE o.subject_kind = 'bank_entry' AND o.subject_id = b.id
        AND o.state IN ('failed', 'returned') AND NOT EXISTS (SELECT FROM provider_transition t
            WHERE t.object_id = 'payout:' || o.id AND t.transition = 'return_undone_by_bank')), 0))::bigint
"""


def left_minor(session: Session, entry_id: UUID) -> int:
    """Return what is left of an entry in suspense."""
    row = BankEntryRow.__table__.alias("b")
    return int(
        session.execute(select(literal_column(LEFT_MINOR)).select_from(row).where(row.c.id == entry_id)).scalar_one()
    )


def left_of(session: Session, entry_ids: Collection[UUID]) -> dict[UUID, int]:
    """Return what is left in suspense of each of these entries, in minor units; 0 for what two people worked off."""
    row = BankEntryRow.__table__.alias("b")
    found = session.execute(
        select(row.c.id, literal_column(LEFT_MINOR)).select_from(row).where(row.c.id.in_(entry_ids))
    )
    return {entry_id: int(left) for entry_id, left in found}


def messages(session: Session, limit: int = 50) -> Sequence[Row[Any]]:
    """Return the files that were taken, newest first, without their bytes."""
    row = BankMessageRow
    return session.execute(
        select(row.id, row.kind, row.message_id, row.name, row.entries, row.known, row.pending, row.outcomes,
               row.closing, row.kept_by, row.kept_at).order_by(row.kept_at.desc(), row.id).limit(limit)
    ).all()  # fmt: skip


def entries(session: Session, limit: int = 100) -> list[BankEntryRow]:
    """Return what the bank booked, newest first."""
    return list(session.scalars(select(BankEntryRow).order_by(BankEntryRow.at.desc(), BankEntryRow.id).limit(limit)))
