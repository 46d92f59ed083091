"""Commands of the room, and how they come in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
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


@dataclass(frozen=True)
class NoteOutcomes:
    """Keep how receivables ended: a row of `rating_outcome` each, without id and instant."""

    outcomes: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class NoteLearning:
    """Keep what a month's learning came to: how many rows there were and, if a model was fitted, its files.

    `base`: what it learnt from beyond the market's own rows. `comparison` in whole millionths, `better`: proposed.
    """

    base: str
    outcomes: int
    years: int
    failures: int
    judged: int
    judged_failures: int
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    learnt_until: date | None = None
    against_version: str | None = None
    comparison: Mapping[str, Any] | None = None
    better: bool = False


@dataclass(frozen=True)
class DecideModel:
    """Speak for or against a proposed model."""

    model_id: UUID
    approve: bool
    reason: str


@dataclass(frozen=True)
class WithdrawModel:
    """Ask for the learnt model in service to go."""

    model_id: UUID
    reason: str


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


class DecideModelSchema(Schema):
    """The form with which an operator speaks for or against a proposed model."""

    model_id = fields.UUID(required=True)
    approve = fields.Boolean(required=True)
    reason = fields.String(required=True, validate=validate.Length(REASON_MIN, REASON_MAX))

    @post_load
    def command(self, data: dict[str, Any], **_: Any) -> DecideModel:
        """Return the command."""
        return DecideModel(**data)


class WithdrawModelSchema(Schema):
    """The form with which an operator asks for the learnt model to go."""

    model_id = fields.UUID(required=True)
    reason = fields.String(required=True, validate=validate.Length(REASON_MIN, REASON_MAX))

    @post_load
    def command(self, data: dict[str, Any], **_: Any) -> WithdrawModel:
        """Return the command."""
        return WithdrawModel(**data)
