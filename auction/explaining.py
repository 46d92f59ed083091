"""Why each bid of a session was filled, cut or passed over: codes and the numbers that prove them, no words.

What is told of a bid may be told to its investor: his own numbers, and what is public of a lot once it has closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from auction.book import Bid
from auction.clearing import FAILED
from auction.joint import JointClearing, LotAward, Session
from auction.rules import group_cap, least_award

FILLED, CUT, PASSED_OVER, UNFILLED, REFUSED = "filled", "cut", "passed_over", "unfilled", "refused"

GROUP_CAP = "group_cap"
LOT_FAILED = "lot_failed"
ABOVE_STOP_OUT = "above_stop_out"
AT_STOP_OUT = "at_stop_out"
LOT_FULL = "lot_full"  # though the rate would do: bids that are all or none fill the lot at more worth together
BUDGET_USED = "budget_used"
DEBTOR_LIMIT = "debtor_limit_used"
SELLER_LIMIT = "seller_limit_used"
LEAST_FILL = "least_fill"
NOT_PROVED = "not_proved_best"


@dataclass(frozen=True, slots=True)
class Why:
    """One reason: a code, and numbers in minor units or basis points."""

    code: str
    numbers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explained:
    """What became of one bid, and every reason why it did not get all its cash."""

    bid: Bid
    lot: str
    state: str
    cash_minor: int
    why: tuple[Why, ...]


def explain(session: Session, clearing: JointClearing) -> list[Explained]:
    """Explain every bid of a session, by bid id."""
    spent = _spent(clearing)
    told = [one for award in clearing.awards for one in _of_lot(session, clearing, award, spent)]
    return sorted(told, key=lambda one: one.bid.id)


def _spent(clearing: JointClearing) -> dict[tuple[str, ...], int]:
    """Add up what each investor spends: in all, on each debtor, with each seller."""
    spent: dict[tuple[str, ...], int] = defaultdict(int)
    for award in clearing.awards:
        for fill in award.fills:
            name = fill.bid.investor
            for key in ((name,), (name, "debtor", award.lot.debtor), (name, "seller", award.lot.seller)):
                spent[key] += fill.cash_minor
    return spent


def _of_lot(
    session: Session, clearing: JointClearing, award: LotAward, spent: Mapping[tuple[str, ...], int]
) -> Iterator[Explained]:
    lot = award.lot.book.lot
    for refusal in award.refusals:
        yield Explained(refusal.bid, lot, REFUSED, 0, tuple(Why(reason) for reason in refusal.reasons))
    filled = {fill.bid.id: fill.cash_minor for fill in award.fills}
    for one in award.standing:
        bid, cash = one.bid, filled.get(one.bid.id, 0)
        why = []
        if one.cash_minor < bid.cash_minor:
            cap = group_cap(award.lot.book)
            why.append(Why(GROUP_CAP, {"cap_minor": cap, "standing_minor": one.cash_minor}))
        if cash == one.cash_minor:
            yield Explained(bid, lot, CUT if why else FILLED, cash, tuple(why))
            continue
        if award.outcome == FAILED:
            least = {"offered_minor": award.offered_minor, "least_minor": least_award(award.lot.book)}
            yield Explained(bid, lot, UNFILLED, 0, (*why, Why(LOT_FAILED, least)))
            continue
        purse, price = list(_purse(session, award, bid, spent)), list(_price(award, bid))
        state = CUT if cash else UNFILLED
        if not cash and bid.min_fill_minor > 1 and not purse and [reason.code for reason in price] != [ABOVE_STOP_OUT]:
            room = _room(session, award, bid, spent)
            price.append(Why(LEAST_FILL, {"least_minor": bid.min_fill_minor, "room_minor": room}))
            state = PASSED_OVER
        why += price + purse
        if not why and award.stop_out_bps is not None:
            why.append(Why(LOT_FULL, {"rate_bps": bid.rate_bps, "stop_out_bps": award.stop_out_bps}))
        if clearing.gap_ppm:
            why.append(Why(NOT_PROVED, {"gap_ppm": clearing.gap_ppm}))
        yield Explained(bid, lot, state, cash, tuple(why))


def _price(award: LotAward, bid: Bid) -> Iterator[Why]:
    """Say how the bid's rate stands to the stop-out, where the lot's target is used up."""
    if award.awarded_minor < award.lot.book.target_minor or award.stop_out_bps is None:
        return
    numbers = {"rate_bps": bid.rate_bps, "stop_out_bps": award.stop_out_bps}
    if bid.rate_bps > award.stop_out_bps:
        yield Why(ABOVE_STOP_OUT, numbers)
    elif bid.rate_bps == award.stop_out_bps:
        yield Why(AT_STOP_OUT, numbers)


def _caps(session: Session, award: LotAward, bid: Bid) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    name = bid.investor
    for code, cap, key in (
        (BUDGET_USED, session.budgets.get(name), (name,)),
        (DEBTOR_LIMIT, session.debtor_limits.get((name, award.lot.debtor)), (name, "debtor", award.lot.debtor)),
        (SELLER_LIMIT, session.seller_limits.get((name, award.lot.seller)), (name, "seller", award.lot.seller)),
    ):
        if cap is not None:
            yield code, cap, key


def _purse(session: Session, award: LotAward, bid: Bid, spent: Mapping[tuple[str, ...], int]) -> Iterator[Why]:
    """Name each of the investor's own caps that is used up, by bids that save their lots at least as much."""
    worth = (award.lot.book.reserve_bps - bid.rate_bps + 1) * award.lot.book.tenor_days
    for code, cap, key in _caps(session, award, bid):
        if spent.get(key, 0) >= cap:
            yield Why(code, {"cap_minor": cap, "worth": worth})


def _room(session: Session, award: LotAward, bid: Bid, spent: Mapping[tuple[str, ...], int]) -> int:
    """Return how much more the bid could have got beside all other fills."""
    rooms = [cap - spent.get(key, 0) for _, cap, key in _caps(session, award, bid)]
    return min([bid.cash_minor, award.lot.book.target_minor - award.awarded_minor, *rooms])
