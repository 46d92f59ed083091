"""Buying back: the price to the penny, one entry, title home, the rest is the seller's."""

from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from marketplace.db import db
from marketplace.jobs.invariants import invariants
from marketplace.kernel.errors import Conflict, NotFound, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.ledger import actions as ledger
from marketplace.ledger import queries as ledger_queries
from marketplace.ledger.rules import credit, debit
from marketplace.payments import actions as payments
from marketplace.payments import money
from marketplace.payments.schemas import FundAccount, WithdrawCash
from marketplace.payments.tables import FundingRow
from marketplace.perform import Tx, perform
from marketplace.receivables import queries as receivables
from marketplace.servicing import queries
from marketplace.servicing.buying_back import buy_back_receivable, quote_buy_backs, waits_for_debtor
from marketplace.servicing.demands import demand_buy_back, withdraw_demand
from marketplace.servicing.schemas import BuyBackReceivable, DemandBuyBack, WithdrawDemand
from marketplace.servicing.waterfall import Due, Step, bought_back, buy_back_shares
from marketplace.title import queries as title
from tests import lives
from tests.servicing.dues import opening_dues
from tests.support import do
from tests.trading.world import World


def put_in(world: World, minor: int, code: str = "seller_cash") -> None:
    """Let money of the seller's arrive, as the payments room books it."""
    provider = "provider_lender" if code == "seller_advance" else "provider_borrower"
    do(lambda tx: str(ledger.post_entry(tx, "funding_received", "funding", new_id(), [
        debit(ledger.account(tx, provider, None, "GBP"), minor),
        credit(ledger.account(tx, code, world.id("alice"), "GBP"), minor),
    ])))  # fmt: skip


def price(world: World, receivable: UUID) -> int:
    db.session.rollback()
    today = db.session.execute(text("SELECT (market_now() AT TIME ZONE 'Europe/London')::date")).scalar_one()
    return quote_buy_backs(db.session(), [receivable], today)[receivable].price_minor


def cash(world: World, who: str, code: str = "investor_cash") -> int:
    db.session.rollback()
    return ledger_queries.balance(db.session(), code, world.id(who), "GBP").posted_minor


def broken() -> list[str]:
    """Return the invariants that do not hold; no sequencer runs in these tests."""
    db.session.rollback()
    return [one.name for one in invariants(db.session()) if not one.ok and one.name != "leaves_equal_events"]


def buy(world: World, receivable: UUID, minor: int | None = None) -> dict[str, object]:
    return perform(buy_back_receivable, BuyBackReceivable(receivable, minor or price(world, receivable)), world.alice)


def test_on_the_first_day_it_costs_principal_fee_and_no_discount(world: World) -> None:
    receivable = lives.funded(world)
    assert price(world, receivable) == 4_131_000 + 4_860_000 * 20 // 10_000


def test_holders_are_paid_and_every_unit_is_the_sellers_again(world: World) -> None:
    receivable = lives.funded(world)
    world.move_clock(timedelta(days=20))
    before, wanted = (cash(world, "bob"), cash(world, "carol")), price(world, receivable)
    earned = (4_131_000 * 700 * 50 // (10_000 * 365)) * 20 // 50
    assert wanted == 4_131_000 + earned + 9_720
    put_in(world, wanted + 5)
    done = buy(world, receivable)
    assert done["price_minor"] == wanted
    gained = cash(world, "bob") - before[0] + cash(world, "carol") - before[1]
    assert gained == 4_131_000 + earned
    assert cash(world, "bob") - before[0] > 2_000_000
    assert cash(world, "alice", "seller_cash") == 5
    assert [(owner, b - a) for owner, a, b in title.held_now(db.session(), receivable)] == [
        (world.id("alice"), 4_860_000)
    ]
    assert title.chain(db.session(), receivable)[-1].cause == "buy_back"
    found = lives.collection(receivable)
    assert (found.state, found.open) == ("bought_back", False)
    assert receivables.receivable(db.session(), receivable).state == "bought_back"
    assert [(due.step, due.party) for due in found.dues if due.outstanding_minor] == [
        (Step.RESIDUAL, world.id("alice"))
    ]
    lives.write_notices()
    letter = receivables.outgoing_mail(db.session(), receivable)[0]
    assert letter.kind == "reassignment"
    assert "is your creditor again" in letter.body
    assert broken() == []


def test_after_a_part_payment_only_the_rest_is_bought_back(world: World) -> None:
    receivable = lives.funded(world)
    lives.pays(world, receivable, 4_000_000)
    assert price(world, receivable) == 131_000 + 9_720


def test_a_late_one_costs_the_late_charge_too(world: World) -> None:
    receivable = lives.funded(world)
    lives.on_day(world, receivable, 22)
    late = 22 - 2
    bob, carol = 2_000_000 * 700 * late // 3_650_000, 2_131_000 * 700 * late // 3_650_000
    discount = 4_131_000 * 700 * 50 // 3_650_000
    assert price(world, receivable) == 4_131_000 + discount + bob + carol + 9_720
    put_in(world, price(world, receivable))
    buy(world, receivable)
    assert broken() == []


def test_what_the_debtor_pays_afterwards_is_the_sellers(world: World) -> None:
    receivable = lives.funded(world)
    put_in(world, price(world, receivable))
    buy(world, receivable)
    bob = cash(world, "bob")
    assert lives.pays(world, receivable, 4_860_000)["excess_minor"] == 0
    assert cash(world, "bob") == bob
    assert cash(world, "alice", "residual_in_transit") == 4_860_000
    assert broken() == []


def test_without_the_money_nothing_moves(world: World) -> None:
    receivable = lives.funded(world)
    put_in(world, price(world, receivable) - 1)
    with pytest.raises(RuleBroken, match="insufficient_cash") as refusal:
        buy(world, receivable)
    assert refusal.value.problems[0].field == "price_minor"
    assert lives.collection(receivable).state == "due"
    assert broken() == []


def test_money_of_the_sellers_that_lies_here_counts_whichever_pool_it_is_in(world: World) -> None:
    """An advance or a residual that the bank sent back: pools are settled over the provider's accounts."""
    receivable = lives.funded(world)
    whole = price(world, receivable)
    put_in(world, 4_000_000, "seller_advance")
    put_in(world, 100_000, "seller_residual")
    put_in(world, whole - 4_100_000)
    buy(world, receivable)
    assert [cash(world, "alice", code) for code in ("seller_cash", "seller_residual", "seller_advance")] == [0, 0, 0]
    assert broken() == []


def test_a_price_of_yesterday_is_not_taken(world: World) -> None:
    receivable = lives.funded(world)
    old = price(world, receivable)
    put_in(world, 5_000_000)
    world.move_clock(timedelta(days=1))
    with pytest.raises(RuleBroken, match="price_changed"):
        buy(world, receivable, old)


def test_nobody_buys_back_another_sellers_receivable(world: World) -> None:
    receivable = lives.funded(world)
    stranger = world.alice.__class__(world.alice.role, new_id(), new_id())
    with pytest.raises(NotFound):
        perform(buy_back_receivable, BuyBackReceivable(receivable, 1), stranger)


def test_money_that_has_arrived_is_shared_out_first(world: World) -> None:
    receivable = lives.funded(world)
    put_in(world, 5_000_000)
    lives.received(world, receivable, 1_000)
    with pytest.raises(Conflict, match="payment_arriving"):
        buy(world, receivable)


def test_of_its_own_accord_the_seller_waits_for_a_payment_on_its_way(world: World) -> None:
    """Else it would pay the discount earned so far and take the whole payment: an option that no holder sold."""
    receivable = lives.funded(world)
    put_in(world, 5_000_000)
    payment = lives.opened(world, receivable, 4_860_000)
    assert not waits_for_debtor(db.session(), receivable)  # a page that is open is no payment
    lives.sees(payment, "processing", 4_860_000)
    db.session.rollback()
    assert waits_for_debtor(db.session(), receivable)
    with pytest.raises(Conflict, match="payment_on_its_way"):
        buy(world, receivable)
    lives.sees(payment, "failed", 4_860_000)
    assert buy(world, receivable)["price_minor"] == 4_131_000 + 9_720
    assert broken() == []


def test_what_is_demanded_waits_for_no_payment(world: World) -> None:
    receivable = lives.funded(world)
    put_in(world, 5_000_000)
    lives.sees(lives.opened(world, receivable, 4_860_000), "processing", 4_860_000)
    demand = perform(demand_buy_back, DemandBuyBack(receivable, "warranty", "Not as warranted at all"), world.olga)
    perform(withdraw_demand, WithdrawDemand(UUID(str(demand["buy_back_id"])), "Asked in error"), world.olga)
    with pytest.raises(Conflict, match="payment_on_its_way"):
        buy(world, receivable)
    perform(demand_buy_back, DemandBuyBack(receivable, "warranty", "Not as warranted at all"), world.olga)
    buy(world, receivable)
    assert lives.collection(receivable).state == "bought_back"
    assert broken() == []


def test_it_is_bought_back_once(world: World) -> None:
    receivable = lives.funded(world)
    wanted = price(world, receivable)
    put_in(world, 2 * wanted)
    buy(world, receivable, wanted)
    with pytest.raises(RuleBroken, match="wrong_state"):
        buy(world, receivable, wanted)


def test_what_a_seller_puts_in_lies_apart_and_what_is_not_used_goes_back(world: World) -> None:
    """Through the payments room's own verbs, as the provider's word arrives."""

    def arrive(tx: Tx) -> str:
        made = payments.fund_account(tx, FundAccount(5_000, "GBP", "https://duebill.example/{id}"))
        row = tx.session.get_one(FundingRow, UUID(str(made["funding_id"])))
        return str(money.book_received(tx, row))

    do(arrive, world.alice)
    assert cash(world, "alice", "seller_cash") == 5_000
    with world.superuser() as owner:
        owner.execute("UPDATE organisation SET iban = 'GB29NWBK60161331926819' WHERE id = %s", (world.id("alice"),))
    with pytest.raises(RuleBroken, match="insufficient_cash"):
        perform(payments.withdraw_cash, WithdrawCash(5_001, "GBP"), world.alice)
    perform(payments.withdraw_cash, WithdrawCash(5_000, "GBP"), world.alice)
    assert cash(world, "alice", "seller_cash") == 0
    assert cash(world, "alice", "residual_in_transit") == 5_000
    assert broken() == []


# -- demands --------------------------------------------------------------------------------------------------------


def test_seventeen_days_late_the_seller_is_asked_and_meets_the_demand(world: World) -> None:
    receivable = lives.funded(world)
    lives.on_day(world, receivable, 16)
    lives.age(receivable)
    assert queries.buy_back_of(db.session(), receivable) is None
    lives.on_day(world, receivable, 17)
    lives.age(receivable)
    lives.age(receivable)
    db.session.rollback()
    asked = queries.buy_back_of(db.session(), receivable)
    assert asked is not None
    assert (asked.reason, asked.state) == ("recourse", "asked")
    assert asked.pay_by == lives.collection(receivable).due_on + timedelta(days=22)
    put_in(world, price(world, receivable))
    buy(world, receivable)
    db.session.rollback()
    paid = queries.buy_back_of(db.session(), receivable)
    assert paid is not None
    assert (paid.id, paid.state, paid.reason) == (asked.id, "paid", "recourse")
    assert sum(minor for _, _, minor in queries.buy_back_shares(db.session(), paid.id)) == paid.price_minor


def test_without_recourse_nobody_is_asked_for_lateness(world: World) -> None:
    receivable = lives.funded(world, recourse="none")
    lives.on_day(world, receivable, 17)
    lives.age(receivable)
    assert queries.buy_back_of(db.session(), receivable) is None
    with pytest.raises(RuleBroken, match="without_recourse"):
        perform(demand_buy_back, DemandBuyBack(receivable, "recourse"), world.olga)
    perform(demand_buy_back, DemandBuyBack(receivable, "warranty", "It was pledged before."), world.olga)


def test_a_demand_is_made_once_and_can_be_withdrawn(world: World) -> None:
    receivable = lives.funded(world)
    made = perform(demand_buy_back, DemandBuyBack(receivable, "dispute"), world.olga)
    with pytest.raises(Conflict, match="already_demanded"):
        perform(demand_buy_back, DemandBuyBack(receivable, "dilution"), world.olga)
    perform(withdraw_demand, WithdrawDemand(UUID(str(made["buy_back_id"])), "The debtor paid."), world.olga)
    db.session.rollback()
    assert queries.buy_back_of(db.session(), receivable) is None
    with pytest.raises(RuleBroken, match="wrong_state"):
        perform(withdraw_demand, WithdrawDemand(UUID(str(made["buy_back_id"])), "Once more."), world.olga)


def test_an_upheld_dispute_is_found_by_the_job(world: World) -> None:
    receivable = lives.funded(world)
    assert queries.upheld_disputes(db.session()) == []
    with world.superuser() as owner:
        owner.execute(
            "INSERT INTO dispute (id, receivable_id, amount_minor, reason, words, state, ended_at) "
            "VALUES (%s, %s, 100, 'other', 'Never delivered.', 'upheld', market_now())",
            (new_id(), receivable),
        )
    db.session.rollback()
    assert queries.upheld_disputes(db.session()) == [receivable]


# -- what the database keeps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "kept"),
    [
        ("UPDATE collection SET state = 'bought_back', closed_at = market_now()", "bought_back_was_paid"),
        (("INSERT INTO buy_back SELECT gen_random_uuid(), receivable_id, seller_id, currency, reason, note, asked_at, "
         "asked_by, pay_by FROM buy_back"), "uq_buy_back_receivable_id_live"),
        ("UPDATE buy_back SET state = 'paid', ended_at = market_now()", "ck_buy_back_paid"),
        ("UPDATE buy_back SET reason = 'dilution'", ""),
        (("INSERT INTO buy_back_share (id, buy_back_id, step, party_id, minor) SELECT gen_random_uuid(), id, "
         "'principal', seller_id, 0 FROM buy_back"), "ck_buy_back_share_minor"),
        (("UPDATE buy_back SET state = 'paid', ended_at = market_now(), priced_on = '2026-01-01', principal_minor = 5, "
         "discount_minor = 0, late_minor = 0, fee_minor = 0, price_minor = 6, "
         "entry_id = (SELECT id FROM entry LIMIT 1)"),
         "ck_buy_back_price"),
        (("UPDATE buy_back SET state = 'paid', ended_at = market_now(), priced_on = '2026-01-01', principal_minor = 5, "
         "discount_minor = 0, late_minor = 0, fee_minor = 0, price_minor = 5, "
         "entry_id = (SELECT id FROM entry LIMIT 1)"),
         "buy_back_adds_up"),
        ("DELETE FROM buy_back", ""),
    ],
)  # fmt: skip
def test_the_database_keeps_buy_backs_whole(world: World, statement: str, kept: str) -> None:
    from tests.servicing.test_constraints import refused

    receivable = lives.funded(world)
    perform(demand_buy_back, DemandBuyBack(receivable, "recourse"), world.olga)
    assert kept in refused(world, (statement, ()))


# -- pure -------------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**7)), min_size=1, max_size=6),
    st.integers(0, 10**9), st.integers(-3, 400), st.integers(1, 200), st.integers(0, 10**10),
)  # fmt: skip
def test_a_buy_back_never_pays_more_than_is_outstanding(
    fills: list[tuple[int, int]], rest: int, run: int, tenor: int, received: int
) -> None:
    from marketplace.servicing.waterfall import distribute

    seller, owners = new_id(), [new_id() for _ in fills]
    face = sum(p + d for p, d in fills) + rest
    dues = opening_dues(face, seller, [(o, p, d) for o, (p, d) in zip(owners, fills, strict=True)], 20)
    given_ = {(s.step, s.party): s.minor for s in distribute(received, dues).shares}
    dues = [Due(due.step, due.party, due.due_minor, given_.get((due.step, due.party), 0)) for due in dues]
    shares = buy_back_shares(dues, run, tenor)
    outstanding = {(due.step, due.party): due.outstanding_minor for due in dues}
    assert all(0 < share.minor <= outstanding[share.step, share.party] for share in shares)
    principal = sum(share.minor for share in shares if share.step == Step.PRINCIPAL)
    assert principal == sum(due.outstanding_minor for due in dues if due.step == Step.PRINCIPAL)
    after = bought_back(dues, seller)
    assert sum(due.due_minor for due in after) == face
    assert all(due.outstanding_minor == 0 for due in after if due.step != Step.RESIDUAL)
    if run >= tenor:
        assert sum(share.minor for share in shares) == sum(
            due.outstanding_minor for due in dues if due.step != Step.RESIDUAL
        )


def test_who_may(app: Flask) -> None:
    from marketplace.parties.rules import MAY

    assert MAY["buy_back_receivable"] == {"seller", "operator", "system"}
