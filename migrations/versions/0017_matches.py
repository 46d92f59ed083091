"""Look-alikes: blocking keys, and the walls checked again at close and before money leaves."""

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Nothing yet."""
