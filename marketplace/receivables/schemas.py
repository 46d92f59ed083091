"""Commands of the room, and how they come in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from marshmallow import Schema, ValidationError, fields, post_load, validate

from marketplace.kernel.money import EXPONENTS
from marketplace.kernel.words import N_
from marketplace.receivables.facts import InvoiceFacts

NAME_MAX = 200
WORDS_MAX = 2_000
MINOR_MAX = 2**53 - 1
DISPUTE_REASONS = {
    "goods": N_("The goods or services were not as ordered"),
    "amount": N_("The amount is wrong"),
    "already_paid": N_("It is paid already"),
    "credit_note": N_("A credit note applies"),
    "not_ordered": N_("We never ordered it"),
    "not_ours": N_("It is not our invoice"),
    "other": N_("Something else"),
}


@dataclass(frozen=True)
class DraftReceivable:
    """Read a file, or take what was typed; exactly one of the two."""

    filename: str | None = None
    content: bytes | None = field(default=None, repr=False)
    facts: InvoiceFacts | None = None


@dataclass(frozen=True)
class UploadDocument:
    """File a supporting document with a receivable."""

    receivable_id: UUID
    filename: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Terms:
    """On what terms the seller sells. Rates in bp a year."""

    deal_type: str = "advance"
    recourse: str = "full"
    reserve_bps: int | None = None
    own_rate_bps: int | None = None
    min_share_bps: int | None = None
    price_rule: str | None = None
    seller_default: str = "refuse"
    bidding: str = "sealed"
    buy_now_bps: int | None = None


@dataclass(frozen=True)
class ListReceivable:
    """List a draft. `corrections` are the fields as the seller left them; what is absent stays as read."""

    draft_id: UUID
    corrections: Mapping[str, Any] = field(default_factory=dict)
    terms: Terms = field(default_factory=Terms)


@dataclass(frozen=True)
class WithdrawReceivable:
    """Take a receivable back before anybody bought it."""

    receivable_id: UUID
    reason: str | None = None


@dataclass(frozen=True)
class IssueDebtorLink:
    """Send the debtor a signed link."""

    receivable_id: UUID
    purpose: str = "confirm"


@dataclass(frozen=True)
class ConfirmReceivable:
    """The debtor's yes."""

    token: str = field(repr=False)
    amount_minor: int
    pay_on: date
    prior_notice: bool
    claimant: str | None = None
    told_on: date | None = None
    answered_by: str | None = None
    receivable_id: UUID | None = None


@dataclass(frozen=True)
class DisputeReceivable:
    """The debtor's no, or in part. An operator names the receivable, and so does a link to all that is owed."""

    amount_minor: int
    reason: str
    words: str | None = None
    credit_note: str | None = None
    answered_by: str | None = None
    token: str | None = field(default=None, repr=False)
    receivable_id: UUID | None = None


@dataclass(frozen=True)
class PromisePayment:
    """The day on which the debtor will pay. Which receivable, as for a dispute."""

    pay_on: date
    amount_minor: int | None = None
    answered_by: str | None = None
    token: str | None = field(default=None, repr=False)
    receivable_id: UUID | None = None


@dataclass(frozen=True)
class AcknowledgeNotice:
    """The debtor has read the notice of assignment."""

    token: str = field(repr=False)
    number: int
    answered_by: str | None = None
    receivable_id: UUID | None = None


@dataclass(frozen=True)
class OpenDebtorLink:
    """The debtor opened the link for the first time."""

    token: str = field(repr=False)


@dataclass(frozen=True)
class AcceptEvidence:
    """Two operators record why they do without the debtor's answer."""

    receivable_id: UUID
    reason: str


@dataclass(frozen=True)
class ReleaseReview:
    """Let a held listing go on: the first operator proposes, a second one releases."""

    review_id: UUID
    reason: str


@dataclass(frozen=True)
class RejectReceivable:
    """Refuse a listing: for good, or, when `curable`, until its seller has put it right."""

    receivable_id: UUID
    reason: str
    curable: bool = False


@dataclass(frozen=True)
class ResolveDispute:
    """End a dispute: resolved (the debtor owes it after all) or upheld (the debtor was right)."""

    dispute_id: UUID
    outcome: str
    words: str


@dataclass(frozen=True)
class ExpireReceivable:
    """Let a listing lapse that has too few days left."""

    receivable_id: UUID


@dataclass(frozen=True)
class ExpireLinks:
    """Close links whose time is over."""

    batch: int = 500


def _text(longest: int = NAME_MAX, **more: Any) -> fields.String:
    return fields.String(validate=validate.Length(1, longest), **more)


def _minor(**more: Any) -> fields.Integer:
    return fields.Integer(strict=True, validate=validate.Range(1, MINOR_MAX), **more)


class FactsSchema(Schema):
    """The fields of an invoice: typed by hand, or corrections of what was read."""

    number = _text(100)
    document_type = _text(10)
    currency = fields.String(validate=validate.OneOf(sorted(EXPONENTS), error=N_("Choose a currency of the list.")))
    issued_on = fields.Date(error_messages={"invalid": N_("Enter a date like 2026-10-02.")})
    due_on = fields.Date(error_messages={"invalid": N_("Enter a date like 2026-10-02.")})
    debtor_name = _text()
    debtor_legal_id = _text(50)
    debtor_vat_id = _text(50)
    debtor_country = fields.String(validate=validate.Regexp(r"^[A-Z]{2}$", error=N_("Choose a country.")))
    debtor_email = fields.Email(error_messages={"invalid": N_("Enter an e-mail address like name@company.com.")})
    debtor_is_person = fields.Boolean()
    purchase_order = _text(100)
    iban = _text(50)
    net_minor = _minor()
    vat_minor = fields.Integer(strict=True, validate=validate.Range(0, MINOR_MAX))
    total_minor = _minor()
    face_minor = _minor()


class TypedSchema(FactsSchema):
    """An invoice without a file."""

    @post_load
    def make(self, values: dict[str, Any], **_: Any) -> DraftReceivable:
        """Return the command."""
        return DraftReceivable(facts=InvoiceFacts(**values))


class TermsSchema(Schema):
    """The terms of a sale."""

    deal_type = fields.String(load_default="advance", validate=validate.OneOf(("advance", "outright")))
    recourse = fields.String(load_default="full", validate=validate.OneOf(("full", "limited", "none")))
    reserve_bps = fields.Integer(validate=validate.Range(1, 10_000))
    own_rate_bps = fields.Integer(validate=validate.Range(1, 10_000))
    min_share_bps = fields.Integer(
        validate=validate.Range(1_000, 10_000, error=N_("Choose a share between 10% and 100%."))
    )
    price_rule = fields.String(validate=validate.OneOf(("uniform", "pay_as_bid")))
    seller_default = fields.String(load_default="refuse", validate=validate.OneOf(("accept", "refuse")))
    bidding = fields.String(load_default="sealed", validate=validate.OneOf(("sealed", "open")))
    buy_now_bps = fields.Integer(validate=validate.Range(1, 10_000))


class ListReceivableSchema(TermsSchema):
    """A draft, its corrections under `facts`, and the terms."""

    draft_id = fields.UUID(required=True)
    facts = fields.Nested(FactsSchema, load_default=dict)

    @post_load
    def make(self, values: dict[str, Any], **_: Any) -> ListReceivable:
        """Return the command."""
        draft_id, facts = values.pop("draft_id"), values.pop("facts")
        return ListReceivable(draft_id, facts, Terms(**values))


class WithdrawSchema(Schema):
    """Which receivable, and why."""

    receivable_id = fields.UUID(required=True)
    reason = _text(WORDS_MAX)

    @post_load
    def make(self, values: dict[str, Any], **_: Any) -> WithdrawReceivable:
        """Return the command."""
        return WithdrawReceivable(**values)


YES = {"yes", "true", "1", True}
NO = {"no", "false", "0", False}


class ConfirmSchema(Schema):
    """The debtor's yes. Nothing has a default: every answer is given."""

    token = fields.String(required=True)
    receivable_id = fields.UUID()
    amount_minor = _minor(required=True)
    pay_on = fields.Date(required=True, error_messages={
        "required": N_("Enter the day on which you will pay."),
        "invalid": N_("Enter a date like 2026-10-02.")})  # fmt: skip
    prior_notice = fields.Boolean(required=True, truthy=YES, falsy=NO, error_messages={
        "required": N_("Say whether anyone else told you to pay them.")})  # fmt: skip
    claimant = _text()
    told_on = fields.Date()
    answered_by = _text(required=True, error_messages={"required": N_("Enter your name: we record who answers.")})

    @post_load
    def make(self, values: dict[str, Any], **_: Any) -> ConfirmReceivable:
        """Return the command.

        Raises: ValidationError when somebody gave notice and is not named.
        """
        if values["prior_notice"] and not values.get("claimant"):
            raise ValidationError({"claimant": [N_("Enter who told you to pay them.")]})
        return ConfirmReceivable(**values)


class DisputeSchema(Schema):
    """What is wrong: how much of it, and why."""

    token = fields.String()
    receivable_id = fields.UUID()
    amount_minor = _minor(required=True, error_messages={"required": N_("Enter the amount that is wrong.")})
    reason = fields.String(required=True, validate=validate.OneOf(list(DISPUTE_REASONS)), error_messages={
        "required": N_("Choose what is wrong.")})  # fmt: skip
    words = _text(WORDS_MAX)
    credit_note = _text(100)
    answered_by = _text(required=True, error_messages={"required": N_("Enter your name: we record who answers.")})

    @post_load
    def make(self, values: dict[str, Any], **_: Any) -> DisputeReceivable:
        """Return the command.

        Raises: ValidationError when "something else" is not explained.
        """
        if values["reason"] == "other" and not values.get("words"):
            raise ValidationError({"words": [N_("Say what is wrong.")]})
        return DisputeReceivable(**values)


class PromiseSchema(Schema):
    """A day, and by whom it was promised."""

    token = fields.String()
    receivable_id = fields.UUID()
    pay_on = fields.Date(required=True, error_messages={
        "required": N_("Enter the day on which you will pay."),
        "invalid": N_("Enter a date like 2026-10-02.")})  # fmt: skip
    amount_minor = _minor()
    answered_by = _text()

    @post_load
    def make(self, values: dict[str, Any], **_: Any) -> PromisePayment:
        """Return the command."""
        return PromisePayment(**values)


class AcknowledgeSchema(Schema):
    """Which notice was read, and by whom."""

    token = fields.String(required=True)
    receivable_id = fields.UUID()
    number = fields.Integer(required=True, validate=validate.Range(1, 1_000))
    read = fields.Boolean(required=True, validate=validate.Equal(True), error_messages={
        "required": N_("Tick the box when you have read the notice.")})  # fmt: skip
    answered_by = _text(required=True, error_messages={"required": N_("Enter your name: we record who answers.")})

    @post_load
    def make(self, values: dict[str, Any], **_: Any) -> AcknowledgeNotice:
        """Return the command."""
        values.pop("read")
        return AcknowledgeNotice(**values)


class ReasonSchema(Schema):
    """An operator's decision with its reason; the door adds what it is about."""

    review_id = fields.UUID()
    receivable_id = fields.UUID()
    dispute_id = fields.UUID()
    outcome = fields.String(validate=validate.OneOf(("resolved", "upheld")))
    reason = _text(WORDS_MAX, required=True, error_messages={"required": N_("Enter the reason: it is recorded.")})


class ReleaseSchema(ReasonSchema):
    """A release of a review."""

    @post_load
    def make(self, values: dict[str, Any], **_: Any) -> ReleaseReview:
        """Return the command."""
        return ReleaseReview(values["review_id"], values["reason"])


class RejectSchema(ReasonSchema):
    """A rejection of a receivable."""

    curable = fields.Boolean(load_default=False)

    @post_load
    def make(self, values: dict[str, Any], **_: Any) -> RejectReceivable:
        """Return the command."""
        return RejectReceivable(values["receivable_id"], values["reason"], values["curable"])


class EvidenceSchema(ReasonSchema):
    """Other evidence in place of the debtor's answer."""

    @post_load
    def make(self, values: dict[str, Any], **_: Any) -> AcceptEvidence:
        """Return the command."""
        return AcceptEvidence(values["receivable_id"], values["reason"])


class ResolveSchema(ReasonSchema):
    """How a dispute ended."""

    @post_load
    def make(self, values: dict[str, Any], **_: Any) -> ResolveDispute:
        """Return the command."""
        return ResolveDispute(values["dispute_id"], values["outcome"], values["reason"])
