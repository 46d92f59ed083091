"""Calling a person: once for a subject and a kind, in the transaction that found the trouble."""

from typing import Any
from uuid import UUID

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
