"""P8: an accepted award of 10,000 fills becomes money, title and dues, against a bare COPY of its rows.

Timed is the market's own verb from the first lock to the commit: holds turned into postings, balances, title, the
notice, the advance, dues, events, every deferred constraint. A small award is settled before, as in any process that
has been at work: what is loaded and compiled once is not what is measured.

COPY writes the very rows that the settlement wrote (`by_copy`), in its own format; what they take in the binary
one is told beside it (`binary_s`). It used to write five rows a fill of one made-up width, which left out balances, the
notice and events; that is still told too (`narrow_s`).

The ORM does the same job (`settle_by_orm`): the same rows into the market's own tables, under the same constraints and
triggers, object by object. It does it for ORM_FILLS_MOST fills, and its time is scaled up by the fills; ours is that of
all of them. That favours the ORM, whose deferred checks take longer the more statements there were before.

It was measured otherwise until the market's own tables were asked of it too: objects flushed one by one into one table
that nothing watches, which is not the same job. That figure is still told, as `orm_bare`.
"""

import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import BigInteger, create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from bench.by_copy import copied_as_written, last_transaction, written_since
from bench.figures import Figure, Say, middle, ratio
from bench.lots import FOLLOW, STEP, make
from bench.server import application, database, server
from bench.settle_by_orm import settled_by_orm
from marketplace.db import let_go
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.ids import new_id
from marketplace.perform import perform
from marketplace.servicing.schemas import SettleAward
from marketplace.servicing.settlement import settle_award
from marketplace.stack.installation import OWNER
from marketplace.trading.actions import accept_award, close_lot
from marketplace.trading.schemas import AcceptAward, CloseLot

FILLS, COPY_MOST, ORM_LEAST = 10_000, 10.0, 30.0
ORM_FILLS_MOST = ORM_ROWS_MOST = 2_000
WARMING = 10  # fills of the award that is settled before
SYSTEM = Actor.system("bench")
BARE = "CREATE TABLE bare (a uuid, b uuid, c uuid, word text, minor bigint, at timestamptz DEFAULT now())"


def measure(size: int | None, runs: int, say: Say) -> Iterator[Figure]:
    """Yield P8 twice: ours ÷ COPY, and an ORM row by row ÷ ours; `size` is the number of fills, 10,000 by default."""
    fills = size or FILLS
    few = min(fills, ORM_FILLS_MOST)
    ours, copies, binary, narrow, orms, bare = [], [], [], [], [], []
    with server(fills * 20_000 + 200_000_000, say) as postgres:
        for run in range(runs):
            name = f"settle_{run}"
            with application(database(postgres, name), postgres.directory).app_context():
                lot = _accepted(postgres, name, fills)
                since = last_transaction(postgres, name)
                began = time.perf_counter()
                perform(settle_award, SettleAward(lot), SYSTEM)
                ours.append(time.perf_counter() - began)
                written = written_since(postgres, name, since)
                as_bytes = written_since(postgres, name, since, "binary")  # now: a copy is written later too
                copies.append(copied_as_written(postgres, name, written))
                binary.append(copied_as_written(postgres, name, as_bytes, "binary"))
                narrow.append(copied(postgres, name, 5 * fills))
                rows = min(fills, ORM_ROWS_MOST)
                bare.append(into_bare(postgres, name, rows) * 5 * fills / rows)
                let_go()
            postgres.drop_database(name)
            seconds, orm_rows = _by_orm(postgres, f"settle_orm_{run}", few)
            orms.append(seconds * fills / few)
            say(f"run {run + 1}: {fills:,} fills in {ours[-1]:.2f} s, COPY {copies[-1]:.2f} s, ORM {orms[-1]:.1f} s "
                f"(of {few:,} fills in {seconds:.1f} s; as many rows into a bare table {bare[-1]:.1f} s)")  # fmt: skip
    parts = {"fills": fills, "rows": sum(rows for _, rows, _ in written),
             "binary_rows": sum(rows for _, rows, _ in as_bytes),
             "bytes": {table: len(content) for table, _, content in written if len(content) > fills},
             "ours_s": middle(ours), "copy_s": middle(copies), "binary_s": middle(binary), "narrow_s": middle(narrow),
             "ours_to_binary": ratio(ours, binary), "ours_to_narrow": ratio(ours, narrow),
             "orm_s": middle(orms), "orm_fills": few, "orm_rows": orm_rows, "orm_bare_s": middle(bare),
             "orm_bare_to_ours": ratio(bare, ours)}  # fmt: skip
    copy = ratio(ours, copies)
    yield Figure("P8 copy", copy, COPY_MOST, copy <= COPY_MOST, runs, parts)
    orm = ratio(orms, ours)
    yield Figure("P8 orm", orm, ORM_LEAST, orm >= ORM_LEAST, runs, parts)


def _by_orm(postgres: EmbeddedPostgres, name: str, fills: int) -> tuple[float, int]:
    """Settle a lot of so many fills, then do the same by ORM where it was not settled; return seconds and rows."""
    before = f"{name}_before"
    with application(database(postgres, name), postgres.directory).app_context():
        lot = _accepted(postgres, name, fills)
        let_go()
        postgres.create_database(before, name, OWNER)
        since = last_transaction(postgres, name)
        perform(settle_award, SettleAward(lot), SYSTEM)
        let_go()
    done = settled_by_orm(postgres, name, before, since)
    for one in (name, before):
        postgres.drop_database(one)
    return done


def _accepted(postgres: EmbeddedPostgres, name: str, fills: int) -> UUID:
    """Write one lot that so many bids of one step each just cover; close it, and let the seller accept.

    So is a small one before, and its award is settled.
    """
    with postgres.connect(name) as connection:
        made = make(connection, 2, max(fills, WARMING), 0)
        sizes = dict(zip(made.lots, (WARMING, fills), strict=True))
        connection.execute("SET session_replication_role = replica")
        for lot, bids in sizes.items():
            _listed(connection, lot, bids * STEP)
            _bid_for(connection, lot, bids)
        connection.execute(FOLLOW)
        connection.execute("UPDATE clock_shift SET shift = shift + interval '2 days'")
        row = connection.execute("SELECT seller_id FROM lot").fetchone()
        connection.execute("RESET session_replication_role")
        connection.execute("ANALYZE")
    assert row is not None
    small, large = made.lots
    for lot in (small, large):
        perform(close_lot, CloseLot(lot), SYSTEM)
        perform(accept_award, AcceptAward(lot), Actor(Role.SELLER, None, row[0], on_behalf_of="bench"))
    perform(settle_award, SettleAward(small), SYSTEM)
    return large


def _bid_for(connection: "psycopg.Connection[Any]", lot: UUID, bids: int) -> None:
    connection.execute(
        "WITH asked AS (SELECT gen_random_uuid() AS id, gen_random_uuid() AS hold_id, account.id AS account_id, "
        "organisation_id FROM account WHERE code = 'investor_cash' LIMIT %(bids)s), held AS (INSERT INTO hold (id, "
        "account_id, minor, subject_kind, subject_id) SELECT hold_id, account_id, %(step)s, 'bid', id FROM asked "
        "RETURNING 1) "
        "INSERT INTO bid (id, lot_id, investor_id, group_id, cash_minor, min_fill_minor, rate_bps, hold_id, "
        "placed_by) SELECT id, %(lot)s, organisation_id, organisation_id, %(step)s, 0, 700, hold_id, id FROM asked",
        {"lot": lot, "step": STEP, "bids": bids},
    )


def _listed(connection: "psycopg.Connection[Any]", receivable_id: UUID, target: int) -> None:
    """Write what a listing leaves. A lot has its receivable's id here."""
    one = {"id": receivable_id, "target": target, "face": target * 10 // 8, "key": receivable_id.bytes * 2}
    connection.execute("UPDATE receivable SET face_minor = %(face)s, total_minor = %(face)s WHERE id = %(id)s", one)
    connection.execute("UPDATE lot SET face_minor = %(face)s, target_minor = %(target)s WHERE id = %(id)s", one)
    connection.execute(
        "INSERT INTO draft (id, seller_id, evidence, read, findings) "
        "SELECT id, seller_id, 'typed', '{}', '{}' FROM receivable WHERE id = %(id)s", one
    )  # fmt: skip
    terms = "deal_type, recourse, price_rule, seller_default, reserve_bps, own_rate_bps, min_share_bps, policy_version"
    connection.execute(
        f"INSERT INTO listing_round (receivable_id, round, {terms}) SELECT id, 1, {terms} FROM receivable "
        "WHERE id = %(id)s", one
    )  # fmt: skip
    connection.execute(
        "INSERT INTO title (receivable_id, key, face_minor, currency) VALUES (%(id)s, %(key)s, %(face)s, 'GBP')", one
    )
    connection.execute(
        "INSERT INTO holding (id, receivable_id, owner_id, units, held_during, cause) SELECT gen_random_uuid(), "
        "receivable_id, seller_id, int8range(0, %(face)s), tstzrange(market_now(), NULL), 'register' FROM lot "
        "WHERE id = %(id)s", one
    )  # fmt: skip


def copied(postgres: EmbeddedPostgres, name: str, rows: int) -> float:
    """Return the seconds that a bare COPY of so many rows takes, with its commit."""
    made = [(new_id(), new_id(), new_id(), "principal", number) for number in range(rows)]
    with postgres.connect(name) as connection:
        connection.execute("DROP TABLE IF EXISTS bare")
        connection.execute(BARE)
        began = time.perf_counter()
        with connection.cursor().copy("COPY bare (a, b, c, word, minor) FROM STDIN") as copy:
            for row in made:
                copy.write_row(row)
        return time.perf_counter() - began


class _Mapped(DeclarativeBase):
    pass


class Bare(_Mapped):
    """A row of the table that nothing watches, as an ORM sees it."""

    __tablename__ = "bare"

    a: Mapped[UUID] = mapped_column(primary_key=True)
    b: Mapped[UUID]
    c: Mapped[UUID]
    word: Mapped[str]
    minor: Mapped[int] = mapped_column(BigInteger)


def into_bare(postgres: EmbeddedPostgres, name: str, rows: int) -> float:
    """Return the seconds that so many objects of an ORM take, flushed one by one, in one transaction."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: postgres.connect(name))
    with Session(engine) as session:
        session.execute(text("SELECT 1"))
        began = time.perf_counter()
        for number in range(rows):
            session.add(Bare(a=new_id(), b=new_id(), c=new_id(), word="principal", minor=number))
            session.flush()
        session.commit()
        seconds = time.perf_counter() - began
    engine.dispose()
    return seconds


def row_by_row(postgres: EmbeddedPostgres, name: str, rows: int) -> float:
    """Return the seconds that a statement a row takes for so many, in one transaction."""
    with postgres.connect(name) as connection, connection.transaction():
        began = time.perf_counter()
        for number in range(rows):
            connection.execute("INSERT INTO bare (a, b, c, word, minor) VALUES (%s, %s, %s, 'principal', %s)",
                               (new_id(), new_id(), new_id(), number))  # fmt: skip
        return time.perf_counter() - began
