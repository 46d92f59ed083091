"""Held listings: why, what they resemble, and the two operators who let them go on, or the one who refuses."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from marketplace.kernel.canonical import jsonable
from marketplace.kernel.errors import Conflict, NotPermitted, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx
from marketplace.receivables import queries
from marketplace.receivables.debtor import links, mail
from marketplace.receivables.life import move_row
from marketplace.receivables.rules import Check
from marketplace.receivables.schemas import AcceptEvidence, RejectReceivable, ReleaseReview, ResolveDispute
from marketplace.receivables.states import CURABLE, DISPUTE, REVIEW, WITHDRAWABLE, ReceivableState, ReviewState
from marketplace.receivables.tables import ConfirmationRow, DisputeRow, ReceivableRow, ReviewRow
from marketplace.receivables.walls.duplicates import Match

OPERATORS = "operators"
SECOND = N_("You proposed it yourself. A second operator must decide.")


def open_review(
    tx: Tx, row: ReceivableRow, cause: str, looks: Sequence[Check], matches: Sequence[Match] = (),
    changed: Sequence[Any] = (), goes_to: ReceivableState = ReceivableState.AWAITING_CONFIRMATION,
) -> UUID:  # fmt: skip
    """Hold a receivable with what an operator must look at.

    A review that is open already is closed by the new one, which takes over what nobody had released in it.
    """
    before = queries.open_review(tx.session, row.id)
    kept = before if before is not None and before.cause != OPERATORS else None
    close_review(tx, row)
    findings = [{"rule": c.rule, "words": c.words, "remedy": c.remedy, "params": dict(c.params)} for c in looks]
    told = [match.told() for match in matches]
    if kept is not None:
        findings = _joined(findings, kept.findings["checks"])
        told = _joined(told, kept.matches, "receivable_id")
        changed = [*changed, *(one for one in kept.findings["changed"] if one not in changed)]
        goes_to = ReceivableState(kept.goes_to) if row.confirmed_at is None else goes_to
    review = ReviewRow(
        id=new_id(), receivable_id=row.id, cause=cause, goes_to=str(goes_to), opened_at=tx.now,
        findings=jsonable({"checks": findings, "changed": list(changed)}), matches=jsonable(told),
        state=str(ReviewState.OPEN),
    )  # fmt: skip
    tx.session.add(review)
    tx.session.flush()
    tx.record("review", review.id, verb="open_review",
              after={"receivable_id": row.id, "cause": cause, "rules": [found["rule"] for found in findings],
                     "matches": [match["receivable_id"] for match in told], "goes_to": review.goes_to})  # fmt: skip
    return review.id


def _joined(new: Sequence[Any], old: Sequence[Any], name: str | None = None) -> list[Any]:
    """Return both lists without what the new one says already, compared by one of their names or as a whole."""
    told = [jsonable(one) for one in new]
    seen = [one[name] if name else one for one in told]
    return [*told, *(one for one in old if (one[name] if name else one) not in seen)]


def close_review(tx: Tx, row: ReceivableRow) -> None:
    """Close an open review that something else has overtaken."""
    review = queries.open_review(tx.session, row.id)
    if review is None:
        return
    before, review.state, review.decided_at = review.state, str(ReviewState.CLOSED), tx.now
    tx.session.flush()
    tx.record("review", review.id, verb="close_review", before={"state": before}, after={"state": review.state})


@verb("release_review")
def release_review(tx: Tx, command: ReleaseReview) -> Result:
    """Let a held listing go on. The first operator proposes; a second one releases.

    Raises: NotFound; NotPermitted("second_person"); RuleBroken("dispute_open", "wrong_state").
    """
    found = tx.session.get(ReviewRow, command.review_id)
    if found is None:
        raise queries.missing()
    row = queries.lock_row(tx.session, found.receivable_id)
    review = _lock(tx, command.review_id)
    if queries.open_dispute(tx.session, row.id) is not None:
        raise RuleBroken("dispute_open", N_("The debtor disputes it. End the dispute first."))
    if review.state == ReviewState.OPEN:
        REVIEW.check(review.state, ReviewState.PROPOSED)
        review.state, review.maker_id, review.maker_reason = "proposed", tx.actor.user_id, command.reason
        review.proposed_at = tx.now
        return _decided(tx, row, review, command.reason, "open")
    if review.maker_id == tx.actor.user_id:
        raise NotPermitted("second_person", SECOND)
    REVIEW.check(review.state, ReviewState.RELEASED)
    _approve(tx, review, command.reason)
    if review.cause == OPERATORS:
        _confirm_without(tx, row, review)
    elif row.state == ReceivableState.HELD_FOR_REVIEW:
        _let_go(tx, row, review)
    return _decided(tx, row, review, command.reason, "proposed")


def _lock(tx: Tx, review_id: UUID) -> ReviewRow:
    return tx.session.execute(
        select(ReviewRow).where(ReviewRow.id == review_id).with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one()  # fmt: skip


def _approve(tx: Tx, review: ReviewRow, reason: str) -> None:
    review.state, review.approver_id, review.approver_reason = "released", tx.actor.user_id, reason
    review.decided_at = tx.now


def _decided(tx: Tx, row: ReceivableRow, review: ReviewRow, reason: str, before: str) -> Result:
    tx.session.flush()
    tx.record("review", review.id, before={"state": before}, reason=reason,
              after={"state": review.state, "maker_id": review.maker_id, "approver_id": review.approver_id,
                     "receivable_id": row.id})  # fmt: skip
    return {"review_id": review.id, "state": review.state, "receivable_id": row.id, "receivable_state": row.state}


def _let_go(tx: Tx, row: ReceivableRow, review: ReviewRow) -> None:
    if review.goes_to == ReceivableState.CONFIRMED:
        row.confirmed_at = row.confirmed_at or tx.now
        row.confirmed_by = row.confirmed_by or "debtor"
        move_row(tx, row, ReceivableState.CONFIRMED, "review_released")
        return
    move_row(tx, row, ReceivableState.AWAITING_CONFIRMATION, "review_released")
    token = links.issue(tx, row.id, links.CONFIRM)
    seller = parties.organisation(tx.session, row.seller_id)
    mail.queue_link(tx, row, seller.legal_name, links.CONFIRM, token)


@verb("accept_evidence")
def accept_evidence(tx: Tx, command: AcceptEvidence) -> Result:
    """Do without the debtor's answer: two operators record what they have instead.

    Raises: NotFound; NotPermitted("second_person"); RuleBroken("wrong_state").
    """
    row = queries.lock_row(tx.session, command.receivable_id)
    if row.state != ReceivableState.AWAITING_CONFIRMATION:
        raise RuleBroken("wrong_state", N_("Only a listing that waits for its debtor can be confirmed otherwise."))
    review = queries.open_review(tx.session, row.id)
    if review is not None:
        return release_review.run(tx, ReleaseReview(review.id, command.reason))
    review = ReviewRow(
        id=new_id(), receivable_id=row.id, cause=OPERATORS, findings={"checks": [], "changed": []}, matches=[],
        goes_to=str(ReceivableState.CONFIRMED), opened_at=tx.now, state=str(ReviewState.PROPOSED),
        maker_id=tx.actor.user_id, maker_reason=command.reason, proposed_at=tx.now,
    )  # fmt: skip
    tx.session.add(review)
    return _decided(tx, row, review, command.reason, "open")


def _confirm_without(tx: Tx, row: ReceivableRow, review: ReviewRow) -> None:
    tx.session.add(
        ConfirmationRow(id=new_id(), receivable_id=row.id, given_by=OPERATORS, amount_minor=row.face_minor,
                        words=f"{review.maker_reason} / {review.approver_reason}", at=tx.now)
    )  # fmt: skip
    row.confirmed_at, row.confirmed_by = tx.now, OPERATORS
    move_row(tx, row, ReceivableState.CONFIRMED, "other_evidence")


@verb("reject_receivable")
def reject_receivable(tx: Tx, command: RejectReceivable) -> Result:
    """Refuse a listing: for good, or until its seller has put it right. Its key stays taken either way.

    Raises: NotFound; RuleBroken("wrong_state"), of one that bids or an award stand on too: its lot is stopped first.
    """
    row = queries.lock_row(tx.session, command.receivable_id)
    if ReceivableState(row.state) not in WITHDRAWABLE:
        raise RuleBroken("wrong_state", N_("Only a listing that is not on auction can be refused. Stop its lot first."))
    reject_review(tx, row, command.reason)
    move_row(tx, row, ReceivableState.REJECTED, command.reason, CURABLE if command.curable else None)
    return {"receivable_id": row.id, "state": row.state, "curable": command.curable}


def reject_review(tx: Tx, row: ReceivableRow, reason: str) -> None:
    """Decide the open review of a locked receivable against it; nothing happens where none is open."""
    review = queries.open_review(tx.session, row.id)
    if review is None:
        return
    before = review.state
    REVIEW.check(before, ReviewState.REJECTED)
    review.state, review.decided_at = str(ReviewState.REJECTED), tx.now
    if review.maker_id is None:
        review.maker_id, review.maker_reason = tx.actor.user_id, reason
    elif review.maker_id != tx.actor.user_id:
        review.approver_id, review.approver_reason = tx.actor.user_id, reason
    _decided(tx, row, review, reason, before)


@verb("resolve_dispute")
def resolve_dispute(tx: Tx, command: ResolveDispute) -> Result:
    """End a dispute: resolved, the debtor owes it after all; upheld, the debtor was right.

    Raises: NotFound; Conflict("dispute_ended"); RuleBroken("wrong_state").
    """
    return end_dispute(tx, command.dispute_id, command.outcome, command.words)


def end_dispute(tx: Tx, dispute_id: UUID, outcome: str, words: str) -> Result:
    """End a dispute as resolved, upheld or timed_out: the last is for the collection, after its days are over.

    Raises: NotFound; Conflict("dispute_ended"); RuleBroken("wrong_state").
    """
    found = tx.session.get(DisputeRow, dispute_id)
    if found is None:
        raise queries.missing()
    queries.lock_row(tx.session, found.receivable_id)
    dispute = tx.session.execute(
        select(DisputeRow).where(DisputeRow.id == found.id).with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one()  # fmt: skip
    if dispute.state == outcome:
        raise Conflict("dispute_ended", N_("This dispute has ended already."))
    DISPUTE.check(dispute.state, outcome)
    dispute.state, dispute.ended_at, dispute.outcome = outcome, tx.now, words
    tx.session.flush()
    tx.record("dispute", dispute.id, before={"state": "open"}, after={"state": dispute.state}, reason=words)
    return {"dispute_id": dispute.id, "state": dispute.state, "receivable_id": dispute.receivable_id}
