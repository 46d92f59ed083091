"""Bank files out and in, and the second rail they make."""

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Nothing yet."""
