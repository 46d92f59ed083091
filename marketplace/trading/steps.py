"""The steps that several verbs of a sale share, each on a lot that is already locked."""

from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, text, update

from marketplace.kernel.errors import Conflict, Problem, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.money import exponent
from marketplace.kernel.words import N_
from marketplace.ledger import actions as ledger
from marketplace.perform import Tx
from marketplace.rating.queries import ReceivableRating
from marketplace.receivables import actions as receivables
from marketplace.receivables import queries as receivable_queries
from marketplace.receivables.ending import end_unsold
from marketplace.receivables.queries import Receivable
from marketplace.receivables.states import ReceivableState
from marketplace.trading import engine, queries, rules
from marketplace.trading.rules import LOT, BidState, LotState
from marketplace.trading.tables import AwardRow, LotRow


def lot_row(
    tx: Tx,
    receivable: Receivable,
    rating: ReceivableRating,
    terms: rules.Terms,
    closes_at: datetime,
    related_groups: list[UUID],
) -> dict[str, Any]:
    """Return a new lot's row: figures of receivable and rating as they are now, the terms, the policy's caps."""
    earlier = select(func.coalesce(func.max(LotRow.number), 0)).where(LotRow.receivable_id == receivable.id)
    kept = (
        "seller_id", "debtor_id", "deal_type", "recourse", "currency", "own_rate_bps", "min_share_bps", "price_rule",
        "seller_default", "expected_on", "bidding",
    )  # fmt: skip
    rated = ("indicative_bps", "expected_loss_ppm", "expected_loss_recourse_ppm", "model_version")
    return {
        "id": new_id(),
        "receivable_id": receivable.id,
        "number": tx.session.execute(earlier).scalar_one() + 1,
        **{name: getattr(receivable, name) for name in kept},
        **{name: getattr(rating, name) for name in rated},
        **asdict(terms),
        **rules.answering(tx.policy, receivable.bidding, receivable.buy_now_bps, terms.reserve_bps),
        "group_cap_bps": tx.policy.auction.group_cap_bps,
        "fee_bps": tx.policy.fees.platform_bps,
        "late_bps": tx.policy.fees.late_bps_over_award,
        "related_groups": related_groups,
        "debtor_grade": rating.debtor.grade,
        "seller_grade": rating.seller.grade,
        "policy_version": tx.policy.version,
        "state": LotState.OPEN,
        "opened_at": tx.now,
        "closes_at": closes_at,
    }


def unasked_bps(lot: LotRow) -> int | None:
    """Return the highest rate at which the seller takes this lot's award without being asked."""
    return rules.accepted_unasked_bps(lot.own_rate_bps, lot.buy_now_bps, lot.bought_at is not None)


def move_lot(tx: Tx, lot: LotRow, state: LotState, *, reason: str | None = None, **changes: Any) -> None:
    """Move a locked lot to a state, with what else changes, and record it.

    Raises: RuleBroken("wrong_state").
    """
    before = lot.state
    LOT.check(before, state)
    done = tx.session.execute(
        update(LotRow)
        .where(LotRow.id == lot.id, LotRow.state == before)
        .values(state=state, **changes)
        .execution_options(synchronize_session=False)
    )
    if done.rowcount != 1:  # type: ignore[attr-defined]
        raise Conflict("changed_meanwhile", N_("Somebody else decided this just now."))
    tx.session.expire(lot)
    tx.record("lot", lot.id, before={"state": before}, after={"state": state, **changes}, reason=reason)


def end_bids(tx: Tx, lot_id: UUID, among: tuple[BidState, ...], state: BidState) -> list[UUID]:
    """End all bids of a lot in the given states, free their holds, and return their ids."""
    rows = tx.session.execute(
        text(
            "UPDATE bid SET state = :state, ended_at = (SELECT market_now()) "
            "WHERE lot_id = :lot AND state = ANY (:among) RETURNING id, hold_id"
        ),
        {"state": str(state), "lot": lot_id, "among": [str(one) for one in among]},
    ).all()
    ledger.resolve_holds(tx, [row.hold_id for row in rows if row.hold_id], "voided")
    return [row.id for row in rows]


def cancel(tx: Tx, lot: LotRow, reason: str, code: str = "operators") -> None:
    """End a locked lot and all its bids without a sale; the caller sees to the receivable.

    `reason` is for the record, `code` is what everybody who looks at the lot is told.

    Raises: RuleBroken("wrong_state").
    """
    move_lot(tx, lot, LotState.CANCELLED, closed_at=lot.closed_at or tx.clock(), state_reason=code, reason=reason)
    end_bids(tx, lot.id, (BidState.PLACED, BidState.FILLED), BidState.UNFILLED)


def reduce(tx: Tx, lot: LotRow, wanted_minor: int, awarded_minor: int) -> None:
    """Clear the sealed book again for a smaller amount, which it must cover in full, and write that award down."""
    least = rules.least_award_minor(lot.target_minor, lot.min_share_bps)
    if not least <= wanted_minor <= awarded_minor:
        words = N_("Enter an amount from %(least)s to %(most)s.")
        params = {"least": _plain(least, lot.currency), "most": _plain(awarded_minor, lot.currency)}
        problem = Problem("accepted_minor", "amount_out_of_range", words, params)
        raise RuleBroken("amount_out_of_range", N_("The amount is outside what may be accepted."), problems=[problem])
    if lot.session_id is not None:
        raise RuleBroken.about(
            "accepted_minor",
            "in_session",
            N_("This lot cleared together with others: only the whole award can be accepted."),
        )
    if receivable_queries.stops(tx.session, lot.receivable_id):
        raise RuleBroken.about(
            "accepted_minor",
            "held_back",
            N_("Operators are looking at this receivable: only the whole award can be accepted now."),
        )
    book = queries.sealed_book(tx.session, lot.id)
    cleared = engine.clear_lot(lot, book, accepted_minor=wanted_minor)
    kept = {leg.bid_id for leg in cleared.legs}
    held = {fill.bid_id for fill in queries.fills(tx.session, lot.id)}
    if not kept or not kept <= held:  # the hold of a bid that lost at the close is gone
        words = N_("The bids do not cover this amount exactly: accept the whole award or try another amount.")
        problem = Problem("accepted_minor", "amount_not_covered", words)
        raise RuleBroken("amount_not_covered", words, problems=[problem])
    write_award(tx, lot, 2, cleared)
    end_some(tx, sorted(held - kept), BidState.UNFILLED)


def _plain(minor: int, currency: str) -> str:
    """Return an amount for a sentence: 41,310.00 GBP."""
    whole, rest = divmod(minor, 10 ** exponent(currency))
    return f"{whole:,}" + (f".{rest:0{exponent(currency)}d}" if exponent(currency) else "") + f" {currency}"


def refuse(tx: Tx, lot: LotRow, how: str) -> None:
    """Leave the award of a locked lot: holds are freed, the receivable is offered again or expires."""
    move_lot(tx, lot, LotState.REFUSED, decided_at=tx.clock(), decided_how=how)
    end_bids(tx, lot.id, (BidState.FILLED,), BidState.UNFILLED)
    not_sold(tx, lot, "award_refused")


def not_sold(tx: Tx, lot: LotRow, reason: str) -> None:
    """Let the receivable be offered again, or expire when too few days are left."""
    if rules.may_reopen(tx.policy, lot.expected_on, tx.today):
        receivables.move(tx, lot.receivable_id, "rated", reason=reason)
    else:  # with its reviews and links: nothing of this round may speak for the next one
        row = receivable_queries.lock_row(tx.session, lot.receivable_id)
        end_unsold(tx, row, ReceivableState.EXPIRED, reason)


def figures_of(cleared: engine.Cleared, round_: int = 1) -> dict[str, Any]:
    """Return what is kept of a clearing besides its transcript, and told of it in the log."""
    names = ("outcome", "stop_out_bps", "awarded_minor", "discount_minor", "standing_minor", "groups", "rule",
             "rule_version", "sha256")  # fmt: skip
    return {"round": round_, **{name: getattr(cleared, name) for name in names}}


def write_award(tx: Tx, lot: LotRow, round_: int, cleared: engine.Cleared) -> None:
    """Store a clearing: the award with its transcript, and all its fills in one statement."""
    figures = figures_of(cleared, round_)
    tx.session.execute(insert(AwardRow).values(lot_id=lot.id, transcript=cleared.transcript, **figures))
    if cleared.legs:
        tx.session.execute(
            text(
                "INSERT INTO fill (lot_id, round, bid_id, investor_id, cash_minor, discount_minor, rate_bps, hold_id) "
                "SELECT :lot, :round, bid.id, bid.investor_id, leg.cash, leg.discount, leg.rate, bid.hold_id "
                "FROM unnest(CAST(:ids AS uuid[]), CAST(:cash AS bigint[]), CAST(:discounts AS bigint[]), "
                "            CAST(:rates AS integer[])) AS leg (id, cash, discount, rate) "
                "JOIN bid ON bid.id = leg.id"
            ),
            {
                "lot": lot.id,
                "round": round_,
                "ids": [leg.bid_id for leg in cleared.legs],
                "cash": [leg.cash_minor for leg in cleared.legs],
                "discounts": [leg.discount_minor for leg in cleared.legs],
                "rates": [leg.rate_bps for leg in cleared.legs],
            },
        )
    tx.record("lot", lot.id, verb="award", after=figures)


def end_losers(tx: Tx, lot_id: UUID, cleared: engine.Cleared) -> None:
    """Give every bid its end: refused with its reasons, passed over, filled; whoever is left is unfilled."""
    tx.session.execute(
        text("UPDATE bid SET state = 'filled' WHERE lot_id = :lot AND id = ANY (:ids)"),
        {"lot": lot_id, "ids": [leg.bid_id for leg in cleared.legs]},
    )
    for reasons in sorted(set(cleared.refused.values())):
        refused = sorted(bid_id for bid_id, heard in cleared.refused.items() if heard == reasons)
        end_some(tx, refused, BidState.REFUSED, list(reasons))
    end_some(tx, sorted(cleared.passed_over), BidState.PASSED_OVER)
    end_bids(tx, lot_id, (BidState.PLACED,), BidState.UNFILLED)


def end_some(tx: Tx, bid_ids: list[UUID], state: BidState, reasons: list[str] | None = None) -> None:
    """End the named bids and free their holds."""
    if not bid_ids:
        return
    holds = tx.session.execute(
        text(
            "UPDATE bid SET state = :state, reasons = :reasons, ended_at = (SELECT market_now()) "
            "WHERE id = ANY (:ids) RETURNING hold_id"
        ),
        {"state": str(state), "reasons": reasons or [], "ids": bid_ids},
    ).scalars()
    ledger.resolve_holds(tx, [hold for hold in holds if hold], "voided")
