"""Paying holders and the market out of a seller's own money: one entry, for a buy-back and for a credit note alike."""

from collections.abc import Sequence
from uuid import UUID

from marketplace.kernel.errors import RuleBroken
from marketplace.kernel.words import N_
from marketplace.ledger import actions as ledger
from marketplace.ledger import queries as ledger_queries
from marketplace.ledger.rules import Leg, credit, debit
from marketplace.perform import Tx
from marketplace.servicing.tables import CollectionRow
from marketplace.servicing.waterfall import TO_INVESTORS, Share

# Where a seller's own money may lie, in the order in which it is taken: what was put in for it comes first.
SOURCES = ("seller_cash", "seller_residual", "seller_advance")
SHORT = N_("There is not enough free money of the seller's here: put in what is missing first.")


def pay_out(tx: Tx, row: CollectionRow, shares: Sequence[Share], kind: str, field: str) -> UUID:
    """Write one entry of this kind: from the seller's accounts to the holders and the platform, and return its id.

    Pools never cross: what moves between them passes over the provider's accounts.

    Raises: RuleBroken("insufficient_cash"), told beside `field`, when the seller's free money here is less.
    """
    currency, left, legs = row.currency, sum(share.minor for share in shares), list[Leg]()
    pools: dict[str, int] = {"lender": 0, "borrower": 0, "platform": 0}
    for code in SOURCES:
        taken = min(left, max(ledger_queries.balance(tx.session, code, row.seller_id, currency).free_minor, 0))
        if taken:
            legs.append(debit(ledger.account(tx, code, row.seller_id, currency), taken))
            pools["lender" if code == "seller_advance" else "borrower"] -= taken
            left -= taken
    if left:
        raise RuleBroken.about(field, "insufficient_cash", SHORT)
    for share in shares:
        investor = share.step in TO_INVESTORS
        code, party = ("investor_cash", share.party) if investor else ("platform_fees", None)
        legs.append(credit(ledger.account(tx, code, party, currency), share.minor))
        pools["lender" if investor else "platform"] += share.minor
    legs += [Leg(ledger.account(tx, f"provider_{pool}", None, currency), minor) for pool, minor in pools.items()]
    return ledger.post_entry(tx, kind, "receivable", row.receivable_id, legs)
