"""Rows that come in thousands are judged once a statement: what they refer to, and that an event tells of them.

A foreign key looks once a row, and a deferred trigger fires once a row; ten thousand fills were looked after for longer
than they took to be written. The rules keep their names and their codes. What is referred to here never vanishes and
never changes its keys: its own triggers refuse that, for the owner as well, so that a look when rows are written is
enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from migrations.helpers import run, wall_functions

revision = "0042"
down_revision = "0040"


@dataclass(frozen=True)
class _Reference:
    """A foreign key that was: its name, its columns, where they lead; `few` when many rows name the same."""

    name: str
    columns: Sequence[str]
    table: str
    keys: Sequence[str] = ("id",)
    few: bool = True


ACCOUNT = ("id", "currency", "pool", "side")
REFERENCES = {
    "posting": (
        _Reference("fk_posting_entry_id", ["entry_id"], "entry"),
        _Reference("fk_posting_account_id_currency_pool_side", ["account_id", *ACCOUNT[1:]], "account", ACCOUNT, False),
    ),
    "hold_resolution": (
        _Reference("fk_hold_resolution_hold_id", ["hold_id"], "hold", few=False),
        _Reference("fk_hold_resolution_entry_id", ["entry_id"], "entry"),
    ),
    "holding": (_Reference("fk_holding_receivable_id", ["receivable_id"], "title", ["receivable_id"]),),
    "fill": (
        _Reference("fk_fill_bid_id", ["bid_id"], "bid", few=False),
        _Reference("fk_fill_lot_id_round", ["lot_id", "round"], "award", ["lot_id", "round"]),
    ),
    "due": (_Reference("fk_due_receivable_id", ["receivable_id"], "collection", ["receivable_id"]),),
    "share": (
        _Reference("fk_share_due_id", ["due_id"], "due", few=False),
        _Reference("fk_share_distribution_id", ["distribution_id"], "distribution"),
    ),
}
# Constraint triggers that only ask whether an event tells of the change: rows of these come in sets.
WITH_EVENT = {"award": ("INSERT",), "lot": ("UPDATE",), "receivable": ("UPDATE",)}


def upgrade() -> None:
    """Look once a statement, and leave room where every row is known to change."""
    for table, references in REFERENCES.items():
        _refer(table, references)
    for table, events in WITH_EVENT.items():
        _note_events(table, events)
    _exchange_follows()
    for table in ("due", "balance"):
        run(f"ALTER TABLE {table} SET (fillfactor = 50)")  # each of many is paid at once, and no index holds what is
    run("ALTER TABLE event ALTER COLUMN body SET STORAGE EXTERNAL")  # written once and hashed: as it is
    wall_functions()


def _refer(table: str, references: Sequence[_Reference]) -> None:
    """Put one look at all of a statement's rows in the place of foreign keys, as the owner, as those looked.

    The plan is kept for statements of one row and of thousands: it goes by index, whatever it was first made for.
    """
    looks = []
    for one in references:
        run(f"ALTER TABLE {table} DROP CONSTRAINT {one.name}")
        named = ", ".join(one.columns)
        rows = f"(SELECT DISTINCT {named} FROM written) AS written" if one.few else "written"
        given = " AND ".join(f"written.{column} IS NOT NULL" for column in one.columns)
        same = " AND ".join(
            f"there.{key} = written.{column}" for key, column in zip(one.keys, one.columns, strict=True)
        )
        looks.append(f"""
            IF EXISTS (SELECT FROM {rows} WHERE {given}
                       AND NOT EXISTS (SELECT FROM {one.table} AS there WHERE {same})) THEN
                RAISE EXCEPTION 'a {table} names a {one.table} that is not there'
                    USING ERRCODE = 'foreign_key_violation', CONSTRAINT = '{one.name}', TABLE = '{table}';
            END IF;""")
    run(f"""
        CREATE FUNCTION {table}_refers() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
        BEGIN
            {"".join(looks)}
            RETURN NULL;
        END $$""")
    run(f"CREATE TRIGGER {table}_refers AFTER INSERT ON {table} REFERENCING NEW TABLE AS written "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refers()")  # fmt: skip


def _note_events(table: str, events: Sequence[str]) -> None:
    """Ask once a statement, at commit, whether an event tells of the rows that come in sets."""
    run(f"DROP TRIGGER {table}_event ON {table}")
    left = " OR ".join(event for event in ("INSERT", "UPDATE") if event not in events)
    run(f"CREATE CONSTRAINT TRIGGER {table}_event AFTER {left} ON {table} DEFERRABLE INITIALLY DEFERRED "
        f"FOR EACH ROW EXECUTE FUNCTION require_event()")  # fmt: skip
    for event in events:
        run(f"CREATE TRIGGER {table}_{event.lower()}_noted AFTER {event} ON {table} REFERENCING NEW TABLE AS written "
            f"FOR EACH STATEMENT EXECUTE FUNCTION note_change('{table}_event')")  # fmt: skip


def _exchange_follows() -> None:
    """What the outside should know follows the states of all receivables that a statement moves, at once."""
    run("DROP TRIGGER exchange_follows ON receivable")
    run("""
        CREATE FUNCTION exchange_follow(moved uuid[]) RETURNS void LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO exchange_watch AS watch (receivable_id, wanted, reason)
            SELECT id, goal, CASE WHEN goal = 'released' THEN
                CASE state WHEN 'discharged' THEN 'repaid' ELSE state END END
            FROM (SELECT id, state, CASE WHEN state IN ('funded', 'written_off') THEN 'financed'
                WHEN state IN ('discharged', 'bought_back', 'withdrawn', 'rejected', 'expired') THEN 'released'
                ELSE 'registered' END AS goal FROM receivable WHERE id = ANY (moved)) AS told
            ORDER BY id
            ON CONFLICT (receivable_id) DO UPDATE
                SET wanted = excluded.wanted, reason = excluded.reason, wanted_since = market_now(),
                    next_at = market_now(),
                    claimed_at = CASE WHEN watch.wanted <> 'released' THEN watch.claimed_at END
                WHERE (watch.wanted, watch.reason) IS DISTINCT FROM (excluded.wanted, excluded.reason);
        END $$""")
    run("REVOKE EXECUTE ON FUNCTION exchange_follow(uuid[]) FROM PUBLIC")
    run("""
        CREATE OR REPLACE FUNCTION exchange_follows() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            IF TG_OP = 'INSERT' THEN
                PERFORM exchange_follow((SELECT array_agg(id) FROM written));
            ELSE
                PERFORM exchange_follow((SELECT array_agg(written.id) FROM written JOIN before ON before.id = written.id
                                         WHERE before.state <> written.state));
            END IF;
            RETURN NULL;
        END $$""")
    for event, rows in (("INSERT", "NEW TABLE AS written"), ("UPDATE", "OLD TABLE AS before NEW TABLE AS written")):
        run(f"CREATE TRIGGER exchange_follows_{event.lower()} AFTER {event} ON receivable "
            f"REFERENCING {rows} FOR EACH STATEMENT EXECUTE FUNCTION exchange_follows()")  # fmt: skip
