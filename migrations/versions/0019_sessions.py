"""Call sessions that clear together, and standing instructions whose bids come in at the close."""

from migrations.helpers import (
    append_only,
    grant,
    keep_columns,
    no_delete,
    require_event,
    run,
    state_machine,
    wall_functions,
)

revision = "0019"
down_revision = "0018"

MANDATE_STATES = "'active', 'paused', 'ended'"
MANDATE_MOVES = "('active','paused'), ('active','ended'), ('paused','active'), ('paused','ended')"


def upgrade() -> None:
    """Create the tables, let a mandate's bid in at the close and at no other time."""
    _mandate()
    _bids_of_mandates()
    _sessions()
    wall_functions()


def _mandate() -> None:
    run("""
        CREATE TABLE mandate (
            id uuid CONSTRAINT pk_mandate PRIMARY KEY,
            investor_id uuid NOT NULL CONSTRAINT fk_mandate_investor_id REFERENCES organisation (id),
            name text NOT NULL CONSTRAINT ck_mandate_name CHECK (length(name) BETWEEN 1 AND 80),
            currency char(3) NOT NULL,
            spread_bps integer NOT NULL CONSTRAINT ck_mandate_spread CHECK (spread_bps BETWEEN -5000 AND 5000),
            rate_bps_min integer NOT NULL CONSTRAINT ck_mandate_rate CHECK (rate_bps_min BETWEEN 0 AND 10000),
            grade_worst text NOT NULL,
            tenor_days_min integer NOT NULL CONSTRAINT ck_mandate_tenor_min CHECK (tenor_days_min >= 1),
            tenor_days_max integer NOT NULL,
            full_recourse_only boolean NOT NULL,
            loss_ppm_max integer CONSTRAINT ck_mandate_loss CHECK (loss_ppm_max BETWEEN 0 AND 1000000),
            lot_minor_max bigint NOT NULL CONSTRAINT ck_mandate_lot CHECK (lot_minor_max > 0),
            lot_share_bps_max integer NOT NULL
                CONSTRAINT ck_mandate_share CHECK (lot_share_bps_max BETWEEN 1 AND 10000),
            min_fill_minor bigint NOT NULL
                CONSTRAINT ck_mandate_min_fill CHECK (min_fill_minor BETWEEN 0 AND lot_minor_max),
            debtor_minor_max bigint CONSTRAINT ck_mandate_debtor CHECK (debtor_minor_max > 0),
            seller_minor_max bigint CONSTRAINT ck_mandate_seller CHECK (seller_minor_max > 0),
            outstanding_minor_max bigint CONSTRAINT ck_mandate_outstanding CHECK (outstanding_minor_max > 0),
            budget_minor bigint NOT NULL CONSTRAINT ck_mandate_budget CHECK (budget_minor > 0),
            budget_days integer NOT NULL CONSTRAINT ck_mandate_budget_days CHECK (budget_days BETWEEN 1 AND 366),
            created_by uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT market_now(),
            state text NOT NULL DEFAULT 'active',
            state_since timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT ck_mandate_tenor_max CHECK (tenor_days_max >= tenor_days_min),
            CONSTRAINT uq_mandate_id_investor_id UNIQUE (id, investor_id))""")
    state_machine("mandate", MANDATE_STATES, MANDATE_MOVES)
    keep_columns(
        "mandate", "id", "investor_id", "name", "currency", "spread_bps", "rate_bps_min", "grade_worst",
        "tenor_days_min", "tenor_days_max", "full_recourse_only", "loss_ppm_max", "lot_minor_max", "lot_share_bps_max",
        "min_fill_minor", "debtor_minor_max", "seller_minor_max", "outstanding_minor_max", "budget_minor",
        "budget_days", "created_by", "created_at",
    )  # fmt: skip
    no_delete("mandate")
    require_event("mandate")
    run("CREATE INDEX ix_mandate_investor_id ON mandate (investor_id)")
    run("CREATE INDEX ix_mandate_currency_active ON mandate (currency) WHERE state = 'active'")
    grant("mandate", web="SELECT, INSERT, UPDATE", worker="SELECT, UPDATE")
    run("""
        CREATE TABLE mandate_note (
            mandate_id uuid NOT NULL CONSTRAINT fk_mandate_note_mandate_id REFERENCES mandate (id),
            lot_id uuid NOT NULL CONSTRAINT fk_mandate_note_lot_id REFERENCES lot (id),
            bid_id uuid CONSTRAINT fk_mandate_note_bid_id REFERENCES bid (id),
            reasons jsonb NOT NULL,
            at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT pk_mandate_note PRIMARY KEY (mandate_id, lot_id),
            CONSTRAINT ck_mandate_note_reasons CHECK ((bid_id IS NULL) = (jsonb_array_length(reasons) > 0)))""")
    run("CREATE INDEX ix_mandate_note_mandate_id_at ON mandate_note (mandate_id, at)")
    append_only("mandate_note")
    require_event("mandate_note")
    grant("mandate_note", worker="SELECT, INSERT")


def _bids_of_mandates() -> None:
    """A mandate's bid comes in when its lot is due and not closed yet, and is its own investor's; others as ever."""
    run("""
        ALTER TABLE bid ADD COLUMN mandate_id uuid,
            ADD CONSTRAINT fk_bid_mandate_id_investor_id FOREIGN KEY (mandate_id, investor_id)
                REFERENCES mandate (id, investor_id),
            ADD CONSTRAINT uq_bid_lot_id_mandate_id UNIQUE (lot_id, mandate_id)""")
    run("CREATE INDEX ix_bid_mandate_id ON bid (mandate_id) WHERE mandate_id IS NOT NULL")
    run("""
        CREATE TRIGGER bid_keep_mandate BEFORE UPDATE ON bid
        FOR EACH ROW WHEN (NEW.mandate_id IS DISTINCT FROM OLD.mandate_id) EXECUTE FUNCTION refuse_change()""")
    run("""
        CREATE OR REPLACE FUNCTION bid_in_time() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE the lot%ROWTYPE; standing text;
        BEGIN
            SELECT * INTO the FROM lot WHERE id = NEW.lot_id FOR SHARE;
            IF the.state IS DISTINCT FROM 'open'
                    OR (market_now() >= the.closes_at) <> (TG_OP = 'INSERT' AND NEW.mandate_id IS NOT NULL) THEN
                RAISE EXCEPTION 'lot % takes no more bids', NEW.lot_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'bid_in_time';
            END IF;
            IF TG_OP = 'INSERT' AND (NEW.rate_bps > the.reserve_bps OR NEW.cash_minor < the.minimum_minor
                    OR NEW.cash_minor % the.lot_size_minor <> 0 OR NEW.group_id = ANY (the.related_groups)) THEN
                RAISE EXCEPTION 'the bid does not fit lot %', NEW.lot_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'bid_fits_lot';
            END IF;
            IF TG_OP = 'INSERT' AND NEW.mandate_id IS NOT NULL THEN
                SELECT state INTO standing FROM mandate WHERE id = NEW.mandate_id FOR SHARE;
                IF standing IS DISTINCT FROM 'active' THEN
                    RAISE EXCEPTION 'mandate % does not bid', NEW.mandate_id
                        USING ERRCODE = 'check_violation', CONSTRAINT = 'bid_mandate_active';
                END IF;
            END IF;
            RETURN NEW;
        END $$""")


def _sessions() -> None:
    """Lots of one session close at one instant; its caps are set in time, and its transcript is sealed at the close."""
    run("""
        CREATE TABLE call_session (
            id uuid CONSTRAINT pk_call_session PRIMARY KEY,
            currency char(3) NOT NULL,
            closes_at timestamptz NOT NULL,
            opened_at timestamptz NOT NULL DEFAULT market_now(),
            state text NOT NULL DEFAULT 'open',
            closed_at timestamptz,
            transcript bytea,
            sha256 char(64) CONSTRAINT ck_call_session_sha256 CHECK (sha256 = encode(sha256(transcript), 'hex')),
            path text,
            gap_ppm bigint CONSTRAINT ck_call_session_gap CHECK (gap_ppm >= 0),
            CONSTRAINT ck_call_session_closes CHECK (closes_at > opened_at),
            CONSTRAINT ck_call_session_closed CHECK ((state = 'closed') = (closed_at IS NOT NULL)
                AND (state = 'closed') = (sha256 IS NOT NULL) AND (sha256 IS NULL) = (transcript IS NULL)
                AND closed_at >= closes_at),
            CONSTRAINT uq_call_session_id_closes_at_currency UNIQUE (id, closes_at, currency))""")
    state_machine("call_session", "'open', 'closed'", "('open','closed')")
    keep_columns("call_session", "id", "currency", "closes_at", "opened_at")
    no_delete("call_session")
    require_event("call_session")
    run("CREATE UNIQUE INDEX uq_call_session_currency_open ON call_session (currency) WHERE state = 'open'")
    grant("call_session", web="SELECT, INSERT", worker="SELECT, INSERT, UPDATE")
    run("GRANT UPDATE (state) ON call_session TO duebill_web")  # to lock its row while a cap is set
    run("""
        ALTER TABLE lot ADD COLUMN session_id uuid,
            ADD CONSTRAINT fk_lot_session_id_closes_at_currency FOREIGN KEY (session_id, closes_at, currency)
                REFERENCES call_session (id, closes_at, currency)""")
    run("CREATE INDEX ix_lot_session_id ON lot (session_id) WHERE session_id IS NOT NULL")
    run("""
        CREATE TRIGGER lot_keep_session BEFORE UPDATE ON lot
        FOR EACH ROW WHEN (NEW.session_id IS DISTINCT FROM OLD.session_id) EXECUTE FUNCTION refuse_change()""")
    run("""
        CREATE TABLE session_cap (
            id uuid CONSTRAINT pk_session_cap PRIMARY KEY,
            session_id uuid NOT NULL CONSTRAINT fk_session_cap_session_id REFERENCES call_session (id),
            investor_id uuid NOT NULL CONSTRAINT fk_session_cap_investor_id REFERENCES organisation (id),
            debtor_id uuid CONSTRAINT fk_session_cap_debtor_id REFERENCES organisation (id),
            minor bigint NOT NULL CONSTRAINT ck_session_cap_minor CHECK (minor > 0),
            set_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT uq_session_cap_session_id_investor_id_debtor_id
                UNIQUE NULLS NOT DISTINCT (session_id, investor_id, debtor_id))""")
    require_event("session_cap")
    grant("session_cap", web="SELECT, INSERT, UPDATE, DELETE")
    run("""
        CREATE FUNCTION session_cap_in_time() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE the call_session%ROWTYPE;
        BEGIN
            SELECT * INTO the FROM call_session
            WHERE id = CASE TG_OP WHEN 'DELETE' THEN OLD.session_id ELSE NEW.session_id END FOR SHARE;
            IF the.state IS DISTINCT FROM 'open' OR market_now() >= the.closes_at THEN
                RAISE EXCEPTION 'session % takes no more caps', the.id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'session_cap_in_time';
            END IF;
            RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
        END $$""")
    run("""
        CREATE TRIGGER session_cap_in_time BEFORE INSERT OR UPDATE OR DELETE ON session_cap
        FOR EACH ROW EXECUTE FUNCTION session_cap_in_time()""")
