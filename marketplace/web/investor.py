"""What an investor may open: the market and its lots, the portfolio, cash and the statement."""

from marketplace.web import investor_lot, investor_market, investor_money
from marketplace.web.investor_door import blueprint

__all__ = ["blueprint", "investor_lot", "investor_market", "investor_money"]
