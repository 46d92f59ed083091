"""The lines of the provider's balance are kept, so that its whole history need not be read every hour."""

from migrations.helpers import append_only, grant, require_event, run

revision = "0048"
down_revision = "0047"


def upgrade() -> None:
    """Add what was read, and from when on a comparison read: all of it so far."""
    run("""
        CREATE TABLE provider_line (
            line_id text CONSTRAINT pk_provider_line PRIMARY KEY,
            kind text NOT NULL,
            minor bigint NOT NULL,
            fee_minor bigint NOT NULL,
            currency char(3) NOT NULL,
            made_at timestamptz NOT NULL,
            source_id text,
            intent_id text)""")
    run("CREATE INDEX ix_provider_line_made_at ON provider_line (made_at)")
    append_only("provider_line")
    require_event("provider_line")
    grant("provider_line", worker="SELECT, INSERT")
    run("ALTER TABLE reconciliation ADD COLUMN read_from timestamptz")
