"""The audit trail: events, their order, the tree, signed checkpoints."""

from migrations.helpers import append_only, grant, no_delete, run

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the append-only trail and the trigger that other tables use to demand an event."""
    run("""
        CREATE TABLE event (
            id uuid CONSTRAINT pk_event PRIMARY KEY,
            line bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
            xact text NOT NULL DEFAULT pg_current_xact_id()::text,
            at timestamptz NOT NULL DEFAULT market_now(),
            verb text NOT NULL,
            actor_role text NOT NULL,
            actor_user_id uuid, actor_organisation_id uuid, on_behalf_of text,
            request_id uuid NOT NULL,
            subject_kind text NOT NULL, subject_id uuid NOT NULL,
            body bytea NOT NULL)""")
    run("CREATE INDEX ix_event_xact ON event (xact)")
    run("CREATE INDEX ix_event_xact_number ON event ((xact::xid8))")
    run("CREATE INDEX ix_event_subject_id ON event (subject_id)")
    run("CREATE INDEX ix_event_at ON event (at)")
    run("""
        CREATE TABLE event_order (
            seq bigint CONSTRAINT pk_event_order PRIMARY KEY,
            event_id uuid NOT NULL CONSTRAINT uq_event_order_event_id UNIQUE
                CONSTRAINT fk_event_order_event_id REFERENCES event (id),
            leaf_hash bytea NOT NULL CHECK (length(leaf_hash) = 32))""")
    run("""
        CREATE TABLE tree_node (
            level integer CHECK (level >= 1), index bigint, hash bytea NOT NULL CHECK (length(hash) = 32),
            CONSTRAINT pk_tree_node PRIMARY KEY (level, index))""")
    run("""
        CREATE TABLE checkpoint (
            size bigint CONSTRAINT pk_checkpoint PRIMARY KEY CHECK (size >= 0),
            root bytea NOT NULL CHECK (length(root) = 32),
            note text NOT NULL, key_id varchar(8) NOT NULL,
            signed_at timestamptz NOT NULL DEFAULT market_now())""")
    run("""
        CREATE TABLE signing_key (
            key_id varchar(8) CONSTRAINT pk_signing_key PRIMARY KEY,
            verifier_key text NOT NULL,
            rotation text,
            known_at timestamptz NOT NULL DEFAULT market_now())""")
    for table in ("event", "event_order", "tree_node", "checkpoint", "signing_key"):
        append_only(table)
    grant("event", web="SELECT, INSERT", worker="SELECT, INSERT", signer="SELECT")
    grant("event_order", worker="SELECT, INSERT", signer="SELECT")
    grant("tree_node", worker="SELECT, INSERT", signer="SELECT")
    grant("checkpoint", signer="SELECT, INSERT")
    grant("signing_key", signer="SELECT, INSERT")
    _bundles()
    run("""
        CREATE FUNCTION require_event() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM event WHERE xact = pg_current_xact_id()::text) THEN
                RAISE EXCEPTION 'a change of % needs an audit event in its own transaction', TG_TABLE_NAME
                    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME;
            END IF;
            RETURN NULL;
        END $$""")


def _bundles() -> None:
    """Bundles that somebody asked for: the web queues them, the worker builds them."""
    run("""
        CREATE TABLE bundle (
            id uuid CONSTRAINT pk_bundle PRIMARY KEY,
            requested_by uuid, from_at timestamptz, to_at timestamptz,
            previous_size bigint CHECK (previous_size >= 0),
            state text NOT NULL DEFAULT 'queued'
                CONSTRAINT ck_bundle_state CHECK (state IN ('queued', 'building', 'ready', 'failed')),
            step text NOT NULL DEFAULT '', done_rows bigint NOT NULL DEFAULT 0, all_rows bigint NOT NULL DEFAULT 0,
            size bigint, file_bytes bigint, file_hash bytea, report jsonb, words text,
            requested_at timestamptz NOT NULL DEFAULT market_now(), finished_at timestamptz)""")
    no_delete("bundle")
    grant("bundle", web="SELECT, INSERT", worker="SELECT, INSERT, UPDATE")
