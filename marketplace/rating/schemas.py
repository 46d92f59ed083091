"""Commands of the room, and how they come in."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from marshmallow import Schema, ValidationError, fields, post_load, validate

from marketplace.kernel.words import N_
from marketplace.rating.behaviour import PaymentRecord
from marketplace.rating.drift import Measure
from marketplace.rating.grades import GRADES
from marketplace.rating.ixbrl import BYTES_MAX

FILENAME_MAX = 200
REASON_MIN, REASON_MAX = 10, 500
OVERRIDE_REASON_MIN = 20


@dataclass(frozen=True)
class FileAccounts:
    """Hand in the accounts of an organisation. `attested_reason`: why they are its own when no number says so."""

    organisation_id: UUID
    filename: str
    content: bytes = field(repr=False)
    attested_reason: str | None = None


@dataclass(frozen=True)
class RateReceivable:
    """Rate a confirmed receivable from its parties' accounts."""

    receivable_id: UUID


@dataclass(frozen=True)
class RateParty:
    """Rate an organisation from its newest accounts."""

    organisation_id: UUID


@dataclass(frozen=True)
class ProposeOverride:
    """Propose another grade for a party."""

    organisation_id: UUID
    to_grade: str
    reason: str


@dataclass(frozen=True)
class DecideOverride:
    """Approve or refuse a proposed grade."""

    override_id: UUID
    approve: bool
    reason: str


@dataclass(frozen=True)
class NotePayments:
    """Keep a debtor's payment record."""

    organisation_id: UUID
    record: PaymentRecord


@dataclass(frozen=True)
class NoteWatch:
    """Keep what was measured about the model in use."""

    model_version: str
    measures: tuple[Measure, ...]


def _content(value: bytes) -> None:
    if not value:
        raise ValidationError(N_("The file is empty."))
    if len(value) > BYTES_MAX:
        raise ValidationError(N_("The file is larger than 16 MB."))


class FileAccountsSchema(Schema):
    """The form that hands in accounts; the door gives `content` and `filename` of the uploaded file."""

    organisation_id = fields.UUID(required=True)
    filename = fields.String(required=True, validate=validate.Length(1, FILENAME_MAX))
    content = fields.Raw(required=True, validate=_content)
    attested_reason = fields.String(validate=validate.Length(REASON_MIN, REASON_MAX))

    @post_load
    def command(self, data: dict[str, Any], **_: Any) -> FileAccounts:
        """Return the command."""
        return FileAccounts(**data)


class RatePartySchema(Schema):
    """The form that rates an organisation anew."""

    organisation_id = fields.UUID(required=True)

    @post_load
    def command(self, data: dict[str, Any], **_: Any) -> RateParty:
        """Return the command."""
        return RateParty(**data)


class ProposeOverrideSchema(Schema):
    """The form that proposes another grade."""

    organisation_id = fields.UUID(required=True)
    to_grade = fields.String(required=True, validate=validate.OneOf(GRADES))
    reason = fields.String(required=True, validate=validate.Length(OVERRIDE_REASON_MIN, REASON_MAX))

    @post_load
    def command(self, data: dict[str, Any], **_: Any) -> ProposeOverride:
        """Return the command."""
        return ProposeOverride(**data)


class DecideOverrideSchema(Schema):
    """The form with which the second person decides."""

    override_id = fields.UUID(required=True)
    approve = fields.Boolean(required=True)
    reason = fields.String(required=True, validate=validate.Length(REASON_MIN, REASON_MAX))

    @post_load
    def command(self, data: dict[str, Any], **_: Any) -> DecideOverride:
        """Return the command."""
        return DecideOverride(**data)
