"""What comes in about payments: commands, and the forms two of them are made from."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, post_load, validate

from marketplace.kernel.money import EXPONENTS
from marketplace.kernel.words import N_
from marketplace.payments.gateway import BankPayout, Chargeback, Checkout

MINOR_MAX = 100_000_000_000
NO_CURRENCY = N_("Choose one of the market's currencies.")
NO_AMOUNT = N_("Enter an amount above zero.")
WHAT_WAS_DONE = N_("Say what was done, in 10 to 500 characters: whoever reads the log later must understand.")


@dataclass(frozen=True)
class FundAccount:
    """Money to be put in. `return_url`: where the payer comes back to; `{id}` in it becomes the funding's id."""

    amount_minor: int
    currency: str
    return_url: str


@dataclass(frozen=True)
class StartDebtorPayment:
    """A debtor's payment of one receivable. The door takes debtor, currency and words from the receivable."""

    receivable_id: UUID
    debtor_id: UUID
    currency: str
    amount_minor: int
    words: str
    return_url: str


@dataclass(frozen=True)
class WithdrawCash:
    """Free cash an investor wants at his bank."""

    amount_minor: int
    currency: str


@dataclass(frozen=True)
class CloseAlert:
    """What an operator was called about is seen to; `reason` is what was done."""

    alert_id: UUID
    reason: str


@dataclass(frozen=True)
class ReceiveEvent:
    """A webhook whose signature held, with the bytes it came in."""

    provider: str
    event_id: str
    kind: str
    object_kind: str
    object_id: str
    account: str | None
    happened_at: datetime | None
    raw: bytes = field(repr=False)
    signature: str = field(repr=False)


@dataclass(frozen=True)
class SettleEvent:
    """What the provider shows now, fetched because of an event (or, without one, because none came)."""

    event_id: UUID | None
    seen: Checkout | BankPayout | Chargeback | None


@dataclass(frozen=True)
class PostponeEvent:
    """An event that could not be worked on now, and why."""

    event_id: UUID
    code: str


@dataclass(frozen=True)
class ClaimCall:
    """One call to be made now."""

    call_id: UUID


@dataclass(frozen=True)
class ConfirmCall:
    """A call that succeeded, and what it left outside."""

    call_id: UUID
    provider_id: str
    pay_url: str | None = None


@dataclass(frozen=True)
class FailCall:
    """A call that did not succeed, and what is known about it."""

    call_id: UUID
    outcome: str
    code: str
    words: str = field(default="", repr=False)


@dataclass(frozen=True)
class ParkCall:
    """A call whose outcome could not be found out."""

    call_id: UUID


@dataclass(frozen=True)
class RetryCall:
    """One person's decision about a call whose outcome stays unknown: `again` with a new key, or `give_back`."""

    call_id: UUID
    decision: str
    reason: str


@dataclass(frozen=True)
class StartPayout:
    """A payout that waited, for a bank account mostly, and may go on."""

    payout_id: UUID


class FundAccountSchema(Schema):
    """Form of FundAccount: integer minor units; the door adds `return_url`."""

    amount_minor = fields.Integer(
        required=True, strict=False, validate=validate.Range(1, MINOR_MAX, error=NO_AMOUNT),
        error_messages={"required": NO_AMOUNT, "invalid": NO_AMOUNT},
    )  # fmt: skip
    currency = fields.String(
        required=True, validate=validate.OneOf(sorted(EXPONENTS), error=NO_CURRENCY),
        error_messages={"required": NO_CURRENCY},
    )  # fmt: skip
    return_url = fields.String(required=True)

    @post_load
    def command(self, values: dict[str, Any], **_: Any) -> FundAccount:
        """Make the command."""
        return FundAccount(**values)


class WithdrawCashSchema(Schema):
    """Form of WithdrawCash: integer minor units."""

    amount_minor = fields.Integer(
        required=True, strict=False, validate=validate.Range(1, MINOR_MAX, error=NO_AMOUNT),
        error_messages={"required": NO_AMOUNT, "invalid": NO_AMOUNT},
    )  # fmt: skip
    currency = fields.String(
        required=True, validate=validate.OneOf(sorted(EXPONENTS), error=NO_CURRENCY),
        error_messages={"required": NO_CURRENCY},
    )  # fmt: skip

    @post_load
    def command(self, values: dict[str, Any], **_: Any) -> WithdrawCash:
        """Make the command."""
        return WithdrawCash(**values)


class CloseAlertSchema(Schema):
    """What was done about a call to the operators."""

    alert_id = fields.UUID(required=True)
    reason = fields.String(
        required=True,
        validate=validate.Length(10, 500, error=WHAT_WAS_DONE),
        error_messages={"required": WHAT_WAS_DONE},
    )

    @post_load
    def command(self, data: dict[str, Any], **_: Any) -> CloseAlert:
        """Return the command."""
        return CloseAlert(**data)
