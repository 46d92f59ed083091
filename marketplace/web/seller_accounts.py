"""The seller's own accounts: file them, see what was read and the grade they gave."""

from marketplace.web.seller_door import blueprint

__all__ = ["blueprint"]
