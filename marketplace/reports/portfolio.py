"""What an investor owns and where his money is: holdings, sums, cash by week, movements. Read only, set-based."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from marketplace.kernel.policy import Rating
from marketplace.reports.losses import IN_RECOVERY, loss_minor, loss_now_ppm

ENDED = ("settled", "recovered", "written_off", "bought_back")
ORDERS = {
    "lot": "ref",
    "debtor": "lower(debtor_name)",
    "cash": "currency, cost_minor",
    "outstanding": "currency, outstanding_minor",
    "expected": "expected_on",
    "due": "days_past_due",
}

HOLDINGS = """
    SELECT * FROM (
        SELECT collection.receivable_id, lot.id AS lot_id, receivable.ref, debtor.legal_name AS debtor_name,
               seller.legal_name AS seller_name, collection.currency, collection.face_minor, collection.state,
               receivable.state AS receivable_state, collection.due_on, collection.expected_on, lot.tenor_days,
               collection.opened_at, collection.closed_at, lot.debtor_grade, lot.seller_grade,
               lot.expected_loss_ppm, mine.principal_minor, mine.outstanding_minor, mine.earned_minor,
               mine.discount_minor, mine.discount_paid_minor, mine.late_minor, mine.late_paid_minor,
               coalesce(owned.units, 0) AS units, rated.grade AS grade_now,
               CASE WHEN rated.grade <> lot.debtor_grade THEN rated.pd_ppm END AS moved_ppm,
               coalesce(owned.units, 0) = 0 AND collection.closed_at IS NULL AS sold,
               coalesce(collection.closed_at, traded.last_at) AS ended_at,
               mine.principal_minor + coalesce(traded.minor, 0) AS cost_minor,
               CASE WHEN collection.closed_at IS NULL THEN greatest(0, CAST(:today AS date) - collection.due_on)
                    ELSE 0 END AS days_past_due
        FROM (SELECT receivable_id,
                     sum(due_minor) FILTER (WHERE step = 'principal')::bigint AS principal_minor,
                     coalesce(sum(due_minor - paid_minor) FILTER (WHERE step = 'principal'), 0)::bigint
                         AS outstanding_minor,
                     coalesce(sum(paid_minor) FILTER (WHERE step <> 'principal'), 0)::bigint AS earned_minor,
                     coalesce(sum(due_minor) FILTER (WHERE step = 'discount'), 0)::bigint AS discount_minor,
                     coalesce(sum(paid_minor) FILTER (WHERE step = 'discount'), 0)::bigint AS discount_paid_minor,
                     coalesce(sum(due_minor) FILTER (WHERE step = 'late_charge'), 0)::bigint AS late_minor,
                     coalesce(sum(paid_minor) FILTER (WHERE step = 'late_charge'), 0)::bigint AS late_paid_minor
              FROM due WHERE party_id = :investor_id AND step IN ('principal', 'discount', 'late_charge')
              GROUP BY receivable_id HAVING count(*) FILTER (WHERE step = 'principal') > 0) AS mine
        JOIN collection ON collection.receivable_id = mine.receivable_id
        JOIN receivable ON receivable.id = mine.receivable_id
        JOIN lot ON lot.id = collection.lot_id
        JOIN organisation AS debtor ON debtor.id = collection.debtor_id
        JOIN organisation AS seller ON seller.id = collection.seller_id
        LEFT JOIN LATERAL (SELECT grade, pd_ppm FROM party_rating WHERE organisation_id = collection.debtor_id
                           ORDER BY rated_at DESC LIMIT 1) AS rated ON true
        LEFT JOIN (SELECT receivable_id, sum(upper(units) - lower(units))::bigint AS units FROM holding
                   WHERE owner_id = :investor_id AND upper_inf(held_during) GROUP BY receivable_id) AS owned
             ON owned.receivable_id = mine.receivable_id
        LEFT JOIN (SELECT receivable_id, max(ended_at) AS last_at,
                          sum(CASE WHEN buyer_id = :investor_id THEN price_minor - principal_minor
                                   ELSE principal_minor - price_minor + fee_minor END)::bigint AS minor
                   FROM holding_offer WHERE state = 'accepted' AND :investor_id IN (owner_id, buyer_id)
                   GROUP BY receivable_id) AS traded ON traded.receivable_id = mine.receivable_id
        WHERE collection.currency = :currency) AS held
    WHERE :ended = (closed_at IS NOT NULL OR sold)
"""


@dataclass(frozen=True)
class Holding:
    """An investor's part of one receivable. Money in minor units; `units` of `face_minor` are owned now.

    `cost_minor` is the principal as far as it is or was the investor's own, with what purchases cost above it and what
    sales brought below it. `sold`: all units went to others while the debtor still owes.
    """

    receivable_id: UUID
    lot_id: UUID
    ref: str
    debtor_name: str
    seller_name: str
    currency: str
    face_minor: int
    state: str
    due_on: date
    expected_on: date
    tenor_days: int
    opened_at: datetime
    closed_at: datetime | None
    debtor_grade: str
    seller_grade: str | None
    expected_loss_ppm: int
    principal_minor: int
    outstanding_minor: int
    earned_minor: int
    discount_minor: int
    discount_paid_minor: int
    late_minor: int
    late_paid_minor: int
    units: int
    grade_now: str | None
    days_past_due: int
    sold: bool
    ended_at: datetime | None
    cost_minor: int
    accrued_minor: int
    expected_loss_minor: int
    to_come_minor: int

    @property
    def in_recovery(self) -> bool:
        """Whether the debtor has defaulted and money is being recovered."""
        return self.state in IN_RECOVERY


@dataclass(frozen=True)
class Portfolio:
    """All holdings of one currency, and the sums above them."""

    currency: str
    currencies: Sequence[str]
    holdings: Sequence[Holding]
    deployed_minor: int
    recovery_minor: int
    free_minor: int
    held_minor: int
    transit_minor: int
    accrued_minor: int
    expected_loss_minor: int
    earned_minor: int
    lost_minor: int
    overdue_minor: int
    days_left: int | None


def portfolio(
    session: Session,
    investor_id: UUID,
    currency: str,
    today: date,
    *,
    sort: str = "-due",
    ended: bool = False,
    rating: Rating,
) -> Portfolio:
    """Return an investor's holdings in a currency: those alive, or those that have ended.

    The loss to expect of a holding follows the debtor's grade of today, and is rounded up to the minor unit.
    """
    column = ORDERS.get(sort.removeprefix("-"), ORDERS["due"])
    direction = "DESC" if sort.startswith("-") else "ASC"
    order = ", ".join(f"{part} {direction}" for part in column.split(", "))
    rows = session.execute(
        text(f"{HOLDINGS} ORDER BY {order}, expected_on, ref"),
        {"investor_id": investor_id, "currency": currency, "today": today, "ended": ended},
    )
    holdings = [_holding(row, today, rating) for row in rows.mappings()]
    alive = [one for one in holdings if one.closed_at is None]
    deployed = sum(one.outstanding_minor for one in alive if not one.in_recovery)
    weighted = sum(one.outstanding_minor * max((one.expected_on - today).days, 0) for one in alive)
    posted, held, transit = _purse(session, investor_id, currency)
    earned, lost = _earned(session, investor_id, currency)
    return Portfolio(
        currency=currency,
        currencies=currencies(session, investor_id),
        holdings=holdings,
        deployed_minor=deployed,
        recovery_minor=sum(one.outstanding_minor for one in alive if one.in_recovery),
        free_minor=posted - held,
        held_minor=held,
        transit_minor=transit,
        accrued_minor=sum(one.accrued_minor for one in alive),
        expected_loss_minor=sum(one.expected_loss_minor for one in alive),
        earned_minor=earned,
        lost_minor=lost,
        overdue_minor=sum(one.outstanding_minor for one in alive if one.days_past_due > 30),
        days_left=weighted // total if (total := sum(one.outstanding_minor for one in alive)) else None,
    )


def _holding(row: RowMapping, today: date, rating: Rating) -> Holding:
    plain = {name: row[name] for name in Holding.__dataclass_fields__ if name in row}
    accrued = loss = to_come = 0
    if row["closed_at"] is None:
        elapsed = min(max((today - row["opened_at"].date()).days, 0), row["tenor_days"])
        earned = row["discount_minor"] * elapsed // row["tenor_days"]
        late = row["late_minor"] - row["late_paid_minor"]
        accrued = max(earned - row["discount_paid_minor"], 0) + late
        loss_ppm = loss_now_ppm(row["state"], row["expected_loss_ppm"], row["moved_ppm"], row["tenor_days"], rating)
        loss = loss_minor(row["outstanding_minor"], loss_ppm)
        to_come = row["outstanding_minor"] + row["discount_minor"] - row["discount_paid_minor"] + late
    return Holding(**plain, accrued_minor=accrued, expected_loss_minor=loss, to_come_minor=to_come)


def currencies(session: Session, investor_id: UUID) -> list[str]:
    """Return the currencies an investor has cash in, the most used first."""
    rows = session.execute(
        text(
            "SELECT account.currency FROM account JOIN balance ON balance.account_id = account.id "
            "LEFT JOIN LATERAL (SELECT count(*) AS lines FROM posting WHERE posting.account_id = account.id) AS used "
            "  ON true WHERE account.organisation_id = :investor_id AND account.code = 'investor_cash' "
            "ORDER BY used.lines DESC, balance.posted_minor DESC, account.currency"
        ),
        {"investor_id": investor_id},
    )
    return [row.currency for row in rows]


def _purse(session: Session, investor_id: UUID, currency: str) -> tuple[int, int, int]:
    row = session.execute(
        text(
            "SELECT coalesce(sum(posted_minor) FILTER (WHERE code = 'investor_cash'), 0)::bigint AS posted, "
            "coalesce(sum(held_minor) FILTER (WHERE code = 'investor_cash'), 0)::bigint AS held, "
            "coalesce(sum(posted_minor) FILTER (WHERE code = 'withdrawal_in_transit'), 0)::bigint AS transit "
            "FROM account JOIN balance ON balance.account_id = account.id "
            "WHERE organisation_id = :investor_id AND currency = :currency"
        ),
        {"investor_id": investor_id, "currency": currency},
    ).one()
    return row.posted, row.held, row.transit


def _earned(session: Session, investor_id: UUID, currency: str) -> tuple[int, int]:
    """Return what discounts and late charges have paid, and the principal written off, since the beginning."""
    row = session.execute(
        text(
            "SELECT coalesce(sum(due.paid_minor) FILTER (WHERE step <> 'principal'), 0)::bigint AS earned, "
            "coalesce(sum(due.due_minor - due.paid_minor) "
            "  FILTER (WHERE step = 'principal' AND collection.state = 'written_off'), 0)::bigint AS lost "
            "FROM due JOIN collection USING (receivable_id) "
            "WHERE party_id = :investor_id AND collection.currency = :currency"
        ),
        {"investor_id": investor_id, "currency": currency},
    ).one()
    return row.earned, row.lost


@dataclass(frozen=True)
class Week:
    """What one week brings: by contract (due dates), as expected, and what has come. Minor units."""

    monday: date
    contract_minor: int
    expected_minor: int
    received_minor: int


def cash_by_week(
    session: Session, investor_id: UUID, currency: str, today: date, *, back: int = 4, ahead: int = 8
) -> list[Week]:
    """Return the weeks around today. A late receivable is expected in the current week, not in the past."""
    monday = today - timedelta(days=today.weekday())
    first, last = monday - timedelta(weeks=back), monday + timedelta(weeks=ahead)
    dues = session.execute(
        text(
            "SELECT collection.due_on, greatest(collection.expected_on, "
            "  CASE WHEN collection.closed_at IS NULL THEN CAST(:today AS date) ELSE collection.expected_on END) "
            "  AS expected_on, sum(due.due_minor)::bigint AS whole, "
            "  CASE WHEN collection.state IN ('defaulted', 'recovered') THEN 0 "
            "       WHEN collection.closed_at IS NULL THEN sum(due.due_minor - due.paid_minor) "
            "       ELSE sum(due.due_minor) END::bigint AS expected "
            "FROM due JOIN collection USING (receivable_id) "
            "WHERE due.party_id = :investor_id AND due.step IN ('principal', 'discount') "
            "AND collection.currency = :currency GROUP BY collection.receivable_id"
        ),
        {"investor_id": investor_id, "currency": currency, "today": today},
    ).all()
    got = session.execute(
        text(
            "SELECT distributed_at::date AS day, sum(share.minor)::bigint AS minor FROM share "
            "JOIN due ON due.id = share.due_id JOIN distribution ON distribution.id = share.distribution_id "
            "JOIN collection ON collection.receivable_id = due.receivable_id "
            "WHERE due.party_id = :investor_id AND collection.currency = :currency "
            "AND distributed_at::date >= :first GROUP BY 1"
        ),
        {"investor_id": investor_id, "currency": currency, "first": first},
    ).all()
    sums: dict[date, list[int]] = defaultdict(lambda: [0, 0, 0])
    for place, rows in enumerate(
        (
            [(d.due_on, d.whole) for d in dues],
            [(d.expected_on, d.expected) for d in dues],
            [(g.day, g.minor) for g in got],
        )
    ):
        for day, minor in rows:
            sums[day - timedelta(days=day.weekday())][place] += minor
    weeks = [first + timedelta(weeks=n) for n in range((last - first).days // 7 + 1)]
    return [Week(week, *sums[week]) for week in weeks]


@dataclass(frozen=True)
class Movement:
    """One line of an account statement: `minor` > 0 came in, and the balance after it."""

    at: datetime
    entry_id: UUID
    kind: str
    ref: str | None
    minor: int
    balance_minor: int


@dataclass(frozen=True)
class Statement:
    """Every movement of an investor's cash in one currency, in a period, with the balances around it."""

    currency: str
    first: date
    last: date
    opening_minor: int
    closing_minor: int
    movements: Sequence[Movement]


def statement(session: Session, investor_id: UUID, currency: str, first: date, last: date, zone: str) -> Statement:
    """Return the account's movements from the first to the last day, in the market's zone, oldest first."""
    rows = session.execute(
        text(
            "SELECT entry.posted_at AS at, entry.id AS entry_id, entry.kind, receivable.ref, "
            "       posting.minor * posting.side AS minor, "
            "       sum(posting.minor * posting.side) OVER (ORDER BY entry.posted_at, entry.id)::bigint AS balance, "
            "       (entry.posted_at AT TIME ZONE :zone)::date AS day "
            "FROM posting JOIN account ON account.id = posting.account_id JOIN entry ON entry.id = posting.entry_id "
            "LEFT JOIN receivable ON receivable.id = entry.subject_id "
            "WHERE account.organisation_id = :investor_id AND account.code = 'investor_cash' "
            "AND account.currency = :currency ORDER BY entry.posted_at, entry.id"
        ),
        {"investor_id": investor_id, "currency": currency, "zone": zone},
    ).all()
    before = [row for row in rows if row.day < first]
    within = [row for row in rows if first <= row.day <= last]
    opening = before[-1].balance if before else 0
    return Statement(
        currency=currency,
        first=first,
        last=last,
        opening_minor=opening,
        closing_minor=within[-1].balance if within else opening,
        movements=[Movement(row.at, row.entry_id, row.kind, row.ref, row.minor, row.balance) for row in within],
    )


@dataclass(frozen=True)
class LastMovement:
    """One of the newest lines of an investor's cash, whatever its currency."""

    at: datetime
    kind: str
    ref: str | None
    lot_id: UUID | None
    currency: str
    minor: int


def last_movements(session: Session, investor_id: UUID, limit: int = 12) -> list[LastMovement]:
    """Return the newest movements of an investor's cash in all currencies, newest first."""
    rows = session.execute(
        text(
            "SELECT entry.posted_at AS at, entry.kind, receivable.ref, collection.lot_id, posting.currency, "
            "       posting.minor * posting.side AS minor "
            "FROM posting JOIN account ON account.id = posting.account_id JOIN entry ON entry.id = posting.entry_id "
            "LEFT JOIN receivable ON receivable.id = entry.subject_id "
            "LEFT JOIN collection ON collection.receivable_id = entry.subject_id "
            "WHERE account.organisation_id = :investor_id AND account.code = 'investor_cash' "
            "ORDER BY entry.posted_at DESC, entry.id DESC LIMIT :limit"
        ),
        {"investor_id": investor_id, "limit": limit},
    )
    return [LastMovement(**row) for row in rows.mappings()]
