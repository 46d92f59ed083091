"""What a settlement writes ten thousand times over costs less: one look at an entry, room for both moves of a balance."""

from migrations.helpers import run, wall_functions

revision = "0047"
down_revision = "0046"


def upgrade() -> None:
    """Ask whether an entry is sealed once an entry, and let what is written in bulk lie as it is written."""
    _sealed()
    run("ALTER TABLE balance SET (fillfactor = 30)")  # a settlement moves each twice: its hold ends, its cash goes
    for column in ("facts", "assignees"):  # as an event's body: of thousands of names, written once and read once
        run(f"ALTER TABLE notice_of_assignment ALTER COLUMN {column} SET STORAGE EXTERNAL")
    wall_functions()


def _sealed() -> None:
    """As in 0012; the postings of a statement are mostly of one entry, which is looked for once."""
    run("""
        CREATE OR REPLACE FUNCTION posting_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM (SELECT DISTINCT entry_id FROM written) AS named
                       JOIN entry ON entry.id = named.entry_id
                       WHERE entry.xact <> pg_current_xact_id()::text) THEN
                RAISE EXCEPTION 'the entry is sealed'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'posting_sealed';
            END IF;
            IF EXISTS (SELECT FROM written GROUP BY entry_id, currency, pool HAVING sum(minor) <> 0) THEN
                RAISE EXCEPTION 'the entry does not balance'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_balances';
            END IF;
            RETURN NULL;
        END $$""")
