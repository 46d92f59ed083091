"""Bank files out and in, and the second rail they make. Before that: a clock that can be asked to run a job again."""

from migrations.helpers import grant, no_delete, run

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Add what the clock tells about itself, and wishes; then the tables of bank files."""
    _clock()


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
