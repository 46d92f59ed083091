"""Reading the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from marketplace.ledger.tables import Account, Balance, Entry, Posting


@dataclass(frozen=True)
class BalanceNow:
    """What an account holds, in minor units, positive where it is worth something to its owner."""

    posted_minor: int
    held_minor: int

    @property
    def free_minor(self) -> int:
        """What may be bid with or withdrawn."""
        return self.posted_minor - self.held_minor


@dataclass(frozen=True)
class Movement:
    """One posting as its owner reads it: `minor` > 0 adds to the balance."""

    posted_at: datetime
    kind: str
    subject_kind: str
    subject_id: UUID
    currency: str
    minor: int
    entry_id: UUID


def balance(session: Session, code: str, organisation_id: UUID | None, currency: str) -> BalanceNow:
    """Return the balance of an account; zero when it was never opened."""
    row = session.execute(
        select(Balance.posted_minor, Balance.held_minor)
        .join(Account, Account.id == Balance.account_id)
        .where(Account.code == code, Account.currency == currency)
        .where(Account.organisation_id.is_not_distinct_from(organisation_id))
    ).one_or_none()
    return BalanceNow(*row) if row else BalanceNow(0, 0)


def balances(session: Session, organisation_id: UUID | None, codes: Sequence[str]) -> dict[tuple[str, str], BalanceNow]:
    """Return all balances of an organisation under the given codes, by (code, currency)."""
    rows = session.execute(
        select(Account.code, Account.currency, Balance.posted_minor, Balance.held_minor)
        .join(Balance, Balance.account_id == Account.id)
        .where(Account.code.in_(codes), Account.organisation_id.is_not_distinct_from(organisation_id))
    )
    return {(code, currency): BalanceNow(posted, held) for code, currency, posted, held in rows}


def movements(session: Session, organisation_id: UUID, codes: Sequence[str], limit: int = 200) -> list[Movement]:
    """Return the newest postings on an organisation's accounts, newest first."""
    rows = session.execute(
        select(Entry.posted_at, Entry.kind, Entry.subject_kind, Entry.subject_id, Posting.currency,
               Posting.minor * Posting.side, Entry.id)
        .join(Posting, Posting.entry_id == Entry.id)
        .join(Account, Account.id == Posting.account_id)
        .where(Account.organisation_id == organisation_id, Account.code.in_(codes))
        .order_by(Entry.posted_at.desc(), Entry.id)
        .limit(limit)
    )  # fmt: skip
    return [Movement(*row) for row in rows]


@dataclass(frozen=True)
class TrialLine:
    """All accounts of one code in one currency: sums of debits and of credits, in minor units."""

    code: str
    pool: str
    currency: str
    debit_minor: int
    credit_minor: int
    accounts: int


def trial_balance(session: Session, through_on: date | None = None) -> list[TrialLine]:
    """Return the balance of every code, debit or credit side, through a business date; each pool's sides agree."""
    rows = session.execute(
        text(
            "SELECT a.code, a.pool, a.currency, greatest(sum(b.minor), 0)::bigint AS debit_minor, "
            "greatest(-sum(b.minor), 0)::bigint AS credit_minor, count(*) AS accounts FROM ("
            "SELECT p.account_id, sum(p.minor) AS minor FROM posting p JOIN entry e ON e.id = p.entry_id "
            "WHERE CAST(:day AS date) IS NULL OR e.business_on <= :day GROUP BY 1) AS b "
            "JOIN account a ON a.id = b.account_id GROUP BY 1, 2, 3 ORDER BY a.currency, a.pool, a.code"
        ),
        {"day": through_on},
    )
    return [TrialLine(**row._mapping) for row in rows]


def owners(session: Session) -> set[UUID]:
    """Return the organisations that have an account."""
    return set(session.scalars(select(Account.organisation_id).where(Account.organisation_id.is_not(None)).distinct()))


def pool_totals(session: Session) -> list[tuple[str, str, int]]:
    """Return (pool, currency, sum of debits less credits) over all postings: every sum is zero in sound books."""
    rows = session.execute(
        select(Posting.pool, Posting.currency, func.sum(Posting.minor)).group_by(Posting.pool, Posting.currency)
    )
    return [(pool, currency, int(total)) for pool, currency, total in rows]


def crooked_balances(session: Session) -> list[UUID]:
    """Return the accounts whose balance is not the fold of their postings and open holds: none in sound books."""
    rows = session.execute(
        text(
            "SELECT balance.account_id FROM balance "
            "LEFT JOIN (SELECT account_id, sum(side * minor) AS posted FROM posting GROUP BY account_id) AS p "
            "USING (account_id) "
            "LEFT JOIN (SELECT account_id, sum(minor) AS held FROM hold "
            "  WHERE NOT EXISTS (SELECT FROM hold_resolution WHERE hold_id = hold.id) GROUP BY account_id) AS h "
            "USING (account_id) "
            "WHERE balance.posted_minor <> coalesce(p.posted, 0) OR balance.held_minor <> coalesce(h.held, 0)"
        )
    )
    return [row.account_id for row in rows]
