"""The room's verbs and what other rooms call inside their own transactions, gathered under one name."""

from marketplace.receivables.confirmation import (
    confirm_receivable,
    dispute_receivable,
    issue_debtor_link,
    open_debtor_link,
    promise_payment,
)
from marketplace.receivables.ending import expire_links, expire_receivable, run_expiry, withdraw_receivable
from marketplace.receivables.life import move
from marketplace.receivables.listing import draft_receivable, list_receivable, upload_document
from marketplace.receivables.notice import acknowledge_notice, issue_notice
from marketplace.receivables.reviewing import (
    accept_evidence,
    end_dispute,
    reject_receivable,
    release_review,
    resolve_dispute,
)

__all__ = [
    "accept_evidence",
    "acknowledge_notice",
    "confirm_receivable",
    "dispute_receivable",
    "draft_receivable",
    "end_dispute",
    "expire_links",
    "expire_receivable",
    "issue_debtor_link",
    "issue_notice",
    "list_receivable",
    "move",
    "open_debtor_link",
    "promise_payment",
    "reject_receivable",
    "release_review",
    "resolve_dispute",
    "run_expiry",
    "upload_document",
    "withdraw_receivable",
]
