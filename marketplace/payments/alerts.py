"""Calling a person: once for a subject and a kind, in the transaction that found the trouble."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert

from marketplace.kernel.canonical import jsonable
from marketplace.kernel.ids import new_id
from marketplace.payments.tables import PaymentAlertRow
from marketplace.perform import Tx


def raise_alert(tx: Tx, kind: str, subject_kind: str, subject_id: UUID, **facts: Any) -> None:
    """Raise an alert unless the same one was raised before. Facts are ids, codes and figures; no personal data."""
    alert_id = tx.session.scalars(
        insert(PaymentAlertRow)
        .values(id=new_id(), kind=kind, subject_kind=subject_kind, subject_id=subject_id, facts=jsonable(facts))
        .on_conflict_do_nothing()
        .returning(PaymentAlertRow.id)
    ).one_or_none()
    if alert_id is not None:
        told = {"kind": kind, "subject_kind": subject_kind, "subject_id": subject_id, "facts": facts}
        tx.record("payment_alert", alert_id, verb="raise_alert", after=told)


def close_others(tx: Tx, kind: str, subject_kind: str, standing: Sequence[UUID]) -> None:
    """Close the alerts of a kind whose trouble is gone; open those again whose trouble is back."""
    row = PaymentAlertRow
    about = (row.kind == kind) & (row.subject_kind == subject_kind)
    stands = row.subject_id.in_(standing)
    for changed, closed_at in (
        (row.closed_at.is_(None) & ~stands, tx.clock()), (row.closed_at.is_not(None) & stands, None),
    ):  # fmt: skip
        for alert_id in tx.session.scalars(
            update(row).where(about, changed).values(closed_at=closed_at).returning(row.id)
        ).all():
            tx.record("payment_alert", alert_id, verb="close_alert" if closed_at else "raise_alert",
                      after={"closed_at": closed_at})  # fmt: skip


def close_about(tx: Tx, subject_id: UUID, kind: str = "") -> None:
    """Close what was called about a subject, of one kind or of all: its trouble is over.

    What closes it is recorded by whoever ends it.
    """
    row = PaymentAlertRow
    about = (row.subject_id == subject_id) & row.closed_at.is_(None)
    tx.session.execute(update(row).where(about & (row.kind == kind) if kind else about).values(closed_at=tx.clock()))
