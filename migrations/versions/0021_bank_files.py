"""Bank files out and in, and the second rail they make. Before that: a clock that can be asked to run a job again."""

from migrations.helpers import append_only, grant, keep_columns, no_delete, require_event, run

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Add what the clock tells about itself, and wishes; then the tables of bank files."""
    _clock()
    _accounts()
    _bank_message()
    _bank_entry()


def _accounts() -> None:
    """Add the bank's two accounts to whatever the chart's constraint says by now."""
    run("""
        DO $$ DECLARE known text;
        BEGIN
            SELECT pg_get_expr(conbin, conrelid) INTO STRICT known FROM pg_constraint
                WHERE conname = 'ck_account_chart' AND conrelid = 'account'::regclass;
            ALTER TABLE account DROP CONSTRAINT ck_account_chart;
            EXECUTE format('ALTER TABLE account ADD CONSTRAINT ck_account_chart CHECK (%s OR '
                '(code IN (''bank_borrower'', ''bank_unexplained'') AND pool = ''borrower'' AND side = 1 '
                'AND NOT guarded AND organisation_id IS NULL))', known);
        END $$""")


def _bank_message() -> None:
    run("""
        CREATE TABLE bank_message (
            id uuid CONSTRAINT pk_bank_message PRIMARY KEY,
            kind text NOT NULL CONSTRAINT ck_bank_message_kind CHECK (kind IN ('camt.053', 'camt.054')),
            message_id text NOT NULL, name text NOT NULL,
            sha256 bytea NOT NULL CONSTRAINT uq_bank_message_sha256 UNIQUE
                CONSTRAINT ck_bank_message_sha256 CHECK (sha256 = sha256(raw)),
            raw bytea NOT NULL,
            entries integer NOT NULL, known integer NOT NULL, pending integer NOT NULL,
            outcomes jsonb NOT NULL, closing jsonb NOT NULL,
            kept_by uuid, kept_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT uq_bank_message_kind_message_id UNIQUE (kind, message_id),
            CONSTRAINT ck_bank_message_counts CHECK (known >= 0 AND pending >= 0 AND entries >= known))""")
    run("CREATE INDEX ix_bank_message_kept_at ON bank_message (kept_at)")
    keep_columns("bank_message", "id", "kind", "message_id", "name", "sha256", "raw", "entries", "known", "pending",
                 "closing", "kept_by", "kept_at")  # fmt: skip
    no_delete("bank_message")
    require_event("bank_message")
    grant("bank_message", web="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")


def _bank_entry() -> None:
    run("""
        CREATE TABLE bank_entry (
            id uuid CONSTRAINT pk_bank_entry PRIMARY KEY,
            message_id uuid NOT NULL CONSTRAINT fk_bank_entry_message_id REFERENCES bank_message (id),
            iban text NOT NULL, key text NOT NULL, bank_ref text NOT NULL, currency char(3) NOT NULL,
            minor bigint NOT NULL CONSTRAINT ck_bank_entry_minor CHECK (minor > 0),
            incoming boolean NOT NULL, reversal boolean NOT NULL, booked_on date NOT NULL,
            reference text, words text NOT NULL, names jsonb NOT NULL,
            outcome text NOT NULL CONSTRAINT ck_bank_entry_outcome CHECK (
                outcome IN ('payment', 'suspense', 'undone', 'taken_back', 'left')),
            receivable_id uuid CONSTRAINT fk_bank_entry_receivable_id REFERENCES receivable (id),
            payment_id uuid CONSTRAINT fk_bank_entry_payment_id REFERENCES debtor_payment (id),
            entry_id uuid NOT NULL CONSTRAINT fk_bank_entry_entry_id REFERENCES entry (id),
            reverses_id uuid CONSTRAINT fk_bank_entry_reverses_id REFERENCES bank_entry (id)
                CONSTRAINT uq_bank_entry_reverses_id UNIQUE,
            at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT uq_bank_entry_iban_key UNIQUE (iban, key),
            CONSTRAINT ck_bank_entry_payment CHECK (outcome <> 'payment' OR (incoming AND NOT reversal
                AND payment_id IS NOT NULL AND receivable_id IS NOT NULL)),
            CONSTRAINT ck_bank_entry_suspense CHECK (outcome <> 'suspense' OR incoming),
            CONSTRAINT ck_bank_entry_undone CHECK (outcome <> 'undone' OR reverses_id IS NOT NULL))""")
    run("CREATE INDEX ix_bank_entry_message_id ON bank_entry (message_id)")
    run("CREATE INDEX ix_bank_entry_payment_id ON bank_entry (payment_id)")
    run("CREATE INDEX ix_bank_entry_iban_bank_ref ON bank_entry (iban, bank_ref)")
    run("CREATE INDEX ix_bank_entry_iban_currency_minor ON bank_entry (iban, currency, minor)")
    append_only("bank_entry")
    require_event("bank_entry")
    grant("bank_entry", web="SELECT, INSERT", worker="SELECT, INSERT")


def _clock() -> None:
    run("ALTER TABLE job_leader ADD COLUMN seen_at timestamptz NOT NULL DEFAULT clock_timestamp()")
    run("ALTER TABLE job_state ADD COLUMN every_seconds integer, ADD COLUMN next_at timestamptz, "
        "ALTER COLUMN started_at DROP NOT NULL")  # fmt: skip
    run("""
        ALTER TABLE job_run ADD COLUMN covered_by date,
            ADD CONSTRAINT ck_job_run_covered CHECK (
                covered_by IS NULL OR (covered_by > business_on AND finished_at IS NOT NULL))""")
    run("""
        CREATE TABLE job_wish (
            id uuid CONSTRAINT pk_job_wish PRIMARY KEY, job text NOT NULL, wanted_by uuid,
            wanted_at timestamptz NOT NULL DEFAULT market_now(), taken_at timestamptz, token bigint,
            CONSTRAINT ck_job_wish_taken CHECK ((taken_at IS NULL) = (token IS NULL)))""")
    run("CREATE UNIQUE INDEX uq_job_wish_open ON job_wish (job) WHERE taken_at IS NULL")
    no_delete("job_wish")
    grant("alembic_version")  # whether the schema is the one the code needs is a question of every process
    grant("job_wish", web="SELECT, INSERT", worker="SELECT, INSERT, UPDATE")
