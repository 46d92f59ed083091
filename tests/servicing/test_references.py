"""What many rows of a statement refer to is looked for once a statement: one that is wrong among them is found."""

from uuid import UUID

import psycopg
import pytest

from marketplace.db import db
from tests import lives
from tests.trading.world import World

NEW = "gen_random_uuid()"
ENTRY = (
    "INSERT INTO entry (id, kind, subject_kind, subject_id, business_on) "
    "VALUES ('00000000-0000-7000-8000-000000000001', 'test', 'test', gen_random_uuid(), '2026-01-01'); "
)
POSTED = "INSERT INTO posting (entry_id, account_id, currency, pool, side, minor) "
RESOLVED = "INSERT INTO hold_resolution (hold_id, outcome, entry_id) "
HELD = "INSERT INTO holding (id, receivable_id, owner_id, units, held_during, cause) "
FILLED = "INSERT INTO fill (lot_id, round, bid_id, investor_id, cash_minor, discount_minor, rate_bps, hold_id) "
OWED = "INSERT INTO due (id, receivable_id, step, party_id, position, due_minor) "
SHARED = "INSERT INTO share (due_id, distribution_id, minor) "
UNGUARDED = "FROM account WHERE NOT guarded AND organisation_id IS NULL"
OF_ACCOUNT = "fk_posting_account_id_currency_pool_side"

# what refuses it; statements of several rows, one or all of them wrong
WRONG = [
    ("fk_posting_entry_id", f"{POSTED} SELECT {NEW}, id, currency, pool, side, side {UNGUARDED}"),
    (OF_ACCOUNT, (f"{ENTRY} {POSTED} SELECT entry.id, a.id, 'EUR', pool, side, side "
     f"FROM entry, (SELECT * {UNGUARDED} LIMIT 1) AS a WHERE kind = 'test'")),
    (OF_ACCOUNT, (f"{ENTRY} {POSTED} SELECT entry.id, a.id, currency, pool, -side, side "
     f"FROM entry, (SELECT * {UNGUARDED} LIMIT 1) AS a WHERE kind = 'test'")),
    (OF_ACCOUNT, (f"{ENTRY} {POSTED} SELECT entry.id, a.id, currency, 'platform', side, 1 "
     f"FROM entry, (SELECT * {UNGUARDED} AND pool = 'lender' LIMIT 1) AS a WHERE kind = 'test'")),
    (OF_ACCOUNT, (f"{ENTRY} {POSTED} SELECT entry.id, who, currency, pool, side, side "
     f"FROM entry, (SELECT *, unnest(ARRAY[id, {NEW}]) AS who {UNGUARDED} LIMIT 2) AS a WHERE kind = 'test'")),
    ("fk_hold_account_id", ("INSERT INTO hold (id, account_id, minor, subject_kind, subject_id) SELECT "
     f"{NEW}, one, 1, 'test', {NEW} FROM (SELECT unnest(ARRAY[id, {NEW}]) AS one FROM account "
     "WHERE code = 'investor_cash' LIMIT 2) AS two")),
    ("fk_hold_resolution_hold_id", f"{RESOLVED} SELECT {NEW}, 'voided', NULL FROM generate_series(1, 2)"),
    ("fk_hold_resolution_entry_id", (f"{RESOLVED} SELECT hold.id, 'posted', {NEW} FROM hold "
     "WHERE NOT EXISTS (SELECT FROM hold_resolution WHERE hold_id = hold.id)")),
    ("fk_holding_receivable_id", (f"{HELD} SELECT {NEW}, {NEW}, {NEW}, int8range(n, n + 1), "
     "tstzrange(market_now(), NULL), 'register' FROM generate_series(1, 2) AS n")),
    ("fk_fill_bid_id", f"{FILLED} SELECT lot_id, round, {NEW}, investor_id, 1, 0, 700, hold_id FROM fill"),
    ("fk_fill_lot_id_round", f"{FILLED} SELECT lot_id, 2, bid_id, investor_id, 1, 0, 700, hold_id FROM fill"),
    ("fk_due_receivable_id", f"{OWED} SELECT {NEW}, {NEW}, step, party_id, position, due_minor FROM due"),
    ("fk_share_due_id", f"{SHARED} SELECT {NEW}, distribution.id, 1 FROM distribution, generate_series(1, 2)"),
    ("fk_share_distribution_id", f"{SHARED} SELECT due.id, {NEW}, 1 FROM due"),
]  # fmt: skip
REFERRED = ("entry", "account", "hold", "title", "bid", "award", "collection", "due", "distribution")


@pytest.fixture
def receivable_id(world: World) -> UUID:
    """A funded receivable that was paid in part."""
    funded = lives.funded(world)
    lives.pays(world, funded, 100)
    return funded


def refused(world: World, statements: str) -> tuple[str, str]:
    """Return what refuses statements of the superuser, and its SQLSTATE; nothing is kept."""
    db.session.rollback()
    with world.superuser(resting=False) as owner:
        try:
            for statement in statements.split("; "):
                owner.execute(statement)
        except psycopg.Error as error:
            return error.diag.constraint_name or "", error.sqlstate or ""
        finally:
            owner.rollback()
    return "", ""


def test_a_statement_with_one_row_that_refers_to_nothing_is_refused_as_a_foreign_key_would(
    world: World, receivable_id: UUID
) -> None:
    with world.superuser() as owner:  # a hold that has not ended
        owner.execute("INSERT INTO hold (id, account_id, minor, subject_kind, subject_id) SELECT gen_random_uuid(), "
                      "id, 1, 'test', gen_random_uuid() FROM account WHERE code = 'investor_cash' LIMIT 1")  # fmt: skip
    for wall, statements in WRONG:
        assert refused(world, statements) == (wall, "23503"), statements


@pytest.mark.parametrize("table", REFERRED)
def test_what_is_referred_to_neither_vanishes_nor_changes_its_key(
    world: World, receivable_id: UUID, table: str
) -> None:
    key = {"title": "receivable_id", "collection": "receivable_id", "award": "lot_id"}.get(table, "id")
    for statement in (
        f"DELETE FROM {table}",
        f"UPDATE {table} SET {key} = gen_random_uuid()",
        f"TRUNCATE {table} CASCADE",
    ):
        wall, code = refused(world, statement)
        assert code == "23001", statement
        assert wall
    if table == "account":
        for column in ("currency = 'EUR'", "pool = 'platform'", "side = -side"):
            assert refused(world, f"UPDATE account SET {column}")[1] == "23001"
