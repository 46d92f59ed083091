"""Buying back: the seller pays the holders out and the receivable is its own again, in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from marketplace.kernel.errors import Conflict, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties.rules import require_own, verb
from marketplace.payments import queries as payments_queries
from marketplace.perform import Result, Tx
from marketplace.receivables import actions as receivables
from marketplace.receivables import queries as receivables_queries
from marketplace.servicing import queries
from marketplace.servicing.dues import dues_on, late_to, move, write_dues
from marketplace.servicing.offer_ends import void_offers
from marketplace.servicing.schemas import PRICE_CHANGED, BuyBackReceivable
from marketplace.servicing.seller_money import pay_out
from marketplace.servicing.states import BuyBackState, CollectionState
from marketplace.servicing.tables import BuyBackRow, BuyBackShareRow, CollectionRow
from marketplace.servicing.waterfall import Due, Share, Step, bought_back, buy_back_shares
from marketplace.title import actions as title
from marketplace.trading import queries as trading_queries

ARRIVING = N_("A payment of the debtor has arrived and is being shared out: look again in a minute.")
ON_ITS_WAY = N_("A payment of the debtor is on its way. Until it has arrived, or failed, you can buy back only what "
                "the market asks you to.")  # fmt: skip


@dataclass(frozen=True)
class Price:
    """What buying back costs on a day, by step, in minor units."""

    priced_on: date
    principal_minor: int
    discount_minor: int
    late_minor: int
    fee_minor: int

    @property
    def price_minor(self) -> int:
        """The whole."""
        return self.principal_minor + self.discount_minor + self.late_minor + self.fee_minor


def price_of(shares: Sequence[Share], priced_on: date) -> Price:
    """Return the sums of what a buy-back pays."""

    def total(*steps: Step) -> int:
        return sum(share.minor for share in shares if share.step in steps)

    return Price(priced_on, total(Step.PRINCIPAL), total(Step.DISCOUNT), total(Step.LATE_CHARGE),
                 total(Step.PLATFORM_FEE, Step.COSTS))  # fmt: skip


def shares_on(dues: Sequence[Due], lot: trading_queries.Lot, day: date) -> list[Share]:
    """Return what a buy-back pays on a day. The deal's days run from the auction's close to the expected date."""
    return buy_back_shares(dues, lot.tenor_days - (lot.expected_on - day).days, lot.tenor_days)


def quote_buy_backs(session: Session, receivable_ids: Sequence[UUID], day: date) -> dict[UUID, Price]:
    """Return the prices on a day of those receivables that were funded, late charge of that day included.

    Nothing is written; four statements, however many are asked for.
    """
    known = queries.collections(session, receivable_ids)
    lots = trading_queries.lots(session, [one.lot_id for one in known.values()])
    return {
        one.receivable_id: price_of(shares_on(late_to(one, one.dues, day), lots[one.lot_id], day), day)
        for one in known.values()
    }


def waits_for_debtor(session: Session, receivable_id: UUID) -> bool:
    """Say whether a buy-back of the seller's own accord must wait for a payment of the debtor's to arrive."""
    return payments_queries.on_its_way(session, receivable_id) and not _demanded(session, receivable_id)


def _demanded(session: Session, receivable_id: UUID) -> bool:
    asked = queries.buy_back_of(session, receivable_id)
    return asked is not None and asked.state == BuyBackState.ASKED


@verb("buy_back_receivable")
def buy_back_receivable(tx: Tx, command: BuyBackReceivable) -> Result:
    """Pay the holders out of the seller's own money and give all units back: one entry, one title move, one end.

    Paid are the outstanding principal, the discount earned to the day, late charge and fee. What the debtor pays from
    now on is the seller's. Open offers of holdings are void. Locks come payment, receivable, collection, accounts.

    While a payment of the debtor's is on its way, only what is demanded can be bought back: otherwise the seller would
    pay the discount earned so far and take the whole payment, an option that no holder sold. A demand is not held up,
    for the seller does not choose its day.

    Raises: NotFound; RuleBroken("wrong_state", "price_changed", "insufficient_cash", "nothing_to_buy_back");
    Conflict("payment_arriving", "payment_on_its_way").
    """
    on_its_way = payments_queries.on_its_way(tx.session, command.receivable_id, lock=True)
    receivable = receivables_queries.lock_receivable(tx.session, command.receivable_id)
    require_own(tx.actor, receivable.seller_id)
    row = queries.lock_collection(tx.session, receivable.id)
    if row.closed_at is not None:
        raise RuleBroken("wrong_state", N_("Nothing is outstanding on this receivable any more."))
    if payments_queries.arriving(tx.session, receivable.id):
        raise Conflict("payment_arriving", ARRIVING)
    if on_its_way and not _demanded(tx.session, receivable.id):
        raise Conflict("payment_on_its_way", ON_ITS_WAY)
    dues = dues_on(tx, row, tx.today)
    shares = shares_on(dues, trading_queries.lot(tx.session, row.lot_id), tx.today)
    price = price_of(shares, tx.today)
    _as_shown(price, command.price_minor)
    void_offers(tx, receivable.id, "bought_back")
    entry_id = pay_out(tx, row, shares, "buy_back", "price_minor")
    write_dues(tx, row, dues, bought_back(dues, row.seller_id))
    title.buy_back(tx, receivable.id, row.seller_id)
    move(tx, row, CollectionState.BOUGHT_BACK, reason=command.reason)
    buy_back_id = _keep(tx, row, command.reason, shares, price, entry_id)
    receivables.move(tx, receivable.id, "bought_back", reason=command.reason)
    receivables.issue_reassignment(tx, receivable.id)
    return {"buy_back_id": buy_back_id, "price_minor": price.price_minor, "entry_id": entry_id}


def _as_shown(price: Price, shown_minor: int) -> None:
    if price.price_minor == 0:
        raise RuleBroken("nothing_to_buy_back", N_("The holders have been paid in full."))
    if price.price_minor != shown_minor:
        raise RuleBroken.about("price_minor", "price_changed", PRICE_CHANGED)


def _keep(
    tx: Tx, row: CollectionRow, reason: str, shares: Sequence[Share], price: Price, entry_id: UUID
) -> UUID:  # fmt: skip
    """Write the buy-back down: the demand that stands is met, or a row of its own where nothing was demanded."""
    asked = tx.session.scalars(
        select(BuyBackRow).where(BuyBackRow.receivable_id == row.receivable_id, BuyBackRow.state == "asked")
        .with_for_update()
    ).one_or_none()  # fmt: skip
    if asked is None:
        pay_by = None if reason == "voluntary" else tx.today
        asked = BuyBackRow(id=new_id(), receivable_id=row.receivable_id, seller_id=row.seller_id,
                           currency=row.currency, reason=reason, asked_at=tx.clock(), asked_by=tx.actor.user_id,
                           pay_by=pay_by, state="asked")  # fmt: skip
        tx.session.add(asked)
        tx.session.flush()
    tx.session.execute(
        insert(BuyBackShareRow),
        [{"id": new_id(), "buy_back_id": asked.id, "step": share.step, "party_id": share.party, "minor": share.minor}
         for share in shares],
    )  # fmt: skip
    asked.state, asked.ended_at, asked.entry_id = "paid", tx.clock(), entry_id
    figures = {"priced_on": price.priced_on, "principal_minor": price.principal_minor,
               "discount_minor": price.discount_minor, "late_minor": price.late_minor, "fee_minor": price.fee_minor,
               "price_minor": price.price_minor}  # fmt: skip
    for name, value in figures.items():
        setattr(asked, name, value)
    tx.session.flush()
    tx.record("buy_back", asked.id, before={"state": "asked"},
              after={"state": asked.state, "receivable_id": row.receivable_id, "reason": asked.reason,
                     "entry_id": entry_id, **figures,
                     "shares": [[str(share.step), share.party, share.minor] for share in shares]})  # fmt: skip
    return asked.id
