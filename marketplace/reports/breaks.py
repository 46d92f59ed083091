"""What the last comparisons with the provider and the bank could not match, each with the day it was first seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Break:
    """One difference that stands. `place`: provider or bank; `minor` is what the other side has more than our books."""

    place: str
    currency: str
    kind: str
    minor: int
    about: str
    since: datetime
    days: int


LAST_AT_BANK = """
SELECT DISTINCT ON (iban, currency) right(iban, 4) AS ends, currency, stated_on, stated_minor, ledger_minor,
    explained_minor, unexplained_minor, at FROM bank_reconciliation ORDER BY iban, currency, at DESC
"""
# Below zero the platform's part is what it took, by the provider's hand, out of money that is its clients'.
OWED_TO_CLIENTS = """
SELECT currency, -sum(posted_minor)::bigint AS minor FROM balance JOIN account ON account.id = balance.account_id
WHERE code = 'provider_platform' GROUP BY currency HAVING sum(posted_minor) < 0 ORDER BY currency
"""
# A break stands while the last comparison tells it, and is as old as the first one that told the same.
STANDING = """
WITH told AS (
    SELECT 'provider' AS place, currency AS account, currency, at, breaks FROM reconciliation
    UNION ALL SELECT 'bank', iban, currency, at, breaks FROM bank_reconciliation
), last AS (
    SELECT DISTINCT ON (place, account, currency) * FROM told ORDER BY place, account, currency, at DESC
)
SELECT l.place, l.currency, one ->> 'kind' AS kind, (one ->> 'minor')::bigint AS minor, one ->> 'about' AS about,
    s.since, (market_now()::date - s.since::date) AS days
FROM last l, jsonb_array_elements(l.breaks) AS one, LATERAL (
    SELECT min(t.at) AS since FROM told t WHERE t.place = l.place AND t.account = l.account
      AND t.currency = l.currency
      AND t.breaks @> jsonb_build_array(jsonb_build_object('kind', one -> 'kind', 'about', one -> 'about'))) AS s
ORDER BY s.since, kind, about LIMIT 500
"""


def last_at_bank(session: Session) -> Sequence[Row[Any]]:
    """Return the newest comparison of each of the market's accounts at a bank."""
    return session.execute(text(LAST_AT_BANK)).all()


def standing(session: Session) -> list[Break]:
    """Return every break that the last comparisons tell, oldest first."""
    return [Break(**row._mapping) for row in session.execute(text(STANDING))]


def owed_to_clients(session: Session) -> Sequence[Row[Any]]:
    """Return what the platform must put into its balance with the provider, by currency, in minor units."""
    return session.execute(text(OWED_TO_CLIENTS)).all()
