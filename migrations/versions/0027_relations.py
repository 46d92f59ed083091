"""Relations between organisations: shared officers and owners make one group, and a bid counts for the group of now."""

from migrations.helpers import grant, keep_columns, no_delete, require_event, run, wall_functions

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Create relations; keep those related in one group; judge a bid by the groups as they are when it comes in."""
    _relation()
    _one_group()
    _bids_by_groups_of_now()
    wall_functions()


def _relation() -> None:
    run("ALTER TABLE organisation ADD COLUMN declared_group_id uuid")
    run("UPDATE organisation SET declared_group_id = group_id WHERE group_id IS NOT NULL")
    run("""
        CREATE TABLE relation (
            id uuid CONSTRAINT pk_relation PRIMARY KEY,
            one_id uuid NOT NULL CONSTRAINT fk_relation_one_id REFERENCES organisation (id),
            other_id uuid NOT NULL CONSTRAINT fk_relation_other_id REFERENCES organisation (id),
            kind text NOT NULL CONSTRAINT ck_relation_kind
                CHECK (kind IN ('shared_officer', 'shared_owner', 'ownership')),
            reference text NOT NULL CONSTRAINT ck_relation_reference CHECK (length(reference) BETWEEN 3 AND 300),
            recorded_by uuid,
            recorded_at timestamptz NOT NULL DEFAULT market_now(),
            ended_at timestamptz,
            CONSTRAINT ck_relation_two CHECK (one_id < other_id))""")
    run("CREATE UNIQUE INDEX uq_relation_live ON relation (one_id, other_id, kind) WHERE ended_at IS NULL")
    run("CREATE INDEX ix_relation_other_id ON relation (other_id)")
    keep_columns("relation", "id", "one_id", "other_id", "kind", "reference", "recorded_by", "recorded_at")
    run("""
        CREATE TRIGGER relation_ends_once BEFORE UPDATE ON relation FOR EACH ROW
        WHEN (OLD.ended_at IS NOT NULL) EXECUTE FUNCTION refuse_change()""")
    no_delete("relation")
    require_event("relation")
    grant("relation", web="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")


def _one_group() -> None:
    """Whatever is written, two that are related are in one group at commit."""
    run("""
        CREATE FUNCTION related_are_one_group() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (
                SELECT FROM relation JOIN organisation AS one ON one.id = one_id
                JOIN organisation AS other ON other.id = other_id
                WHERE relation.ended_at IS NULL AND NEW.id IN (relation.id, one_id, other_id)
                AND coalesce(one.group_id, one.id) <> coalesce(other.group_id, other.id)) THEN
                RAISE EXCEPTION 'related organisations are one group'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'related_are_one_group';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE CONSTRAINT TRIGGER related_are_one_group AFTER INSERT ON relation DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION related_are_one_group()""")
    run("""
        CREATE CONSTRAINT TRIGGER related_stay_one_group AFTER UPDATE OF group_id ON organisation
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION related_are_one_group()""")


def _bids_by_groups_of_now() -> None:
    """A bid carries its investor's group of now, which is neither the seller's nor the debtor's of now."""
    run("""
        CREATE FUNCTION bid_of_group() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE now_group uuid; owners uuid[];
        BEGIN
            SELECT coalesce(house.group_id, house.id),
                (SELECT array_agg(coalesce(owner.group_id, owner.id)) FROM lot JOIN organisation AS owner
                 ON owner.id IN (lot.seller_id, lot.debtor_id) WHERE lot.id = NEW.lot_id)
            INTO now_group, owners FROM organisation AS house WHERE house.id = NEW.investor_id;
            IF NEW.group_id IS DISTINCT FROM now_group THEN
                RAISE EXCEPTION 'the investor of the bid is of another group'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'bid_of_group';
            END IF;
            IF now_group = ANY (owners) THEN
                RAISE EXCEPTION 'the bid does not fit lot %', NEW.lot_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'bid_fits_lot';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER bid_of_group BEFORE INSERT ON bid FOR EACH ROW EXECUTE FUNCTION bid_of_group()")
