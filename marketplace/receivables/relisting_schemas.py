"""Commands of coming back, and how they come in."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from marshmallow import fields, post_load

from marketplace.receivables.schemas import Terms, TermsSchema


@dataclass(frozen=True)
class RelistReceivable:
    """Bring a receivable back that left the market unsold, on these terms; `draft_id` is the invoice dropped again."""

    receivable_id: UUID
    terms: Terms = field(default_factory=Terms)
    draft_id: UUID | None = None


@dataclass(frozen=True)
class RenewKeys:
    """Write the keys under which a receivable is found again, as they are made now."""

    receivable_id: UUID


class RelistSchema(TermsSchema):
    """Which receivable comes back, and on what terms."""

    receivable_id = fields.UUID(required=True)
    draft_id = fields.UUID()

    @post_load
    def make(self, values: dict[str, Any], **_: Any) -> RelistReceivable:
        """Return the command."""
        receivable_id, draft_id = values.pop("receivable_id"), values.pop("draft_id", None)
        return RelistReceivable(receivable_id, Terms(**values), draft_id)
