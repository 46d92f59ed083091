"""The room jobs."""

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Filled by its room."""
