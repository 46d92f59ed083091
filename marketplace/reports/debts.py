"""All that a debtor owes through the market, across sellers: one list, sums, a calendar. Read only, set-based."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

PAGE = 50
WHAT = ("open", "confirm", "acknowledge", "pay", "disputed", "waiting", "ended", "all")
ORDERS = {
    "due": "due_on, ref",
    "ref": "ref",
    "number": "lower(number), ref",
    "seller": "lower(seller_name), due_on, ref",
    "owed": "currency, owed_minor, ref",
}

# What is asked of the debtor for one receivable, in the order of urgency; `ended` is what it owes nothing on here.
DEBTS = """
    WITH debt AS (
        SELECT r.id, r.ref, r.number, r.seller_id, seller.legal_name AS seller_name, r.currency, r.face_minor,
               r.issued_on, r.due_on, r.promised_on, r.state, r.notice_acknowledged_at, notice.number AS notice_number,
               CAST(coalesce(credited.minor, 0) AS bigint) AS credited_minor, disputed.amount_minor AS disputed_minor,
               CAST(CASE WHEN r.state = 'funded'
                    THEN greatest(0, coalesce(sums.outstanding, 0) - coalesce(demanded.minor, 0))
                    WHEN r.state IN ('drafted', 'withdrawn', 'rejected', 'expired', 'discharged', 'written_off') THEN 0
                    ELSE r.face_minor - coalesce(credited.minor, 0) END AS bigint) AS owed_minor,
               CASE WHEN r.state IN ('withdrawn', 'rejected', 'expired', 'discharged', 'written_off', 'bought_back')
                    THEN 'ended'
                    WHEN disputed.amount_minor IS NOT NULL THEN 'disputed'
                    WHEN r.state = 'awaiting_confirmation' THEN 'confirm'
                    WHEN r.state = 'funded' AND notice.number IS NOT NULL AND notice.acknowledged_at IS NULL
                    THEN 'acknowledge'
                    WHEN r.state = 'funded' THEN 'pay'
                    ELSE 'waiting' END AS asked
        FROM receivable AS r
        JOIN organisation AS seller ON seller.id = r.seller_id
        LEFT JOIN (SELECT receivable_id, sum(due_minor - paid_minor) AS outstanding FROM due
                   WHERE receivable_id IN (SELECT id FROM receivable WHERE debtor_id = :debtor_id)
                   GROUP BY receivable_id) AS sums ON sums.receivable_id = r.id
        LEFT JOIN (SELECT e.receivable_id, sum(e.demanded_minor) AS minor FROM dilution_effect AS e
                   WHERE NOT EXISTS (SELECT FROM dilution_cover AS c WHERE c.dilution_id = e.dilution_id)
                   AND e.receivable_id IN (SELECT id FROM receivable WHERE debtor_id = :debtor_id)
                   GROUP BY e.receivable_id) AS demanded ON demanded.receivable_id = r.id
        LEFT JOIN (SELECT receivable_id, sum(amount_minor) AS minor FROM dilution
                   WHERE receivable_id IN (SELECT id FROM receivable WHERE debtor_id = :debtor_id)
                   GROUP BY receivable_id) AS credited ON credited.receivable_id = r.id
        LEFT JOIN dispute AS disputed ON disputed.receivable_id = r.id AND disputed.state = 'open'
        LEFT JOIN LATERAL (SELECT number, acknowledged_at FROM notice_of_assignment
                           WHERE receivable_id = r.id AND written_at IS NOT NULL
                           ORDER BY number DESC LIMIT 1) AS notice ON true
        WHERE r.debtor_id = :debtor_id AND r.state <> 'drafted'),
    chosen AS (
        SELECT * FROM debt
        WHERE (:what = 'all' OR asked = :what OR (:what = 'open' AND asked <> 'ended'))
        AND (:seller_id = '' OR CAST(seller_id AS text) = :seller_id)
        AND (:currency = '' OR currency = :currency)
        AND (:month = '' OR to_char(due_on, 'YYYY-MM') = :month)
        AND (:q = '' OR strpos(lower(number), lower(:q)) > 0 OR strpos(lower(ref), lower(:q)) > 0
             OR strpos(lower(seller_name), lower(:q)) > 0))
"""


@dataclass(frozen=True)
class Wanted:
    """Which of the debts are shown, and in which order."""

    what: str = "open"
    q: str = ""
    seller_id: str = ""
    currency: str = ""
    month: str = ""
    sort: str = "due"
    page: int = 1

    def params(self, debtor_id: UUID) -> dict[str, Any]:
        """Return the filter as the query takes it."""
        what = self.what if self.what in WHAT else "open"
        return {"debtor_id": debtor_id, "what": what, "q": self.q, "seller_id": self.seller_id,
                "currency": self.currency, "month": self.month}  # fmt: skip

    @property
    def order(self) -> str:
        """The ORDER BY: a name of the table, or one with a minus in front for the other direction."""
        name, down = self.sort.removeprefix("-"), self.sort.startswith("-")
        columns = ORDERS.get(name, ORDERS["due"]).split(", ")
        return ", ".join(f"{column} DESC" for column in columns) if down else ", ".join(columns)


@dataclass(frozen=True)
class Debt:
    """One receivable as its debtor sees it. Money in minor units."""

    id: UUID
    ref: str
    number: str
    seller_name: str
    currency: str
    face_minor: int
    owed_minor: int
    credited_minor: int
    disputed_minor: int | None
    issued_on: date
    due_on: date
    promised_on: date | None
    state: str
    asked: str
    notice_number: int | None
    notice_acknowledged_at: datetime | None


@dataclass(frozen=True)
class Debts:
    """A page of a debtor's list, and what it comes to. `months` holds (month, currency, minor, invoices)."""

    lines: list[Debt]
    total: int
    sums: list[tuple[str, int, int]]
    asked: Mapping[str, int]
    months: list[tuple[str, str, int, int]]
    sellers: list[tuple[str, str]]
    currencies: list[str]
    page: int
    per_page: int

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(1, -(-self.total // self.per_page))


def _of(tail: str) -> TextClause:
    """Return a statement over the debtor's list: every word of it is ours, every value is bound."""
    return text(DEBTS + tail)


def debts(session: Session, debtor_id: UUID, wanted: Wanted, limit: int = PAGE) -> Debts:
    """Return what a debtor owes as the filter wants it: six statements, however long the list is."""
    params = wanted.params(debtor_id)
    total = int(session.execute(_of("SELECT count(*) FROM chosen"), params).scalar_one())
    page = min(max(wanted.page, 1), max(1, -(-total // limit)))
    rows = session.execute(
        _of("SELECT * FROM chosen ORDER BY " + wanted.order + " LIMIT :limit OFFSET :offset"),  # noqa: S608 - of ORDERS
        params | {"limit": limit, "offset": (page - 1) * limit},
    ).mappings()
    lines = [Debt(**{name: row[name] for name in Debt.__dataclass_fields__}) for row in rows]
    sums = session.execute(
        _of("SELECT currency, sum(owed_minor), count(*) FROM chosen WHERE asked <> 'ended' "
            "GROUP BY currency ORDER BY 3 DESC, 1"), params)  # fmt: skip
    every = params | {"what": "all", "q": "", "seller_id": "", "currency": "", "month": ""}
    asked = session.execute(_of("SELECT asked, count(*) FROM debt GROUP BY asked"), every)
    months = session.execute(
        _of("SELECT to_char(due_on, 'YYYY-MM'), currency, sum(owed_minor), count(*) FROM debt "
            "WHERE asked <> 'ended' AND owed_minor > 0 GROUP BY 1, 2 ORDER BY 1, 2"), every)  # fmt: skip
    sellers = session.execute(
        text("SELECT DISTINCT CAST(o.id AS text), o.legal_name, r.currency FROM receivable r "
             "JOIN organisation o ON o.id = r.seller_id WHERE r.debtor_id = :debtor_id ORDER BY o.legal_name"),
        {"debtor_id": debtor_id},
    ).all()  # fmt: skip
    return Debts(
        lines=lines, total=total, sums=[(code, int(minor), int(count)) for code, minor, count in sums],
        asked={str(name): int(count) for name, count in asked},
        months=[(month, code, int(minor), int(count)) for month, code, minor, count in months],
        sellers=list({(row[0], row[1]): None for row in sellers}), currencies=sorted({row[2] for row in sellers}),
        page=page, per_page=limit,
    )  # fmt: skip


def ids(session: Session, debtor_id: UUID, wanted: Wanted, asked: str, limit: int) -> list[UUID]:
    """Return the receivables of the filter that one thing is asked for, in its order."""
    rows = session.execute(
        _of("SELECT id FROM chosen WHERE asked = :asked ORDER BY " + wanted.order + " LIMIT :limit"),  # noqa: S608 - ours
        wanted.params(debtor_id) | {"asked": asked, "limit": limit},
    )
    return list(rows.scalars())


@dataclass(frozen=True)
class Answered:
    """What became of one row of a batch of answers."""

    receivable_id: UUID
    ref: str
    number: str
    seller_name: str
    currency: str
    face_minor: int
    pay_on: date | None
    state: str
    code: str | None
    words: str | None
    done_at: datetime | None


def answered(session: Session, batch_id: UUID, page: int, limit: int = PAGE) -> list[Answered]:
    """Return rows of a batch of answers, refused ones first, then those that wait."""
    rows = session.execute(
        text("SELECT a.receivable_id, r.ref, r.number, seller.legal_name AS seller_name, r.currency, r.face_minor, "
             "a.pay_on, a.state, a.code, a.words, a.done_at FROM answer_row a "
             "JOIN receivable r ON r.id = a.receivable_id JOIN organisation seller ON seller.id = r.seller_id "
             "WHERE a.batch_id = :batch_id ORDER BY (a.state = 'refused') DESC, (a.state = 'waiting') DESC, a.position "
             "LIMIT :limit OFFSET :offset"),
        {"batch_id": batch_id, "limit": limit, "offset": (max(page, 1) - 1) * limit},
    ).mappings()  # fmt: skip
    return [Answered(**row) for row in rows]
