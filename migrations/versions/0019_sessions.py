"""Call sessions that clear together, and standing instructions."""

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Nothing yet."""
