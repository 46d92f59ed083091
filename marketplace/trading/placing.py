"""The two statements of a bid: one that locks the lot and looks, one that writes bid, hold and both events.

Between them the pure rules decide. Fewer statements are what makes many bids a second: each is a way there and back,
and the lot's row is held meanwhile. Both are the same for every bid, so that nobody hears from the time a refusal
takes, or from what is asked before it, what rivals have bid.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from marketplace.audit.events import EVENTS_WITH, given_with
from marketplace.db import db, driver
from marketplace.kernel.ids import new_id
from marketplace.ledger import actions as ledger
from marketplace.perform import Tx
from marketplace.trading import queries
from marketplace.trading.rules import BidState
from marketplace.trading.schemas import PlaceBid

ANSWERS = "(lot.bidding = 'open' OR lot.buy_now_bps IS NOT NULL)"
RELATED = """coalesce(house.group_id, house.id) = ANY (lot.related_groups || ARRAY(
        SELECT coalesce(owner.group_id, owner.id) FROM organisation AS owner
        WHERE owner.id IN (lot.seller_id, lot.debtor_id)))"""
# That `rules.bid_problems` finds none, said as a condition: what it holds against a bid is asked there, in words.
NO_PROBLEM = f"""{{rate}} <= lot.reserve_bps AND {{cash}} >= lot.minimum_minor AND {{cash}} % lot.lot_size_minor = 0
        AND {{least}} <= {{cash}} AND house.good_standing AND NOT {RELATED}"""
SEEN_COLUMNS = f"""
    lot.id, lot.state, lot.closes_at, lot.currency, lot.reserve_bps, lot.minimum_minor, lot.lot_size_minor,
    {RELATED} AS related,
    lot.session_id, lot.bidding, lot.improve_only_seconds, {ANSWERS} AS answers,
    house.good_standing, coalesce(house.group_id, house.id) AS group_id, account.id AS account_id,
    purse.hold_id IS NOT NULL AS purse"""
SEEN_TABLES = """LEFT JOIN organisation AS house ON house.id = {investor}
    LEFT JOIN account ON account.organisation_id = house.id AND account.code = 'investor_cash'
        AND account.currency = lot.currency
    LEFT JOIN session_purse AS purse ON purse.session_id = lot.session_id AND purse.investor_id = house.id"""
SEEN = f"SELECT {SEEN_COLUMNS} FROM lot {SEEN_TABLES.format(investor=':investor')}"  # noqa: S608
# A lot that answers to its bids is held alone, any other is shared. What it is never changes, so one part finds it.
# The clock is read outside, after the inner query holds the lot's row.
LOOK = text(f"""
    WITH shared AS ({SEEN} WHERE lot.id = :lot AND NOT {ANSWERS} FOR SHARE OF lot),
    alone AS ({SEEN} WHERE lot.id = :lot AND {ANSWERS} FOR NO KEY UPDATE OF lot)
    SELECT locked.*, market_now() AS now
    FROM (SELECT * FROM shared UNION ALL SELECT * FROM alone) AS locked""")  # noqa: S608
# Many at once, in order of id; those that answer are only named: they are not to be shared.
LOOK_MANY = text(f"""
    SELECT locked.*, market_now() AS now
    FROM ({SEEN} WHERE lot.id = ANY (:lots) AND NOT {ANSWERS} ORDER BY lot.id FOR SHARE OF lot) AS locked
    UNION ALL
    SELECT named.*, market_now() AS now FROM ({SEEN} WHERE lot.id = ANY (:lots) AND {ANSWERS}) AS named
""")  # noqa: S608
SEE_MANY = text(f"SELECT locked.*, market_now() AS now FROM ({SEEN} WHERE lot.id = ANY (:lots)) AS locked")  # noqa: S608
PLACED = f"""
    placed AS (
        INSERT INTO bid (id, lot_id, investor_id, group_id, cash_minor, min_fill_minor, rate_bps, hold_id, replaces_id,
            placed_by)
        VALUES (:subject_id, :lot_id, :investor_id, :group_id, :cash_minor, :min_fill_minor, :rate_bps,
            CAST(:hold_id AS uuid), :replaces_id, :placed_by) RETURNING seq),
    told AS ({EVENTS_WITH.format(rows="placed")})
    SELECT seq FROM placed"""  # noqa: S608
WRITE = text(f"WITH held AS ({ledger.HOLDING}), {PLACED}")
WRITE_RESTING = text(f"WITH {PLACED}")
TERMS_MAX = 10_000
_TERMS: "dict[UUID, Terms]" = {}


@dataclass(frozen=True)
class Seen:
    """A lot under the bidder's lock, and the bidder's house, at one instant of the market's clock."""

    id: UUID
    state: str
    closes_at: datetime
    currency: str
    reserve_bps: int
    minimum_minor: int
    lot_size_minor: int
    related: bool
    session_id: UUID | None
    bidding: str
    improve_only_seconds: int
    answers: bool
    good_standing: bool | None
    group_id: UUID | None
    account_id: UUID | None
    purse: bool
    now: datetime


@dataclass(frozen=True)
class Terms:
    """What of a lot a form is read by. It never changes, which the database sees to."""

    currency: str
    bidding: str


def terms(lot_id: UUID) -> Terms:
    """Return what a bid's form is read by, from memory where it has been asked for before.

    Raises: NotFound("not_found").
    """
    known = _TERMS.get(lot_id)
    if known is None:
        with driver(db.engine, outright=True) as connection:
            row = connection.execute("SELECT currency, bidding FROM lot WHERE id = %s", (lot_id,)).fetchone()
        if row is None:
            raise queries.missing()
        if len(_TERMS) >= TERMS_MAX:
            _TERMS.clear()
        known = _TERMS[lot_id] = Terms(*row)
    return known


def look(tx: Tx, lot_id: UUID, investor_id: UUID) -> Seen:
    """Lock the lot's row, shared, and return what a bid is judged by.

    Raises: NotFound("not_found").
    """
    row = tx.session.execute(LOOK, {"lot": lot_id, "investor": investor_id}).one_or_none()
    if row is None or row.group_id is None:
        raise queries.missing()
    return Seen(*row)


def look_many(tx: Tx, lot_ids: Collection[UUID], investor_id: UUID) -> dict[UUID, Seen]:
    """Lock lots that do not answer to their bids, shared, in order of id; return all that exist, by id."""
    rows = tx.session.execute(LOOK_MANY, {"lots": list(lot_ids), "investor": investor_id})
    return {row.id: Seen(*row) for row in rows if row.group_id is not None}


def see_many(session: Session, lot_ids: Collection[UUID], investor_id: UUID) -> dict[UUID, Seen]:
    """Return lots as a bid would be judged by them now, by id, and lock nothing: to show, never to decide."""
    rows = session.execute(SEE_MANY, {"lots": list(lot_ids), "investor": investor_id})
    return {row.id: Seen(*row) for row in rows if row.group_id is not None}


def write(tx: Tx, seen: Seen, command: PlaceBid) -> dict[str, Any]:
    """Write a bid with its hold and what is told of both; return their ids. One that rests on a purse has no hold.

    The number that the bid takes in the row stays inside: it counts the bids of the whole market.

    Raises: DBAPIError with the constraint's name when the database refuses it.
    """
    account = seen.account_id or ledger.account(tx, "investor_cash", tx.actor.organisation_id, seen.currency)
    bid_id, hold_id = new_id(), None if seen.purse else new_id()
    plain = {name: getattr(command, name) for name in ("lot_id", "cash_minor", "min_fill_minor", "rate_bps")}
    owner = {"investor_id": tx.actor.organisation_id, "group_id": seen.group_id, "hold_id": hold_id}
    hold = {"account_id": account, "minor": command.cash_minor, "subject_kind": "bid", "subject_id": bid_id}
    after = {**plain, **owner, "seq": 0, "replaces_id": command.replaces_bid_id, "state": BidState.PLACED}
    events = [tx.told(seen.now, "hold", hold_id, "place_hold", hold)] if hold_id else []
    events.append(tx.told(seen.now, "bid", bid_id, tx.verb, after))
    given = {**plain, **owner, **hold, "replaces_id": command.replaces_bid_id, "placed_by": tx.actor.user_id}
    tx.session.execute(WRITE if hold_id else WRITE_RESTING, given | given_with(events))
    return {"bid_id": bid_id, "hold_id": hold_id}
