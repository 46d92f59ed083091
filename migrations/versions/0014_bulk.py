"""Bulk uploads: many invoices at once, row by row, to be left and returned to."""

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

revision = "0014"
down_revision = "0013"

CHANGE = "SELECT, INSERT, UPDATE"
UPLOAD_STATES = "'receiving', 'unpacking', 'reading', 'waiting', 'listing', 'done', 'refused', 'dropped'"
UPLOAD_MOVES = (
    "('receiving','unpacking'), ('receiving','dropped'), ('unpacking','reading'), ('unpacking','refused'), "
    "('reading','waiting'), ('reading','listing'), ('reading','done'), ('waiting','reading'), ('waiting','listing'), "
    "('waiting','done'), ('listing','waiting'), ('listing','done')"
)
ROW_STATES = "'unread', 'ready', 'needs', 'asked', 'listed', 'held', 'known', 'refused', 'failed', 'left'"
ROW_MOVES = (
    "('unread','ready'), ('unread','needs'), ('unread','listed'), ('unread','held'), ('unread','known'), "
    "('unread','refused'), ('unread','failed'), ('ready','asked'), ('ready','unread'), ('ready','left'), "
    "('needs','unread'), ('needs','left'), ('asked','listed'), ('asked','held'), ('asked','known'), "
    "('asked','needs'), ('asked','refused'), ('asked','failed'), ('failed','unread'), ('failed','left')"
)


def upgrade() -> None:
    """Create the tables in the order they refer to each other; let the worker do what the seller asked for."""
    _upload()
    _bytes()
    _row()
    run("GRANT INSERT, UPDATE ON draft TO duebill_worker")
    wall_functions()


def _upload() -> None:
    run("""
        CREATE TABLE bulk_upload (
            id uuid CONSTRAINT pk_bulk_upload PRIMARY KEY,
            seller_id uuid NOT NULL CONSTRAINT fk_bulk_upload_seller_id REFERENCES organisation (id),
            user_id uuid NOT NULL CONSTRAINT fk_bulk_upload_user_id REFERENCES user_account (id),
            name text NOT NULL CONSTRAINT ck_bulk_upload_name CHECK (length(name) BETWEEN 1 AND 200),
            manifest_sha256 char(64) NOT NULL,
            terms jsonb NOT NULL,
            debtor_email text,
            list_as_read boolean NOT NULL,
            notes jsonb NOT NULL DEFAULT '[]',
            state text NOT NULL DEFAULT 'receiving',
            state_since timestamptz NOT NULL DEFAULT market_now(),
            created_at timestamptz NOT NULL DEFAULT market_now())""")
    state_machine("bulk_upload", UPLOAD_STATES, UPLOAD_MOVES)
    keep_columns("bulk_upload", "id", "seller_id", "user_id", "name", "manifest_sha256", "created_at")
    no_delete("bulk_upload")
    require_event("bulk_upload")
    run("CREATE UNIQUE INDEX uq_bulk_upload_receiving ON bulk_upload (seller_id, manifest_sha256) "
        "WHERE state = 'receiving'")  # fmt: skip
    run("CREATE INDEX ix_bulk_upload_seller_id_created_at ON bulk_upload (seller_id, created_at)")
    run("CREATE INDEX ix_bulk_upload_moving ON bulk_upload (state_since) "
        "WHERE state IN ('receiving', 'unpacking', 'reading', 'listing')")  # fmt: skip
    grant("bulk_upload", web=CHANGE, worker=CHANGE)


def _bytes() -> None:
    """What is sent: the list of files, each cut into pieces that are known by their hash and arrive in any order."""
    run("""
        CREATE TABLE bulk_file (
            id uuid CONSTRAINT pk_bulk_file PRIMARY KEY,
            upload_id uuid NOT NULL CONSTRAINT fk_bulk_file_upload_id REFERENCES bulk_upload (id),
            position integer NOT NULL CONSTRAINT ck_bulk_file_position CHECK (position > 0),
            name text NOT NULL CONSTRAINT ck_bulk_file_name CHECK (length(name) BETWEEN 1 AND 300),
            size_bytes bigint NOT NULL CONSTRAINT ck_bulk_file_size CHECK (size_bytes >= 0),
            pieces jsonb NOT NULL,
            CONSTRAINT uq_bulk_file_upload_id_position UNIQUE (upload_id, position))""")
    append_only("bulk_file")
    require_event("bulk_file")
    grant("bulk_file", web="SELECT, INSERT")
    run("""
        CREATE TABLE bulk_piece (
            upload_id uuid NOT NULL CONSTRAINT fk_bulk_piece_upload_id REFERENCES bulk_upload (id),
            sha256 char(64) NOT NULL,
            size_bytes integer NOT NULL,
            content bytea NOT NULL,
            CONSTRAINT pk_bulk_piece PRIMARY KEY (upload_id, sha256),
            CONSTRAINT ck_bulk_piece_size CHECK (size_bytes = length(content) AND size_bytes BETWEEN 1 AND 4194304),
            CONSTRAINT ck_bulk_piece_sha256 CHECK (sha256 = encode(sha256(content), 'hex')))""")
    run("ALTER TABLE bulk_piece ALTER COLUMN content SET STORAGE EXTERNAL")
    run("CREATE TRIGGER bulk_piece_keeps BEFORE UPDATE ON bulk_piece FOR EACH ROW EXECUTE FUNCTION refuse_change()")
    grant("bulk_piece", web="SELECT, INSERT", worker="SELECT, DELETE")


def _row() -> None:
    run("""
        CREATE TABLE bulk_row (
            id uuid CONSTRAINT pk_bulk_row PRIMARY KEY,
            upload_id uuid NOT NULL CONSTRAINT fk_bulk_row_upload_id REFERENCES bulk_upload (id),
            position integer NOT NULL CONSTRAINT ck_bulk_row_position CHECK (position > 0),
            label text NOT NULL CONSTRAINT ck_bulk_row_label CHECK (length(label) BETWEEN 1 AND 400),
            file_id uuid CONSTRAINT fk_bulk_row_file_id REFERENCES bulk_file (id),
            entry jsonb,
            sha256 char(64),
            same_as integer,
            given jsonb NOT NULL DEFAULT '{}',
            faults jsonb NOT NULL DEFAULT '[]',
            corrections jsonb NOT NULL DEFAULT '{}',
            state text NOT NULL DEFAULT 'unread',
            noted_at timestamptz NOT NULL DEFAULT market_now(),
            attempts integer NOT NULL DEFAULT 0,
            draft_id uuid CONSTRAINT fk_bulk_row_draft_id REFERENCES draft (id),
            receivable_id uuid CONSTRAINT fk_bulk_row_receivable_id REFERENCES receivable (id),
            problems jsonb NOT NULL DEFAULT '[]',
            looks jsonb NOT NULL DEFAULT '[]',
            number text,
            debtor_name text,
            currency text,
            face_minor bigint,
            due_on date,
            claim text,
            CONSTRAINT uq_bulk_row_upload_id_position UNIQUE (upload_id, position),
            CONSTRAINT uq_bulk_row_draft_id UNIQUE (draft_id),
            CONSTRAINT uq_bulk_row_receivable_id UNIQUE (receivable_id),
            CONSTRAINT ck_bulk_row_made CHECK ((state IN ('listed', 'held')) = (receivable_id IS NOT NULL)),
            CONSTRAINT ck_bulk_row_same CHECK (same_as IS NULL OR (same_as < position AND state = 'known')))""")
    state_machine("bulk_row", ROW_STATES, ROW_MOVES)
    keep_columns("bulk_row", "id", "upload_id", "position", "label", "file_id", "entry", "sha256", "given", "faults")
    no_delete("bulk_row")
    require_event("bulk_row")
    run("CREATE UNIQUE INDEX uq_bulk_row_sha256 ON bulk_row (upload_id, sha256) WHERE state <> 'known'")
    run("CREATE INDEX ix_bulk_row_upload_id_state ON bulk_row (upload_id, state, position)")
    run("CREATE INDEX ix_bulk_row_upload_id_claim ON bulk_row (upload_id, claim) WHERE claim IS NOT NULL")
    grant("bulk_row", web="SELECT, UPDATE", worker=CHANGE)
