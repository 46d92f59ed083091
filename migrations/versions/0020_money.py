"""Chargebacks, suspense worked off, manual entries: money that goes wrong and is put right."""

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Nothing yet."""
