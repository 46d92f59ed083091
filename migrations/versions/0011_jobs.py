"""The clock's own rows: leader with a fencing token, last runs, daily runs, failures."""

from migrations.helpers import grant, run

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Create the rows; a run of a daily job is unique by job and business date."""
    run("""
        CREATE TABLE job_leader (
            one boolean CONSTRAINT pk_job_leader PRIMARY KEY DEFAULT true CHECK (one),
            token bigint NOT NULL, holder text NOT NULL, since timestamptz NOT NULL DEFAULT market_now())""")
    run("INSERT INTO job_leader (token, holder) VALUES (0, 'nobody')")
    run("""
        CREATE TABLE job_state (
            job text CONSTRAINT pk_job_state PRIMARY KEY, token bigint NOT NULL,
            started_at timestamptz NOT NULL, finished_at timestamptz, worked_at timestamptz,
            rows bigint NOT NULL DEFAULT 0, rows_ever bigint NOT NULL DEFAULT 0,
            runs bigint NOT NULL DEFAULT 0, failures bigint NOT NULL DEFAULT 0, last_error text)""")
    run("""
        CREATE TABLE job_run (
            job text NOT NULL, business_on date NOT NULL, token bigint NOT NULL,
            started_at timestamptz NOT NULL DEFAULT market_now(), finished_at timestamptz, rows integer,
            CONSTRAINT pk_job_run PRIMARY KEY (job, business_on))""")
    run("""
        CREATE TABLE job_failure (
            id uuid CONSTRAINT pk_job_failure PRIMARY KEY, job text NOT NULL, subject_id uuid,
            code text NOT NULL, words text NOT NULL, failed_at timestamptz NOT NULL DEFAULT market_now(),
            times integer NOT NULL DEFAULT 1, cleared_at timestamptz)""")
    run("""
        CREATE UNIQUE INDEX uq_job_failure_open ON job_failure (job, subject_id) NULLS NOT DISTINCT
        WHERE cleared_at IS NULL""")
    grant("job_leader", worker="SELECT, UPDATE")
    for table in ("job_state", "job_run", "job_failure"):
        grant(table, worker="SELECT, INSERT, UPDATE")
