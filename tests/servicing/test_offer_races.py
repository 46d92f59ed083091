"""Two at once on one holding, over real connections: whoever is first wins, and no penny or unit goes twice."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest
from flask import Flask

from marketplace.db import db
from marketplace.kernel.errors import Conflict, MarketplaceError
from marketplace.payments import queries as payments
from marketplace.perform import perform
from marketplace.servicing import queries
from marketplace.servicing.buying_back import buy_back_receivable
from marketplace.servicing.offer_ends import withdraw_offer
from marketplace.servicing.offers import accept_offer, offer_holding
from marketplace.servicing.schemas import AcceptOffer, BuyBackReceivable, OfferHolding, WithdrawOffer
from marketplace.title import queries as title
from tests import lives
from tests.servicing.test_buy_back import broken, cash, price, put_in
from tests.servicing.test_offers import PRICE, offered, units
from tests.trading.world import World, libpq

TIMES = 6


def at_once(app: Flask, *bodies: Callable[[], object]) -> list[str]:
    """Run each body in its own thread and connection, started together; return 'done' or the refusal's code."""
    results = [""] * len(bodies)
    gate = threading.Barrier(len(bodies))

    def run(place: int, body: Callable[[], object]) -> None:
        with app.app_context():
            gate.wait()
            try:
                body()
                results[place] = "done"
            except MarketplaceError as refusal:
                results[place] = refusal.code

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(bodies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def accepting(world: World, offer: UUID, who: str) -> Callable[[], object]:
    return lambda: perform(accept_offer, AcceptOffer(offer, PRICE, True), getattr(world, who))


def buyers(world: World) -> UUID:
    """Fund a receivable and two who want bob's part of it; the first refusal is over."""
    from datetime import timedelta

    receivable = lives.funded(world)
    world.fund("carol", PRICE)
    world.fund("dave", PRICE)
    world.move_clock(timedelta(minutes=1))
    return receivable


def test_two_buyers_at_once_one_gets_it(world: World, app: Flask) -> None:
    from datetime import timedelta

    receivable = buyers(world)
    offer = offered(world, receivable)
    world.move_clock(timedelta(hours=5))
    before = {who: cash(world, who) for who in ("bob", "carol", "dave")}
    results = at_once(app, *(accepting(world, offer, who) for who in ("carol", "dave", "carol", "dave")))
    assert sorted(results) == ["done", *["offer_taken"] * 3]
    assert cash(world, "bob") - before["bob"] == PRICE
    assert sum(before[who] - cash(world, who) for who in ("carol", "dave")) == PRICE
    assert sum(units(receivable).values()) == 4_860_000
    assert broken() == []


def test_a_sale_while_the_debtors_payment_is_applied(world: World, app: Flask) -> None:
    """Either the sale was first and the buyer gets the payment, or the payment was, and the offer is void."""
    receivable = buyers(world)
    seen = set()
    for _ in range(TIMES):
        world.fund("carol", PRICE)
        offer, payment = offered_again(world, receivable), lives.received(world, receivable, 1_000)
        sold, applied = at_once(app, accepting(world, offer, "carol"), lambda p=payment: lives.apply(p))
        assert applied == "done"
        assert sold in ("done", "offer_ended")
        db.session.rollback()
        assert queries.offer(db.session(), offer).state == ("accepted" if sold == "done" else "void")
        seen.add(sold)
        assert broken() == []
        if sold == "done":
            break
    assert seen


def offered_again(world: World, receivable: UUID) -> UUID:
    return offered(world, receivable, hours=300)


def test_a_sale_against_a_buy_back(world: World, app: Flask) -> None:
    receivable = buyers(world)
    offer, wanted = offered(world, receivable), price(world, receivable)
    put_in(world, wanted)
    sold, back = at_once(
        app, accepting(world, offer, "carol"),
        lambda: perform(buy_back_receivable, BuyBackReceivable(receivable, wanted), world.alice),
    )  # fmt: skip
    assert back == "done"
    assert sold in ("done", "offer_ended")
    assert units(receivable) == {world.id("alice"): 4_860_000}
    assert broken() == []


def test_a_sale_against_the_last_payment(world: World, app: Flask) -> None:
    receivable = buyers(world)
    offer, payment = offered(world, receivable), lives.received(world, receivable, 4_860_000)
    sold, applied = at_once(app, accepting(world, offer, "carol"), lambda: lives.apply(payment))
    assert applied == "done"
    assert sold in ("done", "offer_ended")
    assert lives.collection(receivable).state == "settled"
    assert title.held_now(db.session(), receivable) == []
    assert broken() == []


def test_two_buy_backs_at_once_pay_once(world: World, app: Flask) -> None:
    receivable = buyers(world)
    wanted = price(world, receivable)
    put_in(world, 2 * wanted)
    bodies = [lambda: perform(buy_back_receivable, BuyBackReceivable(receivable, wanted), world.alice)] * 4
    assert sorted(at_once(app, *bodies)) == ["done", *["wrong_state"] * 3]
    assert cash(world, "alice", "seller_cash") == wanted
    assert broken() == []


def test_a_buy_back_waits_for_a_payment_that_is_just_setting_out(world: World, app: Flask) -> None:
    """The provider's word is written but not committed: the buy-back must not slip in before it."""
    receivable = buyers(world)
    wanted = price(world, receivable)
    put_in(world, wanted)
    payment = lives.opened(world, receivable, 4_860_000)

    def buy() -> str:
        with app.app_context(), pytest.raises(Conflict) as refusal:
            perform(buy_back_receivable, BuyBackReceivable(receivable, wanted), world.alice)
        return refusal.value.code

    with psycopg.connect(libpq(world.postgres.url(world.database))) as writing, ThreadPoolExecutor(1) as pool:
        writing.execute("SET session_replication_role = replica")
        writing.execute("UPDATE debtor_payment SET state = 'processing' WHERE id = %s", (payment,))
        buying = pool.submit(buy)
        world.somebody_waits()
        writing.commit()
        assert buying.result(20) == "payment_on_its_way"
    assert lives.collection(receivable).state == "due"


def test_a_buy_back_against_a_payment_that_sets_out(world: World, app: Flask) -> None:
    """Whichever is first: what is bought back of the seller's own accord was bought before the debtor paid."""
    receivable = buyers(world)
    wanted = price(world, receivable)
    put_in(world, wanted)
    payment = lives.opened(world, receivable, 4_860_000)
    bought, seen = at_once(
        app,
        lambda: perform(buy_back_receivable, BuyBackReceivable(receivable, wanted), world.alice),
        lambda: lives.sees(payment, "processing", 4_860_000),
    )
    assert seen == "done"
    assert bought in ("done", "payment_on_its_way")
    found = queries.buy_back_of(db.session(), receivable)
    assert (found is not None) == (bought == "done")
    if found is not None:
        assert found.ended_at <= payments.debtor_payment(db.session(), payment).state_since
    assert broken() == []


def test_a_withdrawal_against_a_sale(world: World, app: Flask) -> None:
    receivable = buyers(world)
    offer = offered(world, receivable)
    results = at_once(
        app, accepting(world, offer, "carol"), lambda: perform(withdraw_offer, WithdrawOffer(offer), world.bob)
    )
    assert results in (["done", "wrong_state"], ["offer_ended", "done"])
    assert broken() == []


def test_the_same_units_are_offered_once(world: World, app: Flask) -> None:
    receivable = buyers(world)
    mine = units(receivable)[world.id("bob")]
    body = lambda: perform(offer_holding, OfferHolding(receivable, mine, PRICE), world.bob)  # noqa: E731
    assert sorted(at_once(app, *[body] * 4)) == ["done", *["offer_refused"] * 3]
