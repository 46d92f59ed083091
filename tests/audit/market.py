"""A small market for the tests of the trail: money, holds, title and one auction, as the verbs leave them."""

import hashlib
from collections.abc import Callable
from uuid import UUID

from auction.book import Book
from auction.replay import canonical, run
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.ids import new_id
from marketplace.ledger import actions as ledger
from marketplace.ledger.rules import credit, debit
from marketplace.perform import Tx
from marketplace.title import actions as title
from tests.support import do

REX = Actor(Role.REGULATOR, new_id(), new_id())


def build(meddle: Callable[..., None]) -> None:
    """Fund two investors, bid, close, settle, sell on, buy back, discharge; and let a regulator look."""
    bob, carol, alice, receivable, lot = (new_id() for _ in range(5))
    for owner in (bob, carol):
        do(lambda tx, owner=owner: _fund(tx, owner, 500_000))
    do(lambda tx: title.register(tx, receivable, alice, 500_000, "GBP", receivable.bytes * 2))
    withdrawn = new_id()
    do(lambda tx: title.register(tx, withdrawn, alice, 70_000, "GBP", new_id().bytes * 2))
    do(lambda tx: title.tombstone(tx, withdrawn, "withdrawn"))
    do(lambda tx: title.revive(tx, withdrawn, alice))
    do(lambda tx: _book(tx, meddle, lot, receivable, [(bob, 300_000, 650), (carol, 200_000, 700)]))
    do(lambda tx: title.assign(tx, receivable, [(bob, 240_000), (carol, 160_000)]))
    do(lambda tx: title.transfer(tx, receivable, bob, carol, 100_000, 50_000))
    do(lambda tx: title.transfer(tx, receivable, carol, alice, 120_000, 20_000))
    do(lambda tx: title.buy_back(tx, receivable, alice))
    do(lambda tx: title.discharge(tx, receivable))
    do(lambda tx: tx.record("auction", lot, verb="look_up", reason="case 1") and None, REX)


def _fund(tx: Tx, owner: UUID, minor: int) -> None:
    legs = [
        debit(ledger.account(tx, "provider_lender", None, "GBP"), minor),
        credit(ledger.account(tx, "investor_cash", owner, "GBP"), minor),
    ]
    ledger.post_entry(tx, "fund", "funding", new_id(), legs)


def _book(
    tx: Tx, meddle: Callable[..., None], lot: UUID, receivable: UUID, offers: list[tuple[UUID, int, int]]
) -> None:
    """Open a lot, place bids with their holds, close and pay: rows are put in place without their rooms."""
    terms = {
        "currency": "GBP", "face_minor": 500_000, "target_minor": 400_000, "lot_size_minor": 10_000,
        "minimum_minor": 10_000, "reserve_bps": 900, "tenor_days": 40, "min_share_bps": 8_000,
        "group_cap_bps": 10_000, "price_rule": "uniform", "related_groups": [],
    }  # fmt: skip
    tx.record("lot", lot, verb="open_lot", after={"receivable_id": receivable, **terms})
    bids, holds = [], {}
    for seq, (owner, cash, rate) in enumerate(offers, 1):
        bid = new_id()
        account = ledger.account(tx, "investor_cash", owner, "GBP")
        holds[str(bid)] = (ledger.place_hold(tx, account, cash, "bid", bid), account)
        bids.append({"id": str(bid), "investor": str(owner), "group": str(owner), "cash_minor": cash,
                     "min_fill_minor": 0, "rate_bps": rate, "seq": seq})  # fmt: skip
        tx.record("bid", bid, verb="place_bid", after={
            "lot_id": lot, "seq": seq, "investor_id": owner, "group_id": owner, "cash_minor": cash,
            "min_fill_minor": 0, "rate_bps": rate, "hold_id": holds[str(bid)][0], "state": "placed"})  # fmt: skip
        meddle(
            "INSERT INTO bid (id, lot_id, seq, investor_id, group_id, cash_minor, min_fill_minor, rate_bps, hold_id, "
            "placed_by) OVERRIDING SYSTEM VALUE VALUES (:id, :lot, :seq, :who, :who, :cash, 0, :rate, :hold, :who)",
            id=bid, lot=lot, seq=seq, who=owner, cash=cash, rate=rate, hold=holds[str(bid)][0],
        )  # fmt: skip
    outcome = run(Book.parse({"lot": str(lot), **terms, "bids": bids}))
    raw = canonical(outcome.transcript)
    figures = {
        "round": 1, "outcome": outcome.clearing.outcome, "stop_out_bps": outcome.clearing.stop_out_bps,
        "awarded_minor": outcome.clearing.awarded_minor, "discount_minor": outcome.discount_minor,
        "standing_minor": outcome.clearing.standing_minor, "groups": outcome.groups, "rule": "UPM-1",
        "rule_version": "1.0", "sha256": hashlib.sha256(raw).hexdigest(),
    }  # fmt: skip
    tx.record("lot", lot, verb="award", after=figures)
    meddle(
        f"INSERT INTO award (lot_id, transcript, {', '.join(figures)}) "
        f"VALUES (:lot, :raw, {', '.join(':' + name for name in figures)})",
        lot=lot, raw=raw, **figures,
    )  # fmt: skip
    for fill in outcome.fills:
        hold, account = holds[fill.bid.id]
        legs = [debit(account, fill.cash_minor), credit(ledger.account(tx, "provider_lender", None, "GBP"),
                                                        fill.cash_minor)]  # fmt: skip
        ledger.post_entry(tx, "settle", "lot", lot, legs, holds=[hold])
