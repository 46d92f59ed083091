"""What watches the rating model: overrides, drift, backtests, outcomes."""

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Nothing yet."""
