"""What two people are asked to decide about money at the bank: commands, and the forms they are made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, post_load, validate, validates

from marketplace.kernel.words import N_
from marketplace.parties.schemas import plain_iban
from marketplace.servicing.decision_schemas import REASON
from marketplace.servicing.schemas import MONEY

OWN = {"own_lender": "lender", "own_borrower": "borrower"}
NO_PAYOUTS = N_("Choose at least one pay-out.")


@dataclass(frozen=True)
class ProposePayoutFile:
    """Order payouts of one currency at the bank, to be carried out on a day."""

    currency: str
    payout_ids: Sequence[UUID]
    execute_on: date
    reason: str


@dataclass(frozen=True)
class ProposePayoutRail:
    """Pay an organisation by the provider or by the bank; with an IBAN, on another account than so far."""

    organisation_id: UUID
    rail: str
    iban: str | None
    reason: str


@dataclass(frozen=True)
class ProposePayoutRefused:
    """Take an ordered payout's money back: the bank never carried the order out."""

    payout_id: UUID
    reason: str


@dataclass(frozen=True)
class ProposeBankSuspense:
    """Work off money that a bank file told of: `apply` it to a receivable, or `return` it to its sender.

    `own_lender`, `own_borrower`: it is money of that pool that the market itself moved here from the provider. `fund`:
    an investor or a seller put it in by bank transfer.
    """

    bank_entry_id: UUID
    decision: str
    minor: int
    receivable_id: UUID | None
    reason: str
    organisation_id: UUID | None = None


class PayoutFileSchema(Schema):
    """Loads ProposePayoutFile."""

    currency = fields.String(required=True, validate=validate.Length(3, 3))
    payout_ids = fields.List(fields.UUID(), required=True, validate=validate.Length(1, error=NO_PAYOUTS),
                             error_messages={"required": NO_PAYOUTS})  # fmt: skip
    execute_on = fields.Date(required=True)
    reason = fields.String(required=True, validate=REASON)

    @post_load
    def made(self, data: dict[str, Any], **_: object) -> ProposePayoutFile:
        """Return the command."""
        return ProposePayoutFile(**data)


class PayoutRailSchema(Schema):
    """Loads ProposePayoutRail."""

    organisation_id = fields.UUID(required=True)
    rail = fields.String(required=True, validate=validate.OneOf(("provider", "bank")))
    iban = fields.String(load_default=None, allow_none=True)
    reason = fields.String(required=True, validate=REASON)

    @validates("iban")
    def _iban(self, value: str | None, data_key: str) -> None:
        if value:
            plain_iban(value)

    @post_load
    def made(self, data: dict[str, Any], **_: object) -> ProposePayoutRail:
        """Return the command, the IBAN without blanks."""
        return ProposePayoutRail(**data | {"iban": plain_iban(data["iban"]) if data["iban"] else None})


class PayoutRefusedSchema(Schema):
    """Loads ProposePayoutRefused."""

    payout_id = fields.UUID(required=True)
    reason = fields.String(required=True, validate=REASON)

    @post_load
    def made(self, data: dict[str, Any], **_: object) -> ProposePayoutRefused:
        """Return the command."""
        return ProposePayoutRefused(**data)


class BankSuspenseSchema(Schema):
    """Loads ProposeBankSuspense."""

    bank_entry_id = fields.UUID(required=True)
    decision = fields.String(required=True, validate=validate.OneOf(("apply", "return", "fund", *OWN)))
    minor = fields.Integer(required=True, validate=MONEY)
    receivable_id = fields.UUID(load_default=None, allow_none=True)
    organisation_id = fields.UUID(load_default=None, allow_none=True)
    reason = fields.String(required=True, validate=REASON)

    @post_load
    def made(self, data: dict[str, Any], **_: object) -> ProposeBankSuspense:
        """Return the command."""
        return ProposeBankSuspense(**data)
