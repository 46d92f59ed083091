"""Rows of the clock: who leads, what ran last, what failed."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Date, DateTime, Index, Integer, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from marketplace.db import Base, Created, Id, Instant


class JobLeader(Base):
    """The one scheduler that counts. Every election raises the token; a late leader's token is refused."""

    __tablename__ = "job_leader"

    one: Mapped[bool] = mapped_column(Boolean, primary_key=True, server_default=text("true"))
    token: Mapped[int] = mapped_column(BigInteger)
    holder: Mapped[str] = mapped_column(Text)
    since: Mapped[Created]
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("clock_timestamp()"))


class JobState(Base):
    """The last run of each job, and its counts."""

    __tablename__ = "job_state"

    job: Mapped[str] = mapped_column(Text, primary_key=True)
    token: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[Instant | None]
    finished_at: Mapped[Instant | None]
    worked_at: Mapped[Instant | None]
    rows: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    rows_ever: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    runs: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    failures: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    last_error: Mapped[str | None] = mapped_column(Text)
    every_seconds: Mapped[int | None] = mapped_column(Integer)
    next_at: Mapped[Instant | None]


class JobRun(Base):
    """One run of a daily job: one per business date, whoever starts it.

    A date on which nobody kept time is `covered_by` the next run, which did its work too.
    """

    __tablename__ = "job_run"

    job: Mapped[str] = mapped_column(Text, primary_key=True)
    business_on: Mapped[date] = mapped_column(Date, primary_key=True)
    token: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[Created]
    finished_at: Mapped[Instant | None]
    rows: Mapped[int | None] = mapped_column(Integer)
    covered_by: Mapped[date | None] = mapped_column(Date)


class JobWish(Base):
    """A person's wish that a job run again now. Whoever leads takes it, once; one waits per job."""

    __tablename__ = "job_wish"
    __table_args__ = (Index("uq_job_wish_open", "job", unique=True, postgresql_where=text("taken_at IS NULL")),)

    id: Mapped[Id]
    job: Mapped[str] = mapped_column(Text)
    wanted_by: Mapped[UUID | None]
    wanted_at: Mapped[Created]
    taken_at: Mapped[Instant | None]
    token: Mapped[int | None] = mapped_column(BigInteger)


class JobFailure(Base):
    """One thing a job could not do. It stays open until a later run does it or an operator looks."""

    __tablename__ = "job_failure"

    id: Mapped[Id]
    job: Mapped[str] = mapped_column(Text)
    subject_id: Mapped[UUID | None]
    code: Mapped[str] = mapped_column(Text)
    words: Mapped[str] = mapped_column(Text)
    failed_at: Mapped[Created]
    times: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    cleared_at: Mapped[Instant | None]
