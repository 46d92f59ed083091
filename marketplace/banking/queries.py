"""Reads of the bank's files."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from marketplace.banking.tables import BankEntryRow, BankMessageRow


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
