"""Many bids end in one statement: that an event tells of it is judged once, and their rows are rewritten in place."""

from migrations.helpers import run, wall_functions

revision = "0034"
down_revision = "0029"


def upgrade() -> None:
    """Let a statement's end note that bids changed, and leave room for the one change that every bid knows."""
    run("DROP TRIGGER bid_event ON bid")
    run("CREATE CONSTRAINT TRIGGER bid_event AFTER INSERT ON bid DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION require_event()")  # fmt: skip
    run("CREATE TRIGGER bid_update_noted AFTER UPDATE ON bid REFERENCING NEW TABLE AS written "
        "FOR EACH STATEMENT EXECUTE FUNCTION note_change('bid_event')")  # fmt: skip
    run("ALTER TABLE bid SET (fillfactor = 55)")  # a bid ends once, and no index holds what changes then
    run("ALTER TABLE award ALTER COLUMN transcript SET STORAGE EXTERNAL")  # written once and hashed: as it is
    _fills()
    wall_functions()


def _fills() -> None:
    """A fill is its bid's, of the same lot, investor and hold, which a filled bid never changes: one look for all rows.

    Two foreign keys of each row, to what the bid has foreign keys to, said less and cost as much as the rest together.
    """
    run("ALTER TABLE fill DROP CONSTRAINT fk_fill_investor_id, DROP CONSTRAINT fk_fill_hold_id")
    run("""
        CREATE FUNCTION fill_is_its_bids() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM written JOIN bid ON bid.id = written.bid_id
                       WHERE (bid.lot_id, bid.investor_id, bid.hold_id)
                           <> (written.lot_id, written.investor_id, written.hold_id)) THEN
                RAISE EXCEPTION 'a fill is of its bid’s lot, investor and hold'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'fill_is_its_bids';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE TRIGGER fill_is_its_bids AFTER INSERT ON fill REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION fill_is_its_bids()""")
