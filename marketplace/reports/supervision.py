"""What a supervisor sees: awards computed again, outcomes by grade, default rates with both counts. Read only."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from marketplace.kernel.errors import NotFound
from marketplace.kernel.words import N_
from marketplace.trading import engine
from marketplace.trading import queries as trading

GRADES = ("A+", "A", "A-", "B+", "B", "B-", "C", "D", "E")


# -- names --------------------------------------------------------------------------------------------------------


def names(session: Session, ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """Return the names of users, organisations, receivables and lots among the ids."""
    wanted = [one for one in set(ids) if one is not None]
    rows = session.execute(
        text("""
            SELECT id, display_name AS name FROM user_account WHERE id = ANY (:ids)
            UNION ALL SELECT id, legal_name FROM organisation WHERE id = ANY (:ids)
            UNION ALL SELECT id, ref FROM receivable WHERE id = ANY (:ids)
            UNION ALL SELECT lot.id, ref FROM lot JOIN receivable ON receivable.id = receivable_id
                      WHERE lot.id = ANY (:ids)"""),
        {"ids": wanted},
    )
    return {row.id: row.name for row in rows}


# -- auctions, computed again -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AwardLine:
    """An award as the list shows it."""

    lot_id: UUID
    ref: str
    round: int
    made_at: datetime
    outcome: str
    stop_out_bps: int | None
    awarded_minor: int
    currency: str
    bids: int
    sha256: str


@dataclass(frozen=True)
class ReplayedBid:
    """One bid of the book: what was offered, what it got, and why."""

    seq: int
    id: str
    investor: UUID
    rate_bps: int
    cash_minor: int
    min_fill_minor: int
    fill_minor: int
    discount_minor: int
    why: tuple[str, ...]


@dataclass(frozen=True)
class Replayed:
    """An award beside what its book gives now."""

    lot: trading.Lot
    ref: str
    award: trading.Award
    computed_sha256: str
    reproduces: bool
    difference: str | None
    book: dict[str, Any]
    result: dict[str, Any]
    bids: tuple[ReplayedBid, ...]

    @property
    def groups(self) -> int:
        """How many groups bid."""
        return len({bid["group"] for bid in self.book["bids"]})

    @property
    def curve(self) -> list[tuple[int, int]]:
        """Cumulative cash by rate of the bids that took part, as steps."""
        total, steps = 0, []
        cut = {one["id"]: one["cash_minor"] for one in self.result["cuts"]}
        out = {one["id"] for one in self.result["refusals"]}
        for bid in sorted(self.book["bids"], key=lambda bid: (bid["rate_bps"], bid["seq"])):
            if bid["id"] not in out:
                total += cut.get(bid["id"], bid["cash_minor"])
                steps.append((int(bid["rate_bps"]), total))
        return steps


def awards(session: Session, ref: str | None = None, limit: int = 50) -> list[AwardLine]:
    """Return awards, the newest first; `ref` narrows to one receivable."""
    rows = session.execute(
        text("""
            SELECT award.lot_id, ref, award.round, made_at, outcome, stop_out_bps, awarded_minor, lot.currency,
                   (SELECT count(*) FROM bid WHERE bid.lot_id = lot.id AND state <> 'withdrawn') AS bids, award.sha256
            FROM award JOIN lot ON lot.id = lot_id JOIN receivable ON receivable.id = lot.receivable_id
            WHERE CAST(:ref AS text) IS NULL OR upper(ref) = upper(:ref)
            ORDER BY made_at DESC, award.lot_id, award.round DESC LIMIT :limit"""),
        {"ref": ref, "limit": limit},
    )
    return [AwardLine(*row) for row in rows]


def replayed(session: Session, lot_id: UUID) -> Replayed:
    """Compute the award of a lot again from its stored book, and compare.

    Raises: NotFound.
    """
    lot, award = trading.lot(session, lot_id), trading.award(session, lot_id)
    if award is None:
        raise NotFound("not_found", N_("This lot has no award."))
    raw = trading.transcript(session, lot_id)
    verdict = engine.recompute(raw)
    script = json.loads(raw)
    ref = names(session, [lot.receivable_id])[lot.receivable_id]
    same = verdict.reproduces and verdict.computed_sha256 == award.sha256
    return Replayed(lot, ref, award, verdict.computed_sha256, same, verdict.difference, script["book"],
                    script["result"], tuple(_bids(script["book"], script["result"])))  # fmt: skip


def _bids(book: dict[str, Any], result: dict[str, Any]) -> Iterable[ReplayedBid]:
    fills = {fill["id"]: fill for fill in result["fills"]}
    refused = {one["id"]: tuple(one["reasons"]) for one in result["refusals"]}
    passed = set(result["passed_over"])
    cut = {one["id"] for one in result["cuts"]}
    for bid in sorted(book["bids"], key=lambda bid: (bid["rate_bps"], bid["seq"])):
        fill = fills.get(bid["id"])
        yield ReplayedBid(
            bid["seq"], bid["id"], UUID(bid["investor"]), bid["rate_bps"], bid["cash_minor"], bid["min_fill_minor"],
            fill["cash_minor"] if fill else 0, fill["discount_minor"] if fill else 0,
            refused.get(bid["id"])
            or (_why(bid, fill, result["stop_out_bps"], bid["id"] in passed), *["capped"] * (bid["id"] in cut)),
        )  # fmt: skip


def _why(bid: dict[str, Any], fill: dict[str, Any] | None, stop_out: int | None, passed: bool) -> str:
    if passed:
        return "passed_over"
    if stop_out is None:
        return "not_covered"
    if bid["rate_bps"] < stop_out:
        return "better"
    if bid["rate_bps"] > stop_out:
        return "above"
    return "margin" if fill else "margin_nothing"


# -- outcomes and defaults ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What became of everything funded at one grade, in one currency. Counts are of receivables."""

    currency: str
    grade: str
    funded: int
    face_minor: int
    paid: int
    open: int
    late: int
    defaulted: int
    written_off: int
    expected_loss_ppm: int
    lost_minor: int


def default_ppm(paid: int, defaulted: int) -> int | None:
    """Return how many in a million defaulted of those that were paid or defaulted; None when none was either."""
    ended = paid + defaulted
    return defaulted * 1_000_000 // ended if ended else None


@dataclass(frozen=True)
class Window:
    """Defaults within one year among the receivables alive, and not in default, when it began."""

    grade: str
    begins_on: date
    alive: int
    defaulted: int

    @property
    def rate_ppm(self) -> int | None:
        """The window's rate; None when nothing was alive."""
        return self.defaulted * 1_000_000 // self.alive if self.alive else None


@dataclass(frozen=True)
class Cohort:
    """Everything funded in one month, by grade, and how much of it has defaulted since."""

    month: date
    grade: str
    funded: int
    ended: int
    defaulted: int

    @property
    def rate_ppm(self) -> int:
        """Defaulted of funded."""
        return self.defaulted * 1_000_000 // self.funded


def outcomes(session: Session) -> list[Outcome]:
    """Return the outcome statement by currency and debtor's grade at listing. Source: (EU) 2020/1503 Art. 20."""
    rows = session.execute(
        text("""
            SELECT c.currency, lot.debtor_grade AS grade, count(*) AS funded, sum(c.face_minor)::bigint AS face_minor,
                   count(*) FILTER (WHERE c.state = 'settled' AND c.defaulted_at IS NULL) AS paid,
                   count(*) FILTER (WHERE c.closed_at IS NULL AND c.defaulted_at IS NULL) AS open,
                   count(*) FILTER (WHERE c.state = 'overdue') AS late,
                   count(*) FILTER (WHERE c.defaulted_at IS NOT NULL) AS defaulted,
                   count(*) FILTER (WHERE c.state = 'written_off') AS written_off,
                   avg(lot.expected_loss_ppm)::bigint AS expected_loss_ppm,
                   coalesce(sum((SELECT sum(due_minor - paid_minor) FROM due
                                 WHERE due.receivable_id = c.receivable_id AND step = 'principal'))
                            FILTER (WHERE c.state = 'written_off'), 0)::bigint AS lost_minor
            FROM collection c JOIN lot ON lot.id = c.lot_id GROUP BY 1, 2""")
    )
    found = [Outcome(*row) for row in rows]
    return sorted(found, key=lambda one: (one.currency, _place(one.grade)))


def default_windows(session: Session, today: date, years: int = 3) -> list[Window]:
    """Return one-year default rates over non-overlapping windows that end today, a year ago, and so on, by grade.

    Source: (EU) 2022/2115: the average over windows; numerator and denominator are both given.
    """
    rows = session.execute(
        text("""
            SELECT lot.debtor_grade AS grade, begins_on::date, count(*) AS alive,
                   count(*) FILTER (WHERE c.defaulted_at < begins_on + interval '1 year') AS defaulted
            FROM generate_series(1, :years) AS back,
                 LATERAL (SELECT CAST(:today AS date) - make_interval(years => back) AS begins_on) AS span,
                 collection c JOIN lot ON lot.id = c.lot_id
            WHERE c.opened_at < begins_on AND (c.closed_at IS NULL OR c.closed_at >= begins_on)
              AND (c.defaulted_at IS NULL OR c.defaulted_at >= begins_on)
            GROUP BY 1, 2"""),
        {"today": today, "years": years},
    )
    return sorted((Window(*row) for row in rows), key=lambda one: (_place(one.grade), one.begins_on))


def cohorts(session: Session) -> list[Cohort]:
    """Return default rates by month of funding and grade: invoices live some forty days, so a year says little."""
    rows = session.execute(
        text("""
            SELECT date_trunc('month', c.opened_at AT TIME ZONE 'UTC')::date AS month, lot.debtor_grade AS grade,
                   count(*) AS funded, count(*) FILTER (WHERE c.closed_at IS NOT NULL) AS ended,
                   count(*) FILTER (WHERE c.defaulted_at IS NOT NULL) AS defaulted
            FROM collection c JOIN lot ON lot.id = c.lot_id GROUP BY 1, 2""")
    )
    return sorted((Cohort(*row) for row in rows), key=lambda one: (-one.month.toordinal(), _place(one.grade)))


def _place(grade: str) -> int:
    return GRADES.index(grade) if grade in GRADES else len(GRADES)
