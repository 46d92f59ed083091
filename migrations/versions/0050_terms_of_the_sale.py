"""What a deal costs is settled when its lot opens: the platform's fee, and what the late charge adds to the award."""

import os

from config.settings import policy_in_force
from migrations.helpers import run

revision = "0050"
down_revision = "0049"


def upgrade() -> None:
    """Keep both with every lot, and the late rate with every collection. Of before: the policy that has counted."""
    fees = policy_in_force(os.environ)["fees"]
    fee, late = int(fees["platform_bps"]), int(fees["late_bps_over_award"])
    run(f"ALTER TABLE lot ADD COLUMN fee_bps integer NOT NULL DEFAULT {fee}, "
        f"ADD COLUMN late_bps integer NOT NULL DEFAULT {late}, "
        "ADD CONSTRAINT ck_lot_costs CHECK (fee_bps BETWEEN 0 AND 10000 AND late_bps >= 0)")  # fmt: skip
    run("ALTER TABLE lot ALTER COLUMN fee_bps DROP DEFAULT, ALTER COLUMN late_bps DROP DEFAULT")
    run("ALTER TABLE collection DISABLE TRIGGER USER")
    run("ALTER TABLE collection ADD COLUMN late_rate_bps integer")
    run(f"UPDATE collection SET late_rate_bps = rate_bps + {late}")
    run("ALTER TABLE collection ALTER COLUMN late_rate_bps SET NOT NULL, "
        "ADD CONSTRAINT ck_collection_late_rate CHECK (late_rate_bps >= rate_bps)")  # fmt: skip
    run("ALTER TABLE collection ENABLE TRIGGER USER")
    _never_change("lot", "fee_bps", "late_bps")
    _never_change("collection", "late_rate_bps")


def _never_change(table: str, *columns: str) -> None:
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in columns)
    run(f"CREATE TRIGGER {table}_keep_costs BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({changed}) "
        "EXECUTE FUNCTION refuse_change()")  # fmt: skip
