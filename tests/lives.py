"""Whole lives in a few words: a receivable that was sold and funded, debtors' payments, days that go by.

Built through the verbs of the rooms; only what lies outside the market (listing, the provider's word that money has
arrived) is written as those leave it.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import date, timedelta
from uuid import UUID

from marketplace.db import db
from marketplace.kernel.errors import Conflict
from marketplace.kernel.ids import new_id
from marketplace.payments import chargebacks, money
from marketplace.payments import queries as payments
from marketplace.payments.gateway import Chargeback, Checkout
from marketplace.payments.rules import PaymentState
from marketplace.payments.schemas import SettleEvent
from marketplace.payments.settle import settle_event
from marketplace.payments.tables import PAYING, DebtorPaymentRow
from marketplace.perform import Tx, perform
from marketplace.receivables.debtor import queries as debtor_queries
from marketplace.receivables.debtor.notice import write_notice
from marketplace.receivables.debtor.schemas import WriteNotice
from marketplace.servicing import queries as servicing
from marketplace.servicing.actions import age_receivable, apply_debtor_payment, write_off_receivable
from marketplace.servicing.queries import Collection
from marketplace.servicing.reversing import reverse_receipt
from marketplace.servicing.schemas import (
    AgeReceivable,
    ApplyDebtorPayment,
    ReverseReceipt,
    SettleAward,
    WriteOffReceivable,
)
from marketplace.servicing.settlement import settle_award
from marketplace.trading import queries as trading
from marketplace.trading.actions import accept_award, close_lot, place_bid
from marketplace.trading.schemas import AcceptAward, CloseLot, PlaceBid
from tests.support import SYSTEM, do
from tests.trading.world import World

# £20,000 of bob's at 6 %, the rest of £41,310 carol's, who asks 7 %: both are paid 7 %.
BIDS = (("bob", 600, 2_000_000), ("carol", 700, 3_000_000))


def accepted(world: World, bids: Sequence[tuple[str, int, int]] = BIDS, **terms: object) -> UUID:
    """Bring a lot to an accepted award: bids placed, book closed, the seller's yes. Return the lot."""
    world.leave_the_evening()
    lot = world.lot(**terms)  # type: ignore[arg-type]
    for who, rate, minor in bids:
        world.fund(who, minor)
        perform(place_bid, PlaceBid(lot, rate, minor, 0), getattr(world, who))
    world.move_clock(timedelta(hours=1))
    perform(close_lot, CloseLot(lot), SYSTEM)
    perform(accept_award, AcceptAward(lot, None), world.alice)
    return lot


def settle(lot: UUID) -> None:
    """Settle an accepted award."""
    perform(settle_award, SettleAward(lot), SYSTEM)
    write_notices()


def write_notices() -> None:
    """Write the notices that wait, as the job does."""
    waiting = debtor_queries.unwritten_notices(db.session())
    db.session.rollback()
    for one in waiting:
        perform(write_notice, WriteNotice(one), SYSTEM)


def funded(world: World, bids: Sequence[tuple[str, int, int]] = BIDS, **terms: object) -> UUID:
    """Bring a receivable of £48,600 to `funded`; return its id.

    The usual one of a market in which nothing has happened yet is brought there once, and copied from then on.
    """

    def bring() -> UUID:
        lot = accepted(world, bids, **terms)
        settle(lot)
        return collection_of_lot(lot).receivable_id

    if terms or bids is not BIDS or not world.untouched():
        return bring()
    return world.made_once("funded", bring)


def collection_of_lot(lot: UUID) -> Collection:
    """Return the collection that a lot became."""
    db.session.rollback()
    return collection(trading.lot(db.session(), lot).receivable_id)


def collection(receivable_id: UUID) -> Collection:
    """Return a collection as it is now."""
    db.session.rollback()
    return servicing.collection(db.session(), receivable_id)


def received(
    world: World, receivable_id: UUID, minor: int, currency: str = "GBP", on: date | None = None,
) -> UUID:  # fmt: skip
    """Let a debtor's payment arrive, booked by the payments room; return its id. It is not yet shared out.

    `on`: the day on which it was there, where that is not today.
    """

    def arrive(tx: Tx) -> str:
        row = DebtorPaymentRow(
            id=new_id(), organisation_id=world.id("kestrel"), receivable_id=receivable_id, currency=currency,
            amount_minor=minor, words="Invoice INV-1",
            return_url="https://duebill.example/paid", state=PaymentState.SUCCEEDED,
            received_minor=minor, received_currency=currency, received_on=on or tx.today,
        )  # fmt: skip
        tx.session.add(row)
        tx.session.flush()
        tx.record("debtor_payment", row.id, after={"state": row.state})
        money.book_received(tx, row)
        return str(row.id)

    return UUID(do(arrive))


def opened(world: World, receivable_id: UUID, minor: int) -> UUID:
    """Let a debtor open a payment page and not pay yet; return the payment's id."""

    def open_it(tx: Tx) -> str:
        row = DebtorPaymentRow(
            id=new_id(), organisation_id=world.id("kestrel"), receivable_id=receivable_id, currency="GBP",
            amount_minor=minor, words="Invoice INV-1", return_url="https://duebill.example/paid",
            state=PaymentState.OPEN, session_id=f"cs_{new_id()}", pay_url="https://pay.example/",
        )  # fmt: skip
        tx.session.add(row)
        tx.session.flush()
        tx.record("debtor_payment", row.id, after={"state": row.state})
        return str(row.id)

    return UUID(do(open_it))


def sees(payment_id: UUID, state: str, minor: int) -> dict[str, object]:
    """Let the provider tell in which state a payment is: `processing` once the money is on its way, `failed`, …"""
    session_id = payments.debtor_payment(db.session(), payment_id).session_id
    db.session.rollback()
    seen = Checkout(str(session_id), state, minor, "GBP", None, str(payment_id))
    return perform(settle_event, SettleEvent(None, seen), SYSTEM)


def apply(payment_id: UUID) -> dict[str, object]:
    """Share out a payment that has arrived."""
    return perform(apply_debtor_payment, ApplyDebtorPayment(payment_id), SYSTEM)


def pays(world: World, receivable_id: UUID, minor: int) -> dict[str, object]:
    """Let the debtor pay, and share it out."""
    return apply(received(world, receivable_id, minor))


def written_off(world: World, receivable_id: UUID) -> dict[str, object]:
    """Let two operators give up what is outstanding, as its day has come."""
    command = WriteOffReceivable(receivable_id, "Nothing more is to be had.")
    perform(write_off_receivable, command, world.olga)
    return perform(write_off_receivable, command, world.oscar)


def taken_back(payment_id: UUID, minor: int, state: str = "open", dispute_id: str = "du_1") -> dict[str, object]:
    """Let the payer's bank take money back, or give it back, and book it; return what was booked."""
    tell_chargeback(payment_id, minor, state, dispute_id)
    found = chargebacks.to_book(db.session())
    db.session.rollback()
    return perform(reverse_receipt, ReverseReceipt(found[0]), SYSTEM) if found else {}


def tell_chargeback(payment_id: UUID, minor: int, state: str = "open", dispute_id: str = "du_1") -> None:
    """Let the provider show a chargeback of a payment."""

    def know(tx: Tx) -> None:
        for table in PAYING:
            row = tx.session.get(table, payment_id)
            if row is not None:
                row.intent_id = f"pi_{payment_id}"
                tx.record(row.__tablename__, row.id)

    do(know)
    seen = Chargeback(dispute_id, state, minor, "GBP", f"pi_{payment_id}")
    with suppress(Conflict):
        perform(settle_event, SettleEvent(None, seen), SYSTEM)


def on_day(world: World, receivable_id: UUID, days_past_due: int) -> None:
    """Move the market's clock to noon of the day that is so many days past the due date; never back."""
    due_on = collection(receivable_id).due_on
    with world.superuser() as owner:
        owner.execute(
            "UPDATE clock_shift SET shift = shift + greatest(interval '0', "
            "((%s::date + %s) + time '12:00') AT TIME ZONE 'UTC' - market_now())",
            (due_on, days_past_due),
        )


def age(receivable_id: UUID) -> dict[str, object]:
    """Let the daily job look at a collection."""
    return perform(age_receivable, AgeReceivable(receivable_id), SYSTEM)
