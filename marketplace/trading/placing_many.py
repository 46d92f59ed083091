"""Many bids of one investor at once: each is judged and placed by itself, in a few statements for all of them.

A refused bid stops no other. What the database refuses after the rules have passed it, for it came too late or another
bid took the cash meanwhile, is found by halving. Bids in lots that answer to them, that rest on a purse, and
bids in place of others are placed one by one: they want a lot's row alone, a purse's, or another bid's.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import MarketplaceError, NotPermitted, Problem
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.ledger import actions as ledger
from marketplace.ledger import queries as balances
from marketplace.parties.rules import verb
from marketplace.perform import RETRIED, Result, Tx, perform
from marketplace.trading import placing, queries
from marketplace.trading.actions import judged, place_bid, refused_by_database, short_of_cash
from marketplace.trading.placing import Seen
from marketplace.trading.rules import BidState
from marketplace.trading.schemas import PlaceBid, PlaceBids

log = logging.getLogger(__name__)
FAILED: dict[str, Any] = {"code": "failed", "problems": [{"field": "", "rule": "failed", "words": N_(
    "Something failed here, and what became of this bid is not known. Send the same list again: what is in already is "
    "not placed twice.")}]}  # fmt: skip
TOGETHER_MAX = 500  # bids in one transaction: their lots wait for no longer than these take to be written

WRITE = text("""
    WITH asked AS (
        SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:lots AS uuid[]), CAST(:holds AS uuid[]),
            CAST(:accounts AS uuid[]), CAST(:cash AS bigint[]), CAST(:least AS bigint[]), CAST(:rates AS integer[]))
            WITH ORDINALITY AS one (id, lot_id, hold_id, account_id, cash, least, rate, place)),
    held AS (
        INSERT INTO hold (id, account_id, minor, subject_kind, subject_id)
        SELECT hold_id, account_id, cash, 'bid', id FROM asked)
    INSERT INTO bid (id, lot_id, investor_id, group_id, cash_minor, min_fill_minor, rate_bps, hold_id, placed_by)
    SELECT id, lot_id, :investor, :group, cash, least, rate, hold_id, :by FROM asked ORDER BY place
    RETURNING id, seq""")


@dataclass(frozen=True)
class Told:
    """What became of one bid: its id, or the refusal."""

    bid_id: UUID | None
    code: str = ""
    problems: tuple[Problem, ...] = ()


@dataclass
class _Sound:
    """A bid that the rules have passed, with what is written of it."""

    place: int
    command: PlaceBid
    seen: Seen
    account_id: UUID
    bid_id: UUID
    hold_id: UUID


def place_all(bids: Sequence[PlaceBid], actor: Actor, key: str) -> list[Told]:
    """Place bids, hundreds in one transaction, and say in their order what became of each.

    The same bids sent again under the same key place nothing twice. Nothing is all or none: a lot that closes in the
    meantime takes its own bids with it, and no others. Once something of ours has failed, what is left is `failed` too
    and not tried, while bids that are in are told as ever.

    Raises: whatever stops the first of them, for then none is in.
    """
    told: list[Told] = []
    failed = False
    for start in range(0, len(bids), TOGETHER_MAX):
        some = tuple(bids[start : start + TOGETHER_MAX])
        rows = [FAILED] * len(some) if failed else _together(some, actor, f"{key}:{start}", first=not start)
        failed = failed or FAILED in rows
        for at, (bid, row) in enumerate(zip(some, rows, strict=True)):
            if row.get("alone"):
                row = FAILED if failed else _alone(bid, actor, f"{key}:{start + at}:alone")
                failed = failed or row is FAILED
            told.append(_read(row))
    return told


def _together(some: tuple[PlaceBid, ...], actor: Actor, key: str, *, first: bool) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = perform(place_bids, PlaceBids(some), actor, idempotency_key=key)["bids"]
    except Exception as error:
        if first:
            raise
        return [_stopped(error)] * len(some)
    return rows


def _alone(bid: PlaceBid, actor: Actor, key: str) -> dict[str, Any]:
    try:
        return perform(place_bid, bid, actor, idempotency_key=key)
    except Exception as error:
        return _stopped(error)


def _stopped(error: Exception) -> dict[str, Any]:
    """Return what a bid is told that was stopped; whatever it was, the answer of those that are in must get out."""
    if isinstance(error, MarketplaceError):
        return _refused(error)
    log.error("bids of a list failed", exc_info=error)
    return FAILED


def _read(row: dict[str, Any]) -> Told:
    if "bid_id" in row:
        return Told(UUID(row["bid_id"]))
    return Told(None, row["code"], tuple(Problem(**one) for one in row["problems"]))


def _refused(refusal: MarketplaceError) -> dict[str, Any]:
    problems = refusal.problems or (Problem("", refusal.code, refusal.words, refusal.params),)
    rows = [{"field": one.field, "rule": one.rule, "words": one.words, "params": dict(one.params)} for one in problems]
    return {"code": refusal.code, "problems": rows}


@verb("place_bids")
def place_bids(tx: Tx, command: PlaceBids) -> Result:
    """Place many bids, each with its own hold; those of an answering lot, or in place of another, are left `alone`.

    Lots are locked in order of id, shared; then the account. Cash is given out in the order of the bids.
    """
    if tx.actor.organisation_id is None or tx.actor.user_id is None:
        raise NotPermitted("not_permitted", N_("Only an investor’s own people may bid."))
    seen = placing.look_many(tx, {bid.lot_id for bid in command.bids}, tx.actor.organisation_id)
    rows: list[dict[str, Any]] = [{} for _ in command.bids]
    sound = []
    for place, bid in enumerate(command.bids):
        lot = seen.get(bid.lot_id)
        if bid.replaces_bid_id is not None or (lot is not None and (lot.answers or lot.purse)):
            rows[place] = {"alone": True}
            continue
        try:
            sound.append(_judged(tx, place, bid, lot))
        except MarketplaceError as refusal:
            rows[place] = _refused(refusal)
    for one, refused in _written(tx, list(_paid_for(tx, sound, rows))):
        rows[one.place] = {"bid_id": one.bid_id} if refused is None else _refused(refused)
    if not tx.events:
        tx.record("bids", tx.actor.request_id, after={"placed": 0, "asked": len(rows)})
    return {"bids": rows}


def _judged(tx: Tx, place: int, bid: PlaceBid, lot: Seen | None) -> _Sound:
    """Return a bid that no rule refuses. Raises: NotFound, RuleBroken as `place_bid`."""
    if lot is None:
        raise queries.missing()
    judged(tx, lot, bid)
    account = lot.account_id or ledger.account(tx, "investor_cash", tx.actor.organisation_id, lot.currency)
    return _Sound(place, bid, lot, account, new_id(), new_id())


def _paid_for(tx: Tx, sound: Sequence[_Sound], rows: list[dict[str, Any]]) -> Iterator[_Sound]:
    """Yield the bids that free cash covers, in their order; tell the others so."""
    free: dict[str, int] = {}
    for one in sound:
        currency, cash = one.seen.currency, one.command.cash_minor
        if currency not in free:
            purse = balances.balance(tx.session, "investor_cash", tx.actor.organisation_id, currency)
            free[currency] = purse.free_minor
        if free[currency] < cash:
            rows[one.place] = _refused(short_of_cash())
            continue
        free[currency] -= cash
        yield one


def _written(tx: Tx, some: list[_Sound]) -> Iterator[tuple[_Sound, MarketplaceError | None]]:
    """Write bids in one statement; where the database refuses, each half by itself, down to the one at fault."""
    if not some:
        return
    try:
        with tx.session.begin_nested():
            _write(tx, some)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in RETRIED:
            raise
        if len(some) > 1:
            middle = len(some) // 2
            yield from _written(tx, some[:middle])
            yield from _written(tx, some[middle:])
            return
        refusal = refused_by_database(error, some[0].seen)
        if not isinstance(refusal, MarketplaceError):
            raise
        yield some[0], refusal
        return
    yield from ((one, None) for one in some)


def _write(tx: Tx, some: Sequence[_Sound]) -> None:
    seqs = {
        row.id: row.seq
        for row in tx.session.execute(
            WRITE,
            {
                "ids": [one.bid_id for one in some], "lots": [one.seen.id for one in some],
                "holds": [one.hold_id for one in some], "accounts": [one.account_id for one in some],
                "cash": [one.command.cash_minor for one in some], "least": [one.command.min_fill_minor for one in some],
                "rates": [one.command.rate_bps for one in some], "investor": tx.actor.organisation_id,
                "group": some[0].seen.group_id, "by": tx.actor.user_id,
            },
        )
    }  # fmt: skip
    tx.record_many("hold", "place_hold", [
        (one.hold_id, None, {"account_id": one.account_id, "minor": one.command.cash_minor, "subject_kind": "bid",
                             "subject_id": one.bid_id}) for one in some])  # fmt: skip
    tx.record_many("bid", "place_bid", [(one.bid_id, None, _after(tx, one, seqs[one.bid_id])) for one in some])


def _after(tx: Tx, one: _Sound, seq: int) -> dict[str, Any]:
    bid = one.command
    return {"lot_id": bid.lot_id, "cash_minor": bid.cash_minor, "min_fill_minor": bid.min_fill_minor,
            "rate_bps": bid.rate_bps, "investor_id": tx.actor.organisation_id, "group_id": one.seen.group_id,
            "hold_id": one.hold_id, "seq": seq, "replaces_id": None, "state": BidState.PLACED}  # fmt: skip
