"""A notice states its facts when the assignment happens and is drawn afterwards, once."""

from migrations.helpers import keep_columns, run, wall_functions

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Keep what a notice states with its hash; let its files come later, once, and before the debtor's answer."""
    run("ALTER TABLE notice_of_assignment ADD COLUMN facts text, ADD COLUMN facts_sha256 text, "
        "ADD COLUMN written_at timestamptz, ALTER COLUMN document_id DROP NOT NULL")  # fmt: skip
    run("DROP TRIGGER notice_of_assignment_keep_columns ON notice_of_assignment")
    # Those of before were written as they were issued, and their trail names their bytes.
    run("ALTER TABLE notice_of_assignment DISABLE TRIGGER USER")
    run("UPDATE notice_of_assignment SET written_at = issued_at")
    run("ALTER TABLE notice_of_assignment ENABLE TRIGGER USER")
    run("""
        ALTER TABLE notice_of_assignment
            ADD CONSTRAINT ck_notice_of_assignment_facts CHECK (
                CASE WHEN facts IS NULL THEN facts_sha256 IS NULL AND written_at IS NOT NULL
                ELSE facts_sha256 IS NOT DISTINCT FROM encode(sha256(convert_to(facts, 'UTF8')), 'hex') END),
            ADD CONSTRAINT ck_notice_of_assignment_written CHECK (
                (written_at IS NULL) = (document_id IS NULL)
                AND (written_at IS NOT NULL OR message_document_id IS NULL)
                AND (written_at IS NULL OR facts IS NULL OR message_document_id IS NOT NULL)
                AND written_at >= issued_at),
            ADD CONSTRAINT ck_notice_of_assignment_told CHECK (
                written_at IS NOT NULL OR (sent_at IS NULL AND acknowledged_at IS NULL))""")
    keep_columns("notice_of_assignment", "id", "receivable_id", "number", "kind", "facts", "facts_sha256",
                 "assignees", "pay_to", "phrase", "issued_at")  # fmt: skip
    run("""
        CREATE TRIGGER notice_of_assignment_written_once BEFORE UPDATE ON notice_of_assignment FOR EACH ROW
        WHEN (OLD.written_at IS NOT NULL AND
              (NEW.written_at, NEW.document_id, NEW.message_document_id)
              IS DISTINCT FROM (OLD.written_at, OLD.document_id, OLD.message_document_id))
        EXECUTE FUNCTION refuse_change()""")
    run("CREATE INDEX ix_notice_of_assignment_unwritten ON notice_of_assignment (issued_at) WHERE written_at IS NULL")
    wall_functions()
