"""What an investor sees of the market: the list of lots, and one lot with its book once it has closed.

One statement a list. A seller's name is shown once the award is accepted; nobody sees another's bid before the close.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from marketplace.rating.grades import GRADES
from marketplace.reports.paid_day import PAID_DAY
from marketplace.trading.rules import mask

CLEARED = ("accepted", "held", "settled")
SHOWN = {
    "open": "lot.state = 'open'",
    "mine": "my.bids > 0",
    "closed": "lot.state <> 'open'",
}
ORDERS = {
    "lot": "receivable.ref",
    "debtor": "lower(debtor.legal_name)",
    "grade": "array_position(CAST(:grades AS text[]), lot.debtor_grade)",
    "sought": "lot.currency, lot.target_minor",
    "reserve": "lot.reserve_bps",
    "expected": "lot.expected_on",
    "recourse": "lot.recourse",
    "closes": "lot.closes_at",
    "bid": "my.rate_bps",
}
PAGE = 50

SELECTED = """
    SELECT lot.id, receivable.ref, lot.state, lot.seller_id, seller.legal_name AS seller_name,
           debtor.legal_name AS debtor_name, debtor.sector AS debtor_sector, receivable.sector,
           lot.debtor_grade, lot.seller_grade, lot.currency, lot.face_minor, lot.target_minor, lot.advance_bps,
           lot.reserve_bps, lot.indicative_bps, lot.expected_on, lot.tenor_days, lot.recourse, lot.deal_type,
           lot.lot_size_minor, lot.group_cap_bps, lot.closes_at, lot.expected_loss_ppm, lot.bidding, lot.buy_now_bps,
           receivable.evidence = 'einvoice' AS einvoice, receivable.confirmed_at IS NOT NULL AS confirmed,
           answer.prior_notice, held.review, award.outcome, award.stop_out_bps, award.awarded_minor,
           my.bids AS my_bids, my.cash_minor AS my_cash_minor, my.rate_bps AS my_rate_bps,
           my.filled_minor AS my_filled_minor,
           (:group_id = ANY (lot.related_groups) OR :group_id IN (coalesce(seller.group_id, seller.id),
               coalesce(debtor.group_id, debtor.id))) AS related,
           coalesce((SELECT lot.target_minor FROM session_purse WHERE session_purse.session_id = lot.session_id
               AND session_purse.investor_id = :investor_id), purse.posted_minor - purse.held_minor, 0) AS free_minor
"""
FROM = """
    FROM lot
    JOIN receivable ON receivable.id = lot.receivable_id
    JOIN organisation AS debtor ON debtor.id = lot.debtor_id
    JOIN organisation AS seller ON seller.id = lot.seller_id
    LEFT JOIN LATERAL (
        SELECT prior_notice FROM confirmation WHERE confirmation.receivable_id = receivable.id
        ORDER BY at DESC LIMIT 1) AS answer ON true
    LEFT JOIN LATERAL (
        SELECT count(*) > 0 AS review FROM review
        WHERE review.receivable_id = receivable.id AND review.state IN ('open', 'proposed')) AS held ON true
    LEFT JOIN LATERAL (
        SELECT outcome, stop_out_bps, awarded_minor FROM award
        WHERE award.lot_id = lot.id ORDER BY round DESC LIMIT 1) AS award ON true
    LEFT JOIN LATERAL (
        SELECT count(*) AS bids, sum(bid.cash_minor) FILTER (WHERE bid.state = 'placed')::bigint AS cash_minor,
               min(bid.rate_bps) AS rate_bps,
               (SELECT sum(fill.cash_minor)::bigint FROM fill WHERE fill.lot_id = lot.id
                AND fill.investor_id = :investor_id AND lot.state IN ('awaiting_seller', 'accepted', 'held', 'settled')
                AND fill.round = (SELECT max(round) FROM award WHERE award.lot_id = lot.id)) AS filled_minor
        FROM bid WHERE bid.lot_id = lot.id AND bid.investor_id = :investor_id
        AND bid.state <> 'withdrawn') AS my ON true
    LEFT JOIN account AS cash ON cash.code = 'investor_cash' AND cash.organisation_id = :investor_id
        AND cash.currency = lot.currency
    LEFT JOIN balance AS purse ON purse.account_id = cash.id
"""


@dataclass(frozen=True)
class Wanted:
    """What the address of the market list asks for. Unknown values fall back to showing everything."""

    show: str = "open"
    q: str = ""
    currency: str = ""
    grade: str = ""
    days: int | None = None
    sector: str = ""
    recourse: str = ""
    checked: bool = False
    sort: str = "closes"
    page: int = 1

    def conditions(self) -> tuple[str, dict[str, Any]]:
        """Return the WHERE clause and its values."""
        clauses = [SHOWN.get(self.show, SHOWN["open"])]
        values: dict[str, Any] = {}
        if self.q:
            clauses.append(
                "(receivable.ref ILIKE :q OR debtor.legal_name ILIKE :q OR debtor.sector ILIKE :q "
                "OR receivable.sector ILIKE :q)"
            )
            escaped = self.q.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
            values["q"] = f"%{escaped}%"
        for name, column in (
            ("currency", "lot.currency"),
            ("recourse", "lot.recourse"),
            ("sector", "debtor.sector"),
        ):
            if getattr(self, name):
                clauses.append(f"{column} = :{name}")
                values[name] = getattr(self, name)
        if self.grade in GRADES:
            clauses.append("lot.debtor_grade = ANY (CAST(:grades_to AS text[]))")
            values["grades_to"] = list(GRADES[: GRADES.index(self.grade) + 1])
        if self.days:
            clauses.append("lot.tenor_days <= :days")
            values["days"] = self.days
        if self.checked:
            clauses.append("receivable.confirmed_at IS NOT NULL AND answer.prior_notice IS FALSE")
        return " AND ".join(clauses), values

    def order(self) -> str:
        """Return the ORDER BY clause."""
        backwards = self.sort.startswith("-")
        column = ORDERS.get(self.sort.removeprefix("-"), ORDERS["closes"])
        direction = "DESC" if backwards or (self.show == "closed" and self.sort == "closes") else "ASC"
        parts = [f"{part} {direction} NULLS LAST" for part in column.split(", ")]
        if "array_position" in column:
            parts = [f"{column} {direction} NULLS LAST"]
        return ", ".join([*parts, "receivable.ref"])


@dataclass(frozen=True)
class LotLine:
    """One row of the market list. `seller` is a mask until the award is accepted."""

    id: UUID
    ref: str
    state: str
    seller: str
    masked: bool
    debtor_name: str
    debtor_sector: str | None
    sector: str | None
    debtor_grade: str
    seller_grade: str | None
    currency: str
    face_minor: int
    target_minor: int
    advance_bps: int
    reserve_bps: int
    indicative_bps: int
    expected_on: date
    tenor_days: int
    recourse: str
    deal_type: str
    closes_at: datetime
    expected_loss_ppm: int
    bidding: str
    buy_now_bps: int | None
    checks: Mapping[str, str]
    outcome: str | None
    stop_out_bps: int | None
    awarded_minor: int | None
    my_bids: int
    my_cash_minor: int | None
    my_rate_bps: int | None
    my_filled_minor: int | None
    related: bool
    headroom_minor: int


@dataclass(frozen=True)
class Market:
    """The list with what stands above it."""

    lines: Sequence[LotLine]
    total: int
    open: int
    sought: Sequence[tuple[str, int]]
    next_close: LotLine | None
    my_lots: int
    best_grade: str | None
    worst_grade: str | None
    sectors: Sequence[str] = field(default_factory=tuple)
    pages: int = 1


def market(session: Session, investor_id: UUID, group_id: UUID, wanted: Wanted, limit: int = PAGE) -> Market:
    """Return the lots an address asks for, as this investor may see them."""
    where, values = wanted.conditions()
    given = {"investor_id": investor_id, "group_id": group_id, "grades": list(GRADES), **values}
    found = session.execute(
        text(f"{SELECTED} {FROM} WHERE {where} ORDER BY {wanted.order()} LIMIT :limit OFFSET :offset"),
        {**given, "limit": limit, "offset": limit * (max(wanted.page, 1) - 1)},
    )
    lines = [_line(row) for row in found.mappings()]
    sums = session.execute(
        text(
            "SELECT lot.currency, count(*) AS lots, sum(lot.target_minor)::bigint AS sought, "
            "min(array_position(CAST(:grades AS text[]), lot.debtor_grade)) AS best, "
            f"max(array_position(CAST(:grades AS text[]), lot.debtor_grade)) AS worst {FROM} WHERE {where} "
            "GROUP BY lot.currency ORDER BY count(*) DESC, lot.currency"
        ),
        given,
    ).all()
    heads = session.execute(
        text(
            "SELECT count(*) AS open, count(DISTINCT bid.lot_id) AS mine, "
            "(SELECT array_agg(DISTINCT debtor.sector ORDER BY debtor.sector) FROM lot AS l "
            " JOIN organisation AS debtor ON debtor.id = l.debtor_id WHERE debtor.sector IS NOT NULL) AS sectors "
            "FROM lot LEFT JOIN (SELECT DISTINCT lot_id FROM bid WHERE investor_id = :investor_id "
            " AND state = 'placed') AS bid ON bid.lot_id = lot.id WHERE lot.state = 'open'"
        ),
        given,
    ).one()
    total = sum(row.lots for row in sums)
    graded = [row for row in sums if row.best is not None]
    soonest = min((line for line in lines if line.state == "open"), key=lambda line: line.closes_at, default=None)
    return Market(
        lines=lines,
        total=total,
        open=heads.open,
        sought=[(row.currency, row.sought) for row in sums],
        next_close=soonest,
        my_lots=heads.mine,
        best_grade=GRADES[min(row.best for row in graded) - 1] if graded else None,
        worst_grade=GRADES[max(row.worst for row in graded) - 1] if graded else None,
        sectors=tuple(heads.sectors or ()),
        pages=max(1, -(-total // limit)),
    )


def line(session: Session, lot_id: UUID, investor_id: UUID, group_id: UUID) -> LotLine | None:
    """Return one lot as the list shows it, whatever its state."""
    row = session.execute(
        text(f"{SELECTED} {FROM} WHERE lot.id = :lot_id"),
        {"investor_id": investor_id, "group_id": group_id, "lot_id": lot_id},
    ).mappings().one_or_none()  # fmt: skip
    return _line(row) if row else None


def _line(row: RowMapping) -> LotLine:
    cleared = row["state"] in CLEARED
    cap = row["target_minor"] * row["group_cap_bps"] // 10_000
    room = min(row["free_minor"], cap - (row["my_cash_minor"] or 0))
    headroom = 0 if row["related"] else max(room, 0) // row["lot_size_minor"] * row["lot_size_minor"]
    plain = {name: row[name] for name in LotLine.__dataclass_fields__ if name in row}
    return LotLine(
        **plain,
        seller=row["seller_name"] if cleared else mask(row["seller_id"]),
        masked=not cleared,
        checks={
            "einvoice": "yes" if row["einvoice"] else "no",
            "confirmed": "yes" if row["confirmed"] else "no",
            "notice": {None: "no", False: "yes", True: "look"}[row["prior_notice"]],
            "duplicate": "look" if row["review"] else "yes",
        },
        headroom_minor=headroom,
    )


@dataclass(frozen=True)
class BookLine:
    """One bid of a lot that has closed, its investor under a mask unless it is one's own."""

    id: UUID
    investor: str
    mine: bool
    rate_bps: int
    cash_minor: int
    min_fill_minor: int
    state: str
    reasons: Sequence[str]
    filled_minor: int | None
    discount_minor: int | None


def closed_book(session: Session, lot_id: UUID, investor_id: UUID | None) -> list[BookLine]:
    """Return the book of a lot that has closed, cheapest first; nothing of a lot that is still open."""
    rows = session.execute(
        text(
            "SELECT bid.id, bid.investor_id, bid.rate_bps, bid.cash_minor, bid.min_fill_minor, bid.state, bid.reasons, "
            "       fill.cash_minor AS filled_minor, fill.discount_minor "
            "FROM bid JOIN lot ON lot.id = bid.lot_id LEFT JOIN fill ON fill.bid_id = bid.id "
            "     AND fill.round = (SELECT max(round) FROM award WHERE award.lot_id = bid.lot_id) "
            "WHERE bid.lot_id = :lot_id AND bid.state NOT IN ('withdrawn', 'placed') AND lot.state <> 'open' "
            "ORDER BY bid.rate_bps, bid.seq"
        ),
        {"lot_id": lot_id},
    )
    return [
        BookLine(
            id=row.id,
            investor=mask(row.investor_id),
            mine=row.investor_id == investor_id,
            rate_bps=row.rate_bps,
            cash_minor=row.cash_minor,
            min_fill_minor=row.min_fill_minor,
            state=row.state,
            reasons=row.reasons,
            filled_minor=row.filled_minor,
            discount_minor=row.discount_minor,
        )
        for row in rows
    ]


@dataclass(frozen=True)
class History:
    """How a debtor paid one earlier receivable here: days from the due date to the last payment."""

    ref: str
    paid_on: date
    days_late: int


def payment_history(session: Session, debtor_id: UUID, limit: int = 24) -> list[History]:
    """Return a debtor's last receivables that were paid in full here, oldest first."""
    rows = session.execute(
        text(
            "SELECT receivable.ref, paid.day AS paid_on, paid.day - collection.due_on AS days_late "  # noqa: S608 - the text named below is ours
            "FROM collection JOIN receivable ON receivable.id = collection.receivable_id "
            f"JOIN LATERAL {PAID_DAY} AS paid ON paid.day IS NOT NULL "
            "WHERE collection.debtor_id = :debtor_id AND collection.closed_at IS NOT NULL "
            "ORDER BY paid.day DESC, receivable.ref LIMIT :limit"
        ),
        {"debtor_id": debtor_id, "limit": limit},
    )
    return [History(row.ref, row.paid_on, row.days_late) for row in rows][::-1]


@dataclass(frozen=True)
class LateNow:
    """What a debtor owes here past its due date: how many receivables, how many of them in default, the worst."""

    count: int
    defaulted: int
    days_most: int


def late_now(session: Session, debtor_id: UUID, today: date) -> LateNow:
    """Return a debtor's receivables here that are past due and not paid in full, written off ones included."""
    row = session.execute(
        text(
            "SELECT count(*) AS late, "
            "       count(*) FILTER (WHERE state IN ('defaulted', 'recovered', 'written_off')) AS lost, "
            "       coalesce(max(CAST(:today AS date) - due_on), 0) AS days FROM collection "
            "WHERE debtor_id = :debtor_id AND due_on < CAST(:today AS date) "
            "  AND (closed_at IS NULL OR state = 'written_off')"
        ),
        {"debtor_id": debtor_id, "today": today},
    ).one()
    return LateNow(row.late, row.lost, row.days)


@dataclass(frozen=True)
class Concentration:
    """How much of an investor's deployed principal hangs on one name, in minor units of one currency."""

    debtor_minor: int
    seller_minor: int
    total_minor: int


def concentration(
    session: Session, investor_id: UUID, debtor_id: UUID, seller_id: UUID, currency: str
) -> Concentration:
    """Return the investor's outstanding principal: on this debtor, from this seller, and in all."""
    row = session.execute(
        text(
            "SELECT coalesce(sum(left_minor) FILTER (WHERE debtor_id = :debtor_id), 0)::bigint AS debtor, "
            "coalesce(sum(left_minor) FILTER (WHERE seller_id = :seller_id), 0)::bigint AS seller, "
            "coalesce(sum(left_minor), 0)::bigint AS total FROM ("
            "  SELECT collection.debtor_id, collection.seller_id, due.due_minor - due.paid_minor AS left_minor "
            "  FROM due JOIN collection ON collection.receivable_id = due.receivable_id "
            "  WHERE due.party_id = :investor_id AND due.step = 'principal' AND collection.currency = :currency "
            "  AND collection.closed_at IS NULL) AS deployed"
        ),
        {"investor_id": investor_id, "debtor_id": debtor_id, "seller_id": seller_id, "currency": currency},
    ).one()
    return Concentration(row.debtor, row.seller, row.total)
