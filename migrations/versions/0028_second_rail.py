"""Pay-outs by bank file: which rail an organisation is paid by, files that two people ordered, each pay-out in one."""

from migrations.helpers import append_only, grant, keep_columns, require_event, run, wall_functions

revision = "0028"
down_revision = "0027"

PAYOUT_MOVES = (
    "('requested','transferred'), ('requested','in_transit'), ('requested','returned'), "
    "('transferred','in_transit'), ('transferred','failed'), ('in_transit','paid'), ('in_transit','failed'), "
    "('paid','failed'), ('failed','returned')"
)
DECISIONS = (
    "'manual_entry', 'write_off', 'suspense_apply', 'suspense_return', 'close_period', 'payout_file', 'payout_rail', "
    "'payout_refused', 'bank_suspense_apply', 'bank_suspense_return'"
)
OUTCOMES = "'payment', 'suspense', 'undone', 'taken_back', 'left', 'paid_out', 'came_back'"


def upgrade() -> None:
    """Let a payout know its rail, then add the files, and what a bank's entry may become of them."""
    _account()
    _rails()
    _receipts()
    _payout_file()
    _payout_order()
    _entries_end_payouts()
    _payouts_by_bank_are_ordered()
    wall_functions()


def _account() -> None:
    run("""
        DO $$ DECLARE known text;
        BEGIN
            SELECT pg_get_expr(conbin, conrelid) INTO STRICT known FROM pg_constraint
                WHERE conname = 'ck_account_chart' AND conrelid = 'account'::regclass;
            ALTER TABLE account DROP CONSTRAINT ck_account_chart;
            EXECUTE format('ALTER TABLE account ADD CONSTRAINT ck_account_chart CHECK (%s OR '
                '((code, pool) IN ((''bank_lender'', ''lender''), (''bank_platform'', ''platform'')) AND side = 1 '
                'AND NOT guarded AND organisation_id IS NULL))', known);
        END $$""")


def _rails() -> None:
    run("""
        ALTER TABLE organisation ADD COLUMN payout_rail text NOT NULL DEFAULT 'provider'
            CONSTRAINT ck_organisation_payout_rail CHECK (payout_rail IN ('provider', 'bank')),
            ADD CONSTRAINT ck_organisation_payout_iban CHECK (payout_rail = 'provider' OR iban IS NOT NULL)""")
    run("ALTER TABLE money_decision DROP CONSTRAINT ck_money_decision_kind")
    run(f"ALTER TABLE money_decision ADD CONSTRAINT ck_money_decision_kind CHECK (kind IN ({DECISIONS}))")
    run("""
        CREATE FUNCTION rail_decided_by_two() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM money_decision WHERE kind = 'payout_rail' AND state = 'done'
                           AND subject_id = NEW.id AND decided_by <> proposed_by
                           AND payload ->> 'rail' = NEW.payout_rail) THEN
                RAISE EXCEPTION 'two people decide by which rail % is paid', NEW.id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'rail_decided_by_two';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE CONSTRAINT TRIGGER organisation_rail_decided_by_two AFTER UPDATE OF payout_rail ON organisation
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.payout_rail IS DISTINCT FROM NEW.payout_rail)
        EXECUTE FUNCTION rail_decided_by_two()""")
    run("""
        ALTER TABLE payout ADD COLUMN rail text NOT NULL DEFAULT 'provider'
            CONSTRAINT ck_payout_rail CHECK (rail IN ('provider', 'bank')),
            ADD COLUMN pay_to_name text, ADD COLUMN pay_to_iban text,
            ADD CONSTRAINT ck_payout_pay_to CHECK ((pay_to_name IS NULL) = (pay_to_iban IS NULL)
                AND (pay_to_iban IS NULL OR rail = 'bank')),
            ADD CONSTRAINT ck_payout_bank CHECK (rail = 'provider'
                OR (transfer_id IS NULL AND account_id IS NULL AND reversal_id IS NULL AND state <> 'transferred')),
            DROP CONSTRAINT ck_payout_transferred,
            ADD CONSTRAINT ck_payout_transferred CHECK (state NOT IN ('transferred', 'in_transit', 'paid', 'failed')
                OR transfer_id IS NOT NULL OR rail = 'bank')""")
    run("DROP TRIGGER payout_keep_columns ON payout")
    keep_columns("payout", "id", "organisation_id", "currency", "amount_minor", "purpose", "subject_kind", "subject_id",
                 "business_key", "created_at", "rail", "pay_to_name", "pay_to_iban")  # fmt: skip
    run(f"""
        CREATE OR REPLACE FUNCTION payout_state_moves() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF (OLD.state, NEW.state) NOT IN ({PAYOUT_MOVES}) THEN
                RAISE EXCEPTION 'payout cannot go from % to %', OLD.state, NEW.state
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_state_moves';
            END IF;
            RETURN NEW;
        END $$""")


def _receipts() -> None:
    """A debtor's payment knows where its money lies, so that what it is shared out into lies there too."""
    run("""
        ALTER TABLE debtor_payment ADD COLUMN rail text NOT NULL DEFAULT 'provider'
            CONSTRAINT ck_debtor_payment_rail CHECK (rail IN ('provider', 'bank'))""")
    # Their trail names the entry of the bank's; and no event may wait while the table changes further.
    run("ALTER TABLE debtor_payment DISABLE TRIGGER USER")
    run("UPDATE debtor_payment SET rail = 'bank' WHERE id IN (SELECT payment_id FROM bank_entry)")
    run("ALTER TABLE debtor_payment ENABLE TRIGGER USER")
    run("DROP TRIGGER debtor_payment_keep_columns ON debtor_payment")
    keep_columns("debtor_payment", "id", "organisation_id", "currency", "amount_minor", "words", "return_url",
                 "created_at", "rail")  # fmt: skip


def _payout_file() -> None:
    run("""
        CREATE TABLE payout_file (
            id uuid CONSTRAINT pk_payout_file PRIMARY KEY,
            message_id text NOT NULL CONSTRAINT uq_payout_file_message_id UNIQUE,
            decision_id uuid NOT NULL CONSTRAINT uq_payout_file_decision_id UNIQUE
                CONSTRAINT fk_payout_file_decision_id REFERENCES money_decision (id),
            iban text NOT NULL, currency char(3) NOT NULL, execute_on date NOT NULL,
            orders integer NOT NULL CONSTRAINT ck_payout_file_orders CHECK (orders > 0),
            total_minor bigint NOT NULL CONSTRAINT ck_payout_file_total CHECK (total_minor > 0),
            sha256 bytea NOT NULL CONSTRAINT uq_payout_file_sha256 UNIQUE
                CONSTRAINT ck_payout_file_sha256 CHECK (sha256 = sha256(raw)),
            raw bytea NOT NULL,
            written_at timestamptz NOT NULL DEFAULT market_now())""")
    run("CREATE INDEX ix_payout_file_written_at ON payout_file (written_at)")
    run("""
        CREATE FUNCTION payout_file_is_whole() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF (SELECT (count(*), coalesce(sum(o.minor), 0)) IS DISTINCT FROM (NEW.orders, NEW.total_minor)
                    OR bool_or(p.rail <> 'bank' OR p.amount_minor <> o.minor OR p.currency <> NEW.currency)
                FROM payout_order o JOIN payout p ON p.id = o.payout_id WHERE o.file_id = NEW.id) THEN
                RAISE EXCEPTION 'the orders of file % are not its pay-outs', NEW.id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_file_is_whole';
            END IF;
            IF NOT EXISTS (SELECT FROM money_decision WHERE id = NEW.decision_id AND kind = 'payout_file'
                           AND state = 'done' AND decided_by <> proposed_by) THEN
                RAISE EXCEPTION 'two people order file %', NEW.id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_file_is_whole';
            END IF;
            RETURN NULL;
        END $$""")
    run("CREATE CONSTRAINT TRIGGER payout_file_is_whole AFTER INSERT ON payout_file DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION payout_file_is_whole()")  # fmt: skip
    append_only("payout_file")
    require_event("payout_file")
    grant("payout_file", web="SELECT, INSERT")


def _payout_order() -> None:
    """A pay-out is in one file ever: its id is the key. The lines of a file are written with it and never after."""
    run("""
        CREATE TABLE payout_order (
            payout_id uuid CONSTRAINT pk_payout_order PRIMARY KEY
                CONSTRAINT fk_payout_order_payout_id REFERENCES payout (id),
            file_id uuid NOT NULL CONSTRAINT fk_payout_order_file_id REFERENCES payout_file (id),
            end_to_end_id text NOT NULL CONSTRAINT uq_payout_order_end_to_end_id UNIQUE,
            name text NOT NULL, iban text NOT NULL,
            minor bigint NOT NULL CONSTRAINT ck_payout_order_minor CHECK (minor > 0),
            xact text NOT NULL DEFAULT pg_current_xact_id()::text)""")
    run("CREATE INDEX ix_payout_order_file_id ON payout_order (file_id)")
    run("""
        CREATE FUNCTION payout_order_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM written JOIN payout_order o USING (file_id) WHERE o.xact <> written.xact) THEN
                RAISE EXCEPTION 'the file is sealed'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_order_sealed';
            END IF;
            RETURN NULL;
        END $$""")
    run("CREATE TRIGGER payout_order_sealed AFTER INSERT ON payout_order REFERENCING NEW TABLE AS written "
        "FOR EACH STATEMENT EXECUTE FUNCTION payout_order_sealed()")  # fmt: skip
    append_only("payout_order")
    grant("payout_order", web="SELECT, INSERT")


def _entries_end_payouts() -> None:
    run("""
        ALTER TABLE bank_entry ADD COLUMN sender_name text, ADD COLUMN sender_iban text,
            ADD COLUMN payout_id uuid CONSTRAINT fk_bank_entry_payout_id REFERENCES payout (id),
            ADD COLUMN payout_file_id uuid CONSTRAINT fk_bank_entry_payout_file_id REFERENCES payout_file (id),
            DROP CONSTRAINT ck_bank_entry_outcome""")
    run(f"ALTER TABLE bank_entry ADD CONSTRAINT ck_bank_entry_outcome CHECK (outcome IN ({OUTCOMES}))")
    run("""
        ALTER TABLE bank_entry ADD CONSTRAINT ck_bank_entry_paid_out CHECK (outcome <> 'paid_out'
                OR (NOT incoming AND num_nonnulls(payout_id, payout_file_id) = 1)),
            ADD CONSTRAINT ck_bank_entry_came_back CHECK (outcome <> 'came_back'
                OR (incoming AND payout_id IS NOT NULL))""")
    run("CREATE UNIQUE INDEX uq_bank_entry_payout ON bank_entry (payout_id, outcome) "
        "WHERE outcome IN ('paid_out', 'came_back')")  # fmt: skip


def _payouts_by_bank_are_ordered() -> None:
    run("""
        CREATE FUNCTION payout_is_ordered() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM payout_order WHERE payout_id = NEW.id AND end_to_end_id = NEW.payout_id) THEN
                RAISE EXCEPTION 'payout % is in no file', NEW.id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_is_ordered';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE CONSTRAINT TRIGGER payout_is_ordered AFTER UPDATE OF state ON payout DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.rail = 'bank' AND NEW.state IN ('in_transit', 'paid', 'failed'))
        EXECUTE FUNCTION payout_is_ordered()""")
