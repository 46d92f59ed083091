"""Books for tests: plain dicts as a file would hold them, hand-made and random."""

from __future__ import annotations

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


@st.composite
def books(
    draw: st.DrawFn,
    *,
    min_fills: bool = True,
    lot_sizes: tuple[int, ...] = (1, 5, 7),
    wide: bool = False,
    least_bids: int = 0,
    likely: bool = False,
) -> dict:
    """Draw a book small enough to tie often, or (`wide`) with numbers beyond 64 bits; `likely` to be covered."""
    scale = draw(st.sampled_from([1, 1, 10**6, 10**18])) if wide else 1
    target = draw(st.integers(1, 120)) * scale
    lot = draw(st.sampled_from(lot_sizes))
    rates = st.integers(0, 6) if not wide else st.integers(0, 2_000)
    count = draw(st.integers(least_bids, 12))
    seqs = draw(st.permutations(range(1, count + 1)))
    bids = []
    for place in range(count):
        cash = draw(st.integers(0, 60)) * scale
        cash = cash // lot * lot if draw(st.booleans()) else cash
        least = draw(st.sampled_from([0, 0, cash, cash // 2, min(cash, 2), max(cash - 1, 0)])) if min_fills else 0
        bids.append(
            a_bid(
                f"b{draw(st.integers(0, 99)):02d}-{place}",
                draw(rates),
                cash,
                seq=seqs[place],
                least=least,
                group=f"g{draw(st.integers(0, 5))}",
            )
        )
    if likely:
        target = max(1, sum(bid["cash_minor"] for bid in bids) // draw(st.integers(2, 5)))
    return a_book(
        *bids,
        face_minor=target + draw(st.integers(0, 50)),
        target_minor=target,
        lot_size_minor=lot,
        minimum_minor=draw(st.integers(1, 5)),
        reserve_bps=draw(st.sampled_from([6, 2_000] if likely else [3, 6, 2_000])),
        tenor_days=draw(st.sampled_from([1, 50, 90_000])),
        min_share_bps=draw(st.sampled_from([0, 3_333, 8_000, 10_000])),
        group_cap_bps=draw(st.sampled_from([3_500, 10_000] if likely else [0, 1_234, 3_500, 10_000])),
        price_rule=draw(st.sampled_from(["uniform", "pay_as_bid"])),
        related_groups=draw(st.sampled_from([[], ["g0"], ["g1", "g2"]])),
    )
