"""Money counts from the day it arrived, by whichever rail; what the provider tells of that day is kept."""

import os

from config.settings import policy_in_force
from migrations.helpers import run

revision = "0049"
down_revision = "0048"
ARRIVED = "state NOT IN ('succeeded', 'parked') OR received_on IS NOT NULL"


def upgrade() -> None:
    """Give every arrived payment its day, once. Of before: the day it was booked here, which is what counted."""
    zone = policy_in_force(os.environ)["zone"]
    run("ALTER TABLE debtor_payment DISABLE TRIGGER USER")
    run(f"UPDATE debtor_payment SET received_on = (state_since AT TIME ZONE '{zone}')::date "
        "WHERE state IN ('succeeded', 'parked') AND received_on IS NULL")  # fmt: skip
    run("ALTER TABLE debtor_payment ENABLE TRIGGER USER")
    run(f"ALTER TABLE debtor_payment ADD CONSTRAINT ck_debtor_payment_arrived CHECK ({ARRIVED})")
    run("DROP TRIGGER debtor_payment_keep_received_on ON debtor_payment")
    run("""
        CREATE TRIGGER debtor_payment_keep_received_on BEFORE UPDATE ON debtor_payment FOR EACH ROW
        WHEN (OLD.received_on IS NOT NULL AND NEW.received_on IS DISTINCT FROM OLD.received_on)
        EXECUTE FUNCTION refuse_change()""")
    run("ALTER TABLE incoming_event ADD COLUMN happened_at timestamptz")
    run("CREATE INDEX ix_incoming_event_arrived ON incoming_event (object_id) "
        "WHERE kind = 'checkout.session.async_payment_succeeded'")  # fmt: skip
