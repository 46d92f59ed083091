"""What is asked of bids goes by index, under one reading of the clock; a hold's account is looked for once a statement.

The look at new bids was planned when there were few holds, and from then on read all that there were.
"""

from migrations.helpers import run, wall_functions

revision = "0045"
down_revision = "0042"

BY_INDEX = "SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off"


def upgrade() -> None:
    """Ask of bids, and move balances, as before, but by index whatever number of rows was there at first."""
    _bids()
    _holds()
    wall_functions()


def _bids() -> None:
    """Lots are locked first, then the clock is read once, and what is asked is asked of the rows under their locks."""
    run(f"""
        CREATE OR REPLACE FUNCTION bids_in_order() RETURNS trigger LANGUAGE plpgsql {BY_INDEX} AS $$
        DECLARE fault record; instant timestamptz;
        BEGIN
            PERFORM FROM lot WHERE id IN (SELECT lot_id FROM written) ORDER BY id FOR SHARE;
            instant := market_now();
            SELECT looked.lot_id, looked.rule INTO fault FROM (
                SELECT written.lot_id, CASE
                    WHEN lot.state IS DISTINCT FROM 'open'
                        OR (instant >= lot.closes_at) <> (written.mandate_id IS NOT NULL) THEN 'bid_in_time'
                    WHEN written.rate_bps > lot.reserve_bps OR written.cash_minor < lot.minimum_minor
                        OR written.cash_minor % lot.lot_size_minor <> 0
                        OR written.group_id = ANY (lot.related_groups) THEN 'bid_fits_lot'
                    WHEN house.id IS NULL THEN 'fk_bid_investor_id'
                    WHEN written.group_id <> coalesce(house.group_id, house.id) THEN 'bid_of_group'
                    WHEN written.group_id IN (SELECT coalesce(owner.group_id, owner.id) FROM organisation AS owner
                        WHERE owner.id IN (lot.seller_id, lot.debtor_id)) THEN 'bid_fits_lot'
                    WHEN lot.bidding = 'open' AND written.mandate_id IS NULL
                        AND instant >= lot.closes_at - make_interval(secs => lot.improve_only_seconds)
                        AND NOT EXISTS (SELECT FROM bid AS earlier WHERE earlier.id = written.replaces_id
                            AND earlier.lot_id = written.lot_id AND earlier.investor_id = written.investor_id
                            AND earlier.rate_bps > written.rate_bps AND earlier.cash_minor <= written.cash_minor
                            AND earlier.min_fill_minor >= written.min_fill_minor) THEN 'bid_improves'
                    WHEN written.hold_id IS NOT NULL AND hold.id IS NULL THEN 'fk_bid_hold_id' END AS rule
                FROM written LEFT JOIN lot ON lot.id = written.lot_id
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


def _holds() -> None:
    """Accounts are neither deleted nor renamed, by the owner either: that they are there when a hold is written is all."""
    run("ALTER TABLE hold DROP CONSTRAINT fk_hold_account_id")
    run(f"""
        CREATE OR REPLACE FUNCTION hold_moves() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER {BY_INDEX} AS $$
        BEGIN
            PERFORM FROM balance WHERE account_id IN (SELECT account_id FROM written) ORDER BY account_id FOR UPDATE;
            UPDATE balance SET held_minor = held_minor + sums.held
            FROM (SELECT account_id, sum(minor)::bigint AS held FROM written GROUP BY account_id) AS sums
            WHERE balance.account_id = sums.account_id;
            IF EXISTS (SELECT FROM written WHERE NOT EXISTS (SELECT FROM account WHERE id = written.account_id)) THEN
                RAISE EXCEPTION 'a hold names an account that is not there'
                    USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'fk_hold_account_id', TABLE = 'hold';
            END IF;
            RETURN NULL;
        END $$""")
