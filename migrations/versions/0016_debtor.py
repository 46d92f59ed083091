"""The debtor: one answer for many, what it owes in all, credit notes as dilution."""

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Nothing yet."""
