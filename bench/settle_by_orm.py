"""The same settlement, row by row, through an ORM: into the market's own tables, with all that watches them.

Which rows a settlement wrote is read from a database that was settled. In a copy from before it, the same rows are
written as objects of the market's mapped classes: each added, or changed, and flushed by itself, in one transaction,
in an order that the walls allow, to its commit with every deferred check. Afterwards both databases must hold the same.

What it is spared favours the ORM: nothing is looked up, judged or worked out, no bytes of an event are made, and the
postings of an entry are one statement, because the database takes no posting that does not balance by itself.
"""

import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Table, create_engine, insert, inspect, select, text
from sqlalchemy.orm import DeclarativeBase, Mapper, Session

from bench.by_copy import TABLES
from marketplace.db import Base
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.stack.installation import APPLICATION

# Locks first, and what is referred to before what refers to it. A hold ends before its cash goes.
ORDER = ("lot", "account", "entry", "hold_resolution", "posting", "holding", "receivable", "notice_of_assignment",
         "payout", "payment_alert", "collection", "due", "event")  # fmt: skip
IN_SETS = "posting"
# What triggers stamp with their own transaction and clock; all else is the same, what triggers write as well.
STAMPS = {"entry": {"xact"}, "event": {"xact"}, "exchange_watch": {"wanted_since", "next_at"}}
COLUMNS = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"

Row = dict[str, Any]
Batch = tuple[type[DeclarativeBase], list[tuple[Any, Row]]]  # a class; its rows, by primary key where one changes


def settled_by_orm(postgres: EmbeddedPostgres, settled: str, before: str, since: int) -> tuple[float, int]:
    """Write in the database `before` what was written in `settled` after transaction `since`; return seconds and rows.

    Raises: AssertionError when the two do not hold the same rows afterwards.
    """
    there, here = (create_engine(postgres.url(name, APPLICATION)) for name in (settled, before))
    batches = [_batch(there, here, table, since) for table in ORDER]
    seconds = _write(here, batches)
    there.dispose()
    here.dispose()
    differ = list(_differing(postgres, settled, before))
    assert not differ, f"not the same rows: {', '.join(differ)}"
    return seconds, sum(len(rows) for _, rows in batches)


def _batch(there: Engine, here: Engine, name: str, since: int) -> Batch:
    mapper = next(one for one in Base.registry.mappers if one.local_table is Base.metadata.tables[name])
    table = Base.metadata.tables[name]
    with there.connect() as settled, here.connect() as before:
        known = set(before.execute(select(*table.primary_key)).all())
        rows = [(key if key in known else None, row) for key, row in _written(settled, mapper, table, since)]
    return mapper.class_, rows


def _written(connection: Connection, mapper: Mapper[Any], table: Table, since: int) -> Iterator[tuple[Any, Row]]:
    """Yield primary key and attributes of the rows that were written since, in the order in which they lie."""
    columns = [column for column in table.columns if column.identity is None]  # the database alone numbers events
    names = [mapper.get_property_by_column(column).key for column in columns]
    lately = text(f"{table.name}.xmin::text::bigint > :since ORDER BY {table.name}.ctid").bindparams(since=since)
    for row in connection.execute(select(*columns).where(lately)).mappings():
        yield tuple(row[key] for key in table.primary_key), dict(zip(names, row.values(), strict=True))


def _write(here: Engine, batches: list[Batch]) -> float:
    """Return the seconds from the first object to the commit."""
    with Session(here) as session:
        session.execute(text("SELECT 1"))
        began = time.perf_counter()
        for kind, rows in batches:
            if kind.__tablename__ == IN_SETS:
                _write_sets(session, kind, [row for _, row in rows])
                continue
            for key, row in rows:
                _write_one(session, kind, key, row)
        session.commit()
        return time.perf_counter() - began


def _write_one(session: Session, kind: type[DeclarativeBase], key: Any, row: Row) -> None:
    if key is None:
        session.add(kind(**row))
    else:
        found = session.get_one(kind, key)
        for name, value in row.items():
            if name not in inspect(found).unloaded:  # what is read only when asked for was not changed
                setattr(found, name, value)
    session.flush()


def _write_sets(session: Session, kind: type[DeclarativeBase], rows: list[Row]) -> None:
    entries: dict[UUID, list[Row]] = {}
    for row in rows:
        entries.setdefault(row["entry_id"], []).append(row)
    for legs in entries.values():
        session.execute(insert(kind).values(legs))


def _differing(postgres: EmbeddedPostgres, one: str, other: str) -> Iterator[str]:
    with postgres.connect(one) as first, postgres.connect(other) as second:
        for (table,) in first.execute(TABLES).fetchall():
            stamped = STAMPS.get(table, set())
            columns = ", ".join(f'"{name}"' for (name,) in first.execute(COLUMNS, (table,)) if name not in stamped)
            told = (f"SELECT count(*), md5(string_agg(told, chr(10) ORDER BY told)) "
                    f'FROM (SELECT ROW({columns})::text AS told FROM "{table}") AS rows')  # fmt: skip
            if first.execute(told).fetchone() != second.execute(told).fetchone():
                yield table
