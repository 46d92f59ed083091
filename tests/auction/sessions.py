"""Sessions for tests: several lots, few investors, purses too small for all their bids."""

from __future__ import annotations

from itertools import product

from hypothesis import strategies as st

from auction.book import Book
from auction.joint import JointLot, Session
from tests.auction.books import a_bid, a_book


def a_session(lots: list[tuple[dict, str, str]], **caps: dict) -> Session:
    return Session(
        tuple(JointLot(Book.parse(book), debtor, seller) for book, debtor, seller in lots),
        caps.get("budgets", {}),
        caps.get("debtor_limits", {}),
        caps.get("seller_limits", {}),
    )


@st.composite
def sessions(draw: st.DrawFn, *, min_fills: bool = False, crossing: bool = False, most: int = 5) -> Session:
    """Draw a session so small that every filling can be tried."""
    investors = ["ann", "bob", "cid"]
    lots = []
    left = most
    for place in range(draw(st.integers(1, 3))):
        bids = []
        for number in range(draw(st.integers(0, min(3, left)))):
            left -= 1
            cash = draw(st.integers(1, 3))
            least = draw(st.sampled_from([0, cash, cash - 1])) if min_fills else 0
            bid = a_bid(f"{place}-{number}", draw(st.integers(0, 3)), cash, seq=number + 1, least=least)
            bids.append({**bid, "investor": draw(st.sampled_from(investors))})
        target = draw(st.integers(1, 6))
        book = a_book(
            *bids, lot=f"lot-{place}", face_minor=target, target_minor=target, reserve_bps=3,
            tenor_days=draw(st.integers(1, 3)), min_share_bps=draw(st.sampled_from([0, 8_000])),
        )  # fmt: skip
        lots.append((book, draw(st.sampled_from(["d1", "d2"])), draw(st.sampled_from(["s1", "s2"]))))
    room = st.integers(0, 6)
    budgets = {name: draw(room) for name in investors if draw(st.booleans())}
    pairs = list(product(investors, ("d1", "d2")))
    debtors = {pair: draw(room) for pair in pairs if draw(st.booleans())}
    sellers = {(name, f"s{d[1]}"): draw(room) for name, d in pairs if draw(st.booleans())} if crossing else {}
    return a_session(lots, budgets=budgets, debtor_limits=debtors, seller_limits=sellers)
