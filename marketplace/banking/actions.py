"""Taking a file of the bank's: each movement once, matched by its reference, or put where a person looks."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from marketplace.banking import orders, queries
from marketplace.banking.camt import BankMessage, Movement, read_camt, receivable_ref, refusal
from marketplace.banking.tables import BankEntryRow, BankMessageRow
from marketplace.kernel.canonical import jsonable
from marketplace.kernel.errors import Conflict, NotFound
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.rules import verb
from marketplace.payments import bank_payouts, by_bank
from marketplace.payments.alerts import raise_alert
from marketplace.perform import Result, Tx
from marketplace.receivables import queries as receivables
from marketplace.receivables.queries import Receivable

NAME_MAX = 200
# By account and the bank's reference: currency, minor units, whether it came in, whether it undoes another.
Told = dict[tuple[str, str], tuple[str, int, bool, bool]]
FILE_KNOWN = N_("This file was taken before: %(name)s. Nothing was booked again.")
OTHER_FILE = N_("Another file with the id %(name)s was taken before. Ask the bank which of the two holds.")
NOT_OURS = N_("The account %(name)s is not the market's. Nothing was booked.")


@dataclass(frozen=True)
class TakeBankFile:
    """A file as the bank gave it, and the name it came under."""

    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class _Booked:
    """Where a movement went."""

    outcome: str
    entry_id: UUID
    payment_id: UUID | None = None
    receivable_id: UUID | None = None
    reverses_id: UUID | None = None
    payout_id: UUID | None = None
    payout_file_id: UUID | None = None


@verb("take_bank_file")
def take_bank_file(tx: Tx, command: TakeBankFile) -> Result:
    """Book every movement of a statement or notification that no earlier file told of; all of it or nothing.

    Raises: what `read_camt` raises; Conflict("file_known") for the same bytes, Conflict("message_changed") for other
    bytes under the same id, InvalidInput("not_our_account").
    """
    message = read_camt(command.content)
    orders.keep_others_away(tx)  # else two files that tell of one entry could both book it
    _refuse_known(tx, message, command.content)
    _refuse_others_accounts(tx, message)
    row = BankMessageRow(
        id=new_id(), kind=message.kind, message_id=message.message_id, name=command.name.replace("\x00", "")[:NAME_MAX],
        sha256=hashlib.sha256(command.content).digest(), raw=command.content, entries=len(message.movements),
        known=0, pending=message.pending, outcomes={}, closing=[jsonable(asdict(one)) for one in message.closing],
        kept_by=tx.actor.user_id,
    )  # fmt: skip
    earlier = _known(tx, message)
    fresh = [one for one in message.movements if (one.iban, one.bank_ref) not in earlier]
    _refuse_changed(message, earlier)
    row.known = len(message.movements) - len(fresh)
    ids = [new_id() for _ in fresh]
    tx.record("bank_message", row.id, after={
        "kind": row.kind, "message_id_sha256": hashlib.sha256(row.message_id.encode()).hexdigest(),
        "sha256": row.sha256.hex(), "entries": row.entries, "known": row.known, "pending": row.pending,
    })  # fmt: skip
    tx.session.add(row)
    tx.session.flush()
    booked = Counter(_take(tx, row.id, entry_id, one) for entry_id, one in zip(ids, fresh, strict=True))
    row.outcomes = dict(booked)
    tx.session.flush()
    return {"bank_message_id": row.id, "entries": row.entries, "known": row.known, "pending": row.pending,
            "outcomes": dict(booked)}  # fmt: skip


def _refuse_known(tx: Tx, message: BankMessage, content: bytes) -> None:
    digest = hashlib.sha256(content).digest()
    for row in tx.session.execute(
        select(BankMessageRow.sha256, BankMessageRow.message_id).where(
            (BankMessageRow.sha256 == digest)
            | ((BankMessageRow.kind == message.kind) & (BankMessageRow.message_id == message.message_id))
        )
    ):
        if bytes(row.sha256) == digest:
            raise Conflict("file_known", FILE_KNOWN, {"name": row.message_id})
        raise Conflict("message_changed", OTHER_FILE, {"name": row.message_id})


def _refuse_others_accounts(tx: Tx, message: BankMessage) -> None:
    ours = {house.iban for house in parties.of_kind(tx.session, "operator") if house.iban}
    for iban in sorted({one.iban for one in message.movements} | {one.iban for one in message.closing}):
        if iban not in ours:
            raise refusal("not_our_account", NOT_OURS, name=f"…{iban[-4:]}")


def _known(tx: Tx, message: BankMessage) -> Told:
    """Return what is booked already of the entries that a message names, each as a whole."""
    return _as_told(
        tx.session.scalars(
            select(BankEntryRow).where(
                BankEntryRow.iban.in_({one.iban for one in message.movements}),
                BankEntryRow.bank_ref.in_({one.bank_ref for one in message.movements}),
            )
        )
    )


def _as_told(parts: Iterable[Movement | BankEntryRow]) -> Told:
    """Put the parts of a batch together: one file tells them, another only their sum."""
    told: Told = {}
    for one in parts:
        name = (one.iban, one.bank_ref)
        _, minor, _, reversal = told.get(name, ("", 0, True, False))
        told[name] = (one.currency, minor + one.minor, one.incoming, reversal or one.reversal)
    return told


def _refuse_changed(message: BankMessage, earlier: Told) -> None:
    """An entry may be told of twice, but not as something else."""
    for name, now in _as_told(message.movements).items():
        if name in earlier and earlier[name] != now:
            raise refusal("entry_changed", N_("Entry %(name)s was booked before with another amount."), name=name[1])


# -- one movement -------------------------------------------------------------------------------------------------


def _take(tx: Tx, message_id: UUID, entry_id: UUID, one: Movement) -> str:
    """Book one movement and keep it; return what became of it."""
    booked = _of_payout(tx, one) or _undone(tx, entry_id, one)
    booked = booked or (_arrived(tx, entry_id, one) if one.incoming else _left(tx, entry_id, one))
    row = BankEntryRow(
        id=entry_id, message_id=message_id, iban=one.iban, key=one.key, bank_ref=one.bank_ref, currency=one.currency,
        minor=one.minor,
        incoming=one.incoming, reversal=one.reversal, booked_on=one.booked_on, reference=one.reference, words=one.text,
        names=list(one.names), outcome=booked.outcome, receivable_id=booked.receivable_id,
        payment_id=booked.payment_id, entry_id=booked.entry_id, reverses_id=booked.reverses_id,
        sender_name=one.sender_name, sender_iban=one.sender_iban, payout_id=booked.payout_id,
        payout_file_id=booked.payout_file_id,
    )  # fmt: skip
    tx.session.add(row)
    tx.session.flush()
    tx.record("bank_entry", row.id, after={
        "bank_message_id": message_id, "currency": one.currency, "minor": one.minor, "incoming": one.incoming,
        "reversal": one.reversal, "outcome": booked.outcome, "entry_id": booked.entry_id,
        "payment_id": booked.payment_id, "reverses_id": booked.reverses_id, "payout_id": booked.payout_id,
        "payout_file_id": booked.payout_file_id,
    })  # fmt: skip
    return booked.outcome


def _of_payout(tx: Tx, one: Movement) -> _Booked | None:
    """End a payout that an order of ours names, or a whole file; None where it is something else."""
    ordered = orders.named(tx.session, one.names)
    if ordered is not None and one.incoming:
        posted = bank_payouts.come_back(tx, ordered, one.currency, one.minor, one.return_code)
        return _Booked("came_back", posted, payout_id=ordered) if posted else None
    if ordered is not None:
        posted = None if one.reversal else bank_payouts.pay(tx, ordered, one.currency, one.minor)
        return _Booked("paid_out", posted, payout_id=ordered) if posted else None
    file_id = None if one.incoming != one.reversal else orders.file_named(tx.session, one.names)
    if file_id is None:
        return None
    payouts = orders.payouts_of(tx.session, file_id)
    if one.incoming:
        posted = bank_payouts.come_back_together(tx, file_id, payouts, one.currency, one.minor, one.return_code)
        return _Booked("came_back", posted, payout_file_id=file_id) if posted else None
    posted = bank_payouts.pay_together(tx, file_id, payouts, one.currency, one.minor)
    return _Booked("paid_out", posted, payout_file_id=file_id) if posted else None


def _arrived(tx: Tx, entry_id: UUID, one: Movement) -> _Booked:
    """A debtor's payment where the reference names a receivable in this currency; else suspense, and a person."""
    found = None if one.reversal else _receivable(tx, one.reference)
    if found is not None and found.currency == one.currency:
        payment_id, posted = by_bank.receive(
            tx,
            found.id,
            found.debtor_id,
            one.currency,
            one.minor,
            one.text,
            f"{one.iban}:{one.key}",
            one.booked_on,
        )
        return _Booked("payment", posted, payment_id, found.id)
    posted = by_bank.suspend(tx, entry_id, one.currency, one.minor)
    why = "wrong_currency" if found is not None else "no_reference" if one.reference is None else "unknown_reference"
    raise_alert(tx, "bank_money_unmatched", "bank_entry", entry_id, why=why, minor=one.minor, currency=one.currency)
    return _Booked("suspense", posted, receivable_id=found.id if found else None)


def _left(tx: Tx, entry_id: UUID, one: Movement) -> _Booked:
    """Money left that nothing here asked for: charges, or a receipt taken back that was shared out already."""
    posted = by_bank.miss(tx, entry_id, one.currency, one.minor)
    kind = "bank_money_taken_back" if one.reversal else "bank_money_left"
    raise_alert(tx, kind, "bank_entry", entry_id, minor=one.minor, currency=one.currency)
    return _Booked("taken_back" if one.reversal else "left", posted)


def _undone(tx: Tx, entry_id: UUID, one: Movement) -> _Booked | None:
    """Undo the entry that this one reverses, or that reversed this one before it was told; None where there is none."""
    other = _counterpart(tx, one)
    if other is None:
        return None
    file_id = other.payout_file_id or orders.paid_rest(tx.session, other.id, other.names)
    if other.payout_id is not None or file_id is not None:
        return _payout_undone(tx, entry_id, one, other, file_id)
    worked_off = _worked_off(tx, other)
    posted = None if worked_off else by_bank.undo(tx, other.entry_id, other.payment_id)
    if posted is not None:
        return _Booked("undone", posted, receivable_id=other.receivable_id, reverses_id=other.id)
    left = max(0, queries.left_minor(tx.session, other.id)) if worked_off else 0
    posted = by_bank.miss(tx, entry_id, one.currency, one.minor, left)
    raise_alert(tx, "bank_money_taken_back", "bank_entry", entry_id, minor=one.minor, currency=one.currency,
                receivable_id=other.receivable_id, payment_id=other.payment_id)  # fmt: skip
    return _Booked("taken_back", posted, other.payment_id, other.receivable_id, other.id)


def _payout_undone(
    tx: Tx, entry_id: UUID, one: Movement, other: BankEntryRow, file_id: UUID | None
) -> _Booked | None:  # fmt: skip
    """Let a pay-out come back whose debit is reversed; what is due to whom is never put right by a mirrored entry.

    Where a return is reversed the payee has the money after all: it stays unexplained until two people book it, and is
    not sent again. None: it cannot be what was paid, and waits in suspense.
    """
    payout_id = other.payout_id
    payout_ids = orders.payouts_of(tx.session, file_id) if file_id else [payout_id] if payout_id else []
    if one.incoming:
        posted = (
            bank_payouts.come_back_together(tx, file_id, payout_ids, one.currency, one.minor, one.return_code)
            if file_id else bank_payouts.come_back(tx, payout_ids[0], one.currency, one.minor, one.return_code)
        )  # fmt: skip
        return _Booked("came_back", posted, None, None, other.id, payout_id, file_id) if posted else None
    posted = by_bank.miss(tx, entry_id, one.currency, one.minor)
    bank_payouts.note_return_undone(tx, payout_ids, posted)
    raise_alert(tx, "bank_money_taken_back", "bank_entry", entry_id, minor=one.minor, currency=one.currency,
                payout_id=payout_id, payout_file_id=file_id)  # fmt: skip
    return _Booked("taken_back", posted, None, None, other.id, payout_id, file_id)


def _worked_off(tx: Tx, row: BankEntryRow) -> bool:
    """Say whether two people have decided about an entry in suspense: other money there must not make good for it."""
    decided = text("SELECT EXISTS (SELECT FROM money_decision WHERE subject_id = :id AND state = 'done')")
    return row.outcome == "suspense" and bool(tx.session.execute(decided, {"id": row.id}).scalar_one())


def _counterpart(tx: Tx, one: Movement) -> BankEntryRow | None:
    """Find the one open entry of the same money in the other direction, one of the two a reversal.

    Money that came back bears that mark as well, and may be taken back once more.
    """
    back = BankEntryRow.outcome == ("came_back" if one.reversal else "")
    reverses = BankEntryRow.reversal.is_(not one.reversal) | back
    taken = select(BankEntryRow.reverses_id).where(BankEntryRow.reverses_id.is_not(None))
    same = tx.session.scalars(
        select(BankEntryRow).where(
            BankEntryRow.iban == one.iban, BankEntryRow.currency == one.currency, BankEntryRow.minor == one.minor,
            BankEntryRow.incoming.is_(not one.incoming), reverses,
            BankEntryRow.reverses_id.is_(None), BankEntryRow.id.not_in(taken),
        )
    ).all()  # fmt: skip
    named = [row for row in same if row.key in one.names or one.key in row.names]
    if not named:
        named = [row for row in same if set(row.names) & set(one.names)]
    if not named and one.reference is not None:
        named = [row for row in same if row.reference == one.reference]
    return named[0] if len(named) == 1 else None


def _receivable(tx: Tx, reference: str | None) -> Receivable | None:
    ref = receivable_ref(reference)
    try:
        return receivables.receivable_by_ref(tx.session, ref) if ref else None
    except NotFound:
        return None


def outcome_counts(outcomes: dict[str, Any]) -> list[tuple[str, int]]:
    """Return a message's outcomes in the order in which a person reads them."""
    order = ("payment", "paid_out", "came_back", "suspense", "undone", "taken_back", "left")
    return [(name, int(outcomes[name])) for name in order if outcomes.get(name)]
