"""What two people are asked to decide about money: commands, and the forms they are made from."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, post_load, validate

from marketplace.kernel.words import N_
from marketplace.servicing.schemas import MONEY

REASON_MIN, REASON_MAX = 10, 500
REASON = validate.Length(
    REASON_MIN, REASON_MAX, error=N_("Say why in 10 to 500 characters: whoever reads the log later must understand.")
)


@dataclass(frozen=True)
class ProposeManualEntry:
    """Move `minor` from one account to another of the same pool. Owners: None for the platform's own.

    `opening_iban`: it is what lay on this account at a bank before its first statement; one side lies at the bank.
    """

    currency: str
    debit_code: str
    debit_owner_id: UUID | None
    credit_code: str
    credit_owner_id: UUID | None
    minor: int
    reason: str
    opening_iban: str | None = None


@dataclass(frozen=True)
class ProposeSuspense:
    """Work off money in suspense that came by a payment: `apply` to a receivable of its debtor, or `return` it."""

    payment_id: UUID
    decision: str
    minor: int
    receivable_id: UUID | None
    reason: str


@dataclass(frozen=True)
class ProposePeriodClose:
    """Let no entry bear this date or an earlier one any more."""

    through_on: date
    reason: str


@dataclass(frozen=True)
class DecideMoney:
    """Agree to a proposal as the second person, or withdraw it."""

    decision_id: UUID
    agree: bool


class ManualEntrySchema(Schema):
    """Loads ProposeManualEntry."""

    currency = fields.String(required=True, validate=validate.Length(3, 3))
    debit_code = fields.String(required=True, validate=validate.Length(1, 60))
    debit_owner_id = fields.UUID(load_default=None, allow_none=True)
    credit_code = fields.String(required=True, validate=validate.Length(1, 60))
    credit_owner_id = fields.UUID(load_default=None, allow_none=True)
    minor = fields.Integer(required=True, validate=MONEY)
    reason = fields.String(required=True, validate=REASON)
    opening_iban = fields.String(load_default=None, allow_none=True)

    @post_load
    def made(self, data: dict[str, Any], **_: object) -> ProposeManualEntry:
        """Return the command."""
        return ProposeManualEntry(**data)


class SuspenseSchema(Schema):
    """Loads ProposeSuspense."""

    payment_id = fields.UUID(required=True)
    decision = fields.String(required=True, validate=validate.OneOf(("apply", "return")))
    minor = fields.Integer(required=True, validate=MONEY)
    receivable_id = fields.UUID(load_default=None, allow_none=True)
    reason = fields.String(required=True, validate=REASON)

    @post_load
    def made(self, data: dict[str, Any], **_: object) -> ProposeSuspense:
        """Return the command."""
        return ProposeSuspense(**data)


class PeriodCloseSchema(Schema):
    """Loads ProposePeriodClose."""

    through_on = fields.Date(required=True)
    reason = fields.String(required=True, validate=REASON)

    @post_load
    def made(self, data: dict[str, Any], **_: object) -> ProposePeriodClose:
        """Return the command."""
        return ProposePeriodClose(**data)
