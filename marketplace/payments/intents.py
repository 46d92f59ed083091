"""Writing down what will be asked of the provider, in the transaction of whoever wants it."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from marketplace.kernel.ids import new_id
from marketplace.parties import queries as parties
from marketplace.payments import queries, wire
from marketplace.payments.alerts import close_about, raise_alert
from marketplace.payments.gateway import Call
from marketplace.payments.rules import CallState, PaymentState, PayoutState, Rail
from marketplace.payments.tables import PAYING, OutgoingCallRow, Paying, PayoutRow
from marketplace.perform import Tx


def write_call(
    tx: Tx, base_key: str, subject_kind: str, subject_id: UUID, build: Callable[[UUID], Call],
    *, wait: timedelta = timedelta(0),
) -> UUID | None:  # fmt: skip
    """Commit the intent of a call with the caller's transaction; None when the same one is already written.

    A call that failed for good may be followed by another: each try has a business key of its own.
    """
    failed = tx.session.scalar(
        select(func.count()).where(
            OutgoingCallRow.business_key.startswith(f"{base_key}:", autoescape=True),
            OutgoingCallRow.state == CallState.FAILED,
        )
    )
    call_id = new_id()
    call = build(call_id)
    request = call.to_bytes()
    written = tx.session.scalars(
        insert(OutgoingCallRow)
        .values(id=call_id, kind=str(call.kind), business_key=f"{base_key}:{(failed or 0) + 1}", request=request,
                subject_kind=subject_kind, subject_id=subject_id, state=CallState.PENDING, attempts=0, look_ups=0,
                next_at=tx.now + wait)
        .on_conflict_do_nothing()
        .returning(OutgoingCallRow.id)
    ).one_or_none()  # fmt: skip
    if written is None:
        return None
    tx.record("outgoing_call", call_id, verb="write_call",
              after={"kind": str(call.kind), "business_key": f"{base_key}:{(failed or 0) + 1}",
                     "subject_kind": subject_kind, "subject_id": subject_id})  # fmt: skip
    return call_id


def want_checkout(tx: Tx, row: Paying) -> None:
    """Write the next call towards a payment page: the customer where it is new, else the page."""
    known = queries.provider_id(tx.session, row.organisation_id, "customer")
    if known is None:
        name = parties.organisation(tx.session, row.organisation_id).legal_name
        write_call(tx, f"customer:{row.organisation_id}", "organisation", row.organisation_id,
                   lambda call_id: wire.customer(call_id, row.organisation_id, name))  # fmt: skip
        return
    write_call(
        tx, f"checkout:{row.id}", row.__tablename__, row.id,
        lambda call_id: wire.checkout(
            call_id, row.id, customer_id=known, minor=row.amount_minor, currency=row.currency, words=row.words,
            return_url=row.return_url,
        ),
    )  # fmt: skip


def want_waiting_checkouts(tx: Tx, organisation_id: UUID) -> None:
    """Write the pages that waited for their customer to be known."""
    for table in PAYING:
        rows = tx.session.scalars(
            select(table).where(table.organisation_id == organisation_id, table.state == PaymentState.PREPARING)
            .order_by(table.id).with_for_update()
        )  # fmt: skip
        for row in rows:
            want_checkout(tx, row)


def want_transfer(tx: Tx, row: PayoutRow, *, wait: timedelta = timedelta(0)) -> None:
    """Write the next call towards a payout: the connected account where it is new, else the transfer.

    Without a bank account the payout waits, and a person is told. One that leaves by the bank waits for a file.
    """
    if row.rail == Rail.BANK:
        return
    known = queries.provider_id(tx.session, row.organisation_id, "connected", row.currency)
    if known is None:
        _want_account(tx, row)
        return
    write_call(
        tx, f"transfer:{row.id}", "payout", row.id,
        lambda call_id: wire.transfer(call_id, row.id, account_id=known, minor=row.amount_minor, currency=row.currency),
        wait=wait,
    )  # fmt: skip


def _want_account(tx: Tx, row: PayoutRow) -> None:
    organisation = parties.organisation(tx.session, row.organisation_id)
    iban = organisation.iban
    if iban is None:
        raise_alert(tx, "no_bank_account", "payout", row.id, organisation_id=row.organisation_id)
        return
    close_about(tx, row.id, "no_bank_account")
    write_call(
        tx, f"account:{row.organisation_id}:{row.currency}", "organisation", row.organisation_id,
        lambda call_id: wire.account(
            call_id, row.organisation_id, name=organisation.legal_name, country=organisation.country, iban=iban,
            currency=row.currency,
        ),
    )  # fmt: skip


def waiting_payouts(tx: Tx, organisation_id: UUID, currency: str) -> list[PayoutRow]:
    """Lock and return the payouts of an organisation by the provider that have not left yet."""
    return list(tx.session.scalars(
        select(PayoutRow)
        .where(PayoutRow.organisation_id == organisation_id, PayoutRow.currency == currency,
               PayoutRow.state == PayoutState.REQUESTED, PayoutRow.rail == Rail.PROVIDER)
        .order_by(PayoutRow.id).with_for_update()
    ))  # fmt: skip


def want_bank_payout(tx: Tx, row: PayoutRow) -> None:
    """Write the call that sends a transferred payout to the bank."""
    write_call(
        tx, f"payout:{row.id}", "payout", row.id,
        lambda call_id: wire.payout(
            call_id, row.id, account_id=str(row.account_id), minor=row.amount_minor, currency=row.currency,
            words=f"DUEBILL {row.id.hex[-8:].upper()}",
        ),
    )  # fmt: skip


def want_reversal(tx: Tx, row: PayoutRow) -> None:
    """Write the call that brings a failed payout's money back to the platform."""
    write_call(tx, f"reversal:{row.id}", "payout", row.id,
               lambda call_id: wire.reversal(call_id, row.id, transfer_id=str(row.transfer_id),
                                             minor=row.amount_minor))  # fmt: skip
