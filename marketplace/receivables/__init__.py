"""Listing an invoice: reading, judging, confirming it."""
