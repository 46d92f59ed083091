"""Payouts by when they were paid: a bank may send them back for some days, and they are asked after until then."""

from migrations.helpers import run

revision = "0041"
down_revision = "0039"


def upgrade() -> None:
    """Add the index."""
    run("CREATE INDEX ix_payout_paid_at ON payout (paid_at)")
