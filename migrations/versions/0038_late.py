"""No bid is late for two closes of an open lot: it is late for less time than a close moves by."""

from migrations.helpers import run

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    """Add the constraint."""
    run("ALTER TABLE lot ADD CONSTRAINT ck_lot_late CHECK (late_seconds <= extend_seconds)")
