"""Bids are looked at once a statement: in time, within the lot's terms, of the group of now, improving, on their hold.

What five triggers and three foreign keys asked of each row, each with a statement of its own, is one question about all
rows that a statement writes, under the same names. The keys pointed at rows that nobody can delete or rename, the
owner included: that they exist when a bid is written is all that the keys kept true.
"""

from migrations.helpers import run, wall_functions

revision = "0040"
down_revision = "0044"


def upgrade() -> None:
    """Ask once a statement; keep one index on an event's transaction, and one on the mandate's few bids."""
    _asked_once()
    _mandates()
    _events()
    wall_functions()


def _asked_once() -> None:
    """The clock is read outside the part that locks the lots, and so under their locks."""
    run("DROP TRIGGER bid_in_time ON bid")
    run("DROP TRIGGER bid_of_group ON bid")
    run("DROP TRIGGER bid_improves ON bid")
    run("DROP FUNCTION bid_of_group()")
    run("DROP FUNCTION bid_improves()")
    for column in ("lot_id", "investor_id", "hold_id"):
        run(f"ALTER TABLE bid DROP CONSTRAINT fk_bid_{column}")
    run("""
        CREATE FUNCTION bids_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE fault record;
        BEGIN
            SELECT looked.lot_id, looked.rule INTO fault FROM (
                SELECT written.lot_id, CASE
                    WHEN lot.state IS DISTINCT FROM 'open'
                        OR (market_now() >= lot.closes_at) <> (written.mandate_id IS NOT NULL) THEN 'bid_in_time'
                    WHEN written.rate_bps > lot.reserve_bps OR written.cash_minor < lot.minimum_minor
                        OR written.cash_minor % lot.lot_size_minor <> 0
                        OR written.group_id = ANY (lot.related_groups) THEN 'bid_fits_lot'
                    WHEN house.id IS NULL THEN 'fk_bid_investor_id'
                    WHEN written.group_id <> coalesce(house.group_id, house.id) THEN 'bid_of_group'
                    WHEN written.group_id IN (SELECT coalesce(owner.group_id, owner.id) FROM organisation AS owner
                        WHERE owner.id IN (lot.seller_id, lot.debtor_id)) THEN 'bid_fits_lot'
                    WHEN lot.bidding = 'open' AND written.mandate_id IS NULL
                        AND market_now() >= lot.closes_at - make_interval(secs => lot.improve_only_seconds)
                        AND NOT EXISTS (SELECT FROM bid AS earlier WHERE earlier.id = written.replaces_id
                            AND earlier.lot_id = written.lot_id AND earlier.investor_id = written.investor_id
                            AND earlier.rate_bps > written.rate_bps AND earlier.cash_minor <= written.cash_minor
                            AND earlier.min_fill_minor >= written.min_fill_minor) THEN 'bid_improves'
                    WHEN written.hold_id IS NOT NULL AND hold.id IS NULL THEN 'fk_bid_hold_id' END AS rule
                FROM written
                LEFT JOIN (
                    SELECT id, state, closes_at, reserve_bps, minimum_minor, lot_size_minor, related_groups, seller_id,
                        debtor_id, bidding, improve_only_seconds
                    FROM lot WHERE id IN (SELECT lot_id FROM written) ORDER BY id FOR SHARE) AS lot
                    ON lot.id = written.lot_id
                LEFT JOIN organisation AS house ON house.id = written.investor_id
                LEFT JOIN hold ON hold.id = written.hold_id) AS looked
            WHERE looked.rule IS NOT NULL LIMIT 1;
            IF FOUND THEN
                RAISE EXCEPTION 'lot % does not take the bid: %', fault.lot_id, fault.rule
                    USING ERRCODE = CASE WHEN fault.rule LIKE 'fk%' THEN 'foreign_key_violation'
                        ELSE 'check_violation' END, CONSTRAINT = fault.rule;
            END IF;
            RETURN NULL;
        END $$""")
    run("CREATE TRIGGER bids_in_order AFTER INSERT ON bid REFERENCING NEW TABLE AS written "
        "FOR EACH STATEMENT EXECUTE FUNCTION bids_in_order()")  # fmt: skip
    run("""
        CREATE OR REPLACE FUNCTION bid_in_time() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE the lot%ROWTYPE;
        BEGIN
            SELECT * INTO the FROM lot WHERE id = NEW.lot_id FOR SHARE;
            IF the.state IS DISTINCT FROM 'open' OR market_now() >= the.closes_at THEN
                RAISE EXCEPTION 'bids of lot % stay as they are', NEW.lot_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'bid_in_time';
            END IF;
            RETURN NEW;
        END $$""")


def _mandates() -> None:
    """A mandate bids while it is active, once a lot: rows of no mandate need neither the question nor the index."""
    run("""
        CREATE FUNCTION bid_mandate_active() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM FROM mandate WHERE id = NEW.mandate_id AND state = 'active' FOR SHARE;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'mandate % does not bid', NEW.mandate_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'bid_mandate_active';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER bid_mandate_active BEFORE INSERT ON bid FOR EACH ROW WHEN (NEW.mandate_id IS NOT NULL) "
        "EXECUTE FUNCTION bid_mandate_active()")  # fmt: skip
    run("ALTER TABLE bid DROP CONSTRAINT uq_bid_lot_id_mandate_id")
    run("DROP INDEX ix_bid_mandate_id")
    run("CREATE UNIQUE INDEX uq_bid_mandate_id_lot_id ON bid (mandate_id, lot_id) WHERE mandate_id IS NOT NULL")


def _events() -> None:
    """What looks for an event of its own transaction uses the index that the sequencer reads by."""
    run("""
        DO $$ DECLARE asks record;
        BEGIN
            FOR asks IN SELECT pg_get_functiondef(oid) AS body FROM pg_proc
                WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'
                    AND prosrc LIKE '%FROM event WHERE xact = pg_current_xact_id()::text%'
            LOOP
                EXECUTE replace(asks.body, 'WHERE xact = pg_current_xact_id()::text',
                    'WHERE xact::xid8 = pg_current_xact_id()');
            END LOOP;
        END $$""")
    run("DROP INDEX ix_event_xact")
