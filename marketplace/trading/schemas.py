"""What comes into this room."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, post_load, validate

from marketplace.rating.grades import GRADES
from marketplace.trading.engine import ClearedSession

MONEY = validate.Range(min=1, max=10**15)


@dataclass(frozen=True)
class OpenLot:
    """Put a rated receivable up for bids; `open_minutes` when the policy's time is not wanted."""

    receivable_id: UUID
    open_minutes: int | None = None


@dataclass(frozen=True)
class PlaceBid:
    """Bid cash at a yearly rate, sealed; `replaces_bid_id` takes an earlier bid back in the same breath."""

    lot_id: UUID
    rate_bps: int
    cash_minor: int
    min_fill_minor: int = 0
    replaces_bid_id: UUID | None = None


@dataclass(frozen=True)
class PlaceBids:
    """Many bids of one investor, each judged by itself."""

    bids: tuple[PlaceBid, ...]


@dataclass(frozen=True)
class NameLots:
    """The references in a list of so many bids, sorted, and the SHA-256 of the list as it was sent."""

    refs: tuple[str, ...]
    asked: int
    list_sha256: str


@dataclass(frozen=True)
class WithdrawBid:
    """Take a bid back while its lot is open."""

    bid_id: UUID


@dataclass(frozen=True)
class CloseLot:
    """Close a lot whose time has come."""

    lot_id: UUID


@dataclass(frozen=True)
class CloseLots:
    """Close lots whose time has come, together."""

    lot_ids: tuple[UUID, ...]


@dataclass(frozen=True)
class OpenSession:
    """Gather the lots that open from now on until they clear together."""

    currency: str
    open_minutes: int


@dataclass(frozen=True)
class SetSessionCaps:
    """The most to spend in a session: in all, and by debtor. They replace what was set before.

    `purse`: hold the budget once, so that bids in the session need no cash each.
    """

    session_id: UUID
    budget_minor: int | None = None
    debtors: tuple[tuple[UUID, int], ...] = ()
    purse: bool = False


@dataclass(frozen=True)
class SealSession:
    """Seal the books of a session whose time has come: what stands in them then is what clears."""

    session_id: UUID


@dataclass(frozen=True)
class CloseSession:
    """Close a session whose books have cleared."""

    session_id: UUID
    cleared: ClearedSession


@dataclass(frozen=True)
class CancelLot:
    """Stop a lot before money moves."""

    lot_id: UUID
    reason: str


@dataclass(frozen=True)
class AcceptAward:
    """Take the award, or less of it."""

    lot_id: UUID
    accepted_minor: int | None = None


@dataclass(frozen=True)
class RefuseAward:
    """Leave the award."""

    lot_id: UUID


@dataclass(frozen=True)
class RejectAward:
    """Refuse an accepted award whose title does not stand."""

    lot_id: UUID
    reason: str


@dataclass(frozen=True)
class ExpireAward:
    """Apply the seller's default once the time to decide has passed."""

    lot_id: UUID


@dataclass(frozen=True)
class CreateMandate:
    """Bid by standing instruction in every lot that fits, until told to stop. Caps of None do not bind."""

    name: str
    currency: str
    spread_bps: int
    grade_worst: str
    lot_minor_max: int
    budget_minor: int
    budget_days: int
    rate_bps_min: int = 0
    tenor_days_min: int = 1
    tenor_days_max: int = 366
    full_recourse_only: bool = False
    loss_ppm_max: int | None = None
    lot_share_bps_max: int = 10_000
    min_fill_minor: int = 0
    debtor_minor_max: int | None = None
    seller_minor_max: int | None = None
    outstanding_minor_max: int | None = None


@dataclass(frozen=True)
class NameMandate:
    """Which mandate is paused, resumed or ended."""

    mandate_id: UUID


class CreateMandateSchema(Schema):
    """A mandate's terms: whole basis points, whole minor units, days."""

    name = fields.String(required=True, validate=validate.Length(1, 80))
    currency = fields.String(required=True, validate=validate.Length(equal=3))
    spread_bps = fields.Integer(required=True, validate=validate.Range(-5_000, 5_000))
    grade_worst = fields.String(required=True, validate=validate.OneOf(GRADES))
    lot_minor_max = fields.Integer(required=True, validate=MONEY)
    budget_minor = fields.Integer(required=True, validate=MONEY)
    budget_days = fields.Integer(required=True, validate=validate.Range(1, 366))
    rate_bps_min = fields.Integer(load_default=0, validate=validate.Range(0, 10_000))
    tenor_days_min = fields.Integer(load_default=1, validate=validate.Range(1, 366))
    tenor_days_max = fields.Integer(load_default=366, validate=validate.Range(1, 366))
    full_recourse_only = fields.Boolean(load_default=False)
    loss_ppm_max = fields.Integer(load_default=None, allow_none=True, validate=validate.Range(0, 1_000_000))
    lot_share_bps_max = fields.Integer(load_default=10_000, validate=validate.Range(1, 10_000))
    min_fill_minor = fields.Integer(load_default=0, validate=validate.Range(0, 10**15))
    debtor_minor_max = fields.Integer(load_default=None, allow_none=True, validate=MONEY)
    seller_minor_max = fields.Integer(load_default=None, allow_none=True, validate=MONEY)
    outstanding_minor_max = fields.Integer(load_default=None, allow_none=True, validate=MONEY)

    @post_load
    def command(self, data: dict[str, Any], **_: Any) -> CreateMandate:
        """Return the command."""
        return CreateMandate(**data)


class PlaceBidSchema(Schema):
    """A bid: whole basis points, whole minor units. What is no whole number is refused, never cut to one."""

    lot_id = fields.UUID(required=True)
    rate_bps = fields.Integer(required=True, strict=True, validate=validate.Range(min=0, max=10_000))
    cash_minor = fields.Integer(required=True, strict=True, validate=MONEY)
    min_fill_minor = fields.Integer(load_default=0, strict=True, validate=validate.Range(min=0, max=10**15))
    replaces_bid_id = fields.UUID(load_default=None, allow_none=True)

    @post_load
    def command(self, data: dict[str, Any], **_: Any) -> PlaceBid:
        """Return the command."""
        return PlaceBid(**data)


class WithdrawBidSchema(Schema):
    """Which bid."""

    bid_id = fields.UUID(required=True)

    @post_load
    def command(self, data: dict[str, Any], **_: Any) -> WithdrawBid:
        """Return the command."""
        return WithdrawBid(**data)


class AcceptAwardSchema(Schema):
    """Which award, and how much of it."""

    lot_id = fields.UUID(required=True)
    accepted_minor = fields.Integer(load_default=None, allow_none=True, validate=MONEY)

    @post_load
    def command(self, data: dict[str, Any], **_: Any) -> AcceptAward:
        """Return the command."""
        return AcceptAward(**data)


class RefuseAwardSchema(Schema):
    """Which award."""

    lot_id = fields.UUID(required=True)

    @post_load
    def command(self, data: dict[str, Any], **_: Any) -> RefuseAward:
        """Return the command."""
        return RefuseAward(**data)


class CancelLotSchema(Schema):
    """Which lot is stopped, and why."""

    lot_id = fields.UUID(required=True)
    reason = fields.String(required=True, validate=validate.Length(10, 500))

    @post_load
    def command(self, values: dict[str, Any], **_: Any) -> CancelLot:
        """Return the command."""
        return CancelLot(**values)


class RejectAwardSchema(Schema):
    """Which award is refused, and why."""

    lot_id = fields.UUID(required=True)
    reason = fields.String(required=True, validate=validate.Length(10, 500))

    @post_load
    def command(self, values: dict[str, Any], **_: Any) -> RejectAward:
        """Return the command."""
        return RejectAward(**values)
