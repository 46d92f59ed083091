"""Lots, bids and awards."""
