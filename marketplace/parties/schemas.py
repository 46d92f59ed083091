"""What comes in about parties: commands and the forms they are made from."""

import re
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates
from schwifty import IBAN
from schwifty.exceptions import SchwiftyException

from marketplace.kernel.words import N_

KINDS = ("seller", "investor", "debtor", "operator", "regulator")
LOCALES = ("en", "zh_Hant", "zh_Hans")


@dataclass(frozen=True)
class RegisterOrganisation:
    """An organisation to be known from now on."""

    kind: str
    legal_name: str
    country: str
    legal_id: str | None = None
    vat_id: str | None = None
    sector: str | None = None
    group_id: UUID | None = None
    iban: str | None = None


@dataclass(frozen=True)
class RegisterUser:
    """A person of an organisation, with the first password."""

    organisation_id: UUID
    email: str
    display_name: str
    password: str = field(repr=False)
    locale: str = "en"


@dataclass(frozen=True)
class SignIn:
    """Somebody at the door. The session's token stays with the browser; only its hash comes here."""

    email: str = field(repr=False)
    password: str = field(repr=False)
    token_hash: bytes = field(repr=False)
    previous_hash: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class CreateApiKey:
    """A key for a program, made at the door: only its hash comes here."""

    name: str
    token_hash: bytes = field(repr=False)


@dataclass(frozen=True)
class EndApiKey:
    """Which key ends."""

    key_id: UUID


@dataclass(frozen=True)
class RefuseSignIn:
    """A failed attempt, to be remembered. Known users by id; unknown ones are not named."""

    email: str = field(repr=False)
    why: str


@dataclass(frozen=True)
class SignOut:
    """The end of one session."""

    token_hash: bytes = field(repr=False)


@dataclass(frozen=True)
class SuspendOrganisation:
    """Take an organisation out of good standing, or back into it."""

    organisation_id: UUID
    reason: str


@dataclass(frozen=True)
class SuspendUser:
    """Lock a person out."""

    user_id: UUID
    reason: str


RELATIONS = ("shared_officer", "shared_owner", "ownership")


@dataclass(frozen=True)
class RelateOrganisations:
    """Two organisations that share an officer or an owner, or of which one owns the other; where that is written."""

    one_id: UUID
    other_id: UUID
    kind: str
    reference: str


@dataclass(frozen=True)
class EndRelation:
    """Which relation is no more."""

    relation_id: UUID


def plain_number(text: str | None, country: str = "") -> str | None:
    """Return a register or VAT number in capitals without spaces and marks; a British company number has 8 places."""
    bare = re.sub(r"[^0-9A-Z]", "", (text or "").upper())
    if country == "GB" and bare.isdigit() and len(bare) < 8:
        bare = bare.zfill(8)
    return bare or None


def plain_iban(text: str) -> str:
    """Return an IBAN without spaces, checked.

    Raises: ValidationError.
    """
    try:
        return str(IBAN(text.replace(" ", "").upper()))
    except SchwiftyException as error:
        raise ValidationError(N_("Enter an IBAN; its check digits do not fit.")) from error


class SignInSchema(Schema):
    """The sign-in form."""

    email = fields.String(
        required=True, validate=validate.Length(max=320), error_messages={"required": N_("Enter your e-mail address.")}
    )
    password = fields.String(
        required=True, validate=validate.Length(max=1000), error_messages={"required": N_("Enter your password.")}
    )


class RegisterOrganisationSchema(Schema):
    """An organisation as an operator types it."""

    kind = fields.String(required=True, validate=validate.OneOf(KINDS, error=N_("Choose one of the kinds.")))
    legal_name = fields.String(required=True, validate=validate.Length(1, 300))
    country = fields.String(
        required=True, validate=validate.Regexp(r"^[A-Z]{2}$", error=N_("Enter a country code like GB."))
    )
    legal_id = fields.String(load_default=None)
    vat_id = fields.String(load_default=None)
    sector = fields.String(load_default=None, validate=validate.Length(max=100))
    group_id = fields.UUID(load_default=None)
    iban = fields.String(load_default=None)

    @validates("iban")
    def _iban(self, value: str | None, data_key: str) -> None:
        if value is not None:
            plain_iban(value)

    @post_load
    def _command(self, data: dict[str, Any], **_: Any) -> RegisterOrganisation:
        return RegisterOrganisation(**data)


class RelateOrganisationsSchema(Schema):
    """A relation as an operator types it."""

    one_id = fields.UUID(required=True)
    other_id = fields.UUID(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(RELATIONS, error=N_("Choose one of the kinds.")))
    reference = fields.String(
        required=True,
        validate=validate.Length(3, 300, error=N_("Say where this is written, in 3 to 300 characters.")),
        error_messages={"required": N_("Say where this is written, in 3 to 300 characters.")},
    )

    @post_load
    def _command(self, data: dict[str, Any], **_: Any) -> RelateOrganisations:
        return RelateOrganisations(**data)


STANDING = re.compile(r"(person|house) ([0-9a-f-]{36})")


class StandingSchema(Schema):
    """A suspension or its end as an operator types it: whom, as `person UUID` or `house UUID`, and why."""

    subject = fields.String(
        required=True, validate=validate.Regexp(STANDING, error=N_("Choose a person or an organisation.")),
        error_messages={"required": N_("Choose a person or an organisation.")},
    )  # fmt: skip
    reason = fields.String(
        required=True, validate=validate.Length(10, 300, error=N_("Say why, in 10 to 300 characters.")),
        error_messages={"required": N_("Say why, in 10 to 300 characters.")},
    )  # fmt: skip

    @post_load
    def _command(self, data: dict[str, Any], **_: Any) -> SuspendUser | SuspendOrganisation:
        sort, _space, named = data["subject"].partition(" ")
        try:
            return (SuspendUser if sort == "person" else SuspendOrganisation)(UUID(named), data["reason"])
        except ValueError as error:
            raise ValidationError(N_("Choose a person or an organisation."), "subject") from error


class RegisterUserSchema(Schema):
    """A person as an operator types one in."""

    organisation_id = fields.UUID(required=True)
    email = fields.Email(required=True, error_messages={"invalid": N_("Enter an e-mail address.")})
    display_name = fields.String(required=True, validate=validate.Length(1, 200))
    password = fields.String(required=True)
    locale = fields.String(load_default="en", validate=validate.OneOf(LOCALES))

    @post_load
    def _command(self, data: dict[str, Any], **_: Any) -> RegisterUser:
        return RegisterUser(**data)
