"""Chargebacks, suspense worked off, manual entries: money that goes wrong and is put right."""

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

revision = "0020"
down_revision = "0019"

COLLECTION_STATES = (
    "'due', 'paid_in_part', 'overdue', 'defaulted', 'recovered', 'settled', 'written_off', 'bought_back', "
    "'charged_back'"
)
COLLECTION_MOVES = (
    "('due','paid_in_part'), ('due','overdue'), ('due','settled'), ('due','defaulted'), ('due','bought_back'), "
    "('paid_in_part','overdue'), ('paid_in_part','settled'), ('paid_in_part','defaulted'), "
    "('paid_in_part','bought_back'), ('overdue','settled'), ('overdue','defaulted'), ('overdue','bought_back'), "
    "('defaulted','recovered'), ('defaulted','settled'), ('defaulted','written_off'), ('defaulted','bought_back'), "
    "('recovered','settled'), ('recovered','written_off'), ('recovered','bought_back'), "
    "('settled','charged_back'), ('charged_back','settled')"
)
# code, pool, side, guarded, whether an organisation's own
PERIODS = int.from_bytes(b"PERIODS", "big")  # the advisory lock between entries and the close of a period
NEW_ACCOUNTS = "('platform_reserve', 'platform', -1, true, false), ('return_in_transit', 'borrower', -1, true, true)"


def upgrade() -> None:
    """Create chargebacks with what they took back, decisions of two people, and periods that are closed."""
    _accounts()
    _chargebacks()
    _reversals()
    _collections_are_charged_back()
    _decisions()
    _decided_by_two()
    _periods()
    wall_functions()


def _accounts() -> None:
    run(f"""
        DO $$ DECLARE known text;
        BEGIN
            SELECT pg_get_constraintdef(oid) INTO known FROM pg_constraint WHERE conname = 'ck_account_chart';
            known := substring(known FROM '^CHECK (.*)$');
            ALTER TABLE account DROP CONSTRAINT ck_account_chart;
            EXECUTE 'ALTER TABLE account ADD CONSTRAINT ck_account_chart CHECK ((' || known || ') OR '
                || '((code, pool, side, guarded, organisation_id IS NOT NULL) IN ({NEW_ACCOUNTS.replace("'", "''")})))';
        END $$""")
    run("ALTER TABLE payout DROP CONSTRAINT ck_payout_purpose")
    run("ALTER TABLE payout ADD CONSTRAINT ck_payout_purpose "
        "CHECK (purpose IN ('advance', 'residual', 'withdrawal', 'refund', 'return'))")  # fmt: skip


def _chargebacks() -> None:
    run("""
        CREATE TABLE chargeback (
            id uuid CONSTRAINT pk_chargeback PRIMARY KEY,
            dispute_id text NOT NULL CONSTRAINT uq_chargeback_dispute_id UNIQUE,
            payment_kind text NOT NULL CONSTRAINT ck_chargeback_payment_kind
                CHECK (payment_kind IN ('funding', 'debtor_payment')),
            payment_id uuid NOT NULL,
            currency char(3) NOT NULL,
            minor bigint NOT NULL CONSTRAINT ck_chargeback_minor CHECK (minor > 0),
            state text NOT NULL,
            seen_at timestamptz NOT NULL DEFAULT market_now(),
            entry_id uuid CONSTRAINT uq_chargeback_entry_id UNIQUE
                CONSTRAINT fk_chargeback_entry_id REFERENCES entry (id),
            booked_at timestamptz,
            reinstated_entry_id uuid CONSTRAINT uq_chargeback_reinstated_entry_id UNIQUE
                CONSTRAINT fk_chargeback_reinstated_entry_id REFERENCES entry (id),
            CONSTRAINT ck_chargeback_booked CHECK ((entry_id IS NULL) = (booked_at IS NULL)),
            CONSTRAINT ck_chargeback_reinstated
                CHECK (reinstated_entry_id IS NULL OR (state = 'won' AND entry_id IS NOT NULL)))""")
    run("CREATE INDEX ix_chargeback_payment_id ON chargeback (payment_id)")
    run("CREATE INDEX ix_chargeback_to_book ON chargeback (seen_at) "
        "WHERE entry_id IS NULL OR state = 'won' AND reinstated_entry_id IS NULL")  # fmt: skip
    state_machine("chargeback", "'open', 'won', 'lost'", "('open','won'), ('open','lost')")
    keep_columns("chargeback", "id", "dispute_id", "payment_kind", "payment_id", "currency", "minor", "seen_at")
    no_delete("chargeback")
    require_event("chargeback")
    grant("chargeback", worker="SELECT, INSERT, UPDATE")


def _reversals() -> None:
    """What a chargeback took from a receipt that had been shared out: never more than the receipt gave."""
    run("""
        CREATE TABLE receipt_reversal (
            id uuid CONSTRAINT pk_receipt_reversal PRIMARY KEY,
            chargeback_id uuid NOT NULL CONSTRAINT uq_receipt_reversal_chargeback_id UNIQUE
                CONSTRAINT fk_receipt_reversal_chargeback_id REFERENCES chargeback (id),
            distribution_id uuid NOT NULL
                CONSTRAINT fk_receipt_reversal_distribution_id REFERENCES distribution (id),
            entry_id uuid NOT NULL CONSTRAINT uq_receipt_reversal_entry_id UNIQUE
                CONSTRAINT fk_receipt_reversal_entry_id REFERENCES entry (id),
            taken_minor bigint NOT NULL CONSTRAINT ck_receipt_reversal_taken CHECK (taken_minor > 0),
            excess_minor bigint NOT NULL
                CONSTRAINT ck_receipt_reversal_excess CHECK (excess_minor BETWEEN 0 AND taken_minor),
            borne_minor bigint NOT NULL
                CONSTRAINT ck_receipt_reversal_borne CHECK (borne_minor BETWEEN 0 AND taken_minor),
            at timestamptz NOT NULL DEFAULT market_now())""")
    run("CREATE INDEX ix_receipt_reversal_distribution_id ON receipt_reversal (distribution_id)")
    run("""
        CREATE TABLE reversal_share (
            reversal_id uuid NOT NULL CONSTRAINT fk_reversal_share_reversal_id REFERENCES receipt_reversal (id),
            due_id uuid NOT NULL CONSTRAINT fk_reversal_share_due_id REFERENCES due (id),
            minor bigint NOT NULL CONSTRAINT ck_reversal_share_minor CHECK (minor > 0),
            borne_minor bigint NOT NULL
                CONSTRAINT ck_reversal_share_borne CHECK (borne_minor BETWEEN 0 AND minor),
            CONSTRAINT pk_reversal_share PRIMARY KEY (reversal_id, due_id))""")
    run("CREATE INDEX ix_reversal_share_due_id ON reversal_share (due_id)")
    run("""
        CREATE FUNCTION reversal_is_whole() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE total numeric;
        BEGIN
            SELECT coalesce(sum(minor), 0) INTO total FROM reversal_share WHERE reversal_id = NEW.id;
            IF total + NEW.excess_minor <> NEW.taken_minor OR EXISTS (
                SELECT FROM reversal_share r JOIN receipt_reversal v ON v.id = r.reversal_id
                WHERE v.distribution_id = NEW.distribution_id GROUP BY r.due_id
                HAVING sum(r.minor) > (SELECT coalesce(sum(minor), 0) FROM share
                                       WHERE share.due_id = r.due_id AND distribution_id = NEW.distribution_id))
            THEN
                RAISE EXCEPTION 'reversal % does not take back what was given', NEW.id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'reversal_is_whole';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE CONSTRAINT TRIGGER reversal_is_whole AFTER INSERT ON receipt_reversal
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION reversal_is_whole()""")
    require_event("receipt_reversal")
    for table in ("receipt_reversal", "reversal_share"):
        append_only(table)
        grant(table, worker="SELECT, INSERT")


def _collections_are_charged_back() -> None:
    run("ALTER TABLE collection DROP CONSTRAINT ck_collection_state")
    run(f"ALTER TABLE collection ADD CONSTRAINT ck_collection_state CHECK (state IN ({COLLECTION_STATES}))")
    run("ALTER TABLE collection DROP CONSTRAINT ck_collection_closed")
    run("ALTER TABLE collection ADD CONSTRAINT ck_collection_closed CHECK "
        "((closed_at IS NOT NULL) = (state IN ('settled', 'written_off', 'bought_back', 'charged_back')))")  # fmt: skip
    run(f"""
        CREATE OR REPLACE FUNCTION collection_state_moves() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF (OLD.state, NEW.state) NOT IN ({COLLECTION_MOVES}) THEN
                RAISE EXCEPTION 'collection cannot go from % to %', OLD.state, NEW.state
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'collection_state_moves';
            END IF;
            RETURN NEW;
        END $$""")


def _decisions() -> None:
    """What two people decide about money: one proposes, another does; both are people of the market's own."""
    run("""
        CREATE TABLE money_decision (
            id uuid CONSTRAINT pk_money_decision PRIMARY KEY,
            kind text NOT NULL CONSTRAINT ck_money_decision_kind CHECK (kind IN
                ('manual_entry', 'write_off', 'suspense_apply', 'suspense_return', 'close_period')),
            subject_id uuid NOT NULL,
            payload jsonb NOT NULL,
            payload_hash bytea NOT NULL CONSTRAINT ck_money_decision_payload_hash CHECK (length(payload_hash) = 32),
            reason text NOT NULL CONSTRAINT ck_money_decision_reason CHECK (length(reason) BETWEEN 10 AND 500),
            proposed_by uuid NOT NULL CONSTRAINT fk_money_decision_proposed_by REFERENCES user_account (id),
            proposed_at timestamptz NOT NULL DEFAULT market_now(),
            state text NOT NULL DEFAULT 'proposed',
            decided_by uuid CONSTRAINT fk_money_decision_decided_by REFERENCES user_account (id),
            decided_at timestamptz,
            entry_id uuid CONSTRAINT uq_money_decision_entry_id UNIQUE
                CONSTRAINT fk_money_decision_entry_id REFERENCES entry (id),
            CONSTRAINT ck_money_decision_two CHECK (state <> 'done' OR decided_by <> proposed_by),
            CONSTRAINT ck_money_decision_decided CHECK ((state = 'proposed') = (decided_by IS NULL)
                AND (decided_by IS NULL) = (decided_at IS NULL)),
            CONSTRAINT ck_money_decision_entry CHECK (entry_id IS NULL OR state = 'done'))""")
    run("CREATE UNIQUE INDEX uq_money_decision_one_open ON money_decision (kind, subject_id) WHERE state = 'proposed'")
    run("CREATE INDEX ix_money_decision_subject_id ON money_decision (subject_id)")
    state_machine("money_decision", "'proposed', 'done', 'withdrawn'",
                  "('proposed','done'), ('proposed','withdrawn')")  # fmt: skip
    keep_columns("money_decision", "id", "kind", "subject_id", "payload", "payload_hash", "reason", "proposed_by",
                 "proposed_at")  # fmt: skip
    run("""
        CREATE TRIGGER money_decision_is_proposed_first BEFORE INSERT ON money_decision
        FOR EACH ROW WHEN (NEW.state <> 'proposed') EXECUTE FUNCTION refuse_change()""")
    no_delete("money_decision")
    require_event("money_decision")
    grant("money_decision", web="SELECT, INSERT, UPDATE")


def _decided_by_two() -> None:
    """No entry by hand, nothing out of suspense and no write-off without a decision that two people took."""
    run("""
        CREATE FUNCTION decided_by_two() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_TABLE_NAME = 'collection' THEN
                IF EXISTS (SELECT FROM money_decision WHERE kind = 'write_off' AND state = 'done'
                           AND subject_id = NEW.receivable_id AND decided_by <> proposed_by) THEN
                    RETURN NULL;
                END IF;
            ELSIF EXISTS (SELECT FROM money_decision WHERE entry_id = NEW.id AND state = 'done'
                          AND decided_by <> proposed_by) THEN
                RETURN NULL;
            END IF;
            RAISE EXCEPTION 'two people decide this: % of %', TG_TABLE_NAME, NEW
                USING ERRCODE = 'check_violation', CONSTRAINT = 'decided_by_two';
        END $$""")
    run("""
        CREATE CONSTRAINT TRIGGER entry_decided_by_two AFTER INSERT ON entry DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.kind IN ('manual_entry', 'suspense_applied', 'return_requested'))
        EXECUTE FUNCTION decided_by_two()""")
    run("""
        CREATE CONSTRAINT TRIGGER write_off_decided_by_two AFTER UPDATE OF state ON collection
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.state = 'written_off')
        EXECUTE FUNCTION decided_by_two()""")


def _periods() -> None:
    """A closed period takes no entry any more, whatever the clock says."""
    run("""
        CREATE TABLE closed_period (
            through_on date CONSTRAINT pk_closed_period PRIMARY KEY,
            decision_id uuid NOT NULL CONSTRAINT uq_closed_period_decision_id UNIQUE
                CONSTRAINT fk_closed_period_decision_id REFERENCES money_decision (id),
            trial_balance jsonb NOT NULL,
            closed_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT ck_closed_period_past CHECK (through_on < closed_at::date))""")
    append_only("closed_period")
    require_event("closed_period")
    grant("closed_period", web="SELECT, INSERT")
    run(f"""
        CREATE FUNCTION period_is_open() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock_shared({PERIODS});  -- whoever closes a period waits for entries under way
            IF EXISTS (SELECT FROM closed_period WHERE through_on >= NEW.business_on) THEN
                RAISE EXCEPTION 'the period of % is closed', NEW.business_on
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'period_is_open';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER entry_period_is_open BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION period_is_open()")
