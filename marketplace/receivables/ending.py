"""How a listing ends without a sale: taken back by the seller, or lapsed; and links whose time is over."""

from uuid import UUID

from flask import current_app
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from marketplace.db import db, market_now
from marketplace.kernel.actors import Actor
from marketplace.kernel.clock import business_date
from marketplace.kernel.errors import RuleBroken
from marketplace.kernel.policy import Policy
from marketplace.kernel.words import N_
from marketplace.parties.rules import require_own, verb
from marketplace.perform import Result, Tx, perform
from marketplace.receivables import queries
from marketplace.receivables.life import move_row
from marketplace.receivables.schemas import ExpireLinks, ExpireReceivable, WithdrawReceivable
from marketplace.receivables.states import LAPSES, WITHDRAWABLE, ReceivableState
from marketplace.receivables.tables import DebtorLinkRow, ReceivableRow
from marketplace.receivables.walls.reviewing import close_review

S = ReceivableState
# A listing that can no longer be auctioned and funded before it is due lapses.
LAPSE_DAYS = 3


@verb("withdraw_receivable")
def withdraw_receivable(tx: Tx, command: WithdrawReceivable) -> Result:
    """Take a receivable back before its auction. Its key stays taken: the same invoice cannot be listed as another.

    Raises: NotFound; RuleBroken("wrong_state").
    """
    row = queries.lock_row(tx.session, command.receivable_id)
    require_own(tx.actor, row.seller_id)
    if S(row.state) not in WITHDRAWABLE:
        raise RuleBroken("wrong_state", N_("It can be withdrawn only until its auction opens."))
    end_unsold(tx, row, S.WITHDRAWN, command.reason or "seller")
    return {"receivable_id": row.id, "state": row.state}


def end_unsold(tx: Tx, row: ReceivableRow, state: ReceivableState, reason: str) -> None:
    """End a listing that nobody bought and that is locked: nothing is asked of anybody any more."""
    close_review(tx, row)
    _revoke_links(tx, row.id)
    move_row(tx, row, state, reason)


def _revoke_links(tx: Tx, receivable_id: UUID) -> None:
    """End what asks of the debtor; a question that was answered stays readable."""
    for link in tx.session.execute(
        select(DebtorLinkRow).where(DebtorLinkRow.receivable_id == receivable_id, DebtorLinkRow.revoked_at.is_(None),
                                    DebtorLinkRow.used_at.is_(None))
    ).scalars():  # fmt: skip
        link.revoked_at = tx.now


@verb("expire_receivable")
def expire_receivable(tx: Tx, command: ExpireReceivable) -> Result:
    """Let a listing lapse that has too few days left to be sold.

    Raises: NotFound; RuleBroken("wrong_state", "not_lapsed").
    """
    row = queries.lock_row(tx.session, command.receivable_id)
    if S(row.state) not in LAPSES:
        raise RuleBroken("wrong_state", N_("Only a listing that waits for a buyer can lapse."))
    if (row.due_on - tx.today).days >= LAPSE_DAYS:
        raise RuleBroken("not_lapsed", N_("There is still time to sell it."))
    end_unsold(tx, row, S.EXPIRED, "too_late_to_sell")
    return {"receivable_id": row.id, "state": row.state}


@verb("expire_links")
def expire_links(tx: Tx, command: ExpireLinks) -> Result:
    """Close debtor links whose time is over. They are refused by their expiry already; this makes it visible."""
    rows = tx.session.execute(
        select(DebtorLinkRow)
        .where(DebtorLinkRow.revoked_at.is_(None), DebtorLinkRow.expires_at <= func.market_now())
        .order_by(DebtorLinkRow.expires_at)
        .limit(command.batch)
        .with_for_update(skip_locked=True)
    ).scalars().all()  # fmt: skip
    for link in rows:
        link.revoked_at = tx.clock()
        about = link.receivable_id or link.debtor_id or link.id
        tx.record(
            "receivable" if link.receivable_id else "organisation",
            about,
            after={"link_id": link.id, "expired_at": link.expires_at},
        )
    tx.session.flush()
    return {"links": len(rows)}


def run_expiry(batch: int = 500) -> int:
    """Body of the job `expire_links`: close links that ran out and listings that lapsed. Return how many."""
    policy: Policy = _policy()
    with Session(db.engine) as session:
        links = session.execute(
            select(func.count()).select_from(DebtorLinkRow)
            .where(DebtorLinkRow.revoked_at.is_(None), DebtorLinkRow.expires_at <= func.market_now())
        ).scalar_one()  # fmt: skip
        today = business_date(market_now(session), policy.zone)
        lapsed = list(session.execute(
            select(ReceivableRow.id)
            .where(ReceivableRow.state.in_([str(state) for state in LAPSES]), ReceivableRow.due_on - today < LAPSE_DAYS)
            .order_by(ReceivableRow.due_on).limit(batch)
        ).scalars())  # fmt: skip
    actor, done = Actor.system("expire_links"), 0
    if links:
        done += int(perform(expire_links, ExpireLinks(batch), actor)["links"])
    for receivable_id in lapsed:
        try:
            perform(expire_receivable, ExpireReceivable(receivable_id), actor)
            done += 1
        except RuleBroken:
            continue
    return done


def _policy() -> Policy:
    found: Policy = current_app.extensions["duebill"].policy
    return found
