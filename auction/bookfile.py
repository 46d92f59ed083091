"""Books in the form people write them: the lot's terms under `lot`, the bids beside them.

A book stored in a transcript has the same terms flat, under the names the transcript uses; both are read, and faults
name what the file says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auction.book import PAY_AS_BID, Book
from auction.clearing import FULL
from auction.errors import BookInvalid, Fault
from auction.replay import Outcome, sha256

LOT_KEYS = {  # as written by people: as the engine calls it
    "id": "lot",
    "currency": "currency",
    "face_minor": "face_minor",
    "target_minor": "target_minor",
    "lot_size_minor": "lot_size_minor",
    "minimum_bid_minor": "minimum_minor",
    "reserve_bps": "reserve_bps",
    "seller_minimum_bps": "min_share_bps",
    "group_cap_bps": "group_cap_bps",
    "price": "price_rule",
    "tenor_days": "tenor_days",
    "related_groups": "related_groups",
}
NO_CURRENCY = 3 * "X"  # ISO 4217: no currency is involved
SPELLINGS = {"pay-as-bid": PAY_AS_BID}


def read_book(value: Any) -> Book:
    """Read a book in either form.

    Raises: BookInvalid with every fault, each under the path it has in the file.
    """
    if not isinstance(value, Mapping) or isinstance(value.get("lot"), str):
        return Book.parse(value)
    if "book" in value:
        return Book.parse(value["book"])
    lot = value.get("lot")
    if not isinstance(lot, Mapping):
        raise BookInvalid([Fault("lot", "not_an_object" if "lot" in value else "missing")])
    flat: dict[str, object] = {ours: lot[theirs] for theirs, ours in LOT_KEYS.items() if theirs in lot}
    flat.setdefault("currency", NO_CURRENCY)
    if isinstance(price := lot.get("price"), str):
        flat["price_rule"] = SPELLINGS.get(price, price)
    if "bids" in value:
        bids = value["bids"]
        flat["bids"] = [_bid(row) for row in bids] if isinstance(bids, list) else bids
    try:
        return Book.parse(flat)
    except BookInvalid as invalid:
        raise BookInvalid([Fault(_path(fault.path), fault.rule) for fault in invalid.faults]) from None


def report(book: Book, outcome: Outcome) -> dict[str, object]:
    """Return a cleared book as `bin/market auction clear` prints it; lists are sorted by bid, drops in their order."""
    result: Any = outcome.transcript["result"]
    return {
        "lot": book.lot,
        "outcome": "cleared" if outcome.clearing.outcome == FULL else outcome.clearing.outcome,
        "stop_out_bps": outcome.clearing.stop_out_bps,
        "funded_minor": outcome.clearing.awarded_minor,
        "fills": [
            {
                "bid": fill.bid.id,
                "cash_minor": fill.cash_minor,
                "rate_bps": fill.rate_bps,
                "discount_minor": fill.discount_minor,
            }
            for fill in outcome.fills
        ],
        "refused": [{"bid": row["id"], "reasons": row["reasons"]} for row in result["refusals"]],
        "passed_over": result["passed_over"],
        "transcript_sha256": sha256(outcome.transcript),
        "faults": [],
    }


def refused(faults: list[dict[str, str]]) -> dict[str, object]:
    """Return what is printed of a book that is refused as a whole."""
    return {
        "lot": None,
        "outcome": "invalid",
        "stop_out_bps": None,
        "funded_minor": 0,
        "fills": [],
        "refused": [],
        "passed_over": [],
        "transcript_sha256": None,
        "faults": faults,
    }


def _bid(row: object) -> object:
    if not isinstance(row, Mapping):
        return row
    named = {("seq" if key == "sequence" else key): held for key, held in row.items() if key != "seq"}
    return named


def _path(path: str) -> str:
    """Return the path of a fault as the file has it: `seq` is `sequence` there, and the terms are under `lot`."""
    head = path.partition("[")[0]
    if head == "bids":
        return path[: -len("seq")] + "sequence" if path.endswith(".seq") else path
    theirs = next((theirs for theirs, ours in LOT_KEYS.items() if ours == head), head)
    return f"lot.{theirs}{path[len(head) :]}"
