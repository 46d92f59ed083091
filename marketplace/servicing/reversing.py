"""Booking a chargeback: back from everybody in proportion, then the reserve, then the platform's loss."""

from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import func, insert, select, text, update

from marketplace.db import array
from marketplace.kernel.errors import NotFound, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.ledger import actions as ledger
from marketplace.ledger import queries as ledger_queries
from marketplace.ledger.rules import Leg, credit, debit
from marketplace.parties import queries as parties
from marketplace.parties.rules import verb
from marketplace.payments import chargebacks
from marketplace.payments.chargebacks import TakenBack
from marketplace.perform import Result, Tx
from marketplace.receivables import queries as receivables_queries
from marketplace.servicing import queries, suspense
from marketplace.servicing.dues import move
from marketplace.servicing.offer_ends import void_offers
from marketplace.servicing.reversal import Given, take_back
from marketplace.servicing.schemas import ReverseReceipt
from marketplace.servicing.states import CollectionState
from marketplace.servicing.tables import (
    CollectionRow,
    DistributionRow,
    DueRow,
    ReceiptReversalRow,
    ReversalShareRow,
    ShareRow,
)
from marketplace.servicing.waterfall import TO_INVESTORS, Step

OWED_AGAIN = (
    "UPDATE due SET paid_minor = paid_minor - made.part, due_minor = due_minor - made.gone FROM unnest("
    "CAST(:dues AS uuid[]), CAST(:parts AS bigint[]), CAST(:gone AS bigint[])) AS made (due_id, part, gone) "
    "WHERE due.id = made.due_id"
)


@dataclass
class Taking:
    """The entry as it grows: from whom what was taken, and what nobody could give."""

    tx: Tx
    currency: str
    legs: list[Leg] = field(default_factory=list)
    borne_minor: int = 0

    def take(self, minor: int, provider: str, *sources: tuple[str, UUID | None]) -> int:
        """Take from the sources in turn what is free there; return what was missing, which the platform bears."""
        missing = minor
        for code, owner in sources:
            free = ledger_queries.balance(self.tx.session, code, owner, self.currency).free_minor
            part = min(max(free - self._asked(code, owner), 0), missing)
            if part:
                self.legs += [
                    debit(ledger.account(self.tx, code, owner, self.currency), part),
                    credit(ledger.account(self.tx, provider, None, self.currency), part),
                ]
                missing -= part
        self.borne_minor += missing
        return missing

    def take_from_suspense(self, minor: int, left_minor: int) -> None:
        """Take of a payment's own money in suspense what is left of it: what else lies there is other payers'."""
        own = min(minor, left_minor)
        self.borne_minor += minor - own
        self.take(own, "provider_borrower", ("suspense", None))

    def take_fees(self, minor: int) -> None:
        """Give back what the platform got; its income may fall below zero."""
        self.legs += [debit(ledger.account(self.tx, "platform_fees", None, self.currency), minor),
                      credit(ledger.account(self.tx, "provider_platform", None, self.currency), minor)]  # fmt: skip

    def bear(self) -> None:
        """Let the reserve, and after it the platform, bear what nobody could give."""
        if not self.borne_minor:
            return
        reserve = ledger_queries.balance(self.tx.session, "platform_reserve", None, self.currency).free_minor
        from_reserve = min(reserve, self.borne_minor)
        self.legs += [
            debit(ledger.account(self.tx, "platform_reserve", None, self.currency), from_reserve),
            debit(ledger.account(self.tx, "platform_loss", None, self.currency), self.borne_minor - from_reserve),
            credit(ledger.account(self.tx, "provider_platform", None, self.currency), self.borne_minor),
        ]

    def _asked(self, code: str, owner: UUID | None) -> int:
        account = ledger.account(self.tx, code, owner, self.currency)
        return sum(leg.minor for leg in self.legs if leg.account_id == account)


@verb("reverse_receipt")
def reverse_receipt(tx: Tx, command: ReverseReceipt) -> Result:
    """Book a chargeback, or that its money came back.

    A receipt that was shared out is taken back from everybody in proportion to what it gave him, as far as his free
    cash reaches; the reserve bears the rest and after it the platform, to which that part of the claim goes over, after
    the investors and before the seller. The debtor owes the money again, to those who gave it back: also to one who
    has sold his units since, for what he had been paid on them did not go over. After a buy-back the seller stands in
    the investors' place: the claim is the seller's, and what it gives is owed to it.
    Money that comes back is shared out anew.

    Raises: Conflict("chargeback_booked"); RuleBroken("not_shared_out_yet"), to be tried again.
    """
    taken = chargebacks.lock(tx, command.chargeback_id)
    if taken.entry_id is not None:
        return _reinstate(tx, taken, taken.entry_id)
    if taken.payment_kind == "funding":
        entry_id, borne = _from_funding(tx, taken)
    elif taken.shared_out:
        entry_id, borne = _from_distribution(tx, taken)
    else:
        entry_id, borne = _from_receipts(tx, taken)
    chargebacks.note_booked(tx, taken.id, entry_id)
    return {"entry_id": entry_id, "taken_minor": taken.minor - borne, "borne_minor": borne}


def _reinstate(tx: Tx, taken: TakenBack, booked: UUID) -> Result:
    """Let money that came back be shared out anew where it had been; else undo the entry that took it.

    What the platform bore without anybody's owing it for that (money in suspense that was worked off before) is its
    own again: the debtor has had the good of it.
    """
    row = tx.session.scalars(
        select(ReceiptReversalRow).where(ReceiptReversalRow.chargeback_id == taken.id)
    ).one_or_none()
    if row is None or taken.receivable_id is None:
        entry_id = ledger.reverse_entry(tx, booked, "the payer's bank gave it back")
    else:
        owed = tx.session.scalar(
            select(func.coalesce(func.sum(ReversalShareRow.borne_minor), 0))
            .where(ReversalShareRow.reversal_id == row.id)
        )  # fmt: skip
        own = row.borne_minor - int(owed or 0) + taken.minor - row.taken_minor
        entries = [_regained(tx, taken, own)] if own else []
        if taken.minor > own:
            _, made = chargebacks.arrives(tx, taken.organisation_id, taken.receivable_id, taken.currency,
                                          taken.minor - own, chargebacks.WORDS, received_on=tx.today)  # fmt: skip
            assert made is not None
            entries.append(made)
        entry_id = entries[-1]
    chargebacks.note_reinstated(tx, taken.id, entry_id)
    return {"entry_id": entry_id, "reinstated_minor": taken.minor}


def _regained(tx: Tx, taken: TakenBack, minor: int) -> UUID:
    legs = [debit(ledger.account(tx, "provider_platform", None, taken.currency), minor),
            credit(ledger.account(tx, "platform_loss", None, taken.currency), minor)]  # fmt: skip
    return ledger.post_entry(tx, "regain_loss", "debtor_payment", taken.payment_id, legs, reason="chargeback")


def _from_funding(tx: Tx, taken: TakenBack) -> tuple[UUID, int]:
    if taken.parked:
        raise RuleBroken("nothing_booked", N_("This money was never booked: it waits for a person."))
    taking = Taking(tx, taken.currency)
    if parties.organisation(tx.session, taken.organisation_id).kind == "seller":
        taking.take(taken.minor, "provider_borrower", ("seller_cash", taken.organisation_id))
    else:
        taking.take(taken.minor, "provider_lender", ("investor_cash", taken.organisation_id))
    taking.bear()
    return _post(tx, taking, "funding", taken.payment_id), taking.borne_minor


def _from_receipts(tx: Tx, taken: TakenBack) -> tuple[UUID, int]:
    """Take back what was not shared out, as far as it still lies in suspense."""
    taking = Taking(tx, taken.currency)
    if not taken.parked:
        _never_shared_out(tx, taken)
    taking.take_from_suspense(taken.minor, _left(tx, taken.payment_id))
    taking.bear()
    return _post(tx, taking, "debtor_payment", taken.payment_id), taking.borne_minor


def _left(tx: Tx, payment_id: UUID) -> int:
    item = suspense.lock(tx, payment_id)
    return item.left_minor if item is not None else 0


def _never_shared_out(tx: Tx, taken: TakenBack) -> None:
    try:
        row = queries.lock_collection(tx.session, taken.receivable_id) if taken.receivable_id else None
    except NotFound:
        row = None
    if row is not None and row.currency == taken.currency:
        raise RuleBroken("not_shared_out_yet", N_("This payment is being shared out: it is taken back after that."))


def _from_distribution(tx: Tx, taken: TakenBack) -> tuple[UUID, int]:
    distribution = tx.session.scalars(
        select(DistributionRow).where(DistributionRow.payment_id == taken.payment_id)
    ).one_or_none()
    if distribution is None:  # a payment that was taken back or worked off before
        return _from_receipts(tx, taken)
    receivables_queries.lock_receivable(tx.session, distribution.receivable_id)
    row = queries.lock_collection(tx.session, distribution.receivable_id)
    wanted = take_back(taken.minor, *_given(tx, distribution))
    taking = Taking(tx, taken.currency)
    shares = [(one, part, _take_share(taking, row, one, part)) for one, part in wanted.parts]
    if wanted.excess_minor:
        taking.take_from_suspense(wanted.excess_minor, _left(tx, taken.payment_id))
    taking.borne_minor += wanted.beyond_minor
    taking.bear()
    entry_id = _post(tx, taking, "receivable", distribution.receivable_id)
    borne = taking.borne_minor - wanted.beyond_minor  # of what the receipt had given
    _keep(tx, taken, distribution, entry_id, shares, wanted.excess_minor, borne)
    _owed_again(tx, row, shares)
    void_offers(tx, row.receivable_id, "payment_taken_back")
    if row.state == CollectionState.SETTLED:
        move(tx, row, CollectionState.CHARGED_BACK, reason="chargeback")
    return entry_id, taking.borne_minor


def _given(tx: Tx, distribution: DistributionRow) -> tuple[list[Given], int]:
    """Return what a receipt gave, less what was taken back of it before; and what of its excess is left."""
    before: dict[UUID, int] = {
        due_id: int(minor)
        for due_id, minor in tx.session.execute(
            select(ReversalShareRow.due_id, func.sum(ReversalShareRow.minor))
            .join(ReceiptReversalRow, ReceiptReversalRow.id == ReversalShareRow.reversal_id)
            .where(ReceiptReversalRow.distribution_id == distribution.id)
            .group_by(ReversalShareRow.due_id)
        )
    }
    rows = tx.session.execute(
        select(DueRow.id, DueRow.step, DueRow.party_id, ShareRow.minor)
        .join(ShareRow, ShareRow.due_id == DueRow.id)
        .where(ShareRow.distribution_id == distribution.id)
        .order_by(DueRow.position, DueRow.id)
    )
    excess = tx.session.scalar(
        select(func.coalesce(func.sum(ReceiptReversalRow.excess_minor), 0))
        .where(ReceiptReversalRow.distribution_id == distribution.id)
    )  # fmt: skip
    given = [Given(due, Step(step), party, minor - before.get(due, 0)) for due, step, party, minor in rows]
    return given, distribution.excess_minor - int(excess or 0)


def _take_share(taking: Taking, row: CollectionRow, one: Given, part: int) -> int:
    """Take one party's part; return what the platform has to bear of it."""
    if one.step in TO_INVESTORS and row.state != CollectionState.BOUGHT_BACK:
        return taking.take(part, "provider_lender", ("investor_cash", one.party))
    if one.step in (*TO_INVESTORS, Step.RESIDUAL):
        return taking.take(
            part, "provider_borrower", ("seller_residual", row.seller_id), ("seller_cash", row.seller_id)
        )
    taking.take_fees(part)
    return 0


def _post(tx: Tx, taking: Taking, subject_kind: str, subject_id: UUID) -> UUID:
    return ledger.post_entry(tx, "reverse_receipt", subject_kind, subject_id, taking.legs, reason="chargeback")


def _keep(
    tx: Tx, taken: TakenBack, distribution: DistributionRow, entry_id: UUID, shares: list[tuple[Given, int, int]],
    excess: int, borne: int,
) -> None:  # fmt: skip
    reversal_id = new_id()
    whole = sum(part for _, part, _ in shares) + excess
    tx.session.execute(
        insert(ReceiptReversalRow).values(
            id=reversal_id, chargeback_id=taken.id, distribution_id=distribution.id, entry_id=entry_id,
            taken_minor=whole, excess_minor=excess, borne_minor=borne,
        )
    )  # fmt: skip
    if shares:
        tx.session.execute(
            insert(ReversalShareRow),
            [{"reversal_id": reversal_id, "due_id": one.due_id, "minor": part, "borne_minor": gone}
             for one, part, gone in shares],
        )  # fmt: skip
    tx.record("receipt_reversal", reversal_id, after={
        "chargeback_id": taken.id, "distribution_id": distribution.id, "entry_id": entry_id, "taken_minor": whole,
        "excess_minor": excess, "borne_minor": borne,
        "shares": [[str(one.step), one.party, part, gone] for one, part, gone in shares],
    })  # fmt: skip


def _owed_again(tx: Tx, row: CollectionRow, shares: list[tuple[Given, int, int]]) -> None:
    """Let the debtor owe again what was taken; what the platform bore is due to the platform, not to who kept it.

    What the seller gave in the investors' place, after a buy-back, is due to the seller.
    """
    borne = sum(gone for _, _, gone in shares)
    sellers = 0
    lowered = []
    for one, part, gone in shares:
        given_for = part - gone if row.state == CollectionState.BOUGHT_BACK and one.step in TO_INVESTORS else 0
        sellers += given_for
        lowered.append((one.due_id, part, gone + given_for))
    tx.session.execute(
        text(OWED_AGAIN),
        {"dues": array(due for due, _, _ in lowered), "parts": array(part for _, part, _ in lowered),
         "gone": array(gone for _, _, gone in lowered)},
    )  # fmt: skip
    _grow(tx, row, Step.PLATFORM_FEE, None, borne)
    _grow(tx, row, Step.RESIDUAL, row.seller_id, sellers)


def _grow(tx: Tx, row: CollectionRow, step: Step, party: UUID | None, minor: int) -> None:
    """Let a party be due so much more at a step; who was due nothing there comes behind the others."""
    if not minor:
        return
    known = (DueRow.receivable_id == row.receivable_id) & (DueRow.step == step)
    grown = tx.session.execute(
        update(DueRow).where(known, DueRow.party_id.is_not_distinct_from(party))
        .values(due_minor=DueRow.due_minor + minor).returning(DueRow.id)
    )  # fmt: skip
    if grown.first() is None:
        last = tx.session.scalar(select(func.max(DueRow.position)).where(DueRow.receivable_id == row.receivable_id))
        tx.session.execute(
            insert(DueRow).values(id=new_id(), receivable_id=row.receivable_id, step=step, party_id=party,
                                  position=(last or 0) + 1, due_minor=minor)
        )  # fmt: skip
