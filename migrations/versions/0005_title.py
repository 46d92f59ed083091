"""The title register: units that cannot have two owners, keys that cannot be registered twice."""

from migrations.helpers import append_only, grant, keep_columns, no_delete, require_event, run

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create titles, holdings with the exclusion constraint, tombstones."""
    _tables()
    _whole_at_commit()
    _holdings_only_end()
    keep_columns("title", "receivable_id", "key", "face_minor", "currency", "registered_at")
    no_delete("title")
    no_delete("holding")
    append_only("tombstone")
    grant("title", web="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")
    grant("holding", web="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")
    grant("tombstone", web="SELECT, INSERT", worker="SELECT, INSERT")
    require_event("title")
    require_event("holding")


def _tables() -> None:
    run("""
        CREATE TABLE title (
            receivable_id uuid CONSTRAINT pk_title PRIMARY KEY,
            key bytea NOT NULL CONSTRAINT uq_title_key UNIQUE CHECK (length(key) = 32),
            face_minor bigint NOT NULL CHECK (face_minor > 0), currency char(3) NOT NULL,
            registered_at timestamptz NOT NULL DEFAULT market_now(),
            ended_at timestamptz,
            end_cause text CHECK (end_cause IN ('discharge', 'write_off')),
            CHECK ((ended_at IS NULL) = (end_cause IS NULL)))""")
    run("""
        CREATE TABLE holding (
            id uuid CONSTRAINT pk_holding PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_holding_receivable_id REFERENCES title (receivable_id),
            owner_id uuid NOT NULL, units int8range NOT NULL, held_during tstzrange NOT NULL,
            cause text NOT NULL CHECK (cause IN ('register', 'award', 'buy_back', 'transfer')),
            CONSTRAINT ck_holding_units CHECK (NOT isempty(units) AND lower(units) >= 0
                AND lower_inc(units) AND NOT upper_inc(units)),
            CONSTRAINT ck_holding_held CHECK (NOT isempty(held_during) AND lower(held_during) IS NOT NULL),
            CONSTRAINT ex_holding_one_owner
                EXCLUDE USING gist (receivable_id WITH =, units WITH &&, held_during WITH &&))""")
    run("CREATE INDEX ix_holding_receivable_id ON holding (receivable_id)")
    run("CREATE INDEX ix_holding_owner_id ON holding (owner_id)")
    run("""
        CREATE TABLE tombstone (
            receivable_id uuid NOT NULL CONSTRAINT fk_tombstone_receivable_id REFERENCES title (receivable_id),
            at timestamptz NOT NULL DEFAULT market_now(), reason_code text NOT NULL,
            CONSTRAINT pk_tombstone PRIMARY KEY (receivable_id, at))""")


def _whole_at_commit() -> None:
    """At every commit the units of a live title sum to its face, those of an ended one to nothing.

    The exclusion constraint keeps owners apart under concurrency; this sum then only has to see its own
    transaction's end, and takes the title's row lock so that two of them never judge at once.
    """
    run("""
        CREATE FUNCTION title_is_whole() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE claim title%ROWTYPE; held numeric; due numeric; beyond integer;
        BEGIN
            SELECT * INTO claim FROM title WHERE receivable_id = NEW.receivable_id FOR UPDATE;
            SELECT coalesce(sum(upper(units) - lower(units)), 0), count(*) FILTER (WHERE upper(units) > claim.face_minor)
                INTO held, beyond FROM holding
                WHERE receivable_id = NEW.receivable_id AND upper_inf(held_during);
            due := CASE WHEN claim.ended_at IS NULL THEN claim.face_minor ELSE 0 END;
            IF beyond > 0 OR held <> due THEN
                RAISE EXCEPTION 'the units of % sum to % of %', NEW.receivable_id, held, due
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'title_is_whole';
            END IF;
            RETURN NULL;
        END $$""")
    for table in ("title", "holding"):
        run(f"CREATE CONSTRAINT TRIGGER {table}_is_whole AFTER INSERT OR UPDATE ON {table} "
            f"DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION title_is_whole()")  # fmt: skip


def _holdings_only_end() -> None:
    """The one change a holding knows is that it ends; the one change a title knows is that it ends."""
    run("""
        CREATE FUNCTION holding_only_ends() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF (NEW.id, NEW.receivable_id, NEW.owner_id, NEW.units, NEW.cause, lower(NEW.held_during))
                IS DISTINCT FROM (OLD.id, OLD.receivable_id, OLD.owner_id, OLD.units, OLD.cause, lower(OLD.held_during))
                OR NOT upper_inf(OLD.held_during) OR upper_inf(NEW.held_during) THEN
                RAISE EXCEPTION 'a holding can only end, once'
                    USING ERRCODE = 'restrict_violation', CONSTRAINT = 'holding_only_ends';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER holding_only_ends BEFORE UPDATE ON holding FOR EACH ROW EXECUTE FUNCTION holding_only_ends()")
    run("""
        CREATE FUNCTION title_only_ends() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF OLD.ended_at IS NOT NULL THEN
                RAISE EXCEPTION 'an ended title stays ended'
                    USING ERRCODE = 'restrict_violation', CONSTRAINT = 'title_only_ends';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER title_only_ends BEFORE UPDATE ON title FOR EACH ROW EXECUTE FUNCTION title_only_ends()")
