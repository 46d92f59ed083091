"""A purse carries so many bids and no more; and what a program did is found by the key it held."""

from migrations.helpers import run, wall_functions

revision = "0044"
down_revision = "0041b"

RESTING_MAX = 500


def upgrade() -> None:
    """Count an investor's resting bids when one more comes. Only his own are looked at, whatever rivals have bid.

    Bids that come at the same instant do not see each other: a few more may rest, never a flood of them.
    """
    run("CREATE INDEX ix_bid_resting ON bid (lot_id, investor_id) WHERE hold_id IS NULL")
    run(f"""
        CREATE OR REPLACE FUNCTION bid_rests_on_purse() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE gathering uuid;
        BEGIN
            SELECT purse.session_id INTO gathering FROM session_purse AS purse
                JOIN lot ON lot.session_id = purse.session_id
                WHERE lot.id = NEW.lot_id AND purse.investor_id = NEW.investor_id FOR KEY SHARE OF purse;
            IF NOT FOUND OR NEW.mandate_id IS NOT NULL THEN
                RAISE EXCEPTION 'a bid needs its hold'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'bid_rests_on_purse';
            END IF;
            IF {RESTING_MAX} <= (SELECT count(*) FROM bid WHERE hold_id IS NULL AND state = 'placed'
                    AND investor_id = NEW.investor_id
                    AND lot_id IN (SELECT id FROM lot WHERE session_id = gathering)) THEN
                RAISE EXCEPTION 'as many bids rest on the purse as it carries'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'bids_on_purse';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE INDEX ix_event_key ON event (on_behalf_of, at) WHERE on_behalf_of LIKE 'key %'")
    wall_functions()
