"""Telling the debtor that a receivable is its seller's again."""

from uuid import UUID

from marketplace.perform import Tx
from marketplace.receivables.debtor.notice import issue_reassignment


def tell_debtor(tx: Tx, receivable_id: UUID) -> UUID:
    """Issue the notice that the assignment has ended, once the seller has bought the receivable back.

    Raises: NotFound; RuleBroken("no_notice").
    """
    return issue_reassignment(tx, receivable_id)
