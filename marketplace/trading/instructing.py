"""At the close mandates become sealed bids: in the order of their ids, after everybody else, each with its own hold.

Whatever a mandate does in a lot is noted, and why. Lots are locked by the caller, mandates here, accounts last.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, text

from marketplace.kernel.errors import RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.ledger import actions as ledger
from marketplace.ledger import queries as balances
from marketplace.parties import queries as parties
from marketplace.perform import Tx
from marketplace.trading import engine
from marketplace.trading.engine import Instruction, Reason, Used
from marketplace.trading.rules import BidState, MandateState
from marketplace.trading.tables import BidRow, LotRow, MandateNoteRow, MandateRow

# What rests on a purse comes with the purse and the session: no more than it holds can come of it.
EXPOSED = """
    SELECT used.investor_id, lot.currency, lot.debtor_id, lot.seller_id, purse.session_id, hold.minor AS purse_minor,
        sum(used.minor)::bigint AS minor
    FROM (SELECT investor_id, lot_id, cash_minor AS minor, hold_id IS NULL AS resting FROM bid
          WHERE investor_id = ANY (:investors) AND state = 'placed'
          UNION ALL
          SELECT fill.investor_id, fill.lot_id, fill.cash_minor, false FROM fill JOIN lot ON lot.id = fill.lot_id
          JOIN receivable ON receivable.id = lot.receivable_id
          WHERE fill.investor_id = ANY (:investors)
          AND lot.state IN ('awaiting_seller', 'accepted', 'held', 'settled')
          AND receivable.state NOT IN ('discharged', 'bought_back', 'written_off')
          AND fill.round = (SELECT max(round) FROM award WHERE award.lot_id = fill.lot_id)) AS used
    JOIN lot ON lot.id = used.lot_id
    LEFT JOIN session_purse AS purse ON used.resting
        AND purse.session_id = lot.session_id AND purse.investor_id = used.investor_id
    LEFT JOIN hold ON hold.id = purse.hold_id GROUP BY 1, 2, 3, 4, 5, 6"""
SPENT = """
    SELECT bid.mandate_id, sum(CASE bid.state WHEN 'placed' THEN bid.cash_minor ELSE
        (SELECT cash_minor FROM fill WHERE fill.bid_id = bid.id ORDER BY round DESC LIMIT 1) END)::bigint AS minor
    FROM bid JOIN mandate ON mandate.id = bid.mandate_id
    WHERE bid.mandate_id = ANY (:mandates) AND bid.state IN ('placed', 'filled')
    AND bid.placed_at > market_now() - make_interval(days => mandate.budget_days)
    GROUP BY 1"""


@dataclass
class Resting:
    """Bids of an investor that rest on one purse, summed by debtor and by seller."""

    debtors: Counter[UUID] = field(default_factory=Counter)
    sellers: Counter[UUID] = field(default_factory=Counter)

    def add(self, row: Any) -> None:
        """Add a row of EXPOSED."""
        self.debtors[row.debtor_id] += row.minor
        self.sellers[row.seller_id] += row.minor


@dataclass
class Uses:
    """What investors and mandates have used up, kept current while bids are placed."""

    tx: Tx
    debtors: dict[tuple[UUID, str, UUID], int] = field(default_factory=lambda: defaultdict(int))
    sellers: dict[tuple[UUID, str, UUID], int] = field(default_factory=lambda: defaultdict(int))
    outstanding: dict[tuple[UUID, str], int] = field(default_factory=lambda: defaultdict(int))
    spent: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    free: dict[tuple[UUID, str], int] = field(default_factory=dict)

    @classmethod
    def of(cls, tx: Tx, mandates: Sequence[MandateRow]) -> "Uses":
        """Read what is used up now."""
        uses = cls(tx)
        investors = sorted({row.investor_id for row in mandates})
        resting: dict[tuple[UUID, str, UUID, int], Resting] = defaultdict(Resting)
        for row in tx.session.execute(text(EXPOSED), {"investors": investors}):
            if row.session_id is None:
                uses.add(row.investor_id, row.currency, row.debtor_id, row.seller_id, row.minor)
            else:
                resting[row.investor_id, row.currency, row.session_id, row.purse_minor].add(row)
        for (who, currency, _, most), bids in resting.items():
            uses.add_resting(who, currency, most, bids)
        for row in tx.session.execute(text(SPENT), {"mandates": [row.id for row in mandates]}):
            uses.spent[row.mandate_id] = row.minor
        return uses

    def add(self, investor: UUID, currency: str, debtor: UUID, seller: UUID, minor: int) -> None:
        """Count cash that stands or is out."""
        self.debtors[investor, currency, debtor] += minor
        self.sellers[investor, currency, seller] += minor
        self.outstanding[investor, currency] += minor

    def add_resting(self, investor: UUID, currency: str, most: int, bids: "Resting") -> None:
        """Count bids that rest on a purse of `most`: as much of them as it can pay, of each debtor and seller alike."""
        for debtor, minor in bids.debtors.items():
            self.debtors[investor, currency, debtor] += min(minor, most)
        for seller, minor in bids.sellers.items():
            self.sellers[investor, currency, seller] += min(minor, most)
        self.outstanding[investor, currency] += min(bids.debtors.total(), most)

    def now(self, mandate: MandateRow, lot: LotRow) -> Used:
        """Return what the mandate may not use again in this lot."""
        who, currency = mandate.investor_id, lot.currency
        if (who, currency) not in self.free:
            self.free[who, currency] = balances.balance(self.tx.session, "investor_cash", who, currency).free_minor
        return Used(
            self.spent[mandate.id], self.debtors[who, currency, lot.debtor_id],
            self.sellers[who, currency, lot.seller_id], self.outstanding[who, currency], self.free[who, currency],
        )  # fmt: skip

    def take(self, mandate: MandateRow, lot: LotRow, minor: int) -> None:
        """Count a bid that was placed."""
        self.spent[mandate.id] += minor
        self.free[mandate.investor_id, lot.currency] -= minor
        self.add(mandate.investor_id, lot.currency, lot.debtor_id, lot.seller_id, minor)


def place_mandates(tx: Tx, lots: Sequence[LotRow]) -> None:
    """Place the bids of all active mandates in locked lots whose time has come, and note what each did.

    A mandate is asked once a lot: what it was noted for it does not do again.
    """
    currencies = sorted({lot.currency for lot in lots})
    mandates = tx.session.scalars(
        select(MandateRow)
        .where(MandateRow.state == MandateState.ACTIVE, MandateRow.currency.in_(currencies))
        .order_by(MandateRow.id)
        .with_for_update(
            key_share=True
        )  # closes at once take turns: the second one sees what the first one's bids spent
    ).all()
    if not mandates:
        return
    noted = select(MandateNoteRow.mandate_id, MandateNoteRow.lot_id)
    noted = noted.where(MandateNoteRow.lot_id.in_([lot.id for lot in lots]))
    asked = {(row.mandate_id, row.lot_id) for row in tx.session.execute(noted)}
    owners = {owner for lot in lots for owner in (lot.seller_id, lot.debtor_id)}
    houses = parties.organisations(tx.session, {row.investor_id for row in mandates} | owners)
    uses, notes = Uses.of(tx, mandates), []
    for lot in sorted(lots, key=lambda lot: (lot.closes_at, lot.id)):
        for mandate in mandates:
            house = houses[mandate.investor_id]
            if mandate.currency != lot.currency or not house.good_standing or (mandate.id, lot.id) in asked:
                continue
            related = {*lot.related_groups, houses[lot.seller_id].group, houses[lot.debtor_id].group}
            wanted = engine.instruct(mandate, lot, related=house.group in related,
                                     used=uses.now(mandate, lot))  # fmt: skip
            bid_id = _place(tx, mandate, lot, house.group, wanted) if wanted.cash_minor else None
            if bid_id is not None:
                uses.take(mandate, lot, wanted.cash_minor)
            reasons = wanted.reasons or (() if bid_id else (Reason("no_free_cash"),))
            told = [{"code": one.code, **one.numbers} for one in reasons]
            notes.append({"mandate_id": mandate.id, "lot_id": lot.id, "bid_id": bid_id, "reasons": told})
    if notes:
        tx.session.execute(insert(MandateNoteRow), notes)


def _place(tx: Tx, mandate: MandateRow, lot: LotRow, group_id: UUID, wanted: Instruction) -> UUID | None:
    """Place one bid with its hold; None when the cash went elsewhere meanwhile."""
    bid_id = new_id()
    account = ledger.account(tx, "investor_cash", mandate.investor_id, lot.currency)
    try:
        hold_id = ledger.place_hold(tx, account, wanted.cash_minor, "bid", bid_id)
    except RuleBroken:
        return None
    terms = {"lot_id": lot.id, "cash_minor": wanted.cash_minor, "min_fill_minor": wanted.min_fill_minor,
             "rate_bps": wanted.rate_bps}  # fmt: skip
    owner = {"investor_id": mandate.investor_id, "group_id": group_id, "hold_id": hold_id, "mandate_id": mandate.id}
    seq: int = tx.session.execute(
        insert(BidRow).values(id=bid_id, placed_by=mandate.created_by, **terms, **owner).returning(BidRow.seq)
    ).scalar_one()
    told = {**terms, **owner, "seq": seq, "replaces_id": None, "state": BidState.PLACED}
    tx.record("bid", bid_id, verb="place_bid", after=told)
    return bid_id
