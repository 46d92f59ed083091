"""Bids of several investors that meet in one process, placed by one of them in one transaction for all.

Each is judged by itself and has its own verdict, hold, events and idempotency key. Whoever would make others wait, or
needs more than a bid's own rows, is left to be placed alone: in a lot that somebody holds or that answers to its bids,
on a purse, in place of an earlier bid, or of a house without an account. So is everybody when the database refuses
the whole. The statements are the same whatever rivals have bid, and none reads a bid.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from flask import current_app

from marketplace.audit.events import SEQ_LATER, form, written
from marketplace.db import array, byte_array
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.ids import new_id, new_texts
from marketplace.perform import Asked, Outcome, Result, Said, Together, perform, perform_together
from marketplace.trading.actions import place_bid, short_of_cash, why_not
from marketplace.trading.meeting import Meeting
from marketplace.trading.placing import ANSWERS, SEEN_COLUMNS, SEEN_TABLES, Seen
from marketplace.trading.rules import BidState
from marketplace.trading.schemas import PlaceBid

MEETING = "bid_meeting"
TURN_MAX = 64

# Shared as for a bid alone, but no lot is waited for: who holds one has something to say about its close.
LOOK = f"""
    SELECT locked.*, market_now() AS now FROM (
        SELECT {SEEN_COLUMNS}, asked.place, balance.posted_minor - balance.held_minor AS free_minor
        FROM unnest(%(lots)s::uuid[], %(investors)s::uuid[]) WITH ORDINALITY AS asked (lot, investor, place)
        JOIN lot ON lot.id = asked.lot AND NOT {ANSWERS}
        {SEEN_TABLES.format(investor="asked.investor")}
        LEFT JOIN balance ON balance.account_id = account.id
        FOR SHARE OF lot SKIP LOCKED) AS locked"""  # noqa: S608
COLUMNS = {
    "id": "uuid", "lot": "uuid", "investor": "uuid", "house_group": "uuid", "hold": "uuid", "account": "uuid",
    "cash": "bigint", "least": "bigint", "rate": "integer", "by": "uuid",
    "request": "uuid", "hold_event": "uuid", "hold_body": "bytea", "bid_event": "uuid", "head": "bytea",
    "tail": "bytea",
}  # fmt: skip
WRITE = f"""
    WITH asked AS (
        SELECT * FROM unnest({", ".join(f"%({name})s::{kind}[]" for name, kind in COLUMNS.items())})
            WITH ORDINALITY AS one ({", ".join(COLUMNS)}, place)),
    held AS (
        INSERT INTO hold (id, account_id, minor, subject_kind, subject_id, placed_at)
        SELECT hold, account, cash, 'bid', id, (SELECT market_now()) FROM asked),
    placed AS (
        INSERT INTO bid (id, lot_id, investor_id, group_id, cash_minor, min_fill_minor, rate_bps, hold_id, placed_by,
            placed_at)
        SELECT id, lot, investor, house_group, cash, least, rate, hold, by, (SELECT market_now()) FROM asked
        ORDER BY place
        RETURNING id, seq)
    INSERT INTO event (id, at, verb, actor_role, actor_user_id, actor_organisation_id, on_behalf_of, request_id,
        subject_kind, subject_id, body)
    SELECT told.id, %(at)s, told.verb, 'investor', asked.by, asked.investor, NULL, asked.request,
        told.kind, told.subject, told.body
    FROM asked JOIN placed USING (id) CROSS JOIN LATERAL (VALUES
        (1, hold_event, 'place_hold', 'hold', hold, hold_body),
        (2, bid_event, 'place_bid', 'bid', asked.id, head || convert_to(placed.seq::text, 'UTF8') || tail))
        AS told (nth, id, verb, kind, subject, body) ORDER BY asked.place, told.nth"""  # noqa: S608

OF_HOLD = ("account_id", "minor", "subject_kind", "subject_id")
OF_BID = ("lot_id", "cash_minor", "min_fill_minor", "rate_bps", "investor_id", "group_id", "hold_id", "seq",
          "replaces_id", "state")  # fmt: skip


def place_together(command: PlaceBid, actor: Actor, key: str | None = None) -> Result:
    """Place a bid as `place_bid` does, in one transaction with those that come at the same moment.

    Raises: what `place_bid` raises.
    """
    outcome: Outcome = None
    if command.replaces_bid_id is None and actor.organisation_id and actor.user_id and not actor.on_behalf_of:
        outcome = _meeting().ask(Asked(command, actor, key))
    if outcome is None:
        return perform(place_bid, command, actor, idempotency_key=key)
    if isinstance(outcome, MarketplaceError):
        raise outcome
    return outcome


def _meeting() -> Meeting[Asked, Outcome]:
    found: Meeting[Asked, Outcome] | None = current_app.extensions.get(MEETING)
    return found or current_app.extensions.setdefault(MEETING, Meeting(_turn, TURN_MAX))


def _turn(asked: Sequence[Asked]) -> list[Outcome]:
    """Place bids; of several under one key the first, and the others alone when it is in."""
    named = [(one.actor.user_id, one.key) for one in asked]
    first = [place for place, name in enumerate(named) if name[1] is None or name not in named[:place]]
    told: list[Outcome] = [None] * len(asked)
    for place, one in zip(first, perform_together(TOGETHER, [asked[at] for at in first]), strict=True):
        told[place] = one
    return told


def _look(asked: Sequence[Asked]) -> Said:
    return LOOK, {"lots": array(one.command.lot_id for one in asked),
                  "investors": array(one.actor.organisation_id for one in asked)}  # fmt: skip


def _decide(
    asked: Mapping[int, Asked], rows: Sequence[Any], policy_version: str
) -> tuple[dict[int, Outcome], Said | None]:
    """Judge bids one by one, in the order they came; return their verdicts, and what is written of those that pass."""
    found = {row[-3] - 1: row for row in rows}
    free: dict[UUID, int] = {}
    sound: list[tuple[Asked, Seen, UUID, UUID]] = []
    told: dict[int, Outcome] = {}
    for place, one in asked.items():
        if place not in found:
            continue
        row = found[place]
        seen, free_minor = Seen(*(*row[:-3], row[-1])), row[-2]
        if seen.account_id is None or seen.purse:
            continue
        told[place] = why_not(seen, one.command)
        if told[place] is not None:
            continue
        if free.setdefault(seen.account_id, free_minor) < one.command.cash_minor:
            told[place] = short_of_cash()
            continue
        free[seen.account_id] -= one.command.cash_minor
        bid_id, hold_id = new_id(), new_id()
        sound.append((one, seen, bid_id, hold_id))
        told[place] = {"bid_id": str(bid_id), "hold_id": str(hold_id)}
    return told, _writing(sound, policy_version) if sound else None


def _writing(sound: Sequence[tuple[Asked, Seen, UUID, UUID]], policy_version: str) -> Said:
    """Return the statement that writes bids, what they hold and what is told of both."""
    at = max(seen.now for _, seen, _, _ in sound)
    of_hold = form("place_hold", Role.INVESTOR.value, "hold", OF_HOLD, policy_version)
    of_bid = form(place_bid.name, Role.INVESTOR.value, "bid", OF_BID, policy_version)
    same = {"at": written(at), "after.subject_kind": b'"bid"', "on_behalf_of": b"null", "after.seq": b"0",
            "after.replaces_id": b"null", "after.state": written(BidState.PLACED.value)}  # fmt: skip
    rows = []
    for (one, seen, bid_id, hold_id), hold_event, bid_event in zip(sound, *_events(len(sound)), strict=True):
        bid: PlaceBid = one.command
        ids = (bid_id, bid.lot_id, one.actor.organisation_id, seen.group_id, hold_id, seen.account_id,
               one.actor.user_id, one.actor.request_id)  # fmt: skip
        texts = [str(one_id) for one_id in ids]  # once: each stands in columns and in both events
        bid_named, lot, house, group, hold, account, user, request = [b'"%b"' % name.encode() for name in texts]
        told = same | {
            "id": b'"%b"' % hold_event.encode(), "subject_id": hold, "actor_user_id": user,
            "actor_organisation_id": house, "request_id": request, "after.account_id": account,
            "after.minor": written(bid.cash_minor), "after.subject_id": bid_named,
        }  # fmt: skip
        hold_body = of_hold.filled(told)
        told |= {
            "id": b'"%b"' % bid_event.encode(), "subject_id": bid_named, "after.lot_id": lot,
            "after.cash_minor": told["after.minor"], "after.min_fill_minor": written(bid.min_fill_minor),
            "after.rate_bps": written(bid.rate_bps), "after.investor_id": house, "after.group_id": group,
            "after.hold_id": hold,
        }  # fmt: skip
        head, mark, tail = of_bid.filled(told).partition(SEQ_LATER)
        rows.append((*texts[:6], bid.cash_minor, bid.min_fill_minor, bid.rate_bps, *texts[6:],
                     hold_event, hold_body, bid_event, head + mark[:-1], tail))  # fmt: skip
    columns = zip(COLUMNS.items(), zip(*rows, strict=True), strict=True)
    given = {name: byte_array(values) if kind == "bytea" else array(values) for (name, kind), values in columns}
    return WRITE, given | {"at": at}


def _events(count: int) -> tuple[list[str], list[str]]:
    """Return ids for the events of so many holds and of as many bids."""
    made = [f"{one[:8]}-{one[8:12]}-{one[12:16]}-{one[16:20]}-{one[20:]}" for one in new_texts(2 * count)]
    return made[:count], made[count:]


TOGETHER = Together(place_bid, _look, _decide)
