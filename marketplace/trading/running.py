"""Lots that answer to their bids while they are open: the rate an open lot shows, its soft close, buy-now.

Whoever bids in such a lot holds its row alone, so that the rate before and after a bid is that of this bid and no
other. What is shown is the rate the lot would clear at now, in steps of five basis points, and nothing else.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from marketplace.kernel.errors import Problem
from marketplace.kernel.words import N_
from marketplace.perform import Tx
from marketplace.trading import engine, queries
from marketplace.trading.engine import Running
from marketplace.trading.placing import Seen
from marketplace.trading.rules import BidState, LotState
from marketplace.trading.schemas import PlaceBid
from marketplace.trading.tables import BidRow, LotRow

OWN_MAX = 50  # each bid clears the lot's book twice while rivals wait for its row
ONLY_IMPROVEMENTS = "only_improvements_now"
WORDS = {
    ONLY_IMPROVEMENTS: N_("In its last minutes this lot takes only bids that improve one of yours."),
    "rate_not_lower": N_("In the last minutes a bid must ask a lower rate than the one it replaces."),
    "less_cash": N_("In the last minutes a bid cannot offer less cash than the one it replaces."),
    "higher_least_fill": N_("In the last minutes the least you take cannot go up."),
}
FIELDS = {"rate_not_lower": "rate_bps", "less_cash": "cash_minor", "higher_least_fill": "min_fill_minor"}


def shown(session: Session, lot_ids: Sequence[UUID]) -> dict[UUID, int | None]:
    """Return what those of the lots show that are open in both senses: the rate they would clear at now, or None."""
    lots = session.scalars(
        select(LotRow).where(LotRow.id.in_(list(lot_ids)), LotRow.bidding == "open", LotRow.state == LotState.OPEN)
    ).all()
    books = queries.standing_books(session, [lot.id for lot in lots])
    return {lot.id: engine.run_now(lot, books.get(lot.id, [])).shown_bps for lot in lots}


class Closing(Protocol):
    """What of a lot says how it ends."""

    @property
    def bidding(self) -> str: ...
    @property
    def closes_at(self) -> datetime: ...
    @property
    def improve_only_seconds(self) -> int: ...


def improve_from(lot: Closing) -> datetime:
    """Return from when on a lot takes nothing but improvements; a sealed one never does, and this is its close."""
    return lot.closes_at - timedelta(seconds=lot.improve_only_seconds)


def only_improvements(lot: Closing, now: datetime) -> bool:
    """Tell whether a lot takes nothing but improvements by now."""
    return lot.bidding == "open" and now >= improve_from(lot)


def late_problems(tx: Tx, seen: Seen, command: PlaceBid) -> list[Problem]:
    """Return why an open lot does not take a bid in its last minutes; nothing before, and nothing in a sealed lot."""
    if not only_improvements(seen, seen.now):
        return []
    earlier = None
    if command.replaces_bid_id is not None:
        earlier = tx.session.scalars(
            select(BidRow).where(BidRow.id == command.replaces_bid_id, BidRow.lot_id == seen.id,
                                 BidRow.investor_id == tx.actor.organisation_id)
        ).one_or_none()  # fmt: skip
    return [Problem(FIELDS.get(code, "replaces_bid_id"), code, WORDS[code])
            for code in engine.improvement_faults(earlier, command)]  # fmt: skip


def crowding_problems(tx: Tx, seen: Seen, command: PlaceBid) -> list[Problem]:
    """Return why a lot that answers takes no further bid of this investor: he has as many there as it takes of one."""
    if not seen.answers or command.replaces_bid_id is not None:
        return []
    own = select(func.count()).select_from(BidRow).where(
        BidRow.lot_id == seen.id, BidRow.investor_id == tx.actor.organisation_id, BidRow.state == BidState.PLACED
    )  # fmt: skip
    if tx.session.execute(own).scalar_one() < OWN_MAX:
        return []
    words = N_("You have %(most)s bids in this lot, which is as many as it takes: improve one, or take one back.")
    return [Problem("", "too_many_bids", words, {"most": OWN_MAX})]


def before(tx: Tx, seen: Seen) -> Running | None:
    """Return how a lot stands that answers to its bids; None for all others."""
    return _now(tx, seen.id)[1] if seen.answers else None


def answer(tx: Tx, seen: Seen, earlier: Running | None) -> dict[str, Any]:
    """Move the close of a lot that answers, if the bid just written is late and lowers the rate, or buys it now."""
    if earlier is None:
        return {}
    lot, now = _now(tx, seen.id)
    if now.bought:
        at = min(tx.clock(), lot.closes_at)  # the bid was in time: what its answer took costs it nothing
        _move_close(tx, lot, "buy_lot_now", closes_at=at, bought_at=at)
        return {"bought": True}
    closes_at = engine.closes_after(lot, seen.now, earlier, now)
    if closes_at != lot.closes_at:
        _move_close(tx, lot, "extend_lot", closes_at=closes_at, extensions=lot.extensions + 1)
    return {}


def _now(tx: Tx, lot_id: UUID) -> tuple[LotRow, Running]:
    lot = tx.session.scalars(select(LotRow).where(LotRow.id == lot_id).execution_options(populate_existing=True)).one()
    books = queries.standing_books(tx.session, [lot_id])
    return lot, engine.run_now(lot, books.get(lot_id, []))


def _move_close(tx: Tx, lot: LotRow, verb: str, **changes: datetime | int) -> None:
    told = {name: getattr(lot, name) for name in changes}
    tx.session.execute(
        update(LotRow).where(LotRow.id == lot.id).values(**changes).execution_options(synchronize_session=False)
    )
    tx.session.expire(lot)
    tx.record("lot", lot.id, verb=verb, before=told, after=changes)
