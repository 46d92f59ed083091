"""What people may do next: each act looks at the market, throws dice, and returns one verb with its command."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import text

from marketplace.db import db, market_now
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.clock import business_date
from marketplace.payments.actions import fund_account, start_debtor_payment, withdraw_cash
from marketplace.payments.release import retry_call
from marketplace.payments.schemas import FundAccount, RetryCall, StartDebtorPayment, WithdrawCash
from marketplace.perform import Verb
from marketplace.receivables.debtor.confirmation import confirm_receivable
from marketplace.receivables.schemas import ConfirmReceivable
from marketplace.servicing.buying_back import buy_back_receivable, quote_buy_backs
from marketplace.servicing.offers import accept_offer, offer_holding
from marketplace.servicing.schemas import AcceptOffer, BuyBackReceivable, OfferHolding
from marketplace.trading.actions import accept_award, place_bid
from marketplace.trading.schemas import AcceptAward, PlaceBid

LINK = re.compile(r"/d/([\w.-]+)")
BACK = "https://duebill.example/back"
CURRENCY = "GBP"
VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (fund_account, withdraw_cash, confirm_receivable, place_bid, accept_award, start_debtor_payment,
                 offer_holding, accept_offer, retry_call, buy_back_receivable)
}  # fmt: skip
# What an acknowledged act leaves behind, for ever: the key of its result and where it is found.
LEFT = {
    "fund_account": ("funding_id", "SELECT count(*) FROM funding WHERE id = ANY(:ids)"),
    "withdraw_cash": ("payout_id", "SELECT count(*) FROM payout WHERE id = ANY(:ids)"),
    "place_bid": ("bid_id", "SELECT count(*) FROM bid WHERE id = ANY(:ids)"),
    "start_debtor_payment": ("payment_id", "SELECT count(*) FROM debtor_payment WHERE id = ANY(:ids)"),
    "offer_holding": ("offer_id", "SELECT count(*) FROM holding_offer WHERE id = ANY(:ids)"),
    "buy_back_receivable": ("buy_back_id", "SELECT count(*) FROM buy_back WHERE id = ANY(:ids) AND state = 'paid'"),
}


@dataclass(frozen=True)
class Wish:
    """One verb that somebody wants performed, word for word however often it has to be asked for."""

    verb: str
    command: Any
    actor: Actor


@dataclass(frozen=True)
class Cast:
    """Who acts: sellers and debtors are found in what they listed and owe."""

    investors: tuple[Actor, ...]
    operators: tuple[Actor, ...]


def plan(name: str, seed: int, cast: Cast) -> Wish | None:
    """Return what an act comes to on the market as it is; None when there is nothing of the kind to do."""
    dice = random.Random(seed)  # noqa: S311 (a simulation has no secrets)
    wish = ACTS[name](dice, cast)
    db.session.rollback()
    return wish


def _rows(sql: str, **values: object) -> list[Any]:
    return list(db.session.execute(text(sql), values).all())


def _funds(dice: random.Random, cast: Cast) -> Wish | None:
    minor = dice.choice((1, 5_000_000, 20_000_000, 20_000_000, 50_000_000))
    return Wish("fund_account", FundAccount(minor, CURRENCY, BACK), dice.choice(cast.investors))


def _withdraws(dice: random.Random, cast: Cast) -> Wish | None:
    actor = dice.choice(cast.investors)
    found = _rows(
        "SELECT posted_minor - held_minor AS free FROM balance JOIN account ON account.id = account_id "
        "WHERE code = 'investor_cash' AND organisation_id = :owner AND posted_minor - held_minor > 0",
        owner=actor.organisation_id,
    )
    if not found:
        return None
    minor = dice.choice((1, found[0].free, found[0].free + 1, max(1, found[0].free // 7)))
    return Wish("withdraw_cash", WithdrawCash(minor, CURRENCY), actor)


def _confirms(dice: random.Random, cast: Cast) -> Wish | None:
    waiting = _rows(
        "SELECT r.id, r.debtor_id, r.face_minor, greatest(r.due_on, market_now()::date) AS pay_on, m.body "
        "FROM receivable r JOIN LATERAL (SELECT body FROM outgoing_mail WHERE receivable_id = r.id "
        "AND kind = 'confirm' ORDER BY queued_at DESC LIMIT 1) m ON true "
        "WHERE r.state = 'awaiting_confirmation' ORDER BY r.ref"
    )
    if not waiting:
        return None
    row = dice.choice(waiting)
    found = LINK.search(row.body)
    if found is None:
        return None
    command = ConfirmReceivable(found.group(1), row.face_minor, row.pay_on, False, answered_by="Accounts payable")
    return Wish("confirm_receivable", command, _debtor(row.debtor_id))


def _bids(dice: random.Random, cast: Cast) -> Wish | None:
    lots = _rows(
        "SELECT id, target_minor, lot_size_minor, reserve_bps FROM lot WHERE state = 'open' "
        "AND closes_at > market_now() ORDER BY opened_at, number, id"
    )
    if not lots:
        return None
    lot = dice.choice(lots)
    share = dice.choice((20, 55, 80, 110))
    cash = max(-(-lot.target_minor * share // 100 // lot.lot_size_minor), 1) * lot.lot_size_minor
    rate = dice.randint(1, lot.reserve_bps)
    fill = dice.choice((0, 0, 0, cash))
    return Wish("place_bid", PlaceBid(lot.id, rate, cash, fill), dice.choice(cast.investors))


def _covers(dice: random.Random, cast: Cast) -> Wish | None:
    """Somebody who can bids for all of the lot that closes first and that nobody covers."""
    lots = _rows(
        "SELECT id, target_minor, lot_size_minor, reserve_bps FROM lot WHERE state = 'open' "
        "AND closes_at > market_now() AND NOT EXISTS (SELECT FROM bid WHERE bid.lot_id = lot.id "
        "AND bid.cash_minor >= target_minor AND bid.state = 'placed') ORDER BY closes_at, number, id LIMIT 1"
    )
    if not lots:
        return None
    lot = lots[0]
    cash = -(-lot.target_minor // lot.lot_size_minor) * lot.lot_size_minor
    able = _rows(
        "SELECT organisation_id FROM balance JOIN account ON account.id = account_id WHERE code = 'investor_cash' "
        "AND posted_minor - held_minor >= :cash ORDER BY organisation_id", cash=cash,
    )  # fmt: skip
    able_ids = {row.organisation_id for row in able}
    bidders = [one for one in cast.investors if one.organisation_id in able_ids]
    if not bidders:
        return None
    return Wish("place_bid", PlaceBid(lot.id, dice.randint(1, lot.reserve_bps), cash, 0), dice.choice(bidders))


def _accepts(dice: random.Random, cast: Cast) -> Wish | None:
    lots = _rows("SELECT id, seller_id FROM lot WHERE state = 'awaiting_seller' ORDER BY closes_at, id")
    if not lots:
        return None
    lot = dice.choice(lots)
    return Wish("accept_award", AcceptAward(lot.id, None), _seller(lot.seller_id))


def _pays(dice: random.Random, cast: Cast) -> Wish | None:
    owed = _rows(
        "SELECT c.receivable_id, c.debtor_id, c.currency, (SELECT sum(due_minor - paid_minor) FROM due "
        "WHERE due.receivable_id = c.receivable_id) AS left_minor FROM collection c ORDER BY c.opened_at, c.lot_id"
    )
    if not owed:
        return None
    row = dice.choice(owed)
    left = max(int(row.left_minor), 1)
    minor = dice.choice((1, left // 3 + 1, left, left, left + 4_321))
    command = StartDebtorPayment(row.receivable_id, row.debtor_id, row.currency, minor, "Invoice", BACK)
    return Wish("start_debtor_payment", command, _debtor(row.debtor_id))


def _settles(dice: random.Random, cast: Cast) -> Wish | None:
    """A debtor pays all that it owes on the oldest debt for which no payment is under way."""
    owed = _rows(
        "SELECT receivable_id, debtor_id, currency, left_minor FROM (SELECT c.*, (SELECT sum(due_minor - paid_minor) "
        "FROM due WHERE due.receivable_id = c.receivable_id)::bigint AS left_minor FROM collection c "
        "WHERE closed_at IS NULL AND NOT EXISTS (SELECT FROM debtor_payment p "
        "WHERE p.receivable_id = c.receivable_id AND p.applied_at IS NULL "
        "AND p.state IN ('preparing', 'open', 'processing', 'succeeded'))) AS c "
        "WHERE left_minor > 0 ORDER BY opened_at, lot_id LIMIT 1"
    )
    if not owed:
        return None
    (row,) = owed
    command = StartDebtorPayment(row.receivable_id, row.debtor_id, row.currency, row.left_minor, "Invoice", BACK)
    return Wish("start_debtor_payment", command, _debtor(row.debtor_id))


def _offers(dice: random.Random, cast: Cast) -> Wish | None:
    held = _rows(
        "SELECT h.receivable_id, h.owner_id, sum(upper(units) - lower(units)) AS units FROM holding h "
        "JOIN collection c USING (receivable_id) WHERE upper_inf(held_during) AND c.closed_at IS NULL "
        "AND h.owner_id = ANY(:investors) GROUP BY 1, 2, c.opened_at ORDER BY c.opened_at, sum(upper(units)), 1, 2",
        investors=[one.organisation_id for one in cast.investors],
    )
    if not held:
        return None
    row = dice.choice(held)
    units = dice.choice((int(row.units), int(row.units) // 2 + 1))
    actor = next(one for one in cast.investors if one.organisation_id == row.owner_id)
    return Wish("offer_holding", OfferHolding(row.receivable_id, units, max(units * 95 // 100, 1)), actor)


def _buys(dice: random.Random, cast: Cast) -> Wish | None:
    offers = _rows("SELECT id, owner_id, price_minor FROM holding_offer WHERE state = 'open' ORDER BY offered_at, id")
    if not offers:
        return None
    row = dice.choice(offers)
    actor = dice.choice([one for one in cast.investors if one.organisation_id != row.owner_id])
    return Wish("accept_offer", AcceptOffer(row.id, row.price_minor, True), actor)


def _decides(dice: random.Random, cast: Cast) -> Wish | None:
    """Two operators release a call that rests: the provider's books were looked through and show nothing of it."""
    resting = _rows(
        "SELECT id, proposed_by FROM outgoing_call WHERE state = 'unknown' AND next_at IS NULL ORDER BY created_at, id"
    )
    if not resting:
        return None
    row = dice.choice(resting)
    actor = next(one for one in cast.operators if one.user_id != row.proposed_by)
    return Wish("retry_call", RetryCall(row.id, "again", "The provider's own books show nothing of it."), actor)


def _seller(organisation_id: UUID) -> Actor:
    return Actor(Role.SELLER, None, organisation_id, on_behalf_of="simulator")


def _prices(market: list[Any]) -> list[tuple[Any, int, int]]:
    """Return the price of buying each deal back today, and the cash that its seller has."""
    policy = current_app.extensions["duebill"].policy
    today = business_date(market_now(db.session()), policy.zone)
    quoted = quote_buy_backs(db.session(), [row.receivable_id for row in market], today)
    return [(row, quoted[row.receivable_id].price_minor, row.cash_minor) for row in market]


def _deals() -> list[Any]:
    return _rows(
        "SELECT c.receivable_id, c.seller_id, coalesce((SELECT sum(posted_minor - held_minor) FROM balance "
        "JOIN account ON account.id = account_id WHERE code = 'seller_cash' AND organisation_id = c.seller_id), 0)"
        "::bigint AS cash_minor FROM collection c WHERE closed_at IS NULL ORDER BY opened_at, lot_id"
    )


def _puts_in(dice: random.Random, cast: Cast) -> Wish | None:
    """A seller who wants to buy back puts in what is missing."""
    short = [(row, price - cash) for row, price, cash in _prices(_deals()) if price > cash]
    if not short:
        return None
    row, minor = dice.choice(short)
    return Wish("fund_account", FundAccount(minor, CURRENCY, BACK), _seller(row.seller_id))


def _buys_back(dice: random.Random, cast: Cast) -> Wish | None:
    able = [(row, price) for row, price, cash in _prices(_deals()) if 0 < price <= cash]
    if not able:
        return None
    row, price = dice.choice(able)
    return Wish("buy_back_receivable", BuyBackReceivable(row.receivable_id, price), _seller(row.seller_id))


def _debtor(organisation_id: UUID) -> Actor:
    return Actor(Role.DEBTOR, None, organisation_id, on_behalf_of="debtor_link")


ACTS: dict[str, Callable[[random.Random, Cast], Wish | None]] = {
    "fund": _funds, "withdraw": _withdraws, "confirm": _confirms, "bid": _bids, "cover": _covers, "accept": _accepts,
    "pay": _pays, "settle": _settles, "offer": _offers, "buy": _buys, "put_in": _puts_in, "buy_back": _buys_back,
    "decide": _decides,
}  # fmt: skip
WEIGHTS = {
    "fund": 2, "withdraw": 2, "confirm": 3, "bid": 7, "cover": 3, "accept": 3, "pay": 4, "settle": 1, "offer": 1,
    "buy": 1, "put_in": 1, "buy_back": 1, "decide": 2,
}  # fmt: skip
