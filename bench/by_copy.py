"""What a settlement or many closes wrote, by a bare COPY: the same columns, stored alike, in tables nothing watches.

No index, key, trigger or check; nothing is looked up, judged or worked out; the bytes are made beforehand and sent in
blocks, in one transaction. A row that was changed counts as one, as it was left. The format is COPY's own, text, unless
`binary` is asked for: half as many bytes and nothing to read, so about twice as quick.
"""

import time
from collections.abc import Sequence
from typing import Any, Literal, LiteralString

import psycopg
from psycopg import sql

from bench.figures import middle
from marketplace.embedded_postgres import EmbeddedPostgres

TIMES = 3  # a COPY takes a tenth of a settlement, and swings more
BLOCK = 1 << 16
TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname"
LATELY: LiteralString = "SELECT * FROM {} WHERE xmin::text::bigint > {}"

Form = Literal["text", "binary"]
Written = tuple[str, int, bytes]  # a table, how many of its rows, those rows as COPY reads them


def last_transaction(postgres: EmbeddedPostgres, name: str) -> int:
    """Return the number of a transaction: what is written afterwards bears higher ones."""
    with postgres.connect(name) as connection:
        row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
    assert row is not None
    return int(row[0])


def written_since(postgres: EmbeddedPostgres, name: str, since: int, form: Form = "text") -> list[Written]:
    """Return what was written in a database after a transaction, table by table."""
    with postgres.connect(name) as connection:
        tables = connection.execute(TABLES).fetchall()
        found = [_lately(connection, table, since, form) for (table,) in tables]
    return [one for one in found if one[1]]


def _lately(connection: "psycopg.Connection[Any]", table: str, since: int, form: Form) -> Written:
    lately = sql.SQL(LATELY).format(sql.Identifier(table), sql.Literal(since))
    with connection.cursor() as cursor:
        with cursor.copy(sql.SQL("COPY ({}) TO STDOUT (FORMAT {})").format(lately, sql.SQL(form))) as copy:
            content = b"".join(bytes(block) for block in copy)
        return table, cursor.rowcount, content


def copied_as_written(postgres: EmbeddedPostgres, name: str, written: Sequence[Written], form: Form = "text") -> float:
    """Return the seconds that a bare COPY of these rows takes, with its commit: the middle of three."""
    return middle([_copied(postgres, name, written, form) for _ in range(TIMES)])


def _copied(postgres: EmbeddedPostgres, name: str, written: Sequence[Written], form: Form) -> float:
    with postgres.connect(name) as connection:
        for table, _, _ in written:
            bare, like = sql.Identifier(f"bare_{table}"), sql.Identifier(table)
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(bare))
            connection.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING STORAGE)").format(bare, like))
        began = time.perf_counter()
        with connection.transaction():
            for table, _, content in written:
                _send(connection, table, content, form)
        return time.perf_counter() - began


def _send(connection: "psycopg.Connection[Any]", table: str, content: bytes, form: Form) -> None:
    into = sql.SQL("COPY {} FROM STDIN (FORMAT {})").format(sql.Identifier(f"bare_{table}"), sql.SQL(form))
    with connection.cursor().copy(into) as copy:
        for place in range(0, len(content), BLOCK):
            copy.write(content[place : place + BLOCK])
