"""What the signer refuses halts the market: one row says why, and while it is there nothing can be changed."""

from migrations.helpers import grant, run

revision = "0041b"
down_revision = "0041"


def upgrade() -> None:
    """Create the table: at most one row, written by the signer alone."""
    run("""
        CREATE TABLE log_halt (
            single boolean CONSTRAINT pk_log_halt PRIMARY KEY DEFAULT true CONSTRAINT ck_log_halt_single CHECK (single),
            code text NOT NULL,
            words text NOT NULL,
            since timestamptz NOT NULL DEFAULT market_now())""")
    grant("log_halt", signer="SELECT, INSERT, DELETE")
