"""Buying back: the seller pays the holders out and the receivable is its own again, in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from marketplace.kernel.errors import Conflict, Problem, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.policy import Policy
from marketplace.kernel.words import N_
from marketplace.ledger import actions as ledger
from marketplace.ledger import queries as ledger_queries
from marketplace.ledger.rules import Leg, credit, debit
from marketplace.parties.rules import require_own, verb
from marketplace.payments import queries as payments_queries
from marketplace.perform import Result, Tx
from marketplace.receivables import actions as receivables
from marketplace.receivables import queries as receivables_queries
from marketplace.receivables.debtor.reassignment import tell_debtor
from marketplace.servicing import queries
from marketplace.servicing.dues import dues_on, late_to, move, write_dues
from marketplace.servicing.offer_ends import void_offers
from marketplace.servicing.schemas import BuyBackReceivable
from marketplace.servicing.states import CollectionState
from marketplace.servicing.tables import BuyBackRow, BuyBackShareRow, CollectionRow
from marketplace.servicing.waterfall import TO_INVESTORS, Due, Share, Step, bought_back, buy_back_shares
from marketplace.title import actions as title
from marketplace.trading import queries as trading_queries

# Where a seller's own money may lie, in the order in which a buy-back takes it: what was put in for it comes first.
SOURCES = ("seller_cash", "seller_residual", "seller_advance")
ARRIVING = N_("A payment of the debtor has arrived and is being shared out: look again in a minute.")
SHORT = N_("There is not enough free money of the seller's here: put in what is missing first.")


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


def shares_on(row: CollectionRow, dues: Sequence[Due], lot: trading_queries.Lot, day: date) -> list[Share]:
    """Return what a buy-back pays on a day. The deal's days run from the auction's close to the expected date."""
    return buy_back_shares(dues, lot.tenor_days - (lot.expected_on - day).days, lot.tenor_days)


def quote_buy_back(session: Session, policy: Policy, receivable_id: UUID, day: date) -> Price:
    """Return the price on a day, with the late charge of that day; nothing is written.

    Raises: NotFound.
    """
    known = queries.collection(session, receivable_id)
    row = session.get_one(CollectionRow, receivable_id)
    dues = late_to(policy, row, known.dues, day)
    return price_of(shares_on(row, dues, trading_queries.lot(session, row.lot_id), day), day)


@verb("buy_back_receivable")
def buy_back_receivable(tx: Tx, command: BuyBackReceivable) -> Result:
    """Pay the holders out of the seller's own money and give all units back: one entry, one title move, one end.

    Paid are the outstanding principal, the discount earned to the day, late charge and fee. What the debtor pays from
    now on is the seller's. Open offers of holdings are void.

    Raises: NotFound; RuleBroken("wrong_state", "price_changed", "insufficient_cash", "nothing_to_buy_back");
    Conflict("payment_arriving").
    """
    receivable = receivables_queries.lock_receivable(tx.session, command.receivable_id)
    require_own(tx.actor, receivable.seller_id)
    row = queries.lock_collection(tx.session, receivable.id)
    if row.closed_at is not None:
        raise RuleBroken("wrong_state", N_("Nothing is outstanding on this receivable any more."))
    if payments_queries.arriving(tx.session, receivable.id):
        raise Conflict("payment_arriving", ARRIVING)
    dues = dues_on(tx, row, tx.today)
    shares = shares_on(row, dues, trading_queries.lot(tx.session, row.lot_id), tx.today)
    price = price_of(shares, tx.today)
    _as_shown(price, command.price_minor)
    void_offers(tx, receivable.id, "bought_back")
    entry_id = _pay(tx, row, shares, price)
    write_dues(tx, row, dues, bought_back(dues, row.seller_id))
    title.buy_back(tx, receivable.id, row.seller_id)
    move(tx, row, CollectionState.BOUGHT_BACK, reason=command.reason)
    buy_back_id = _keep(tx, row, command.reason, shares, price, entry_id)
    receivables.move(tx, receivable.id, "bought_back", reason=command.reason)
    tell_debtor(tx, receivable.id)
    return {"buy_back_id": buy_back_id, "price_minor": price.price_minor, "entry_id": entry_id}


def _as_shown(price: Price, shown_minor: int) -> None:
    if price.price_minor == 0:
        raise RuleBroken("nothing_to_buy_back", N_("The holders have been paid in full."))
    if price.price_minor != shown_minor:
        words = N_("The price has changed since it was shown: look at it again.")
        raise RuleBroken("price_changed", words, problems=[Problem("price_minor", "price_changed", words)])


def _pay(tx: Tx, row: CollectionRow, shares: Sequence[Share], price: Price) -> UUID:
    """Write one entry: from the seller's accounts to the holders and the platform, over the provider's accounts."""
    currency, left, legs = row.currency, price.price_minor, list[Leg]()
    pools: dict[str, int] = {"lender": 0, "borrower": 0, "platform": 0}
    for code in SOURCES:
        taken = min(left, max(ledger_queries.balance(tx.session, code, row.seller_id, currency).free_minor, 0))
        if taken:
            legs.append(debit(ledger.account(tx, code, row.seller_id, currency), taken))
            pools["lender" if code == "seller_advance" else "borrower"] -= taken
            left -= taken
    if left:
        raise RuleBroken("insufficient_cash", SHORT, problems=[Problem("price_minor", "insufficient_cash", SHORT)])
    for share in shares:
        investor = share.step in TO_INVESTORS
        code, party = ("investor_cash", share.party) if investor else ("platform_fees", None)
        legs.append(credit(ledger.account(tx, code, party, currency), share.minor))
        pools["lender" if investor else "platform"] += share.minor
    legs += [Leg(ledger.account(tx, f"provider_{pool}", None, currency), minor) for pool, minor in pools.items()]
    return ledger.post_entry(tx, "buy_back", "receivable", row.receivable_id, legs)


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
