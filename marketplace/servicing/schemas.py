"""What the verbs of servicing take."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, post_load, validate


@dataclass(frozen=True)
class SettleAward:
    """Turn an accepted award into money and title."""

    lot_id: UUID


@dataclass(frozen=True)
class ApplyDebtorPayment:
    """Share out one debtor's payment that has cleared."""

    payment_id: UUID


@dataclass(frozen=True)
class AgeReceivable:
    """Take the steps of collection that the business date has reached."""

    receivable_id: UUID


@dataclass(frozen=True)
class DefaultReceivable:
    """Declare a default at once, for a reason that is not mere lateness."""

    receivable_id: UUID
    reason: str


@dataclass(frozen=True)
class WriteOffReceivable:
    """Give up what is still outstanding."""

    receivable_id: UUID
    reason: str


class ReasonSchema(Schema):
    """A reason in an operator's own words."""

    receivable_id = fields.UUID(required=True)
    reason = fields.String(required=True, validate=validate.Length(min=10, max=500))


class DefaultReceivableSchema(ReasonSchema):
    """Loads DefaultReceivable."""

    @post_load
    def made(self, data: dict[str, Any], **_: object) -> DefaultReceivable:
        """Return the command."""
        return DefaultReceivable(**data)


class WriteOffReceivableSchema(ReasonSchema):
    """Loads WriteOffReceivable."""

    @post_load
    def made(self, data: dict[str, Any], **_: object) -> WriteOffReceivable:
        """Return the command."""
        return WriteOffReceivable(**data)
