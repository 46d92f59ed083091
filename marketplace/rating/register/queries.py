"""What is known from the companies register, and whom to ask about next."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from marketplace.parties import queries as parties
from marketplace.parties.queries import Organisation
from marketplace.rating.figures import normal_company_number
from marketplace.rating.register.tables import RegisterAnswerRow, RegisterLineRow, RegisterWatchRow

COUNTRY = "GB"


@dataclass(frozen=True)
class RegisterFacts:
    """The newest answer about a party: what it says beside the accounts. The rating's overlay reads this."""

    organisation_id: UUID
    company_number: str
    source: str
    said_on: date
    asked_at: datetime
    company_name: str | None
    company_state: str | None
    incorporated_on: date | None
    ceased_on: date | None
    accounts_due_on: date | None
    accounts_overdue: bool
    accounts_made_up_to: date | None
    accounts_kind: str | None
    charges_total: int
    charges_outstanding: int
    cases: Sequence[Mapping[str, Any]]
    insolvent: bool
    document_id: str | None


@dataclass(frozen=True)
class Watch:
    """When a party is asked about next, and what became of its newest accounts at the register."""

    organisation_id: UUID
    next_at: datetime
    failures: int
    trouble: str | None
    document_id: str | None
    document_outcome: str | None
    document_words: str | None


@dataclass(frozen=True)
class Line:
    """How the register itself does."""

    state: str
    code: str | None
    since: datetime
    heard_at: datetime | None
    rests_until: datetime | None


def settings() -> Any:
    """Return how this installation asks the register (`config.settings.CompaniesRegister`)."""
    return current_app.extensions["duebill"].settings.companies_register


def number_of(organisation: Organisation) -> str | None:
    """Return the number under which the register knows an organisation, or None when it is not one of its own."""
    if organisation.country != COUNTRY or not organisation.legal_id:
        return None
    return normal_company_number(organisation.legal_id)


def facts(session: Session, ids: Iterable[UUID]) -> dict[UUID, RegisterFacts]:
    """Return the newest answer about each party that there is one of."""
    rows = session.scalars(
        select(RegisterAnswerRow)
        .ext(distinct_on(RegisterAnswerRow.organisation_id))
        .where(RegisterAnswerRow.organisation_id.in_(list(ids)))
        .order_by(RegisterAnswerRow.organisation_id, RegisterAnswerRow.asked_at.desc(), RegisterAnswerRow.id.desc())
    )
    names = RegisterFacts.__dataclass_fields__
    return {row.organisation_id: RegisterFacts(**{name: getattr(row, name) for name in names}) for row in rows}


def told(session: Session, limit: int) -> list[RegisterFacts]:
    """Return the newest answers, the worst first: insolvent, then unknown numbers, then accounts overdue."""
    newest = (
        select(RegisterAnswerRow.id)
        .ext(distinct_on(RegisterAnswerRow.organisation_id))
        .order_by(RegisterAnswerRow.organisation_id, RegisterAnswerRow.asked_at.desc(), RegisterAnswerRow.id.desc())
    )
    rows = session.scalars(
        select(RegisterAnswerRow)
        .where(RegisterAnswerRow.id.in_(newest))
        .order_by(RegisterAnswerRow.insolvent.desc(), RegisterAnswerRow.company_state.is_(None).desc(),
                  RegisterAnswerRow.accounts_overdue.desc(), RegisterAnswerRow.asked_at.desc(), RegisterAnswerRow.id)
        .limit(limit)
    )  # fmt: skip
    names = RegisterFacts.__dataclass_fields__
    return [RegisterFacts(**{name: getattr(row, name) for name in names}) for row in rows]


def troubled(session: Session, limit: int) -> list[Watch]:
    """Return the parties about which asking failed the last time, the longest failing first."""
    rows = session.scalars(
        select(RegisterWatchRow)
        .where(RegisterWatchRow.failures > 0)
        .order_by(RegisterWatchRow.failures.desc(), RegisterWatchRow.organisation_id)
        .limit(limit)
    )
    names = Watch.__dataclass_fields__
    return [Watch(**{name: getattr(row, name) for name in names}) for row in rows]


def insolvent(session: Session, organisation_id: UUID) -> bool:
    """Return whether the register's newest answer says that a party is insolvent."""
    known = facts(session, [organisation_id]).get(organisation_id)
    return known is not None and known.insolvent


def says_overdue(session: Session, organisation_id: UUID, period_end: date) -> bool:
    """Return whether the register's newest answer says that accounts after those of this date are overdue."""
    known = facts(session, [organisation_id]).get(organisation_id)
    if known is None or not known.accounts_overdue:
        return False
    # What it says of older accounts than these, these have answered.
    return known.accounts_made_up_to is None or period_end <= known.accounts_made_up_to


def insolvent_ids() -> Select[UUID]:
    """Return a query for the parties whose newest answer says that they are insolvent."""
    newest = (
        select(RegisterAnswerRow.organisation_id, RegisterAnswerRow.insolvent)
        .ext(distinct_on(RegisterAnswerRow.organisation_id))
        .order_by(RegisterAnswerRow.organisation_id, RegisterAnswerRow.asked_at.desc(), RegisterAnswerRow.id.desc())
    ).subquery()
    return select(newest.c.organisation_id).where(newest.c.insolvent)


def watches(session: Session, ids: Iterable[UUID]) -> dict[UUID, Watch]:
    """Return when each party is asked about next."""
    rows = session.scalars(select(RegisterWatchRow).where(RegisterWatchRow.organisation_id.in_(list(ids))))
    names = Watch.__dataclass_fields__
    return {row.organisation_id: Watch(**{name: getattr(row, name) for name in names}) for row in rows}


def line(session: Session) -> Line:
    """Return how the register itself does."""
    row = session.get_one(RegisterLineRow, True)
    return Line(row.state, row.code, row.since, row.heard_at, row.rests_until)


def rests(session: Session) -> bool:
    """Return whether the register is to be left alone for now."""
    until = RegisterLineRow.rests_until
    return bool(session.scalar(select(func.coalesce(until > func.market_now(), False)).select_from(RegisterLineRow)))


def due(session: Session, limit: int) -> list[Organisation]:
    """Return British sellers and debtors that are to be asked about now, those never asked about among them."""
    asked = select(RegisterWatchRow.organisation_id).where(RegisterWatchRow.next_at > func.market_now())
    return parties.registered_in(session, COUNTRY, asked, limit)
