"""The room receivables."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Filled by its room."""
