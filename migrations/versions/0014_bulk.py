"""Bulk uploads: many invoices at once, row by row, to be left and returned to."""

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Nothing yet."""
