"""Bids of several investors that meet in one process, placed by one of them in one transaction for all.

One statement judges each by itself and writes bid, hold, events and idempotency key of those that it finds nothing
against. Any other is left to be placed alone, where the rules say what is wrong: so is who would make others wait or
needs more than a bid's own rows, in a lot that somebody holds or that answers to its bids, on a purse, in place of an
earlier bid, or of a house without an account; and everybody, when the database refuses the whole. The statement is the
same whatever rivals have bid, and reads no bid.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from flask import current_app

from marketplace.audit.events import JSON_INSTANT, JSON_TEXT, form
from marketplace.db import array
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.ids import new_id_texts
from marketplace.kernel.meeting import Meeting
from marketplace.perform import (
    ASKED,
    ASKED_COLUMNS,
    ASKED_GIVEN,
    KEEPING,
    UNDONE,
    Asked,
    Outcome,
    Result,
    Said,
    Together,
    perform,
    perform_together,
)
from marketplace.trading.actions import place_bid
from marketplace.trading.placing import ANSWERS, NO_PROBLEM, SEEN_TABLES
from marketplace.trading.rules import BidState, LotState
from marketplace.trading.schemas import PlaceBid

MEETING = "bid_meeting"
TURN_MAX = 64

# What is asked for, after who asks under which key: what a bid is, and the ids it will have.
COLUMNS = {
    "lot": "uuid", "investor": "uuid", "by": "uuid", "request": "uuid", "cash": "bigint", "least": "bigint",
    "rate": "integer", "id": "uuid", "hold": "uuid", "hold_event": "uuid", "bid_event": "uuid",
}  # fmt: skip
# Shared as for a bid alone, but no lot is waited for: who holds one has something to say about its close. IS TRUE keeps
# the index of open lots out of it: a plan that was made when there were few would walk them all for each bid.
SEEN = f"""
    SELECT asked.*, coalesce(house.group_id, house.id) AS house_group, account.id AS account, lot.closes_at,
        balance.posted_minor - balance.held_minor AS free
    FROM unnest({ASKED}, {", ".join(f"${at}::{kind}[]" for at, kind in enumerate(COLUMNS.values(), ASKED_GIVEN + 1))})
        WITH ORDINALITY AS asked ({ASKED_COLUMNS}, {", ".join(COLUMNS)}, place)
    JOIN lot ON lot.id = asked.lot AND NOT {ANSWERS} {SEEN_TABLES.format(investor="asked.investor")}
    JOIN balance ON balance.account_id = account.id
    WHERE {UNDONE} AND (lot.state = '{LotState.OPEN}') IS TRUE AND purse.hold_id IS NULL
        AND {NO_PROBLEM.format(rate="asked.rate", cash="asked.cash", least="asked.least")}
    FOR SHARE OF lot SKIP LOCKED"""  # noqa: S608 (parts of statements, nothing that anybody sent)
# The clock is read once, when all lots are held. What others of the turn ask of an account comes off first, in order.
SOUND = """
    SELECT looked.*, clock.now
    FROM (SELECT market_now() AS now FROM (SELECT count(*) FROM seen) AS held OFFSET 0) AS clock,
        (SELECT seen.*, sum(cash) OVER (PARTITION BY account ORDER BY place) AS wanted FROM seen) AS looked
    WHERE now < closes_at AND wanted <= free"""
PLACE = """
    WITH seen AS MATERIALIZED ({seen}), sound AS MATERIALIZED ({sound}),
    {kept}
    held AS (
        INSERT INTO hold (id, account_id, minor, subject_kind, subject_id, placed_at)
        SELECT hold, account, cash, 'bid', id, now FROM sound),
    placed AS (
        INSERT INTO bid (id, lot_id, investor_id, group_id, cash_minor, min_fill_minor, rate_bps, hold_id, placed_by,
            placed_at)
        SELECT id, lot, investor, house_group, cash, least, rate, hold, by, now FROM sound ORDER BY place
        RETURNING id, seq),
    told AS (
        INSERT INTO event (id, at, verb, actor_role, actor_user_id, actor_organisation_id, on_behalf_of, request_id,
            subject_kind, subject_id, body)
        SELECT one.id, now, one.verb, '{role}', by, investor, NULL, request, one.kind, one.subject, one.body
        FROM sound JOIN placed USING (id) CROSS JOIN LATERAL (VALUES
            (1, hold_event, 'place_hold', 'hold', hold, {hold_body}),
            (2, bid_event, '{verb}', 'bid', sound.id, {bid_body})) AS one (nth, id, verb, kind, subject, body)
        ORDER BY place, one.nth)
    SELECT place FROM sound"""

# What the two events of a bid tell, each value as the database writes it in JSON.
ACTING = {
    "at": JSON_INSTANT.format("now"), "on_behalf_of": "'null'", "actor_user_id": JSON_TEXT.format("by"),
    "actor_organisation_id": JSON_TEXT.format("investor"), "request_id": JSON_TEXT.format("request"),
}  # fmt: skip
OF_HOLD = {
    "account_id": JSON_TEXT.format("account"), "minor": "cash", "subject_kind": """'"bid"'""",
    "subject_id": JSON_TEXT.format("sound.id"),
}  # fmt: skip
OF_BID = {
    "lot_id": JSON_TEXT.format("lot"), "cash_minor": "cash", "min_fill_minor": "least", "rate_bps": "rate",
    "investor_id": JSON_TEXT.format("investor"), "group_id": JSON_TEXT.format("house_group"),
    "hold_id": JSON_TEXT.format("hold"), "seq": "placed.seq", "replaces_id": "'null'",
    "state": f"""'"{BidState.PLACED}"'""",
}  # fmt: skip


def place_together(command: PlaceBid, actor: Actor, key: str | None = None) -> Result:
    """Place a bid as `place_bid` does, in one transaction with those that come at the same moment.

    Raises: what `place_bid` raises.
    """
    outcome: Outcome = None
    if command.replaces_bid_id is None and actor.organisation_id and actor.user_id and not actor.on_behalf_of:
        outcome = _meeting().ask(Asked(command, actor, key))
    return perform(place_bid, command, actor, idempotency_key=key) if outcome is None else outcome


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


def _say(asked: Sequence[Asked], policy_version: str) -> Said:
    """Return the statement that places bids, and what it is given of these."""
    bids: list[PlaceBid] = [one.command for one in asked]
    ids, holds, hold_events, bid_events = (new_id_texts(len(asked)) for _ in range(4))
    results = [{"bid_id": bid, "hold_id": hold} for bid, hold in zip(ids, holds, strict=True)]
    return Said(_statement(policy_version, any(one.key for one in asked)), results, [
        array(bid.lot_id for bid in bids),
        array(one.actor.organisation_id for one in asked),
        array(one.actor.user_id for one in asked),
        array(one.actor.request_id for one in asked),
        array(bid.cash_minor for bid in bids),
        array(bid.min_fill_minor for bid in bids),
        array(bid.rate_bps for bid in bids),
        array(ids), array(holds), array(hold_events), array(bid_events),
    ])  # fmt: skip


@lru_cache(maxsize=4)
def _statement(policy_version: str, keyed: bool) -> str:
    """Return the statement under a policy, whose version stands in what is told; `keyed` where any came under a key."""
    return PLACE.format(
        seen=SEEN,
        sound=SOUND,
        kept=f"kept AS ({KEEPING.format(done='sound')})," if keyed else "",
        role=Role.INVESTOR,
        verb=place_bid.name,
        hold_body=_body("place_hold", "hold", ("hold_event", "hold"), OF_HOLD, policy_version),
        bid_body=_body(place_bid.name, "bid", ("bid_event", "sound.id"), OF_BID, policy_version),
    )


def _body(verb: str, kind: str, ids: tuple[str, str], after: Mapping[str, str], policy_version: str) -> str:
    """Return an event's body as the statement writes it; `ids` are its own and its subject's."""
    own, subject = map(JSON_TEXT.format, ids)
    values = ACTING | {"id": own, "subject_id": subject} | {f"after.{name}": value for name, value in after.items()}
    return form(verb, Role.INVESTOR.value, kind, tuple(after), policy_version).filled(values)


TOGETHER = Together(place_bid, _say)
