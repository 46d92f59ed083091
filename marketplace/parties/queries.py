"""Reads of the parties."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import RowMapping, Select, func, select, text
from sqlalchemy.orm import Session, aliased

from marketplace.db import among, array
from marketplace.kernel.actors import Role
from marketplace.kernel.errors import NotFound
from marketplace.kernel.words import N_
from marketplace.parties.tables import OrganisationRow, RelationRow, UserAccountRow


@dataclass(frozen=True)
class Organisation:
    """An organisation as other rooms see it. `legal_id` is the number in its country's company register."""

    id: UUID
    kind: str
    legal_name: str
    legal_id: str | None
    vat_id: str | None
    country: str
    sector: str | None
    group_id: UUID | None
    iban: str | None
    good_standing: bool
    created_at: datetime
    payout_rail: str = "provider"

    @property
    def group(self) -> UUID:
        """The group it belongs to: its own id where it belongs to none."""
        return self.group_id or self.id


class Registered(NamedTuple):
    """An organisation as a register names it; its id as a text."""

    id: str
    legal_name: str
    legal_id: str | None
    vat_id: str | None
    country: str


@dataclass(frozen=True)
class Relation:
    """Two organisations that count as one, why, and where that is written."""

    id: UUID
    one_id: UUID
    one_name: str
    other_id: UUID
    other_name: str
    kind: str
    reference: str
    recorded_at: datetime


@dataclass(frozen=True)
class User:
    """A person, without secrets."""

    id: UUID
    email: str
    display_name: str
    role: Role
    organisation_id: UUID
    organisation_name: str
    locale: str
    active: bool
    good_standing: bool


def organisation(session: Session, organisation_id: UUID) -> Organisation:
    """Return one organisation.

    Raises: NotFound("organisation_not_found").
    """
    row = session.get(OrganisationRow, organisation_id)
    if row is None:
        raise NotFound("organisation_not_found", N_("There is no such organisation."))
    return _organisation(row)


def organisations(session: Session, ids: Iterable[UUID]) -> dict[UUID, Organisation]:
    """Return organisations by id; unknown ids are left out."""
    columns = [getattr(OrganisationRow, name) for name in Organisation.__dataclass_fields__]
    wanted = among(OrganisationRow.id, set(ids))
    rows = session.execute(select(*columns).where(wanted)).all()  # thousands of them need no row objects
    return {row.id: Organisation(*row) for row in rows}


def registered(session: Session, ids: Iterable[UUID | str]) -> list[Registered]:
    """Return under which names and numbers organisations are registered; unknown ids are left out.

    There may be thousands: they come with no more than that, and with their ids as texts.
    """
    rows = session.execute(
        text(
            "SELECT CAST(id AS text), legal_name, legal_id, vat_id, country FROM organisation "
            "WHERE id = ANY (CAST(:ids AS uuid[]))"
        ),
        {"ids": array(ids)},
    ).all()
    return [Registered(*row) for row in rows]


def own_accounts(session: Session) -> list[str]:
    """Return the IBANs of the market's own accounts, in order."""
    return sorted(one.iban for one in of_kind(session, "operator") if one.iban)


def everyone(session: Session) -> list[Organisation]:
    """Return all organisations, by name."""
    rows = session.scalars(select(OrganisationRow).order_by(func.lower(OrganisationRow.legal_name), OrganisationRow.id))
    return [_organisation(row) for row in rows]


def of_kind(session: Session, kind: str) -> list[Organisation]:
    """Return all organisations of a kind, by name."""
    rows = session.scalars(
        select(OrganisationRow)
        .where(OrganisationRow.kind == kind)
        .order_by(OrganisationRow.legal_name, OrganisationRow.id)
    )
    return [_organisation(row) for row in rows]


def registered_in(session: Session, country: str, leaving_out: Select[UUID], limit: int) -> list[Organisation]:
    """Return sellers and debtors with a number in a country's company register, the longest known first."""
    rows = session.scalars(
        select(OrganisationRow)
        .where(OrganisationRow.country == country, OrganisationRow.kind.in_(("seller", "debtor")),
               OrganisationRow.legal_id.is_not(None), OrganisationRow.id.not_in(leaving_out))
        .order_by(OrganisationRow.created_at, OrganisationRow.id)
        .limit(limit)
    )  # fmt: skip
    return [_organisation(row) for row in rows]


def find_by_legal_id(session: Session, country: str, legal_id: str) -> Organisation | None:
    """Return the organisation with this number (already normalised) in its country's register, if known here."""
    row = session.scalars(
        select(OrganisationRow).where(OrganisationRow.country == country, OrganisationRow.legal_id == legal_id)
    ).one_or_none()
    return _organisation(row) if row else None


def find_by_vat_id(session: Session, vat_id: str) -> Organisation | None:
    """Return the organisation with this VAT number if exactly one has it: a VAT group shares one number."""
    rows = session.scalars(select(OrganisationRow).where(OrganisationRow.vat_id == vat_id).limit(2)).all()
    return _organisation(rows[0]) if len(rows) == 1 else None


def find_nameless(session: Session, country: str, legal_name: str) -> Organisation | None:
    """Return the organisation known by its name alone, without any number."""
    row = session.scalars(
        select(OrganisationRow).where(
            OrganisationRow.country == country,
            func.lower(OrganisationRow.legal_name) == legal_name.lower(),
            OrganisationRow.legal_id.is_(None),
            OrganisationRow.vat_id.is_(None),
        )
    ).one_or_none()
    return _organisation(row) if row else None


def related(session: Session, a: UUID, b: UUID) -> bool:
    """Say whether two organisations are one or belong to one group."""
    if a == b:
        return True
    groups = session.execute(
        select(OrganisationRow.id, OrganisationRow.group_id).where(OrganisationRow.id.in_((a, b)))
    ).all()
    return len({row.group_id or row.id for row in groups}) < len(groups)


def relations(session: Session) -> list[Relation]:
    """Return the relations that stand, newest first."""
    one, other = aliased(OrganisationRow), aliased(OrganisationRow)
    rows = session.execute(
        select(RelationRow.id, RelationRow.one_id, one.legal_name, RelationRow.other_id, other.legal_name,
               RelationRow.kind, RelationRow.reference, RelationRow.recorded_at)
        .join(one, one.id == RelationRow.one_id).join(other, other.id == RelationRow.other_id)
        .where(RelationRow.ended_at.is_(None)).order_by(RelationRow.recorded_at.desc(), RelationRow.id)
    )  # fmt: skip
    return [Relation(*row) for row in rows]


def user(session: Session, user_id: UUID) -> User:
    """Return one person.

    Raises: NotFound("user_not_found").
    """
    row = session.execute(_users().where(UserAccountRow.id == user_id)).mappings().one_or_none()
    if row is None:
        raise NotFound("user_not_found", N_("There is no such person."))
    return _user(row)


def users(session: Session, ids: Iterable[UUID]) -> dict[UUID, User]:
    """Return people by id; unknown ids are left out."""
    rows = session.execute(_users().where(UserAccountRow.id.in_(set(ids)))).mappings()
    return {row["id"]: _user(row) for row in rows}


def users_of(session: Session, organisation_id: UUID) -> list[User]:
    """Return the people of an organisation, by name."""
    rows = session.execute(
        _users()
        .where(UserAccountRow.organisation_id == organisation_id)
        .order_by(UserAccountRow.display_name, UserAccountRow.id)
    ).mappings()
    return [_user(row) for row in rows]


def find_user(session: Session, email: str) -> User | None:
    """Return the person with this address, whatever its case."""
    row = session.execute(_users().where(UserAccountRow.email == email.strip().lower())).mappings().one_or_none()
    return _user(row) if row else None


def addresses(session: Session, organisation_id: UUID) -> frozenset[str]:
    """Return the addresses by which an organisation's people sign in, also of those who may not any more."""
    return frozenset(
        session.execute(select(UserAccountRow.email).where(UserAccountRow.organisation_id == organisation_id)).scalars()
    )


def active_people(session: Session) -> list[User]:
    """Return the first fifty active people in the order they came: for a demonstration's list."""
    rows = session.execute(
        _users().where(UserAccountRow.active).order_by(UserAccountRow.created_at, UserAccountRow.email).limit(50)
    ).mappings()
    return [_user(row) for row in rows]


def people(session: Session) -> list[User]:
    """Return everybody who ever had an account, suspended or not, in the order they came."""
    rows = session.execute(_users().order_by(UserAccountRow.created_at, UserAccountRow.email)).mappings()
    return [_user(row) for row in rows]


def _users() -> Select[*tuple[Any, ...]]:
    return select(
        UserAccountRow.id,
        UserAccountRow.email,
        UserAccountRow.display_name,
        UserAccountRow.role,
        UserAccountRow.organisation_id,
        OrganisationRow.legal_name.label("organisation_name"),
        UserAccountRow.locale,
        UserAccountRow.active,
        OrganisationRow.good_standing,
    ).join(OrganisationRow, OrganisationRow.id == UserAccountRow.organisation_id)


def _user(row: RowMapping) -> User:
    return User(**{**row, "role": Role(row["role"])})


def _organisation(row: OrganisationRow) -> Organisation:
    return Organisation(
        id=row.id,
        kind=row.kind,
        legal_name=row.legal_name,
        legal_id=row.legal_id,
        vat_id=row.vat_id,
        country=row.country,
        sector=row.sector,
        group_id=row.group_id,
        iban=row.iban,
        good_standing=row.good_standing,
        created_at=row.created_at,
        payout_rail=row.payout_rail,
    )
