"""The walls at an auction's close and before its money leaves: what speaks against the sale, and who is told."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from flask_babel import force_locale, gettext
from sqlalchemy import select

from marketplace.exchange import queries as exchange
from marketplace.kernel.errors import Conflict
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.perform import Tx
from marketplace.receivables import actions as receivables
from marketplace.receivables import queries as receivable_queries
from marketplace.receivables.debtor import mail
from marketplace.receivables.rules import Check
from marketplace.receivables.states import ReceivableState
from marketplace.receivables.walls.rechecking import Against
from marketplace.receivables.walls.reviewing import open_review
from marketplace.trading import steps
from marketplace.trading.rules import BidState, LotState
from marketplace.trading.tables import BidRow, LotRow

TITLE_CHECK = "title_check"
STANDING = (BidState.PLACED, BidState.FILLED)


def against(tx: Tx, receivable_id: UUID) -> Against:
    """Ask every wall again, here and outside, about a receivable that the caller has locked."""
    return receivables.recheck(tx, receivable_id, exchange.contrary(tx.session, receivable_id))


def require_answers(tx: Tx, receivable_id: UUID) -> None:
    """Let money leave only when everybody outside whom this market asks has answered; it is tried again soon.

    Raises: Conflict("stopped").
    """
    missing = exchange.pending(tx.session, receivable_id)
    if missing:
        raise Conflict("stopped", N_("Money cannot leave: %(reasons)s."), {"reasons": ", ".join(missing)})


def call_off(tx: Tx, lot: LotRow, reasons: Sequence[str], found: Against) -> None:
    """End a locked lot without a sale: bids end, holds are freed, the receivable is held, bidders are told why."""
    receivable = receivable_queries.lock_receivable(tx.session, lot.receivable_id)
    bidders = bidders_of(tx, lot.id)
    steps.cancel(tx, lot, ", ".join(reasons), TITLE_CHECK)
    if receivable.state in (ReceivableState.ON_AUCTION, ReceivableState.AWARDED):
        hold_back(tx, receivable.id, reasons, found)
    tell(tx, bidders, receivable.id, receivable.ref, ended=True)


def hold_back(tx: Tx, receivable_id: UUID, reasons: Sequence[str], found: Against) -> None:
    """Hold a receivable that may not be sold after all, with a review that lets it be offered again when it ends."""
    before = receivable_queries.open_review(tx.session, receivable_id)
    receivables.move(tx, receivable_id, ReceivableState.HELD_FOR_REVIEW, reason=", ".join(reasons))
    if before is not None and not found and before.goes_to != ReceivableState.AWARDED:
        return
    checks, cause = list(found.checks), TITLE_CHECK
    if not found and before is not None:
        cause = before.cause
    elif not found:
        words = N_("The debtor says that it is wrong. It goes on when the dispute has ended.")
        checks, cause = [Check("dispute", "look", N_("The debtor disputes it"), {}, "", words)], "dispute"
    row = receivable_queries.lock_row(tx.session, receivable_id)
    open_review(tx, row, cause, checks, found.matches, goes_to=ReceivableState.CONFIRMED)


def hold_award(tx: Tx, lot: LotRow, stops: Sequence[str], found: Against) -> list[str]:
    """Let an accepted award wait for two operators: holds stay, no money moves, its bidders are told.

    It does not wait for ever: what is not released in the policy's hours is called off, and everybody's cash is free.

    Raises: Conflict("stopped") when it waits already.
    """
    reasons = [*stops, *found.codes]
    if lot.state == LotState.HELD and lot.held_until is not None and tx.clock() >= lot.held_until:
        call_off(tx, lot, reasons, found)
        return reasons
    if lot.state == LotState.HELD and not found:
        raise Conflict("stopped", N_("Money cannot leave: %(reasons)s."), {"reasons": ", ".join(reasons)})
    receivable = receivable_queries.lock_receivable(tx.session, lot.receivable_id)
    if found:
        row = receivable_queries.lock_row(tx.session, lot.receivable_id)
        open_review(tx, row, TITLE_CHECK, found.checks, found.matches, goes_to=ReceivableState.AWARDED)
    if lot.state == LotState.ACCEPTED:
        until = tx.clock() + timedelta(hours=tx.policy.auction.held_hours_max)
        steps.move_lot(tx, lot, LotState.HELD, reason=", ".join(reasons), state_reason=TITLE_CHECK, held_until=until)
        tell(tx, bidders_of(tx, lot.id), receivable.id, receivable.ref, ended=False)
    return reasons


def bidders_of(tx: Tx, lot_id: UUID) -> list[UUID]:
    """Return whose bids stand in a lot, before its close or in its award."""
    standing = [str(state) for state in STANDING]
    rows = tx.session.execute(
        select(BidRow.investor_id).where(BidRow.lot_id == lot_id, BidRow.state.in_(standing)).distinct()
    )
    return sorted(rows.scalars())


def tell(tx: Tx, bidders: Sequence[UUID], receivable_id: UUID, ref: str, *, ended: bool) -> None:
    """Write to everybody whose bid stood: the lot is off and the cash is free, or the award waits and why."""
    for bidder in bidders:
        people = parties.users_of(tx.session, bidder)
        with force_locale(people[0].locale if people else "en"):
            if ended:
                subject = gettext("%(ref)s is not sold", ref=ref)
                words = gettext("Something speaks against the title of %(ref)s, so it is not sold. Your bid has ended "
                                "and all your cash in it is free again. No money has moved.", ref=ref)  # fmt: skip
            else:
                subject = gettext("%(ref)s waits", ref=ref)
                words = gettext("Before money leaves we ask again whether %(ref)s was sold elsewhere. Something must "
                                "be looked at by two operators first. Your cash stays held; no money has moved. If "
                                "they do not release it in time, the award is called off.", ref=ref)  # fmt: skip
            mail.queue_words(tx, bidder, receivable_id, TITLE_CHECK, subject, [words], ref)
