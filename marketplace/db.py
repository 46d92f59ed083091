"""The one database handle, the base of all tables, and the database's clock."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import CHAR, BigInteger, DateTime, MetaData, text
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of every table."""

    metadata = MetaData(naming_convention=NAMES)


Id = Annotated[UUID, mapped_column(primary_key=True)]
Minor = Annotated[int, mapped_column(BigInteger)]
Currency = Annotated[str, mapped_column(CHAR(3))]
Instant = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Created = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=text("market_now()"))]

db = SQLAlchemy(model_class=Base)


def market_now(session: Session) -> datetime:
    """Return the database's market clock, aware, UTC. Moves within a transaction."""
    instant: datetime = session.execute(text("SELECT market_now()")).scalar_one()
    return instant
