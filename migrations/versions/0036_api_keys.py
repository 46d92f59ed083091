"""Keys of programs: who they bid for, and nothing of them but their hash."""

from migrations.helpers import READER, grant, keep_columns, no_delete, require_event, run

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    """Create the table. A key ends once, by its owner or its day, and its row stays."""
    run("""
        CREATE TABLE api_key (
            id uuid CONSTRAINT pk_api_key PRIMARY KEY,
            user_id uuid NOT NULL CONSTRAINT fk_api_key_user_id REFERENCES user_account (id),
            name text NOT NULL CONSTRAINT ck_api_key_name CHECK (length(name) BETWEEN 1 AND 80),
            token_hash bytea NOT NULL CONSTRAINT uq_api_key_token_hash UNIQUE
                CONSTRAINT ck_api_key_token_hash CHECK (length(token_hash) = 32),
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            expires_at timestamptz NOT NULL,
            ended_at timestamptz,
            CONSTRAINT ck_api_key_expires CHECK (expires_at > created_at))""")
    run("CREATE INDEX ix_api_key_user_id ON api_key (user_id)")
    keep_columns("api_key", "id", "user_id", "name", "token_hash", "created_at", "expires_at")
    run("""
        CREATE TRIGGER api_key_ends_once BEFORE UPDATE ON api_key FOR EACH ROW
        WHEN (OLD.ended_at IS NOT NULL) EXECUTE FUNCTION refuse_change()""")
    no_delete("api_key")
    require_event("api_key")
    grant("api_key", web="SELECT, INSERT, UPDATE", worker="")
    run(f"REVOKE ALL ON api_key FROM {READER}")
