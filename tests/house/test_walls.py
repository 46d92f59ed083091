"""What somebody with a role of the application, and SQL of his own, still cannot do to the books."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest
from flask import Flask
from sqlalchemy import Engine, text

from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.kernel.ids import new_id
from marketplace.ledger import actions
from marketplace.ledger.rules import chart, credit, debit
from marketplace.perform import Tx
from tests.support import do

As = Callable[[str], AbstractContextManager[psycopg.Connection]]
BOB, DEAL = new_id(), new_id()
EVENT = ("INSERT INTO event (id, verb, actor_role, request_id, subject_kind, subject_id, body) "
         "VALUES (gen_random_uuid(), 'x', 'x', gen_random_uuid(), 'x', gen_random_uuid(), 'x')")  # fmt: skip


@pytest.fixture(autouse=True)
def _funded(app: Flask) -> Iterator[None]:
    def body(tx: Tx) -> str:
        legs = [debit(actions.account(tx, "provider_lender", None, "GBP"), 1_000),
                credit(actions.account(tx, "investor_cash", BOB, "GBP"), 1_000)]  # fmt: skip
        return str(actions.post_entry(tx, "fund", "funding", DEAL, legs))

    with app.app_context():
        do(body)
        yield


@pytest.fixture
def as_role(postgres: EmbeddedPostgres, database: str) -> As:
    @contextmanager
    def connected(role: str) -> Iterator[psycopg.Connection]:
        with psycopg.connect(postgres.url(database, role).replace("+psycopg", "")) as connection:
            yield connection

    return connected


@pytest.mark.parametrize("role", ["duebill_web", "duebill_worker"])
@pytest.mark.parametrize("function", ["posting_moves", "hold_moves", "resolution_moves", "account_opens"])
def test_nobody_can_hang_the_owners_functions_on_a_table_of_his_own(role: str, function: str, as_role: As) -> None:
    with as_role(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("CREATE TEMP TABLE mine (account_id uuid, side smallint, minor bigint)")
        connection.execute("CREATE TRIGGER mine AFTER INSERT ON mine REFERENCING NEW TABLE AS written "
                           f"FOR EACH STATEMENT EXECUTE FUNCTION {function}()")  # fmt: skip


def test_no_table_of_ones_own_stands_before_the_markets(as_role: As) -> None:
    with as_role("duebill_web") as connection, pytest.raises(psycopg.errors.IntegrityError):
        try:
            connection.execute("CREATE TEMP TABLE event (xact text)")
        except psycopg.errors.InsufficientPrivilege as refusal:
            raise psycopg.errors.IntegrityError from refusal
        connection.execute("INSERT INTO event VALUES (pg_current_xact_id()::text)")
        connection.execute("INSERT INTO hold (id, account_id, minor, subject_kind, subject_id) "
                           "SELECT gen_random_uuid(), id, 1, 'x', id FROM account WHERE guarded")  # fmt: skip
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_no_clock_of_ones_own_stands_before_the_markets(as_role: As) -> None:
    with as_role("duebill_web") as connection:
        try:
            connection.execute("CREATE TEMP TABLE clock_shift AS SELECT interval '-1 year' AS shift")
        except psycopg.errors.InsufficientPrivilege:
            return
        near = connection.execute("SELECT abs(extract(epoch FROM market_now() - clock_timestamp())) < 60").fetchone()
        assert near == (True,)


def test_every_function_reads_the_markets_tables_and_is_nobodys_trigger_but_ours(owner_engine: Engine) -> None:
    loose = text("""
        SELECT proname FROM pg_proc JOIN pg_language ON pg_language.oid = prolang
        WHERE pronamespace = 'public'::regnamespace AND lanname = 'plpgsql' AND (
            NOT 'search_path=public, pg_temp' = ANY (coalesce(proconfig, '{}'))
            OR prorettype = 'trigger'::regtype AND has_function_privilege('duebill_web', pg_proc.oid, 'EXECUTE'))""")
    with owner_engine.connect() as connection:
        assert connection.execute(loose).scalars().all() == []


def test_an_entry_takes_no_crooked_posting_after_its_sum_was_checked(as_role: As) -> None:
    with as_role("duebill_web") as connection, pytest.raises(psycopg.errors.IntegrityError, match="does not balance"):
        connection.execute(EVENT)
        entry = connection.execute(
            "INSERT INTO entry (id, kind, subject_kind, subject_id, business_on) "
            "VALUES (gen_random_uuid(), 'x', 'x', gen_random_uuid(), current_date) RETURNING id"
        ).fetchone()
        connection.execute("INSERT INTO posting SELECT %s, id, currency, pool, side, CASE code WHEN 'provider_lender' "
                           "THEN 5 ELSE -5 END FROM account", entry)  # fmt: skip
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        connection.execute("INSERT INTO account (id, code, organisation_id, currency, pool, side, guarded) "
                           "VALUES (gen_random_uuid(), 'seller_advance', %s, 'GBP', 'lender', -1, true)",
                           [DEAL])  # fmt: skip
        connection.execute("INSERT INTO posting SELECT %s, id, currency, pool, side, -7 FROM account "
                           "WHERE code = 'seller_advance'", entry)  # fmt: skip
        connection.execute("COMMIT")


def test_a_hold_is_not_let_go_without_an_event(as_role: As) -> None:
    do(lambda tx: str(actions.place_hold(tx, actions.account(tx, "investor_cash", BOB, "GBP"), 10, "bid", DEAL)))
    with as_role("duebill_web") as connection, pytest.raises(psycopg.errors.IntegrityError, match="audit event"):
        connection.execute("INSERT INTO hold_resolution (hold_id, outcome) SELECT id, 'voided' FROM hold")
        connection.execute("COMMIT")


def test_an_account_opens_only_as_the_chart_says(as_role: As, owner_engine: Engine) -> None:
    with as_role("duebill_web") as connection, pytest.raises(psycopg.errors.CheckViolation, match="ck_account_chart"):
        connection.execute("INSERT INTO account (id, code, organisation_id, currency, pool, side, guarded) "
                           "VALUES (gen_random_uuid(), 'investor_cash', %s, 'EUR', 'lender', -1, false)",
                           [DEAL])  # fmt: skip
    with owner_engine.begin() as connection:
        for kind in chart().values():
            connection.execute(
                text("INSERT INTO account (id, code, organisation_id, currency, pool, side, guarded) "
                     "VALUES (gen_random_uuid(), :code, :owner, 'XTS', :pool, :side, :guarded)"),
                {"code": kind.code, "owner": DEAL if kind.owner == "organisation" else None, "pool": kind.pool,
                 "side": kind.side, "guarded": kind.guarded},
            )  # fmt: skip


def test_the_reader_sees_no_debtors_links(as_role: As) -> None:
    with as_role("duebill_reader") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT body FROM outgoing_mail")


def test_the_web_never_shares_out_money(as_role: As) -> None:
    for statement in ("UPDATE due SET paid_minor = 0", "INSERT INTO due SELECT * FROM due"):
        with as_role("duebill_web") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
