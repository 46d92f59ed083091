"""What the companies register says, kept with the day it was asked."""

from migrations.helpers import append_only, grant, no_delete, require_event, run

revision = "0023"
down_revision = "0022"

INSOLVENT = "'liquidation', 'receivership', 'administration', 'voluntary-arrangement', 'insolvency-proceedings'"
CHANGE = "SELECT, INSERT, UPDATE"


def upgrade() -> None:
    """Keep every answer; know when to ask again; and let insolvency be a reason not to rate."""
    _answers()
    _watch()
    _line()
    _obstacle()


def _answers() -> None:
    run(f"""
        CREATE TABLE register_answer (
            id uuid CONSTRAINT pk_register_answer PRIMARY KEY,
            organisation_id uuid NOT NULL CONSTRAINT fk_register_answer_organisation_id REFERENCES organisation (id),
            company_number text NOT NULL CONSTRAINT ck_register_answer_number CHECK (company_number ~ '^[A-Z0-9]{{8}}$'),
            source text NOT NULL CONSTRAINT ck_register_answer_source CHECK (source IN ('api', 'snapshot')),
            said_on date NOT NULL,
            company_name text, company_state text, company_kind text,
            incorporated_on date, ceased_on date,
            accounts_due_on date, accounts_overdue boolean NOT NULL, accounts_made_up_to date, accounts_kind text,
            charges_total integer NOT NULL, charges_outstanding integer NOT NULL,
            cases jsonb NOT NULL,
            insolvent boolean NOT NULL,
            document_id text CONSTRAINT ck_register_answer_document CHECK (document_id ~ '^[A-Za-z0-9_-]{{10,100}}$'),
            asked_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT ck_register_answer_known CHECK ((company_state IS NULL) = (company_name IS NULL)),
            CONSTRAINT ck_register_answer_charges CHECK (charges_outstanding BETWEEN 0 AND charges_total),
            CONSTRAINT ck_register_answer_insolvent
                CHECK (insolvent = (coalesce(company_state, '') IN ({INSOLVENT}))))""")
    run("CREATE INDEX ix_register_answer_organisation_id_asked_at ON register_answer (organisation_id, asked_at)")
    append_only("register_answer")
    require_event("register_answer")
    grant("register_answer", web="SELECT", worker="SELECT, INSERT")


def _watch() -> None:
    run("""
        CREATE TABLE register_watch (
            organisation_id uuid CONSTRAINT pk_register_watch PRIMARY KEY
                CONSTRAINT fk_register_watch_organisation_id REFERENCES organisation (id),
            next_at timestamptz NOT NULL,
            failures integer NOT NULL DEFAULT 0 CONSTRAINT ck_register_watch_failures CHECK (failures >= 0),
            trouble text,
            document_id text,
            document_outcome text CONSTRAINT ck_register_watch_outcome
                CHECK (document_outcome IN ('filed', 'on_file', 'not_digital', 'refused')),
            document_words text,
            CONSTRAINT ck_register_watch_trouble CHECK ((failures > 0) = (trouble IS NOT NULL)),
            CONSTRAINT ck_register_watch_document CHECK ((document_id IS NULL) = (document_outcome IS NULL)))""")
    run("CREATE INDEX ix_register_watch_next_at ON register_watch (next_at)")
    no_delete("register_watch")
    require_event("register_watch")
    grant("register_watch", web=CHANGE, worker=CHANGE)


def _line() -> None:
    run("""
        CREATE TABLE register_line (
            one boolean CONSTRAINT pk_register_line PRIMARY KEY DEFAULT true
                CONSTRAINT ck_register_line_one CHECK (one),
            state text NOT NULL DEFAULT 'unasked' CONSTRAINT ck_register_line_state
                CHECK (state IN ('unasked', 'answering', 'silent', 'refusing', 'busy')),
            code text,
            since timestamptz NOT NULL DEFAULT market_now(),
            heard_at timestamptz, rests_until timestamptz)""")
    run("INSERT INTO register_line DEFAULT VALUES")
    no_delete("register_line")
    require_event("register_line")
    grant("register_line", worker="SELECT, UPDATE")


def _obstacle() -> None:
    """A company in insolvency is not rated from accounts that were drawn up before it."""
    run("ALTER TABLE rating_obstacle DROP CONSTRAINT ck_rating_obstacle_reason")
    run("""
        ALTER TABLE rating_obstacle ADD CONSTRAINT ck_rating_obstacle_reason
        CHECK (reason IN ('no_accounts', 'accounts_stale', 'accounts_thin', 'insolvent'))""")
