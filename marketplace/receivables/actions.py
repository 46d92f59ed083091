"""The room's verbs and what other rooms call inside their own transactions, gathered under one name."""

from marketplace.receivables.debtor.answering import answer_many, answer_one, work_batch
from marketplace.receivables.debtor.confirmation import (
    confirm_receivable,
    dispute_receivable,
    issue_debtor_link,
    open_debtor_link,
    promise_payment,
)
from marketplace.receivables.debtor.contacting import (
    ask_for_debts_link,
    issue_debts_link,
    renew_debtor_link,
    revoke_debtor_link,
    set_debtor_contact,
)
from marketplace.receivables.debtor.notice import acknowledge_notice, issue_notice, issue_reassignment, write_notice
from marketplace.receivables.drafting import draft_receivable, upload_document
from marketplace.receivables.ending import expire_links, expire_receivable, run_expiry, withdraw_receivable
from marketplace.receivables.life import lock_many, move, move_many
from marketplace.receivables.listing import list_receivable
from marketplace.receivables.relisting import relist_receivable, renew_keys
from marketplace.receivables.walls.rechecking import recheck
from marketplace.receivables.walls.rechecking_many import to_look_at
from marketplace.receivables.walls.reviewing import (
    accept_evidence,
    end_dispute,
    reject_receivable,
    reject_review,
    release_review,
    resolve_dispute,
)

__all__ = [
    "accept_evidence",
    "acknowledge_notice",
    "answer_many",
    "answer_one",
    "ask_for_debts_link",
    "confirm_receivable",
    "dispute_receivable",
    "draft_receivable",
    "end_dispute",
    "expire_links",
    "expire_receivable",
    "issue_debtor_link",
    "issue_debts_link",
    "issue_notice",
    "issue_reassignment",
    "list_receivable",
    "lock_many",
    "move",
    "move_many",
    "open_debtor_link",
    "promise_payment",
    "recheck",
    "reject_receivable",
    "reject_review",
    "release_review",
    "relist_receivable",
    "renew_debtor_link",
    "renew_keys",
    "resolve_dispute",
    "revoke_debtor_link",
    "run_expiry",
    "set_debtor_contact",
    "to_look_at",
    "upload_document",
    "withdraw_receivable",
    "work_batch",
    "write_notice",
]
