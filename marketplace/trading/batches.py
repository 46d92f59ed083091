"""Many lots that are due at once: closed together in one transaction, each as `close_lot` would close it alone.

Reads and writes are one statement a kind of row, whatever the number of lots. A lot that cannot be closed ends the
whole transaction; who called halves the batch until it stands alone. Locks come lots, receivables, accounts, by id.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any
from uuid import UUID

from sqlalchemy import text, update

from marketplace.db import among, array
from marketplace.exchange import queries as exchange
from marketplace.kernel.errors import Conflict
from marketplace.kernel.words import N_
from marketplace.ledger import actions as ledger
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx
from marketplace.receivables import actions as receivables
from marketplace.receivables import queries as receivable_queries
from marketplace.receivables.states import ReceivableState
from marketplace.receivables.walls.rechecking import Against
from marketplace.trading import engine, queries, rules, steps, title_check
from marketplace.trading.instructing import place_mandates
from marketplace.trading.rules import BidState, LotState
from marketplace.trading.schemas import CloseLots
from marketplace.trading.tables import LotRow

# So many together at the most. Every lot takes about a dozen of the server's advisory locks while its title is asked
# about, and a server of the usual size has some six thousand of them.
TOGETHER_MAX = 200


AWARDED = {
    "outcome": "text", "stop_out_bps": "integer", "awarded_minor": "bigint", "discount_minor": "bigint",
    "standing_minor": "bigint", "groups": "integer", "rule": "text", "rule_version": "text", "sha256": "text",
}  # fmt: skip
# All transcripts come as one text, each with where it begins: a list of them would be written and read by the byte.
AWARDS = text(f"""
    INSERT INTO award (lot_id, round, transcript, made_at, {", ".join(AWARDED)})
    SELECT made.lot_id, 1, substring(CAST(:transcripts AS bytea) FROM made.place FOR made.length),
        (SELECT market_now()), {", ".join(f"made.{name}" for name in AWARDED)}
    FROM unnest(CAST(:lots AS uuid[]), CAST(:places AS integer[]), CAST(:lengths AS integer[]),
        {", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in AWARDED.items())})
        AS made (lot_id, place, length, {", ".join(AWARDED)})""")  # noqa: S608 (names of columns)


@verb("close_lots")
def close_lots(tx: Tx, command: CloseLots) -> Result:
    """Close lots whose time has come, all or none. What is not due, or not open any more, is left as it is.

    Raises: whatever one of them raises; nothing changes then.
    """
    lots = queries.lock_due(tx.session, command.lot_ids)
    now = tx.clock()
    sound = without_called_off(tx, [lot for lot in lots if lot.session_id is None])
    place_mandates(tx, sound)
    books = queries.standing_books(tx.session, [lot.id for lot in sound])
    cleared = {lot.id: engine.clear_lot(lot, books.get(lot.id, [])) for lot in sound}
    write_closed(tx, sound, cleared, now)
    if not lots:
        tx.record("lots", tx.actor.request_id, after={"closed": 0})
    return {"closed": len(sound), "cancelled": len(lots) - len(sound)}


def write_closed(tx: Tx, lots: Sequence[LotRow], cleared: dict[UUID, engine.Cleared], now: datetime) -> None:
    """Write down what cleared: awards and fills, the end of every bid, where lots and receivables stand now."""
    _write_awards(tx, cleared)
    freed = _end_bids(tx, cleared)
    _move(tx, lots, cleared, now)
    ledger.void_holds(tx, freed)  # last: whoever bids elsewhere meanwhile waits for these accounts


def without_called_off(tx: Tx, lots: Sequence[LotRow]) -> list[LotRow]:
    """Call off every lot whose receivable may not be sold after all, and return the others."""
    wanted = sorted(lot.receivable_id for lot in lots)
    known = receivables.lock_many(tx, wanted)
    perhaps = receivable_queries.perhaps_stopped(tx.session, wanted)
    near = receivables.to_look_at(tx, wanted) if wanted else set()
    sound = []
    for lot in lots:
        one = lot.receivable_id
        stops = receivable_queries.stops(tx.session, one) if one in perhaps else []
        on_auction = known[one].state == ReceivableState.ON_AUCTION
        ask = on_auction and not stops and (one in near or bool(exchange.contrary(tx.session, one)))
        found = title_check.against(tx, one) if ask else Against()
        if on_auction and not stops and not found:
            sound.append(lot)
            continue
        title_check.call_off(tx, lot, [*stops, *found.codes] or [f"receivable_{known[one].state}"], found)
    return sound


def _write_awards(tx: Tx, cleared: dict[UUID, engine.Cleared]) -> None:
    """Write all awards with their transcripts, then all fills."""
    if not cleared:
        return
    figures = {lot_id: steps.figures_of(one) for lot_id, one in cleared.items()}
    columns = {name: [told[name] for told in figures.values()] for name in AWARDED}
    transcripts = [one.transcript for one in cleared.values()]
    lengths = [len(transcript) for transcript in transcripts]
    places = [1 + before for before in accumulate(lengths[:-1], initial=0)]
    given = {"lots": list(figures), "transcripts": b"".join(transcripts), "places": places, "lengths": lengths}
    tx.session.execute(AWARDS, given | columns)
    legs = [(lot_id, leg) for lot_id, one in cleared.items() for leg in one.legs]
    tx.session.execute(
        text(
            "INSERT INTO fill (lot_id, round, bid_id, investor_id, cash_minor, discount_minor, rate_bps, hold_id) "
            "SELECT leg.lot, 1, bid.id, bid.investor_id, leg.cash, leg.discount, leg.rate, bid.hold_id "
            "FROM unnest(CAST(:lots AS uuid[]), CAST(:ids AS uuid[]), CAST(:cash AS bigint[]), "
            "            CAST(:discounts AS bigint[]), CAST(:rates AS integer[])) "
            "     AS leg (lot, id, cash, discount, rate) JOIN bid ON bid.id = leg.id"
        ),
        {
            "lots": array(lot_id for lot_id, _ in legs),
            "ids": array(leg.bid for _, leg in legs),
            "cash": array(leg.cash_minor for _, leg in legs),
            "discounts": array(leg.discount_minor for _, leg in legs),
            "rates": array(leg.rate_bps for _, leg in legs),
        },
    )
    tx.record_many("lot", "award", [(lot_id, None, told) for lot_id, told in figures.items()])


def _end_bids(tx: Tx, cleared: dict[UUID, engine.Cleared]) -> list[list[UUID]]:
    """Give every bid its end; return the holds of those that got nothing, by lot."""
    filled = array(leg.bid for one in cleared.values() for leg in one.legs)
    tx.session.execute(text("UPDATE bid SET state = 'filled' WHERE id = ANY (CAST(:ids AS uuid[]))"), {"ids": filled})
    freed: dict[UUID, list[UUID]] = {lot_id: [] for lot_id in cleared}
    why: dict[tuple[str, ...], list[UUID]] = {}
    for one in cleared.values():
        for bid_id, heard in one.refused.items():
            why.setdefault(heard, []).append(bid_id)
    for reasons, ids in sorted(why.items()):
        _end(tx, freed, BidState.REFUSED, "id = ANY (:ids)", {"ids": ids, "reasons": list(reasons)})
    passed = [bid_id for one in cleared.values() for bid_id in one.passed_over]
    _end(tx, freed, BidState.PASSED_OVER, "id = ANY (:ids)", {"ids": passed})
    left = {"ids": list(cleared), "placed": str(BidState.PLACED)}
    _end(tx, freed, BidState.UNFILLED, "lot_id = ANY (:ids) AND state = :placed", left)
    return list(freed.values())


def _end(tx: Tx, freed: dict[UUID, list[UUID]], state: BidState, whose: str, given: dict[str, Any]) -> None:
    if not given["ids"]:
        return
    rows = tx.session.execute(
        text(
            "UPDATE bid SET state = :state, reasons = :reasons, ended_at = (SELECT market_now()) "  # noqa: S608
            f"WHERE {whose} RETURNING lot_id, hold_id"
        ),
        {"reasons": [], **given, "state": str(state)},
    )
    for row in rows:
        if row.hold_id is not None:
            freed[row.lot_id].append(row.hold_id)


def _move(tx: Tx, lots: Sequence[LotRow], cleared: dict[UUID, engine.Cleared], now: datetime) -> None:
    """Bring lots and receivables on: not covered, waiting for the seller, or accepted at the seller's own rate."""
    failed = [lot for lot in lots if cleared[lot.id].outcome == "failed"]
    sold = [lot for lot in lots if cleared[lot.id].outcome != "failed"]
    own = [lot for lot in sold if _accepts_itself(lot, cleared[lot.id])]
    again = [lot for lot in failed if rules.may_reopen(tx.policy, lot.expected_on, tx.today)]
    decide_by = now + timedelta(minutes=tx.policy.auction.decision_minutes)
    _move_lots(tx, failed, LotState.OPEN, LotState.CLOSED_FAILED, closed_at=now)
    _move_lots(tx, sold, LotState.OPEN, LotState.AWAITING_SELLER, closed_at=now, decide_by=decide_by)
    _move_lots(tx, own, LotState.AWAITING_SELLER, LotState.ACCEPTED, decided_at=now, decided_how="own_rate")
    state = ReceivableState
    receivables.move_many(tx, [lot.receivable_id for lot in sold], state.ON_AUCTION, state.AWARDED)
    receivables.move_many(tx, [lot.receivable_id for lot in again], state.ON_AUCTION, state.RATED, "not_covered")
    for lot in failed:
        if lot not in again:
            steps.not_sold(tx, lot, "not_covered")
    tx.session.expire_all()


def _accepts_itself(lot: LotRow, one: engine.Cleared) -> bool:
    return rules.accepts_itself(one.outcome, one.stop_out_bps, one.groups, steps.unasked_bps(lot))


def _move_lots(tx: Tx, lots: Sequence[LotRow], before: LotState, after: LotState, **changes: Any) -> None:
    """Move locked lots, all of one state, to another, with what else changes, and record each."""
    if not lots:
        return
    rules.LOT.check(before, after)
    moved = tx.session.execute(
        update(LotRow)
        .where(among(LotRow.id, (lot.id for lot in lots)), LotRow.state == before)
        .values(state=after, **changes)
        .returning(LotRow.id)
        .execution_options(synchronize_session=False)
    ).all()
    if len(moved) != len(lots):
        raise Conflict("changed_meanwhile", N_("Somebody else decided this just now."))
    told = {"state": before}, {"state": after, **changes}
    tx.record_many("lot", tx.verb, [(lot.id, *told) for lot in lots])
