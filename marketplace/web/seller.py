"""The seller's door: its pages, group by group, on one blueprint."""

import marketplace.web.seller_accounts
import marketplace.web.seller_bulk
import marketplace.web.seller_bulk_rows
import marketplace.web.seller_credit_notes
import marketplace.web.seller_invoices
import marketplace.web.seller_listing
import marketplace.web.seller_live
import marketplace.web.seller_money
import marketplace.web.seller_relisting
import marketplace.web.seller_requests  # noqa: F401
from marketplace.web.seller_door import blueprint

__all__ = ["blueprint"]
