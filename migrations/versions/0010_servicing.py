"""Collection: dues that cannot be overpaid, receipts shared out once, steps taken once."""

from migrations.helpers import append_only, grant, keep_columns, no_delete, require_event, run, state_machine

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Create collections with their dues, distributions and steps."""
    _collection()
    _dues()
    _distributions()
    for table in ("distribution", "share", "ageing_step"):
        append_only(table)
        grant(table, web="SELECT", worker="SELECT, INSERT")
    for table in ("collection", "due"):
        no_delete(table)
        grant(table, web="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")
    require_event("collection")
    require_event("distribution")


def _collection() -> None:
    run("""
        CREATE TABLE collection (
            receivable_id uuid CONSTRAINT pk_collection PRIMARY KEY
                CONSTRAINT fk_collection_receivable_id REFERENCES title (receivable_id),
            lot_id uuid NOT NULL CONSTRAINT uq_collection_lot_id UNIQUE,
            seller_id uuid NOT NULL, debtor_id uuid NOT NULL, currency char(3) NOT NULL,
            face_minor bigint NOT NULL CHECK (face_minor > 0),
            rate_bps integer NOT NULL CHECK (rate_bps >= 0),
            due_on date NOT NULL, expected_on date NOT NULL, late_charged_to date NOT NULL,
            state text NOT NULL DEFAULT 'due', policy_version text NOT NULL,
            opened_at timestamptz NOT NULL DEFAULT market_now(), defaulted_at timestamptz, closed_at timestamptz,
            CHECK ((closed_at IS NOT NULL) = (state IN ('settled', 'written_off'))))""")
    run("CREATE INDEX ix_collection_seller_id ON collection (seller_id)")
    run("CREATE INDEX ix_collection_debtor_id ON collection (debtor_id)")
    run("CREATE INDEX ix_collection_open ON collection (due_on) WHERE closed_at IS NULL")
    state_machine(
        "collection",
        "'due', 'paid_in_part', 'overdue', 'defaulted', 'recovered', 'settled', 'written_off'",
        "('due','paid_in_part'), ('due','overdue'), ('due','settled'), ('due','defaulted'), "
        "('paid_in_part','overdue'), ('paid_in_part','settled'), ('paid_in_part','defaulted'), "
        "('overdue','settled'), ('overdue','defaulted'), ('defaulted','recovered'), ('defaulted','settled'), "
        "('defaulted','written_off'), ('recovered','settled'), ('recovered','written_off')",
    )
    keep_columns("collection", "receivable_id", "lot_id", "seller_id", "debtor_id", "currency", "face_minor",
                 "rate_bps", "due_on", "opened_at")  # fmt: skip


def _dues() -> None:
    run("""
        CREATE TABLE due (
            id uuid CONSTRAINT pk_due PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_due_receivable_id REFERENCES collection (receivable_id),
            step text NOT NULL CHECK (step IN
                ('costs', 'principal', 'discount', 'late_charge', 'platform_fee', 'residual')),
            party_id uuid, position integer NOT NULL,
            due_minor bigint NOT NULL, paid_minor bigint NOT NULL DEFAULT 0,
            CONSTRAINT ck_due_paid CHECK (paid_minor >= 0 AND paid_minor <= due_minor),
            CONSTRAINT ck_due_party CHECK ((party_id IS NULL) = (step IN ('costs', 'platform_fee'))),
            CONSTRAINT uq_due_receivable_id_step_party_id UNIQUE NULLS NOT DISTINCT (receivable_id, step, party_id))""")
    run("CREATE INDEX ix_due_party_id ON due (party_id)")
    keep_columns("due", "id", "receivable_id", "step", "party_id", "position")
    run("""
        CREATE FUNCTION dues_sum_to_face() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE total numeric; face bigint;
        BEGIN
            SELECT face_minor INTO face FROM collection WHERE receivable_id = NEW.receivable_id FOR UPDATE;
            SELECT sum(due_minor) INTO total FROM due WHERE receivable_id = NEW.receivable_id;
            IF total <> face THEN
                RAISE EXCEPTION 'the dues of % sum to %, not to its face %', NEW.receivable_id, total, face
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'dues_sum_to_face';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE CONSTRAINT TRIGGER dues_sum_to_face AFTER INSERT OR UPDATE OF due_minor ON due
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dues_sum_to_face()""")


def _distributions() -> None:
    run("""
        CREATE TABLE distribution (
            id uuid CONSTRAINT pk_distribution PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_distribution_receivable_id REFERENCES collection (receivable_id),
            payment_id uuid NOT NULL CONSTRAINT uq_distribution_payment_id UNIQUE,
            entry_id uuid NOT NULL CONSTRAINT fk_distribution_entry_id REFERENCES entry (id),
            received_minor bigint NOT NULL CHECK (received_minor > 0),
            excess_minor bigint NOT NULL CHECK (excess_minor BETWEEN 0 AND received_minor),
            recovery boolean NOT NULL, distributed_at timestamptz NOT NULL DEFAULT market_now())""")
    run("CREATE INDEX ix_distribution_receivable_id ON distribution (receivable_id)")
    run("""
        CREATE TABLE share (
            due_id uuid NOT NULL CONSTRAINT fk_share_due_id REFERENCES due (id),
            distribution_id uuid NOT NULL CONSTRAINT fk_share_distribution_id REFERENCES distribution (id),
            minor bigint NOT NULL CHECK (minor > 0),
            CONSTRAINT pk_share PRIMARY KEY (due_id, distribution_id))""")
    run("""
        CREATE FUNCTION shares_sum_to_receipt() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE total numeric;
        BEGIN
            SELECT coalesce(sum(minor), 0) INTO total FROM share WHERE distribution_id = NEW.id;
            IF total + NEW.excess_minor <> NEW.received_minor THEN
                RAISE EXCEPTION 'the shares of % do not sum to what was received', NEW.id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'shares_sum_to_receipt';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE CONSTRAINT TRIGGER shares_sum_to_receipt AFTER INSERT ON distribution
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION shares_sum_to_receipt()""")
    run("""
        CREATE FUNCTION share_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM written JOIN distribution ON distribution.id = written.distribution_id
                       JOIN entry ON entry.id = distribution.entry_id
                       WHERE entry.xact <> pg_current_xact_id()::text) THEN
                RAISE EXCEPTION 'the receipt is sealed'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'share_sealed';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE TRIGGER share_sealed AFTER INSERT ON share REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION share_sealed()""")
    run("""
        CREATE TABLE ageing_step (
            receivable_id uuid NOT NULL CONSTRAINT fk_ageing_step_receivable_id REFERENCES collection (receivable_id),
            step text NOT NULL CHECK (step IN ('reminder', 'overdue', 'second_notice', 'recourse_demand', 'par30',
                'delinquent', 'recovery', 'default', 'write_off_review')),
            taken_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT pk_ageing_step PRIMARY KEY (receivable_id, step))""")
