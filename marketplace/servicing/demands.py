"""Asking a seller to buy back: recourse seventeen days late, a dispute upheld, dilution, a warranty broken."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import insert, select

from marketplace.kernel.errors import Conflict, NotFound, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx
from marketplace.receivables import queries as receivables_queries
from marketplace.servicing import queries
from marketplace.servicing.schemas import DemandBuyBack, WithdrawDemand
from marketplace.servicing.states import BUYBACK, BuyBackState
from marketplace.servicing.tables import BuyBackRow, CollectionRow
from marketplace.trading import queries as trading_queries

# Under which recourse a seller can be asked for what: a warranty binds whatever was agreed about the debtor's credit.
ASKABLE = {
    "recourse": ("full",),
    "dispute": ("full", "limited"),
    "dilution": ("full", "limited", "none"),
    "warranty": ("full", "limited", "none"),
}


def demand_recourse(tx: Tx, row: CollectionRow) -> UUID | None:
    """Ask the seller of a locked collection to take it back for lateness, if that was agreed and is not asked yet."""
    if trading_queries.lot(tx.session, row.lot_id).recourse not in ASKABLE["recourse"]:
        return None
    return ask(tx, row, "recourse")


def ask(tx: Tx, row: CollectionRow, reason: str, note: str | None = None) -> UUID | None:
    """Write a demand down for a locked collection and return its id; None while one stands.

    Raises: RuleBroken("wrong_state") when the collection has ended.
    """
    if row.closed_at is not None:
        raise RuleBroken("wrong_state", N_("Nothing is outstanding on this receivable any more."))
    if queries.buy_back_of(tx.session, row.receivable_id) is not None:
        return None
    demand_id, pay_by = new_id(), tx.today + timedelta(days=tx.policy.collection.buy_back_days)
    tx.session.execute(
        insert(BuyBackRow).values(id=demand_id, receivable_id=row.receivable_id, seller_id=row.seller_id,
                                  currency=row.currency, reason=reason, note=note, asked_at=tx.clock(),
                                  asked_by=tx.actor.user_id, pay_by=pay_by)
    )  # fmt: skip
    tx.record("buy_back", demand_id, verb="ask_buy_back", reason=note,
              after={"receivable_id": row.receivable_id, "seller_id": row.seller_id, "reason": reason,
                     "pay_by": pay_by, "state": BuyBackState.ASKED})  # fmt: skip
    return demand_id


@verb("demand_buy_back")
def demand_buy_back(tx: Tx, command: DemandBuyBack) -> Result:
    """Ask the seller to buy a funded receivable back, for a reason that its terms allow.

    Raises: NotFound; RuleBroken("wrong_state", "without_recourse"); Conflict("already_demanded").
    """
    receivables_queries.lock_receivable(tx.session, command.receivable_id)
    row = queries.lock_collection(tx.session, command.receivable_id)
    recourse = trading_queries.lot(tx.session, row.lot_id).recourse
    if recourse not in ASKABLE.get(command.reason, ()):
        raise RuleBroken("without_recourse", N_("This receivable was sold without recourse for that reason."))
    demand_id = ask(tx, row, command.reason, command.note)
    if demand_id is None:
        raise Conflict("already_demanded", N_("The seller was asked already."))
    return {"buy_back_id": demand_id}


@verb("withdraw_demand")
def withdraw_demand(tx: Tx, command: WithdrawDemand) -> Result:
    """Ask no longer.

    Raises: NotFound; RuleBroken("wrong_state").
    """
    found = tx.session.get(BuyBackRow, command.buy_back_id)
    if found is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    receivables_queries.lock_receivable(tx.session, found.receivable_id)
    row = tx.session.scalars(
        select(BuyBackRow).where(BuyBackRow.id == found.id).with_for_update().execution_options(populate_existing=True)
    ).one()
    BUYBACK.check(row.state, BuyBackState.WITHDRAWN)
    row.state, row.ended_at = BuyBackState.WITHDRAWN, tx.clock()
    tx.session.flush()
    tx.record("buy_back", row.id, before={"state": BuyBackState.ASKED}, after={"state": row.state},
              reason=command.reason)  # fmt: skip
    return {"buy_back_id": row.id, "state": row.state}
