"""Title that changes hands again: offers between investors, buy-backs, a withdrawn claim that comes back."""

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Nothing yet."""
