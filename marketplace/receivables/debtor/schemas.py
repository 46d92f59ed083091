"""Commands around debtors: their address on file, links to all they owe, one answer for many, credit notes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from marshmallow import Schema, ValidationError, fields, post_load, validate

from marketplace.kernel.words import N_
from marketplace.parties.schemas import LOCALES
from marketplace.receivables.schemas import MINOR_MAX, NAME_MAX, NO, WORDS_MAX, YES

ROWS_MAX = 10_000


@dataclass(frozen=True)
class WriteNotice:
    """Draw and send a notice that was issued."""

    notice_id: UUID


@dataclass(frozen=True)
class SetDebtorContact:
    """The address an operator has verified for a debtor's accounts payable, and the language it reads."""

    debtor_id: UUID
    address: str
    language: str
    evidence: str


@dataclass(frozen=True)
class IssueDebtsLink:
    """Send a debtor a link to everything it owes: always to the verified address."""

    debtor_id: UUID


@dataclass(frozen=True)
class AskForDebtsLink:
    """A debtor with a link to one receivable asks for the link to all."""

    token: str = field(repr=False)


@dataclass(frozen=True)
class RenewDebtorLink:
    """Whoever holds an old link asks for a new one: it goes to the address on file."""

    token: str = field(repr=False)


@dataclass(frozen=True)
class RevokeDebtorLink:
    """End a link at once."""

    link_id: UUID
    reason: str


@dataclass(frozen=True)
class AnswerMany:
    """One answer for many receivables. `days` names a day of payment for single ones; `pay_on` holds for the rest,
    and where both are absent a confirmation promises each on its due date."""

    token: str = field(repr=False)
    answer: str
    receivable_ids: Sequence[UUID]
    answered_by: str
    pay_on: date | None = None
    days: Mapping[UUID, date] = field(default_factory=dict)
    prior_notice: bool | None = None
    claimant: str | None = None
    told_on: date | None = None


@dataclass(frozen=True)
class AnswerOne:
    """Take one row of such an answer."""

    batch_id: UUID
    receivable_id: UUID


@dataclass(frozen=True)
class KeepCreditNote:
    """Keep the file of a credit note, to say next what it belongs to."""

    filename: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class RecordDilution:
    """A credit note lowers a receivable: by its file, or by number and amount. Amount in minor units."""

    receivable_id: UUID
    document_id: UUID | None = None
    number: str | None = None
    amount_minor: int | None = None
    issued_on: date | None = None
    words: str | None = None


class ContactSchema(Schema):
    """A verified address."""

    debtor_id = fields.UUID(required=True)
    address = fields.Email(required=True, validate=validate.Length(3, NAME_MAX), error_messages={
        "required": N_("Enter an e-mail address like name@company.com."),
        "invalid": N_("Enter an e-mail address like name@company.com.")})  # fmt: skip
    language = fields.String(load_default="en", validate=validate.OneOf(LOCALES))
    evidence = fields.String(required=True, validate=validate.Length(1, WORDS_MAX), error_messages={
        "required": N_("Say how the address was verified: it is recorded.")})  # fmt: skip

    @post_load
    def make(self, values: dict[str, Any], **_: Any) -> SetDebtorContact:
        """Return the command."""
        return SetDebtorContact(**values)


class RevokeSchema(Schema):
    """Which link, and why."""

    link_id = fields.UUID(required=True)
    reason = fields.String(required=True, validate=validate.Length(1, WORDS_MAX), error_messages={
        "required": N_("Enter the reason: it is recorded.")})  # fmt: skip

    @post_load
    def make(self, values: dict[str, Any], **_: Any) -> RevokeDebtorLink:
        """Return the command."""
        return RevokeDebtorLink(**values)


class AnswerManySchema(Schema):
    """One answer for many. What must be said depends on the answer."""

    token = fields.String(required=True)
    answer = fields.String(required=True, validate=validate.OneOf(("confirm", "acknowledge", "promise")),
                           error_messages={"required": N_("Choose what to answer.")})  # fmt: skip
    receivable_ids = fields.List(fields.UUID(), required=True, validate=[
        validate.Length(min=1, error=N_("Tick at least one invoice.")),
        validate.Length(max=ROWS_MAX, error=N_("Not more than 10,000 invoices at once."))],
        error_messages={"required": N_("Tick at least one invoice.")})  # fmt: skip
    pay_on = fields.Date(error_messages={"invalid": N_("Enter a date like 2026-10-02.")})
    days = fields.Dict(keys=fields.UUID(), values=fields.Date(), load_default=dict)
    prior_notice = fields.Boolean(truthy=YES, falsy=NO)
    claimant = fields.String(validate=validate.Length(1, NAME_MAX))
    told_on = fields.Date(error_messages={"invalid": N_("Enter a date like 2026-10-02.")})
    answered_by = fields.String(required=True, validate=validate.Length(1, NAME_MAX), error_messages={
        "required": N_("Enter your name: we record who answers.")})  # fmt: skip

    @post_load
    def make(self, values: dict[str, Any], **_: Any) -> AnswerMany:
        """Return the command.

        Raises: ValidationError for an answer that lacks what belongs to it.
        """
        problems: dict[str, list[str]] = {}
        if values["answer"] == "confirm" and values.get("prior_notice") is None:
            problems["prior_notice"] = [N_("Say whether anyone else told you to pay them.")]
        if values.get("prior_notice") and not values.get("claimant"):
            problems["claimant"] = [N_("Enter who told you to pay them.")]
        if values["answer"] == "promise" and not values.get("pay_on") and not values["days"]:
            problems["pay_on"] = [N_("Enter the day on which you will pay.")]
        if problems:
            raise ValidationError(problems)
        if values["answer"] != "confirm":
            values = {name: value for name, value in values.items()
                      if name not in ("prior_notice", "claimant", "told_on")}  # fmt: skip
        return AnswerMany(**values)


class DilutionSchema(Schema):
    """A credit note: the file that was kept, or what it says."""

    receivable_id = fields.UUID(required=True)
    document_id = fields.UUID()
    number = fields.String(validate=validate.Length(1, 100))
    amount_minor = fields.Integer(strict=True, validate=validate.Range(1, MINOR_MAX))
    issued_on = fields.Date(error_messages={"invalid": N_("Enter a date like 2026-10-02.")})
    words = fields.String(validate=validate.Length(1, WORDS_MAX))

    @post_load
    def make(self, values: dict[str, Any], **_: Any) -> RecordDilution:
        """Return the command.

        Raises: ValidationError when neither a file nor a number with an amount is given.
        """
        if not values.get("document_id"):
            problems = {}
            if not values.get("number"):
                problems["number"] = [N_("Enter the credit note’s number.")]
            if not values.get("amount_minor"):
                problems["amount_minor"] = [N_("Enter the credit note’s amount.")]
            if problems:
                raise ValidationError(problems)
        return RecordDilution(**values)
