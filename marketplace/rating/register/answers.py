"""What the companies register publishes, as it is read here: only what is needed, of the kinds that are promised. Pure.

The register warns that members may be added and their order may change: what is not known is passed over, what is
missing is None, and what is of another kind than promised makes the whole answer unbelievable.
Source: Companies House public data API: companyProfile, filingHistoryList, chargeList, companyInsolvency; document API.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

# The states in which somebody else decides whether a debt is paid.
INSOLVENT = ("liquidation", "receivership", "administration", "voluntary-arrangement", "insolvency-proceedings")
ENDED = ("dissolved", "converted-closed", "removed", "closed")
# Of the category “accounts” only these are accounts: AA01 and its like change a date.
ACCOUNTS = ("AA", "AAMD")
XHTML, XML = "application/xhtml+xml", "application/xml"
DOCUMENT = re.compile(r"/document/([A-Za-z0-9_-]{10,100})/?$")
CASES_MAX = 50
WORD_MAX = 200

T = TypeVar("T")


class Nonsense(Exception):
    """The answer is not of the published form."""


@dataclass(frozen=True)
class Profile:
    """A company as its profile tells it. `state` is the published enumeration company_status."""

    number: str
    name: str
    state: str
    kind: str | None
    incorporated_on: date | None
    ceased_on: date | None
    accounts_due_on: date | None
    accounts_overdue: bool
    accounts_made_up_to: date | None
    accounts_kind: str | None
    has_charges: bool
    has_insolvency_history: bool


@dataclass(frozen=True)
class AccountsFiled:
    """One set of accounts in the filing history. `document_id` is None where there is nothing to fetch."""

    transaction_id: str
    made_up_to: date
    filed_on: date | None
    document_id: str | None


@dataclass(frozen=True)
class Charges:
    """Mortgages and charges over the company's assets: how many were registered, and how many are not satisfied."""

    total: int = 0
    outstanding: int = 0


@dataclass(frozen=True)
class Case:
    """One insolvency case: its kind, and the first day that is told of it. Names of practitioners are not kept."""

    kind: str
    began_on: date | None


@dataclass(frozen=True)
class CompanyAnswer:
    """All that was answered about one company; `profile` is None when the register knows no such number."""

    number: str
    profile: Profile | None
    accounts: AccountsFiled | None = None
    charges: Charges = Charges()
    cases: tuple[Case, ...] = ()

    @property
    def insolvent(self) -> bool:
        """Whether the company is in a state in which somebody else decides whether a debt is paid."""
        return self.profile is not None and self.profile.state in INSOLVENT


def profile(told: Mapping[str, Any]) -> Profile:
    """Read a company profile. Raises: Nonsense."""
    accounts = _member(told, "accounts", dict) or {}
    last, coming = _member(accounts, "last_accounts", dict) or {}, _member(accounts, "next_accounts", dict) or {}
    overdue = _member(coming, "overdue", bool)
    number, name, state = (_words(told, key) for key in ("company_number", "company_name", "company_status"))
    if not number or not name or not state:
        raise Nonsense
    return Profile(
        number=number,
        name=name,
        state=state,
        kind=_words(told, "type"),
        incorporated_on=_day(told, "date_of_creation"),
        ceased_on=_day(told, "date_of_cessation"),
        accounts_due_on=_day(coming, "due_on") or _day(accounts, "next_due"),
        accounts_overdue=bool(overdue if overdue is not None else _member(accounts, "overdue", bool)),
        accounts_made_up_to=_day(last, "period_end_on") or _day(last, "made_up_to"),
        accounts_kind=_words(last, "type"),
        has_charges=bool(_member(told, "has_charges", bool)),
        has_insolvency_history=bool(_member(told, "has_insolvency_history", bool)),
    )


def newest_accounts(told: Mapping[str, Any]) -> AccountsFiled | None:
    """Return the accounts of the newest balance sheet date in a filing history, the last filed of one date, or None.

    Raises: Nonsense.
    """
    found = []
    for item in _objects(told, "items"):
        values = _member(item, "description_values", dict) or {}
        made_up_to = _day(values, "made_up_date") or _day(item, "action_date")
        transaction = _words(item, "transaction_id")
        if _words(item, "type") not in ACCOUNTS or made_up_to is None or not transaction:
            continue
        links = _member(item, "links", dict) or {}
        # Only the document's name is taken from the link: where it is asked for is for the settings to say.
        named = DOCUMENT.search(_member(links, "document_metadata", str) or "")
        found.append(AccountsFiled(transaction, made_up_to, _day(item, "date"), named[1] if named else None))
    return max(found, key=lambda one: (one.made_up_to, one.filed_on or date.min), default=None)


def charges(told: Mapping[str, Any]) -> Charges:
    """Read the counts of a list of charges. Raises: Nonsense."""
    total, satisfied = (_member(told, key, int) or 0 for key in ("total_count", "satisfied_count"))
    if not 0 <= satisfied <= total <= 1_000_000:
        raise Nonsense
    return Charges(total, total - satisfied)


def cases(told: Mapping[str, Any]) -> tuple[Case, ...]:
    """Read the insolvency cases, newest first as the register tells them. Raises: Nonsense."""
    found = []
    for item in _objects(told, "cases")[:CASES_MAX]:
        days = [day for one in _objects(item, "dates") if (day := _day(one, "date")) is not None]
        found.append(Case(_words(item, "type") or "insolvency", min(days, default=None)))
    return tuple(found)


def readable_kind(told: Mapping[str, Any]) -> str | None:
    """Return the media type in which a document can be read here, or None for a scanned one. Raises: Nonsense."""
    resources = _member(told, "resources", dict) or {}
    return next((kind for kind in (XHTML, XML) if kind in resources), None)


def _member(told: Mapping[str, Any], key: str, kind: type[T]) -> T | None:
    value = told.get(key)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Nonsense
    return value


def _words(told: Mapping[str, Any], key: str) -> str | None:
    value = _member(told, key, str)
    return value.strip()[:WORD_MAX] or None if value is not None else None


def _day(told: Mapping[str, Any], key: str) -> date | None:
    value = _member(told, key, str)
    try:
        return date.fromisoformat(value[:10]) if value else None
    except ValueError:
        raise Nonsense from None


def _objects(told: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    items: Iterable[Any] = _member(told, key, list) or []
    found = [item for item in items if isinstance(item, dict)]
    return found
