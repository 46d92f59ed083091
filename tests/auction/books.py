"""Books for tests: plain dicts as a file would hold them, hand-made and random."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


def a_bid(bid_id: str, rate: int, cash: int, *, seq: int, least: int = 0, group: str | None = None) -> dict:
    return {
        "id": bid_id,
        "investor": f"investor-{bid_id}",
        "group": group or f"group-{bid_id}",
        "cash_minor": cash,
        "min_fill_minor": least,
        "rate_bps": rate,
        "seq": seq,
    }


def a_book(*bids: dict, **terms: object) -> dict:
    book: dict = {
        "lot": "lot-1",
        "currency": "GBP",
        "face_minor": 4_860_000,
        "target_minor": 4_131_000,
        "lot_size_minor": 1,
        "minimum_minor": 1,
        "reserve_bps": 850,
        "tenor_days": 50,
        "min_share_bps": 8_000,
        "group_cap_bps": 10_000,
        "price_rule": "uniform",
        "related_groups": [],
        "bids": list(bids),
    }
    return {**book, **terms}


class Dice:
    """Numbers from one drawn string of bytes: drawn at once, it costs a fraction of drawing each number."""

    def __init__(self, drawn: bytes) -> None:
        self.bytes = iter(drawn)

    def upto(self, most: int) -> int:
        """Return a number from 0 to `most`, 0 when the bytes are used up."""
        number = next(self.bytes, 0)
        return (number << 8 | next(self.bytes, 0) if most > 255 else number) % (most + 1)

    def one_of(self, *choices: Any) -> Any:
        return choices[self.upto(len(choices) - 1)]


BIDS_MOST = 12


def books(
    *,
    min_fills: bool = True,
    lot_sizes: tuple[int, ...] = (1, 5, 7),
    wide: bool = False,
    least_bids: int = 0,
    likely: bool = False,
    accepting: bool = False,
) -> st.SearchStrategy[dict]:
    """Draw a book small enough to tie often, or (`wide`) with numbers beyond 64 bits; `likely` to be covered;
    `accepting`: some of them a smaller amount."""
    bytes_needed = 20 + 9 * BIDS_MOST

    def make(drawn: bytes) -> dict:
        dice = Dice(drawn)
        scale = dice.one_of(1, 1, 10**6, 10**16, 10**18) if wide else 1
        target = (1 + dice.upto(119)) * scale
        lot = dice.one_of(*lot_sizes)
        count = least_bids + dice.upto(BIDS_MOST - least_bids)
        bids = []
        for place in range(count):
            cash = dice.upto(60) * scale
            cash = cash // lot * lot if dice.upto(2) else cash
            least = dice.one_of(0, 0, cash, cash // 2, min(cash, 2), max(cash - 1, 0)) if min_fills else 0
            bids.append(
                a_bid(
                    f"b{dice.upto(99):02d}-{place}",
                    dice.upto(2_000 if wide else 6),
                    cash,
                    seq=dice.upto(255) * BIDS_MOST + place,  # in no order, and never twice
                    least=least,
                    group=f"g{dice.upto(5)}",
                )
            )
        if likely:
            target = max(1, sum(bid["cash_minor"] for bid in bids) // (2 + dice.upto(3)))
        reduced = dice.one_of(0, 0, 1 + dice.upto(99))
        terms = {"accepted_minor": max(1, target * reduced // 100)} if reduced and accepting else {}
        return a_book(
            *bids,
            **terms,
            face_minor=target + dice.upto(50),
            target_minor=target,
            lot_size_minor=lot,
            minimum_minor=1 + dice.upto(4),
            reserve_bps=dice.one_of(*((6, 2_000) if likely else (6, 3, 2_000))),
            tenor_days=dice.one_of(1, 50, 90_000),
            min_share_bps=dice.one_of(0, 3_333, 8_000, 10_000),
            group_cap_bps=dice.one_of(*((3_500, 10_000) if likely else (10_000, 0, 1_234, 3_500))),
            price_rule=dice.one_of("uniform", "pay_as_bid"),
            related_groups=dice.one_of([], ["g0"], ["g1", "g2"]),
        )

    return st.binary(min_size=bytes_needed // 2, max_size=bytes_needed).map(make)
