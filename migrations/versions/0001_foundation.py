"""Roles, the market's clock, and the functions that other migrations' triggers call."""

from migrations.helpers import READER, SIGNER, WEB, WORKER, grant, run

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create roles (cluster-wide, so only where absent), the clock, idempotency keys and shared triggers."""
    run("CREATE EXTENSION IF NOT EXISTS btree_gist")
    for role in (WEB, WORKER, SIGNER, READER):
        run(f"""
            DO $$ BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
                    CREATE ROLE {role} NOLOGIN;
                END IF;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END $$""")
        run(f"GRANT USAGE ON SCHEMA public TO {role}")
    _clock()
    _refusals()
    run("""
        CREATE TABLE idempotency (
            actor text NOT NULL, endpoint text NOT NULL, key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
            request_hash bytea NOT NULL, result jsonb, at timestamptz NOT NULL DEFAULT market_now(),
            PRIMARY KEY (actor, endpoint, key))""")
    grant("idempotency", web="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE, DELETE")


def _clock() -> None:
    """The market's clock is the database's, plus a shift that stays zero outside a demonstration."""
    run("""
        CREATE TABLE clock_shift (
            one boolean PRIMARY KEY DEFAULT true CHECK (one), shift interval NOT NULL DEFAULT '0')""")
    run("INSERT INTO clock_shift DEFAULT VALUES")
    grant("clock_shift", signer="SELECT")
    run("""
        CREATE FUNCTION market_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE AS
        $$ SELECT clock_timestamp() + (SELECT shift FROM clock_shift) $$""")


def _refusals() -> None:
    run("""
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% on % is refused: what is written there stays', TG_OP, TG_TABLE_NAME
                USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME;
        END $$""")
