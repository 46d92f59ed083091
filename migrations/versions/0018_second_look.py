"""A second pair of eyes for what a seller alone may not do, and what reading the code again found missing."""

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Nothing yet."""
