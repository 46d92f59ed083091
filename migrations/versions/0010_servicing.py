"""The room servicing."""

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Filled by its room."""
