"""What an investor may open: the market, lots, mandates, the portfolio, holdings, offers, cash, the statement."""

from marketplace.web import (
    investor_bids,
    investor_holding,
    investor_live,
    investor_lot,
    investor_mandates,
    investor_market,
    investor_money,
    investor_sessions,
)
from marketplace.web.investor_door import blueprint

__all__ = [
    "blueprint", "investor_bids", "investor_holding", "investor_live", "investor_lot", "investor_mandates",
    "investor_market", "investor_money", "investor_sessions",
]  # fmt: skip
