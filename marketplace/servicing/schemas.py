"""What the verbs of servicing take."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, post_load, validate

from marketplace.kernel.words import N_

PRICE_CHANGED = N_("The price has changed since it was shown: look at it again.")

MONEY = validate.Range(min=1, max=10**15)
REASONS = ("recourse", "dispute", "dilution", "warranty", "voluntary")


@dataclass(frozen=True)
class SettleAward:
    """Turn an accepted award into money and title."""

    lot_id: UUID


@dataclass(frozen=True)
class ApplyDebtorPayment:
    """Share out one debtor's payment that has cleared."""

    payment_id: UUID


@dataclass(frozen=True)
class ReverseReceipt:
    """Book a chargeback, or that its money came back."""

    chargeback_id: UUID


@dataclass(frozen=True)
class AgeReceivable:
    """Take the steps of collection that the business date has reached."""

    receivable_id: UUID


@dataclass(frozen=True)
class CoverDilution:
    """Make good what a credit note took beyond the residual."""

    dilution_id: UUID


@dataclass(frozen=True)
class ConfirmDilution:
    """The debtor's yes to a credit note that waits."""

    token: str = field(repr=False)
    proposal_id: UUID
    answered_by: str


@dataclass(frozen=True)
class ApproveDilution:
    """An operator's yes to a credit note that waits: the first proposes, the second lets it take effect."""

    proposal_id: UUID
    reason: str


@dataclass(frozen=True)
class RefuseDilution:
    """A no to a credit note that waits: the seller's to its own, an operator's, or the debtor's by its link."""

    proposal_id: UUID
    reason: str
    token: str | None = field(default=None, repr=False)
    answered_by: str | None = None


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


@dataclass(frozen=True)
class DemandBuyBack:
    """Ask the seller to buy a receivable back; `reason` is one of REASONS."""

    receivable_id: UUID
    reason: str
    note: str | None = None


@dataclass(frozen=True)
class WithdrawDemand:
    """Ask no longer."""

    buy_back_id: UUID
    reason: str


@dataclass(frozen=True)
class BuyBackReceivable:
    """Buy a funded receivable back at the price that was shown; `reason` counts where nothing was demanded."""

    receivable_id: UUID
    price_minor: int
    reason: str = "voluntary"


@dataclass(frozen=True)
class OfferHolding:
    """Offer units of one's own at a fixed price, open for so many hours."""

    receivable_id: UUID
    units: int
    price_minor: int
    hours: int | None = None


@dataclass(frozen=True)
class WithdrawOffer:
    """Take an offer back."""

    offer_id: UUID


@dataclass(frozen=True)
class AcceptOffer:
    """Buy what is offered at the price that was shown; `acknowledged` when something speaks against it."""

    offer_id: UUID
    price_minor: int
    acknowledged: bool = False


@dataclass(frozen=True)
class ExpireOffer:
    """End an offer whose time is over."""

    offer_id: UUID


class OfferHoldingSchema(Schema):
    """An offer: whole units, whole minor units, whole hours."""

    receivable_id = fields.UUID(required=True)
    units = fields.Integer(required=True, validate=MONEY)
    price_minor = fields.Integer(required=True, validate=MONEY)
    hours = fields.Integer(load_default=None, allow_none=True, validate=validate.Range(min=1, max=10_000))

    @post_load
    def made(self, data: dict[str, Any], **_: object) -> OfferHolding:
        """Return the command."""
        return OfferHolding(**data)


class AcceptOfferSchema(Schema):
    """Which offer, at which price, and whether what speaks against it was read."""

    offer_id = fields.UUID(required=True)
    price_minor = fields.Integer(required=True, validate=MONEY)
    acknowledged = fields.Boolean(load_default=False)

    @post_load
    def made(self, data: dict[str, Any], **_: object) -> AcceptOffer:
        """Return the command."""
        return AcceptOffer(**data)


class BuyBackReceivableSchema(Schema):
    """Which receivable, at which price."""

    receivable_id = fields.UUID(required=True)
    price_minor = fields.Integer(required=True, validate=MONEY)
    reason = fields.String(load_default="voluntary", validate=validate.OneOf(REASONS))

    @post_load
    def made(self, data: dict[str, Any], **_: object) -> BuyBackReceivable:
        """Return the command."""
        return BuyBackReceivable(**data)


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


class DemandBuyBackSchema(Schema):
    """Which receivable, why, and an operator's own words on it."""

    receivable_id = fields.UUID(required=True)
    reason = fields.String(required=True, validate=validate.OneOf(REASONS[:-1]))
    note = fields.String(load_default=None, allow_none=True, validate=validate.Length(min=10, max=500))

    @post_load
    def made(self, data: dict[str, Any], **_: object) -> DemandBuyBack:
        """Return the command."""
        return DemandBuyBack(**data)


class WithdrawDemandSchema(Schema):
    """Which demand ends, and why."""

    buy_back_id = fields.UUID(required=True)
    reason = fields.String(required=True, validate=validate.Length(min=10, max=500))

    @post_load
    def made(self, data: dict[str, Any], **_: object) -> WithdrawDemand:
        """Return the command."""
        return WithdrawDemand(**data)


class ConfirmDilutionSchema(Schema):
    """Which credit note is right, and who says so."""

    token = fields.String(required=True)
    proposal_id = fields.UUID(required=True)
    answered_by = fields.String(required=True, validate=validate.Length(1, 200), error_messages={
        "required": N_("Enter your name: we record who answers.")})  # fmt: skip

    @post_load
    def made(self, data: dict[str, Any], **_: object) -> ConfirmDilution:
        """Return the command."""
        return ConfirmDilution(**data)


class ApproveDilutionSchema(Schema):
    """Which credit note is right, and what was seen."""

    proposal_id = fields.UUID(required=True)
    reason = fields.String(required=True, validate=validate.Length(min=10, max=500))

    @post_load
    def made(self, data: dict[str, Any], **_: object) -> ApproveDilution:
        """Return the command."""
        return ApproveDilution(**data)


class RefuseDilutionSchema(Schema):
    """Which credit note does not count, and why; a debtor says so by its link."""

    proposal_id = fields.UUID(required=True)
    reason = fields.String(required=True, validate=validate.Length(min=10, max=500))
    token = fields.String()
    answered_by = fields.String(validate=validate.Length(1, 200))

    @post_load
    def made(self, data: dict[str, Any], **_: object) -> RefuseDilution:
        """Return the command."""
        return RefuseDilution(**data)
