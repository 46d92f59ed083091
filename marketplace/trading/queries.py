"""Reads and locks of this room."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Text, cast, func, select, text
from sqlalchemy.orm import Session, undefer

from marketplace.db import among
from marketplace.exchange import queries as exchange
from marketplace.kernel.errors import NotFound
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.receivables import queries as receivables
from marketplace.trading.rules import BidState, LotState, SessionState
from marketplace.trading.tables import AwardRow, BidRow, CallSessionRow, FillRow, LotRow

GATHERING_MINUTES_LEAST = 5
SESSION_LOTS_MAX = 50  # each lot's transcript holds the whole session


@dataclass(frozen=True)
class Lot:
    """A lot as other rooms see it."""

    id: UUID
    receivable_id: UUID
    number: int
    seller_id: UUID
    debtor_id: UUID
    deal_type: str
    recourse: str
    currency: str
    face_minor: int
    advance_bps: int
    target_minor: int
    lot_size_minor: int
    minimum_minor: int
    reserve_bps: int
    own_rate_bps: int | None
    indicative_bps: int
    min_share_bps: int
    group_cap_bps: int
    fee_bps: int
    late_bps: int
    price_rule: str
    seller_default: str
    expected_on: date
    tenor_days: int
    related_groups: list[UUID]
    debtor_grade: str
    seller_grade: str | None
    expected_loss_ppm: int
    expected_loss_recourse_ppm: int
    model_version: str
    policy_version: str
    state: str
    opened_at: datetime
    closes_at: datetime
    closed_at: datetime | None
    decide_by: datetime | None
    decided_at: datetime | None
    decided_how: str | None
    state_reason: str | None
    held_until: datetime | None
    session_id: UUID | None
    bidding: str
    buy_now_bps: int | None
    extensions: int
    extensions_max: int
    late_seconds: int
    extend_seconds: int
    improve_only_seconds: int
    bought_at: datetime | None


@dataclass(frozen=True)
class Bid:
    """A bid. Until its lot has closed nobody but its investor may be shown it."""

    id: UUID
    lot_id: UUID
    seq: int
    investor_id: UUID
    group_id: UUID
    cash_minor: int
    min_fill_minor: int
    rate_bps: int
    hold_id: UUID | None
    placed_at: datetime
    state: str
    reasons: list[str]
    ended_at: datetime | None


@dataclass(frozen=True)
class Award:
    """What a clearing decided. Round 2 is the smaller amount a seller took instead."""

    lot_id: UUID
    round: int
    outcome: str
    stop_out_bps: int | None
    awarded_minor: int
    discount_minor: int
    standing_minor: int
    groups: int
    rule: str
    rule_version: str
    sha256: str
    made_at: datetime

    @property
    def rate_bps(self) -> int:
        """The stop-out; 0 for a lot that failed."""
        return self.stop_out_bps or 0


@dataclass(frozen=True)
class Fill:
    """One bid's part of the award that counts. The hold may be larger than the cash; the rest is freed with it."""

    bid_id: UUID
    investor_id: UUID
    cash_minor: int
    discount_minor: int
    rate_bps: int
    hold_id: UUID


class FillToSettle(NamedTuple):
    """What a settlement takes from a fill; ids as the texts that they are passed on as."""

    investor_id: str
    hold_id: str
    cash_minor: int
    discount_minor: int


def _as(kind: type[Any], row: object) -> Any:
    return kind(**{name: getattr(row, name) for name in kind.__dataclass_fields__})


def missing() -> NotFound:
    """Return the refusal that an absent lot and another's bid share."""
    return NotFound("not_found", N_("There is no such thing, or you may not see it."))


def lot(session: Session, lot_id: UUID) -> Lot:
    """Return the lot.

    Raises: NotFound("not_found").
    """
    row = session.get(LotRow, lot_id, populate_existing=True)
    if row is None:
        raise missing()
    found: Lot = _as(Lot, row)
    return found


def related_now(session: Session, found: Lot) -> set[UUID]:
    """Return the groups that may not bid or buy: those the lot opened with, and its owners' groups of now."""
    owners = parties.organisations(session, (found.seller_id, found.debtor_id)).values()
    return {*found.related_groups, *(owner.group for owner in owners)}


def lots(session: Session, lot_ids: Sequence[UUID]) -> dict[UUID, Lot]:
    """Return those of the lots that exist."""
    rows = session.scalars(select(LotRow).where(LotRow.id.in_(list(lot_ids))))
    return {row.id: _as(Lot, row) for row in rows}


def lot_of(session: Session, receivable_id: UUID) -> Lot | None:
    """Return the receivable's newest lot, if it ever had one."""
    row = session.execute(
        select(LotRow).where(LotRow.receivable_id == receivable_id).order_by(LotRow.number.desc()).limit(1)
    ).scalar_one_or_none()
    return _as(Lot, row) if row else None


def lock_lot(session: Session, lot_id: UUID, *, share: bool = False) -> LotRow:
    """Lock the lot's row: shared for a bid, alone for a close or a decision. Locks come lot, receivable, accounts.

    Raises: NotFound("not_found").
    """
    row = session.execute(
        select(LotRow).where(LotRow.id == lot_id).with_for_update(read=share).execution_options(populate_existing=True)
    ).scalar_one_or_none()
    if row is None:
        raise missing()
    return row


def lock_due(session: Session, lot_ids: Sequence[UUID]) -> list[LotRow]:
    """Lock, in order of id, those of the lots that are open and whose time has come, each row alone."""
    return list(
        session.scalars(
            select(LotRow)
            .where(among(LotRow.id, lot_ids), LotRow.state == LotState.OPEN, LotRow.closes_at <= func.market_now())
            .order_by(LotRow.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    )


def gathering(session: Session, currency: str) -> CallSessionRow | None:
    """Return the session that lots of this currency join when they open, held so that it cannot close meanwhile.

    One that closes within five minutes, or is full, gathers no more.
    """
    row = session.scalars(
        select(CallSessionRow)
        .where(CallSessionRow.currency == currency, CallSessionRow.state == SessionState.OPEN)
        .where(CallSessionRow.closes_at > func.market_now() + timedelta(minutes=GATHERING_MINUTES_LEAST))
        .with_for_update(read=True)
    ).one_or_none()
    if row is None:
        return None
    members = select(func.count()).select_from(LotRow).where(LotRow.session_id == row.id)
    return row if session.execute(members).scalar_one() < SESSION_LOTS_MAX else None


def lock_bid(session: Session, bid_id: UUID, investor_id: UUID | None) -> BidRow:
    """Lock one of the investor's own bids.

    Raises: NotFound("not_found"), for another's bid too.
    """
    row = session.execute(
        select(BidRow).where(BidRow.id == bid_id, BidRow.investor_id == investor_id).with_for_update()
    ).scalar_one_or_none()
    if row is None:
        raise missing()
    return row


def lot_of_bid(session: Session, bid_id: UUID) -> UUID:
    """Return the lot a bid was placed in.

    Raises: NotFound("not_found").
    """
    lot_id = session.execute(select(BidRow.lot_id).where(BidRow.id == bid_id)).scalar_one_or_none()
    if lot_id is None:
        raise missing()
    return lot_id


def standing_bids(session: Session, lot_id: UUID) -> list[BidRow]:
    """Return the bids of a lot that stand, by seq: its sealed book."""
    return list(
        session.scalars(
            select(BidRow).where(BidRow.lot_id == lot_id, BidRow.state == BidState.PLACED).order_by(BidRow.seq)
        )
    )


def standing_books(session: Session, lot_ids: Sequence[UUID]) -> dict[UUID, list[Any]]:
    """Return the bids of each lot that stand, by seq, as plain rows with the columns that a book needs.

    Ids come as the texts that a book is written with: a hundred thousand of them need not be read and written again.
    """
    ids = (cast(getattr(BidRow, name), Text).label(name) for name in ("id", "investor_id", "group_id"))
    columns = (BidRow.lot_id, *ids, BidRow.cash_minor, BidRow.min_fill_minor, BidRow.rate_bps)
    rows = session.execute(
        select(*columns).where(among(BidRow.lot_id, lot_ids), BidRow.state == BidState.PLACED).order_by(BidRow.seq)
    )
    books: dict[UUID, list[Any]] = defaultdict(list)
    for row in rows:
        books[row.lot_id].append(row)
    return books


def sealed_book(session: Session, lot_id: UUID) -> list[BidRow]:
    """Return the book as it was sealed at the close: every bid that was not taken back, by seq."""
    return list(
        session.scalars(
            select(BidRow).where(BidRow.lot_id == lot_id, BidRow.state != BidState.WITHDRAWN).order_by(BidRow.seq)
        )
    )


def book(session: Session, lot_id: UUID) -> list[Bid]:
    """Return all bids of a lot that were there at the close, cheapest first. Only for lots that have closed."""
    rows = session.scalars(
        select(BidRow)
        .where(BidRow.lot_id == lot_id, BidRow.state != BidState.WITHDRAWN)
        .order_by(BidRow.rate_bps, BidRow.seq)
    )
    return [_as(Bid, row) for row in rows]


def bids_of(session: Session, lot_id: UUID, investor_id: UUID) -> list[Bid]:
    """Return an investor's own bids in a lot, newest first."""
    rows = session.scalars(
        select(BidRow).where(BidRow.lot_id == lot_id, BidRow.investor_id == investor_id).order_by(BidRow.seq.desc())
    )
    return [_as(Bid, row) for row in rows]


def award(session: Session, lot_id: UUID) -> Award | None:
    """Return the award that counts: the reduced one where the seller took less."""
    row = session.scalars(
        select(AwardRow).where(AwardRow.lot_id == lot_id).order_by(AwardRow.round.desc()).limit(1)
    ).one_or_none()
    return _as(Award, row) if row else None


def transcript(session: Session, lot_id: UUID, round_: int | None = None) -> bytes:
    """Return the stored transcript of a round, by default of the award that counts.

    Raises: NotFound("not_found").
    """
    query = select(AwardRow).where(AwardRow.lot_id == lot_id).options(undefer(AwardRow.transcript))
    if round_ is not None:
        query = query.where(AwardRow.round == round_)
    row = session.scalars(query.order_by(AwardRow.round.desc()).limit(1)).one_or_none()
    if row is None:
        raise missing()
    return row.transcript


def fills(session: Session, lot_id: UUID) -> list[Fill]:
    """Return the fills of the award that counts, by bid id."""
    newest = select(func.max(AwardRow.round)).where(AwardRow.lot_id == lot_id).scalar_subquery()
    columns = [getattr(FillRow, name) for name in Fill.__dataclass_fields__]  # ten thousand of them need no row objects
    rows = session.execute(
        select(*columns).where(FillRow.lot_id == lot_id, FillRow.round == newest).order_by(FillRow.bid_id)
    ).all()
    return [Fill(*row) for row in rows]


def fills_to_settle(session: Session, lot_id: UUID) -> list[FillToSettle]:
    """Return the fills of the award that counts, by bid id. There may be ten thousand: their ids are never read."""
    rows = session.execute(
        text(
            "SELECT CAST(investor_id AS text), CAST(hold_id AS text), cash_minor, discount_minor FROM fill "
            "WHERE lot_id = :lot_id AND round = (SELECT max(round) FROM award WHERE lot_id = :lot_id) ORDER BY bid_id"
        ),
        {"lot_id": lot_id},
    ).all()
    return [FillToSettle(*row) for row in rows]


def to_open(session: Session, limit: int = 100) -> list[UUID]:
    """Return rated receivables that can go on auction now, longest rated first: nothing is said against them."""
    rated = receivables.ids_in_state(session, "rated")  # all: those held back do not fill the places of the others
    doubtful = receivables.perhaps_stopped(session, rated)
    clear = (found for found in rated if found not in doubtful or not receivables.stops(session, found))
    return list(islice((found for found in clear if not exchange.stops(session, found)), limit))


def due_to_close(session: Session, limit: int = 100) -> list[UUID]:
    """Return open lots whose time has come, by the database's clock, longest due first; not those of a session."""
    return _ids(
        session, "state = 'open' AND session_id IS NULL AND closes_at <= market_now() ORDER BY closes_at, id", limit
    )


def due_to_expire(session: Session, limit: int = 100) -> list[UUID]:
    """Return lots whose seller has let the time to decide pass."""
    return _ids(session, "state = 'awaiting_seller' AND decide_by <= market_now() ORDER BY decide_by, id", limit)


def accepted(session: Session, limit: int = 100) -> list[UUID]:
    """Return accepted lots whose money has not moved, longest accepted first.

    One that is held is among them when nothing open speaks against it any more, or its time is over.
    """
    waiting = _ids(session, "state = 'accepted' ORDER BY decided_at, id", limit)
    held = session.execute(
        text("SELECT id, receivable_id, held_until <= market_now() AS over FROM lot WHERE state = 'held' "
             "ORDER BY decided_at, id")
    )  # fmt: skip
    ready = [row.id for row in held if row.over or not receivables.stops(session, row.receivable_id)]
    return [*ready, *waiting][:limit]


def _ids(session: Session, condition: str, limit: int) -> list[UUID]:
    rows = session.execute(text(f"SELECT id FROM lot WHERE {condition} LIMIT :limit"), {"limit": limit})  # noqa: S608
    return list(rows.scalars())


def open_lots(session: Session, limit: int = 1_000) -> list[Lot]:
    """Return the lots that take bids, soonest close first."""
    rows = session.scalars(
        select(LotRow).where(LotRow.state == LotState.OPEN).order_by(LotRow.closes_at, LotRow.id).limit(limit)
    )
    return [_as(Lot, row) for row in rows]


def cover_minor(session: Session, lot_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the cash that stands in each lot, cut to the group caps: for seller and operator, never a rival.

    What rests on a purse counts up to that purse: no more is there, however much is bid.
    """
    rows = session.execute(
        text(
            "SELECT lot_id, sum(least(cash, cap))::bigint AS cash FROM ("
            "  SELECT lot_id, cap, sum(held + least(resting, purse)) AS cash FROM ("
            "    SELECT bid.lot_id, bid.group_id, lot.target_minor * lot.group_cap_bps / 10000 AS cap,"
            "      coalesce(sum(bid.cash_minor) FILTER (WHERE bid.hold_id IS NOT NULL), 0) AS held,"
            "      coalesce(sum(bid.cash_minor) FILTER (WHERE bid.hold_id IS NULL), 0) AS resting,"
            "      coalesce(max(hold.minor), 0) AS purse"
            "    FROM bid JOIN lot ON lot.id = bid.lot_id"
            "    LEFT JOIN session_purse AS purse"
            "      ON purse.session_id = lot.session_id AND purse.investor_id = bid.investor_id"
            "    LEFT JOIN hold ON hold.id = purse.hold_id"
            "    WHERE bid.lot_id = ANY (:lots) AND bid.state = 'placed'"
            "    GROUP BY bid.lot_id, bid.group_id, bid.investor_id, lot.target_minor, lot.group_cap_bps) AS owners"
            "  GROUP BY lot_id, group_id, cap) AS groups GROUP BY lot_id"
        ),
        {"lots": list(lot_ids)},
    )
    return {row.lot_id: row.cash for row in rows}
