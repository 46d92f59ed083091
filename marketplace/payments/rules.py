"""Payments, pure: the states of money on its way, what may follow what, and when to ask again."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from marketplace.kernel.states import Machine

# Stripe forgets idempotency keys after 24 hours: from here on a call is looked up, never sent.
RESEND_FOR = timedelta(hours=23)
LEASE = timedelta(minutes=2)
BACKOFF_MAX = timedelta(minutes=15)
LOOK_UP_EVERY = timedelta(hours=1)
LOOK_UPS_MAX = 3
SHORT_RETRY = timedelta(hours=1)
SHORT_RETRIES_MAX = 240
INSUFFICIENT = "balance_insufficient"


class PaymentState(StrEnum):
    """An investor's funding or a debtor's payment."""

    PREPARING = "preparing"
    OPEN = "open"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    PARKED = "parked"


class PayoutState(StrEnum):
    """Money to a seller's or investor's bank."""

    REQUESTED = "requested"
    TRANSFERRED = "transferred"
    IN_TRANSIT = "in_transit"
    PAID = "paid"
    FAILED = "failed"
    RETURNED = "returned"


class CallState(StrEnum):
    """A call to the provider."""

    PENDING = "pending"
    SENT = "sent"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class NoticeState(StrEnum):
    """A webhook that came in."""

    RECEIVED = "received"
    SETTLED = "settled"
    IGNORED = "ignored"


class Purpose(StrEnum):
    """What a payout is for."""

    ADVANCE = "advance"
    RESIDUAL = "residual"
    WITHDRAWAL = "withdrawal"
    REFUND = "refund"
    RETURN = "return"


class Rail(StrEnum):
    """By whom a payout leaves: the payment provider, or our own bank by a file."""

    PROVIDER = "provider"
    BANK = "bank"


class ChargebackState(StrEnum):
    """Money that a payer's bank took back. `open` and `lost`: it is gone; `won`: it has come back."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"


P = PaymentState
PAYMENT = Machine(
    "payment",
    PaymentState,
    {
        P.PREPARING: (P.OPEN, P.PROCESSING, P.SUCCEEDED, P.FAILED, P.EXPIRED, P.PARKED),
        P.OPEN: (P.PROCESSING, P.SUCCEEDED, P.FAILED, P.EXPIRED, P.PARKED),
        P.PROCESSING: (P.SUCCEEDED, P.FAILED, P.PARKED),
        # Money that comes after all is never turned away.
        P.FAILED: (P.SUCCEEDED, P.PARKED),
        P.EXPIRED: (P.SUCCEEDED, P.PARKED),
    },
)
PAYOUT = Machine(
    "payout",
    PayoutState,
    {
        PayoutState.REQUESTED: (PayoutState.TRANSFERRED, PayoutState.IN_TRANSIT, PayoutState.RETURNED),
        PayoutState.TRANSFERRED: (PayoutState.IN_TRANSIT, PayoutState.FAILED),
        PayoutState.IN_TRANSIT: (PayoutState.PAID, PayoutState.FAILED),
        PayoutState.PAID: (PayoutState.FAILED,),
        PayoutState.FAILED: (PayoutState.RETURNED,),
    },
)
CALL = Machine(
    "call",
    CallState,
    {
        CallState.PENDING: (CallState.SENT,),
        CallState.SENT: (CallState.PENDING, CallState.UNKNOWN, CallState.SUCCEEDED, CallState.FAILED),
        CallState.UNKNOWN: (CallState.SENT, CallState.SUCCEEDED, CallState.FAILED),
    },
)
CHARGEBACK = Machine("chargeback", ChargebackState, {ChargebackState.OPEN: (ChargebackState.WON, ChargebackState.LOST)})
NOTICE = Machine("notice", NoticeState, {NoticeState.RECEIVED: (NoticeState.SETTLED, NoticeState.IGNORED)})


@dataclass(frozen=True)
class Route:
    """The accounts a payout leaves from and waits in, and the pool. Suspense is the platform's, not the payee's."""

    source: str
    transit: str
    pool: str

    def clearing(self, rail: str) -> str:
        """Return the account out of which it is paid: where the pool's money lies, with the provider or at the bank."""
        return f"{rail}_{self.pool}"


ROUTES = {
    Purpose.ADVANCE: Route("seller_advance", "advance_in_transit", "lender"),
    Purpose.RESIDUAL: Route("seller_residual", "residual_in_transit", "borrower"),
    Purpose.WITHDRAWAL: Route("investor_cash", "withdrawal_in_transit", "lender"),
    Purpose.REFUND: Route("seller_cash", "residual_in_transit", "borrower"),
    Purpose.RETURN: Route("suspense", "return_in_transit", "borrower"),
}


def next_payment_state(now: str, seen: str) -> PaymentState | None:
    """Return the state to move to when the provider shows `seen`, or None: old news changes nothing."""
    after = PaymentState(seen)
    return after if after in PAYMENT.moves[PaymentState(now)] else None


def next_payout_states(now: str, seen: str) -> tuple[PayoutState, ...]:
    """Return the moves, in order, that bring a payout to what the provider shows; none for old news."""
    path = {
        ("transferred", "in_transit"): ("in_transit",),
        ("transferred", "paid"): ("in_transit", "paid"),
        ("transferred", "failed"): ("in_transit", "failed"),
        ("in_transit", "paid"): ("paid",),
        ("in_transit", "failed"): ("failed",),
        ("paid", "failed"): ("failed",),
    }
    return tuple(PayoutState(state) for state in path.get((str(now), str(seen)), ()))


def backoff(attempts: int) -> timedelta:
    """Return how long to wait after the given number of attempts: 5 s, doubling, at most 15 minutes."""
    return min(timedelta(seconds=5 * 2 ** min(attempts - 1, 12)), BACKOFF_MAX)


def must_look_up(first_sent_at: datetime | None, now: datetime) -> bool:
    """Say whether the provider may have forgotten the key, so that a call must not be sent again."""
    return first_sent_at is not None and now - first_sent_at > RESEND_FOR


def as_expected(minor: int, currency: str, seen_minor: int, seen_currency: str) -> bool:
    """Say whether what arrived is what was asked for."""
    return minor == seen_minor and currency == seen_currency
