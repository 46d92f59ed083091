"""What the companies register says, kept with the day it was asked."""

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Nothing yet."""
