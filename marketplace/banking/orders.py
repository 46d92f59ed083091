"""Files of pay-outs: what would be in one, writing it once, and finding its orders again in the bank's own files."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Row, func, insert, select, text
from sqlalchemy.orm import Session

from marketplace.banking.pain import ORDERS_MAX, SEPA_MINOR_MAX, Order, OrderFile, write_pain
from marketplace.banking.tables import PayoutFileRow, PayoutOrderRow
from marketplace.kernel.canonical import canonical_bytes
from marketplace.kernel.errors import NotFound, RuleBroken
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.queries import Organisation
from marketplace.payments import bank_payouts
from marketplace.payments.bank_payouts import Waiting
from marketplace.perform import Tx

# "BANKFILE" in ASCII: at the bank one thing happens at a time.
LOCK = int.from_bytes(b"BANKFILE", "big")
NO_ACCOUNT = N_("The market has no account at a bank yet: two operators enter its IBAN first.")
BANK_SHORT = N_(
    "By our books not so much of this pool’s money lies at the bank: bring money there first, or choose fewer pay-outs."
)


@dataclass(frozen=True)
class Draft:
    """What a file would order. `sha256` binds names, accounts and amounts: what one saw is what the other agrees to."""

    currency: str
    iban: str
    orders: tuple[Waiting, ...]

    @property
    def total_minor(self) -> int:
        """The sum of all orders."""
        return sum(one.minor for one in self.orders)

    @property
    def sha256(self) -> str:
        """The hash of who gets what on which account."""
        told = [[str(one.id), one.name, one.iban, one.minor] for one in self.orders]
        return hashlib.sha256(canonical_bytes([self.currency, self.iban, told])).hexdigest()


def keep_others_away(tx: Tx) -> None:
    """Let nobody else take a bank file, order or work off until the transaction ends."""
    tx.session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})


def house(session: Session) -> Organisation:
    """Return the organisation out of whose account is paid. Raises: RuleBroken("no_own_account")."""
    own = sorted((one for one in parties.of_kind(session, "operator") if one.iban), key=lambda one: one.created_at)
    if not own:
        raise RuleBroken("no_own_account", NO_ACCOUNT)
    return own[0]


def draft(session: Session, currency: str, payout_ids: Sequence[UUID]) -> Draft:
    """Return what a file of these payouts would order, oldest first.

    Raises: RuleBroken naming what stands against it: nothing waits, no account known, too much, not enough at the bank.
    """
    own = house(session)
    rows = bank_payouts.waiting(session, currency, payout_ids)
    if not rows or len(rows) != len(set(payout_ids)):
        raise RuleBroken("payouts_not_waiting", N_("Choose pay-outs of one currency that wait for a bank file."))
    if len(rows) > ORDERS_MAX:
        raise RuleBroken("too_many_orders", N_("A file takes %(most)s orders at the most."), {"most": ORDERS_MAX})
    nameless = next((one.name for one in rows if one.iban is None), None)
    if nameless is not None:
        raise RuleBroken("no_bank_account", N_("No account is known of %(name)s."), {"name": nameless})
    if currency == "EUR" and any(one.minor > SEPA_MINOR_MAX for one in rows):
        raise RuleBroken("too_much", N_("One SEPA transfer carries 999,999,999.99 at the most."))
    found = Draft(currency, str(own.iban), tuple(rows))
    for pool, free in bank_payouts.free_minor(session, currency).items():
        if sum(one.minor for one in rows if one.pool == pool) > free:
            raise RuleBroken("bank_short", BANK_SHORT)
    if found.total_minor > bank_payouts.free_together(session, currency):
        raise RuleBroken("bank_short", BANK_SHORT)
    return found


def write_file(tx: Tx, file_id: UUID, decision_id: UUID, wanted: Draft, execute_on: date) -> None:
    """Write a file and its orders, and note each payout as ordered. Each is in one file ever, which the database keeps.

    Raises: Conflict("payout_gone").
    """
    name = house(tx.session).legal_name
    lines = [
        Order(one.id.hex, one.name, str(one.iban), one.minor, f"DUEBILL {one.purpose} {one.id.hex[-8:].upper()}")
        for one in wanted.orders
    ]
    raw = write_pain(OrderFile(file_id.hex, name, wanted.iban, wanted.currency, execute_on, tx.now, lines))
    row = PayoutFileRow(
        id=file_id, message_id=file_id.hex, decision_id=decision_id, iban=wanted.iban, currency=wanted.currency,
        execute_on=execute_on, orders=len(lines), total_minor=wanted.total_minor,
        sha256=hashlib.sha256(raw).digest(), raw=raw,
    )  # fmt: skip
    tx.session.add(row)
    tx.session.flush()
    tx.session.execute(
        insert(PayoutOrderRow),
        [{"payout_id": one.id, "file_id": file_id, "end_to_end_id": line.end_to_end_id, "name": line.name,
          "iban": line.iban, "minor": line.minor} for one, line in zip(wanted.orders, lines, strict=True)],
    )  # fmt: skip
    bank_payouts.order(tx, {one.id: line.end_to_end_id for one, line in zip(wanted.orders, lines, strict=True)})
    tx.record("payout_file", file_id, verb="write_payout_file", after={
        "message_id": row.message_id, "decision_id": decision_id, "currency": row.currency, "orders": row.orders,
        "total_minor": row.total_minor, "execute_on": execute_on, "sha256": row.sha256.hex(),
    })  # fmt: skip


# -- finding them again -------------------------------------------------------------------------------------------


def named(session: Session, names: Sequence[str]) -> UUID | None:
    """Return the payout that one of the references names."""
    return session.scalars(select(PayoutOrderRow.payout_id).where(PayoutOrderRow.end_to_end_id.in_(names))).first()


def order_of(session: Session, payout_id: UUID) -> Row[Any]:
    """Return what a file ordered for a payout: name, IBAN, the file's message id. It is in a file."""
    found: Any = session.execute(
        select(PayoutOrderRow.name, PayoutOrderRow.iban, PayoutFileRow.message_id)
        .join(PayoutFileRow, PayoutFileRow.id == PayoutOrderRow.file_id).where(PayoutOrderRow.payout_id == payout_id)
    ).one()  # fmt: skip
    return cast(Row[Any], found)


def file_named(session: Session, names: Sequence[str]) -> UUID | None:
    """Return the file that one of the references names."""
    return session.scalars(select(PayoutFileRow.id).where(PayoutFileRow.message_id.in_(names))).first()


# A debit that named a file and was not its sum: it may be the rest of it, as soon as the bank's refusals are known.
LEFT_FOR = """
SELECT b.id, b.currency, b.minor FROM payout_order o JOIN payout_file f ON f.id = o.file_id
JOIN bank_entry b ON b.outcome = 'left' AND NOT b.reversal AND b.currency = f.currency
    AND b.names @> to_jsonb(f.message_id)
WHERE o.payout_id = :payout_id AND NOT EXISTS (SELECT FROM bank_entry u WHERE u.reverses_id = b.id)
    AND NOT EXISTS (SELECT FROM entry e WHERE e.subject_id = b.id AND e.kind = 'payout_file_paid')
"""


def pay_rest(tx: Tx, refused_id: UUID) -> None:
    """Let a debit that nothing explained have paid the rest of a file of which an order was refused."""
    keep_others_away(tx)
    file_id = tx.session.scalars(select(PayoutOrderRow.file_id).where(PayoutOrderRow.payout_id == refused_id)).one()
    for row in tx.session.execute(text(LEFT_FOR), {"payout_id": refused_id}).all():
        if bank_payouts.pay_unexplained(tx, row.id, payouts_of(tx.session, file_id), row.currency, row.minor):
            return


def paid_rest(session: Session, bank_entry_id: UUID, names: Sequence[str]) -> UUID | None:
    """Return the file of which a debit paid the rest, though it was not its sum when it came."""
    late = text("SELECT EXISTS (SELECT FROM entry WHERE subject_id = :id AND kind = 'payout_file_paid')")
    return file_named(session, names) if session.execute(late, {"id": bank_entry_id}).scalar_one() else None


def payouts_of(session: Session, file_id: UUID) -> list[UUID]:
    """Return the payouts that a file orders."""
    return list(session.scalars(select(PayoutOrderRow.payout_id).where(PayoutOrderRow.file_id == file_id)))


def files(session: Session, limit: int = 50) -> Sequence[Row[Any]]:
    """Return the files that were written, newest first, without their bytes."""
    row = PayoutFileRow
    return session.execute(
        select(row.id, row.message_id, row.currency, row.execute_on, row.orders, row.total_minor, row.written_at,
               func.encode(row.sha256, "hex").label("sha256"))
        .order_by(row.written_at.desc(), row.id).limit(limit)
    ).all()  # fmt: skip


def lines(session: Session, file_ids: Sequence[UUID]) -> dict[UUID, list[Any]]:
    """Return the orders of files, by file."""
    row = PayoutOrderRow
    found: dict[UUID, list[Any]] = {one: [] for one in file_ids}
    for line in session.execute(
        select(row.file_id, row.payout_id, row.name, row.iban, row.minor, row.end_to_end_id)
        .where(row.file_id.in_(file_ids)).order_by(row.payout_id)
    ):  # fmt: skip
        found[line.file_id].append(line)
    return found


def content(session: Session, file_id: UUID) -> bytes:
    """Return the bytes of a file, the same each time. Raises: NotFound("not_found")."""
    raw = session.scalars(select(PayoutFileRow.raw).where(PayoutFileRow.id == file_id)).one_or_none()
    if raw is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    return bytes(raw)
