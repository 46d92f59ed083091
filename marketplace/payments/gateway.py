"""What Duebill asks of a payment provider, and nothing more."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from marketplace.kernel.canonical import canonical_bytes
from marketplace.kernel.errors import GatewayFailed, InvalidInput
from marketplace.kernel.words import N_


class CallKind(StrEnum):
    """The calls that change something outside."""

    CUSTOMER = "customer"
    ACCOUNT = "account"
    CHECKOUT = "checkout"
    TRANSFER = "transfer"
    PAYOUT = "payout"
    REVERSAL = "reversal"


class Outcome(StrEnum):
    """What is known after a call that did not succeed."""

    REFUSED = "refused"  # a definite no: nothing happened, nothing will
    UNKNOWN = "unknown"  # time-out, reset, 5xx: it may have happened
    LIMITED = "limited"  # too many calls: nothing happened, ask again later
    RETRY = "retry"  # nothing happened for a reason that passes: ask again with the same key


class CallFailed(GatewayFailed):
    """A provider refused or did not answer. `outcome`: what may have happened; `replayed`: it said so before."""

    def __init__(self, outcome: Outcome, code: str, said: str = "", *, replayed: bool = False) -> None:
        super().__init__(code, N_("The payment provider did not do it: %(said)s"), {"said": said or code})
        self.outcome = outcome
        self.replayed = replayed


@dataclass(frozen=True)
class Call:
    """One call, exactly as it will be sent however often. `account` speaks for a connected account."""

    kind: CallKind
    params: Mapping[str, Any]
    account: str | None = None
    object_id: str | None = None

    def to_bytes(self) -> bytes:
        """Return the bytes that are committed before the call is made."""
        return canonical_bytes(
            {"kind": str(self.kind), "params": self.params, "account": self.account, "object_id": self.object_id}
        )


@dataclass(frozen=True)
class Sent:
    """What a successful call left outside."""

    object_id: str
    pay_url: str | None = None


@dataclass(frozen=True)
class Checkout:
    """A hosted payment as the provider sees it now. `state`: open, processing, succeeded, failed, expired.

    `arrived_at`: when its money arrived, the provider's instant; None where the provider tells that in an event only.
    """

    session_id: str
    state: str
    minor: int
    currency: str
    intent_id: str | None
    subject_id: str | None
    pay_url: str | None = None
    arrived_at: datetime | None = None


@dataclass(frozen=True)
class BankPayout:
    """A payout as the provider sees it now. `state`: in_transit, paid, failed."""

    payout_id: str
    state: str
    minor: int
    currency: str
    subject_id: str | None
    failure_code: str | None = None


@dataclass(frozen=True)
class Chargeback:
    """Money taken back by a payer's bank. `state`: open, won, lost."""

    dispute_id: str
    state: str
    minor: int
    currency: str
    intent_id: str | None


@dataclass(frozen=True)
class BalanceLine:
    """One line of a balance: `minor` is signed, `source_id` what caused it, `intent_id` the payment where it is one.

    `made_at` is the provider's instant, in whole seconds.
    """

    line_id: str
    kind: str
    minor: int
    fee_minor: int
    currency: str
    made_at: datetime
    source_id: str | None
    intent_id: str | None = None


@dataclass(frozen=True)
class Notice:
    """A webhook whose signature held. `happened_at` is the provider's instant, however late it is delivered."""

    event_id: str
    kind: str
    object_kind: str
    object_id: str
    account: str | None
    happened_at: datetime | None = None


class Gateway(Protocol):
    """A payment provider. Every failure is a CallFailed; nothing here touches our database."""

    name: str

    def send(self, request: bytes, *, key: str) -> Sent:
        """Make a call. The same key and bytes never do it twice.

        Raises: CallFailed.
        """

    def look_up(self, request: bytes, *, key: str) -> Sent | None:
        """Return what an earlier call with this key left outside, found by its metadata; None when there is nothing.

        Raises: CallFailed.
        """

    def fetch_checkout(self, session_id: str) -> Checkout:
        """Return a hosted payment. Raises: CallFailed."""

    def fetch_payout(self, payout_id: str, account: str) -> BankPayout:
        """Return a payout of a connected account. Raises: CallFailed."""

    def fetch_chargeback(self, dispute_id: str) -> Chargeback | None:
        """Return a chargeback; None of an inquiry, which takes nothing unless it becomes one. Raises: CallFailed."""

    def balance_lines(self, account: str | None = None, since: datetime | None = None) -> Iterator[BalanceLine]:
        """Yield the lines of a balance made `since` then, all by default, newest first. Raises: CallFailed."""

    def balance(self, account: str | None = None) -> dict[str, int]:
        """Return what an account holds, pending included, by upper-case currency. Raises: CallFailed."""

    def read_event(self, raw: bytes, signature: str) -> Notice:
        """Check a webhook's signature and age, and return what it is about.

        Raises: InvalidInput("bad_signature") or InvalidInput("bad_event").
        """


def bad_signature() -> InvalidInput:
    """Return the refusal of a webhook whose signature does not hold."""
    return InvalidInput("bad_signature", N_("The signature does not hold."))
