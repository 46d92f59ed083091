"""A budget that is held once for all bids of an investor in a session, which then need no cash each."""

from migrations.helpers import grant, require_event, run, wall_functions

revision = "0037"
down_revision = "0030"

KEPT = ("id", "lot_id", "seq", "investor_id", "group_id", "cash_minor", "min_fill_minor", "rate_bps", "replaces_id",
        "placed_by", "placed_at")  # fmt: skip


def upgrade() -> None:
    """Create purses; let a bid rest on one until it is filled, and hold each purse to its budget."""
    _purse()
    _resting_bids()
    wall_functions()


def _purse() -> None:
    run("""
        CREATE TABLE session_purse (
            session_id uuid NOT NULL CONSTRAINT fk_session_purse_session_id REFERENCES call_session (id),
            investor_id uuid NOT NULL CONSTRAINT fk_session_purse_investor_id REFERENCES organisation (id),
            hold_id uuid NOT NULL CONSTRAINT uq_session_purse_hold_id UNIQUE
                CONSTRAINT fk_session_purse_hold_id REFERENCES hold (id),
            set_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT pk_session_purse PRIMARY KEY (session_id, investor_id))""")
    require_event("session_purse")
    grant("session_purse", web="SELECT, INSERT, UPDATE, DELETE", worker="SELECT, UPDATE")
    run("""
        CREATE TRIGGER session_purse_in_time BEFORE INSERT OR UPDATE OR DELETE ON session_purse
        FOR EACH ROW EXECUTE FUNCTION session_cap_in_time()""")
    run("""
        CREATE FUNCTION purse_has_bids() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM bid JOIN lot ON lot.id = bid.lot_id WHERE lot.session_id = OLD.session_id
                       AND bid.investor_id = OLD.investor_id AND bid.hold_id IS NULL AND bid.state = 'placed') THEN
                RAISE EXCEPTION 'bids rest on the purse'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'purse_has_bids';
            END IF;
            RETURN OLD;
        END $$""")
    run("CREATE TRIGGER session_purse_unused BEFORE DELETE ON session_purse FOR EACH ROW "
        "EXECUTE FUNCTION purse_has_bids()")  # fmt: skip
    run("""
        CREATE FUNCTION purse_is_budget() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE whose record;
        BEGIN
            whose := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
            IF EXISTS (
                SELECT FROM session_purse AS purse JOIN hold ON hold.id = purse.hold_id
                LEFT JOIN session_cap AS cap ON cap.session_id = purse.session_id
                    AND cap.investor_id = purse.investor_id AND cap.debtor_id IS NULL
                WHERE purse.session_id = whose.session_id AND purse.investor_id = whose.investor_id
                AND (cap.minor IS DISTINCT FROM hold.minor
                     OR EXISTS (SELECT FROM hold_resolution WHERE hold_resolution.hold_id = hold.id))) THEN
                RAISE EXCEPTION 'a purse holds its budget'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'purse_is_budget';
            END IF;
            RETURN NULL;
        END $$""")
    for table in ("session_purse", "session_cap"):
        run(f"""
            CREATE CONSTRAINT TRIGGER {table}_is_budget AFTER INSERT OR UPDATE OR DELETE ON {table}
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION purse_is_budget()""")


def _resting_bids() -> None:
    """A bid without a hold is somebody's own in a session where he has a purse, and gets its hold when it is filled."""
    run("ALTER TABLE bid ALTER COLUMN hold_id DROP NOT NULL")
    run("ALTER TABLE bid ADD CONSTRAINT ck_bid_hold CHECK (hold_id IS NOT NULL OR state <> 'filled')")
    run("DROP TRIGGER bid_keep_columns ON bid")
    kept = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in KEPT)
    other = "NEW.hold_id IS DISTINCT FROM OLD.hold_id AND (OLD.hold_id IS NOT NULL OR NEW.state <> 'filled')"
    run(f"CREATE TRIGGER bid_keep_columns BEFORE UPDATE ON bid FOR EACH ROW WHEN ({kept} OR ({other})) "
        f"EXECUTE FUNCTION refuse_change()")  # fmt: skip
    run("""
        CREATE FUNCTION bid_rests_on_purse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM FROM session_purse AS purse JOIN lot ON lot.session_id = purse.session_id
                WHERE lot.id = NEW.lot_id AND purse.investor_id = NEW.investor_id FOR KEY SHARE OF purse;
            IF NOT FOUND OR NEW.mandate_id IS NOT NULL THEN
                RAISE EXCEPTION 'a bid needs its hold'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'bid_rests_on_purse';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER bid_rests_on_purse BEFORE INSERT ON bid FOR EACH ROW WHEN (NEW.hold_id IS NULL) "
        "EXECUTE FUNCTION bid_rests_on_purse()")  # fmt: skip
