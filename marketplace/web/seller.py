"""The seller's door: its pages, group by group, on one blueprint."""

from marketplace.web import seller_accounts, seller_invoices, seller_listing, seller_money
from marketplace.web.seller_door import blueprint

__all__ = ["blueprint", "seller_accounts", "seller_invoices", "seller_listing", "seller_money"]
