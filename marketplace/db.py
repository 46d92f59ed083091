"""The one database handle, the base of all tables, and the database's clock."""

import select
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, cast
from uuid import UUID

import psycopg
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ARRAY, CHAR, BigInteger, ColumnElement, DateTime, MetaData, Uuid, any_, literal, text
from sqlalchemy.engine import Engine, create_engine
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column
from sqlalchemy.pool import NullPool

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

PLAIN = b"0123456789abcdefghijklmnopqrstuvwxyz_-,"


class Base(DeclarativeBase):
    """Base of every table."""

    metadata = MetaData(naming_convention=NAMES)


Id = Annotated[UUID, mapped_column(primary_key=True)]
Minor = Annotated[int, mapped_column(BigInteger)]
Currency = Annotated[str, mapped_column(CHAR(3))]
Instant = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Created = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=text("market_now()"))]

db = SQLAlchemy(model_class=Base)


def array(values: Iterable[object]) -> str:
    """Return ids, whole numbers or plain words as PostgreSQL writes an array, to be cast in the statement.

    Ten thousand values cost a driver that looks at each of them as much as the database that stores them.

    Raises: ValueError for a word that would need quotes.
    """
    told = ",".join(map(str, values))
    if told and (not told.isascii() or told.encode().translate(None, PLAIN) or ",," in f",{told},"):
        raise ValueError("an array in plain words holds ids, whole numbers and identifiers")
    return f"{{{told}}}"


def still_there(driver: Any, _record: object, _proxy: object) -> None:
    """Let a pooled connection go out only while the server keeps its end open. Costs no way there and back.

    A server that ends a connection says so and closes it: something to read on a connection that waits for nothing.

    Raises: DisconnectionError, upon which the pool takes another.
    """
    try:
        ear = select.poll()
        ear.register(driver.fileno(), select.POLLIN)
        heard = ear.poll(0)
    except (OSError, ValueError, psycopg.Error) as error:
        raise DisconnectionError from error
    if heard:
        raise DisconnectionError


class NotConnected(OperationalError):
    """There is no connection: nothing was said to the database."""


@contextmanager
def driver(engine: Engine, *, outright: bool = False) -> "Iterator[psycopg.Connection[Any]]":
    """Lend a pooled connection as its driver knows it, for where the layers above would cost as much as the database.

    What was not committed when it comes back is undone; `outright`, each statement is a transaction of its own.

    Raises: DBAPIError, as the layers above do; NotConnected, which is one, when there is none to lend.
    """
    try:
        pooled = engine.raw_connection()
    except psycopg.Error as error:
        raise NotConnected(None, None, error, hide_parameters=True) from error
    lent = cast("psycopg.Connection[Any]", pooled.driver_connection)
    try:
        if outright:
            lent.autocommit = True
        yield lent
    except psycopg.Error as error:
        raise DBAPIError.instance(None, None, error, psycopg.Error, hide_parameters=True,
                                  connection_invalidated=lent.closed) from error  # fmt: skip
    finally:
        if outright and not lent.closed:
            lent.autocommit = False
        pooled.close()


@contextmanager
def reading(url: str) -> Iterator[Session]:
    """Lend a session that can only read, on a connection of its own, which is closed afterwards."""
    engine = create_engine(url, poolclass=NullPool)
    with Session(engine.execution_options(postgresql_readonly=True)) as session:
        yield session


def among(column: Any, ids: Iterable[UUID]) -> ColumnElement[bool]:
    """Return the condition that a column is one of these ids: one parameter, however many they are."""
    return cast(ColumnElement[bool], column == any_(literal(list(ids), ARRAY(Uuid))))


# All that are opened are kept: one beyond the pool's size would be opened anew each time, for as long as a bid takes.
ENGINE: dict[str, Any] = {"pool_size": 15, "max_overflow": 0, "pool_events": [(still_there, "checkout")]}
MEETING = "meeting"
STATEMENT_MS = 30_000
# Of one transaction for several: none of them waits long for what only another needs. Its statement is planned once and
# by index: what is given differs in number, which the planner would think worth a plan each, and few rows worth a walk.
_MEETING_SETTINGS = {"lock_timeout": 100, "statement_timeout": STATEMENT_MS, "plan_cache_mode": "force_generic_plan",
                     "enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}  # fmt: skip


def meeting_engine(url: str) -> dict[str, Any]:
    """Return how the connection is made on which a process performs for several at once. It needs one, not a pool."""
    return {"url": url, "pool_size": 1, "max_overflow": 0, "hide_parameters": True,
            "pool_events": [*ENGINE["pool_events"], (_settle, "connect")]}  # fmt: skip


def _settle(connection: "psycopg.Connection[Any]", _record: object) -> None:
    """Set a new connection up by asking, so that whatever the address says besides still holds."""
    for name, value in _MEETING_SETTINGS.items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, str(value)))
    connection.commit()


def let_go() -> None:
    """Close the connections of the running application that nobody holds."""
    for engine in db.engines.values():
        engine.dispose()


def on_market_clock(session: Session, instant: datetime) -> datetime:
    """Return an instant of the world outside on the market's clock, which only a demonstration shifts."""
    told: datetime = session.execute(
        text("SELECT market_now() - (clock_timestamp() - CAST(:instant AS timestamptz))"), {"instant": instant}
    ).scalar_one()
    return told


def market_now(session: Session) -> datetime:
    """Return the database's market clock, aware, UTC. Moves within a transaction."""
    instant: datetime = session.execute(text("SELECT market_now()")).scalar_one()
    return instant
