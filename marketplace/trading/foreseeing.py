"""What would become of bids that are not placed yet: told by the rules that judge them, with nothing locked or written.

What only the lot's lock can tell, a rival's bid or a close in the meantime, is told when they are placed.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from marketplace.kernel.errors import MarketplaceError
from marketplace.ledger import queries as balances
from marketplace.trading import placing, queries
from marketplace.trading.actions import short_of_cash, why_not
from marketplace.trading.schemas import PlaceBid


def foresee(session: Session, bids: Sequence[PlaceBid], investor_id: UUID) -> list[MarketplaceError | None]:
    """Return, bid by bid in their order, the refusal that it would meet now; None for one that nothing speaks against.

    Free cash is given out in the order of the bids, as when they are placed; what rests on a purse takes none of it.
    """
    seen = placing.see_many(session, {bid.lot_id for bid in bids}, investor_id)
    free: dict[str, int] = {}
    told: list[MarketplaceError | None] = []
    for bid in bids:
        lot = seen.get(bid.lot_id)
        refusal: MarketplaceError | None = queries.missing() if lot is None else why_not(lot, bid)
        if lot is not None and refusal is None and not lot.purse:
            if lot.currency not in free:
                free[lot.currency] = balances.balance(session, "investor_cash", investor_id, lot.currency).free_minor
            if free[lot.currency] < bid.cash_minor:
                refusal = short_of_cash()
            else:
                free[lot.currency] -= bid.cash_minor
        told.append(refusal)
    return told
