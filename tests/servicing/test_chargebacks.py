"""Money taken back after it was shared out: proportionally, then the reserve, then the platform; and given back."""

from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.audit.sequencer import sequence_events
from marketplace.db import db
from marketplace.kernel.errors import Conflict
from marketplace.kernel.ids import new_id
from marketplace.ledger import actions as ledger
from marketplace.ledger.queries import balance
from marketplace.ledger.rules import credit, debit
from marketplace.payments import chargebacks
from marketplace.payments import queries as payments
from marketplace.perform import Tx, perform
from marketplace.servicing.reversal import Given, take_back
from marketplace.servicing.reversing import reverse_receipt
from marketplace.servicing.schemas import ReverseReceipt
from marketplace.servicing.waterfall import TO_INVESTORS, Step
from tests import lives
from tests.jobs.test_invariants import broken
from tests.servicing.test_buy_back import buy, price, put_in
from tests.servicing.test_offers import bought, offered
from tests.support import SYSTEM, do
from tests.trading.world import World

FACE = 4_860_000


def sound() -> None:
    while sequence_events():
        pass
    assert broken() == []


def cash(world: World, who: str, code: str = "investor_cash") -> int:
    db.session.rollback()
    return balance(db.session(), code, world.id(who), "GBP").posted_minor


def platform(code: str) -> int:
    db.session.rollback()
    return balance(db.session(), code, None, "GBP").posted_minor


def spend(world: World, who: str) -> None:
    """Let an investor send all its cash to its bank: the chargeback finds nothing there."""
    minor = cash(world, who)

    def leave(tx: Tx) -> None:
        legs = [debit(ledger.account(tx, "investor_cash", world.id(who), "GBP"), minor),
                credit(ledger.account(tx, "withdrawal_in_transit", world.id(who), "GBP"), minor)]  # fmt: skip
        ledger.post_entry(tx, "withdrawal_requested", "payout", new_id(), legs)

    do(leave)


def test_a_part_is_taken_back_from_everybody_in_proportion_and_owed_again(world: World) -> None:
    receivable_id = lives.funded(world)
    payment = lives.received(world, receivable_id, 1_000_000)
    lives.apply(payment)
    bob, carol = cash(world, "bob"), cash(world, "carol")
    told = lives.taken_back(payment, 500_000)
    assert (told["taken_minor"], told["borne_minor"]) == (500_000, 0)
    assert bob - cash(world, "bob") == 242_072  # half of 484,144
    assert carol - cash(world, "carol") == 500_000 - 242_072
    found = lives.collection(receivable_id)
    assert (found.state, found.outstanding_minor) == ("paid_in_part", FACE - 500_000)
    sound()


def test_who_was_paid_gives_back_and_is_owed_again_though_he_has_sold_since(world: World) -> None:
    receivable_id = lives.funded(world)
    world.fund("carol", 1_400_000)
    payment = lives.received(world, receivable_id, 1_000_000)
    lives.apply(payment)
    world.move_clock(timedelta(minutes=1))
    offer = offered(world, receivable_id, minor=1_400_000)
    world.move_clock(timedelta(hours=5))
    bought(world, offer, minor=1_400_000)
    bob, carol = cash(world, "bob"), cash(world, "carol")
    lives.taken_back(payment, 1_000_000)
    assert bob - cash(world, "bob") == 484_144
    assert carol - cash(world, "carol") == 515_856
    sound()
    lives.pays(world, receivable_id, FACE)
    assert cash(world, "bob") == bob
    assert lives.collection(receivable_id).state == "settled"
    sound()


def test_the_reserve_bears_first_and_then_the_platform_which_is_owed_it_after_the_investors(world: World) -> None:
    receivable_id = lives.funded(world)
    payment = lives.received(world, receivable_id, 1_000_000)
    lives.apply(payment)

    def set_aside(tx: Tx) -> None:
        legs = [debit(ledger.account(tx, "platform_fees", None, "GBP"), 100_000),
                credit(ledger.account(tx, "platform_reserve", None, "GBP"), 100_000)]  # fmt: skip
        ledger.post_entry(tx, "set_aside", "test", new_id(), legs)

    do(set_aside)
    spend(world, "bob")
    told = lives.taken_back(payment, 1_000_000)
    assert told["borne_minor"] == 484_144
    assert platform("platform_reserve") == 0
    assert platform("platform_loss") == 384_144
    dues = lives.collection(receivable_id).dues
    fee = next(due for due in dues if due.step == Step.PLATFORM_FEE)
    assert fee.due_minor == 9_720 + 484_144
    assert sum(due.due_minor for due in dues) == FACE
    sound()
    before = platform("platform_fees")
    lives.pays(world, receivable_id, FACE)
    assert lives.collection(receivable_id).state == "settled"
    assert platform("platform_fees") - before == fee.due_minor
    sound()


@pytest.mark.parametrize("put_in_minor", [0, 400_000, 1_200_000])
def test_after_a_buy_back_the_seller_gives_in_the_investors_place(world: World, put_in_minor: int) -> None:
    receivable_id = lives.funded(world)
    payment = lives.received(world, receivable_id, 1_000_000)
    lives.apply(payment)
    put_in(world, price(world, receivable_id))
    buy(world, receivable_id)
    if put_in_minor:
        put_in(world, put_in_minor)
    investors = cash(world, "bob"), cash(world, "carol")
    given = min(put_in_minor, 1_000_000)
    told = lives.taken_back(payment, 1_000_000)
    assert (told["taken_minor"], told["borne_minor"]) == (given, 1_000_000 - given)
    assert (cash(world, "bob"), cash(world, "carol")) == investors
    assert cash(world, "alice", "seller_cash") == put_in_minor - given
    assert platform("platform_loss") == 1_000_000 - given
    found = lives.collection(receivable_id)
    assert (found.state, found.outstanding_minor) == ("bought_back", FACE)
    assert all(due.outstanding_minor == 0 for due in found.dues if due.step in TO_INVESTORS)
    sound()
    fees, residual = platform("platform_fees"), cash(world, "alice", "residual_in_transit")
    lives.pays(world, receivable_id, FACE)
    assert platform("platform_fees") - fees == 1_000_000 - given
    assert cash(world, "alice", "residual_in_transit") - residual == FACE - 1_000_000 + given
    assert (cash(world, "bob"), cash(world, "carol")) == investors
    sound()


def test_money_given_back_after_a_buy_back_goes_to_who_gave_it(world: World) -> None:
    receivable_id = lives.funded(world)
    payment = lives.received(world, receivable_id, 1_000_000)
    lives.apply(payment)
    put_in(world, price(world, receivable_id))
    buy(world, receivable_id)
    put_in(world, 400_000)
    lives.taken_back(payment, 1_000_000)
    fees = platform("platform_fees")
    lives.taken_back(payment, 1_000_000, state="won")
    (again,) = payments.received_unapplied(db.session())
    db.session.rollback()
    lives.apply(again.id)
    assert platform("platform_fees") - fees == 600_000
    assert cash(world, "alice", "residual_in_transit") == 400_000
    sound()


def test_a_settled_deal_is_charged_back_and_settles_again_when_the_bank_gives_the_money_back(world: World) -> None:
    receivable_id = lives.funded(world)
    payment = lives.received(world, receivable_id, FACE)
    lives.apply(payment)
    assert lives.collection(receivable_id).state == "settled"
    bob = cash(world, "bob")
    lives.taken_back(payment, FACE)
    found = lives.collection(receivable_id)
    assert found.state == "charged_back"
    assert platform("platform_loss") > 0  # the residual had left for the seller's bank
    sound()
    assert lives.taken_back(payment, FACE, "won")["reinstated_minor"] == FACE
    waiting = payments.received_unapplied(db.session())
    db.session.rollback()
    lives.apply(waiting[0].id)
    assert lives.collection(receivable_id).state == "settled"
    assert cash(world, "bob") == bob
    sound()


def test_excess_is_taken_from_suspense_and_never_below_zero(world: World) -> None:
    receivable_id = lives.funded(world)
    payment = lives.received(world, receivable_id, FACE + 50_000)
    lives.apply(payment)
    assert platform("suspense") == 50_000
    lives.taken_back(payment, FACE + 50_000)
    assert platform("suspense") == 0
    sound()


def test_each_is_booked_once_and_old_news_changes_nothing(world: World) -> None:
    receivable_id = lives.funded(world)
    payment = lives.received(world, receivable_id, 10_000)
    lives.apply(payment)
    lives.taken_back(payment, 10_000)
    assert lives.taken_back(payment, 10_000) == {}
    with world.superuser() as owner:
        known = owner.execute("SELECT id FROM chargeback").fetchall()
    assert len(known) == 1
    with pytest.raises(Conflict, match="chargeback_booked"):
        perform(reverse_receipt, ReverseReceipt(UUID(str(known[0][0]))), SYSTEM)
    assert lives.taken_back(payment, 10_000, "lost") == {}
    sound()


def test_one_that_was_won_before_anybody_booked_it_takes_nothing(world: World) -> None:
    payment = lives.received(world, lives.funded(world), 10_000)
    lives.apply(payment)
    lives.tell_chargeback(payment, 10_000, "won")
    assert chargebacks.to_book(db.session()) == []


def test_money_for_which_nothing_was_owed_is_taken_from_the_receipts(world: World) -> None:
    receivable_id = world.receivable()
    payment = lives.received(world, receivable_id, 7_000)
    lives.taken_back(payment, 7_000)
    assert cash(world, "kestrel", "debtor_receipts") == 0
    db.session.rollback()
    assert payments.received_unapplied(db.session()) == []


def test_the_database_keeps_a_reversal_whole(world: World) -> None:
    receivable_id = lives.funded(world)
    payment = lives.received(world, receivable_id, 10_000)
    lives.apply(payment)
    lives.taken_back(payment, 10_000)
    db.session.rollback()
    with world.superuser(resting=False) as owner, pytest.raises(psycopg.errors.CheckViolation, match="take back"):
        owner.execute(
            "WITH c AS (INSERT INTO chargeback (id, dispute_id, payment_kind, payment_id, currency, minor, state) "
            "SELECT gen_random_uuid(), 'du_2', payment_kind, payment_id, currency, minor, 'open' FROM chargeback "
            "RETURNING id), e AS (SELECT id FROM entry WHERE NOT EXISTS "
            "(SELECT FROM receipt_reversal WHERE entry_id = entry.id) LIMIT 1) "
            "INSERT INTO receipt_reversal (id, chargeback_id, distribution_id, entry_id, taken_minor, excess_minor, "
            "borne_minor) SELECT gen_random_uuid(), c.id, d.id, e.id, 5, 0, 0 FROM c, e, distribution d"
        )
        owner.execute("SET CONSTRAINTS reversal_is_whole IMMEDIATE")


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**8), max_size=8), st.integers(0, 10**8))
def test_what_is_taken_back_sums_and_never_exceeds_what_was_given(minor: int, lefts: list[int], excess: int) -> None:
    given_ = [Given(new_id(), Step.PRINCIPAL, None, left) for left in lefts]
    found = take_back(minor, given_, excess)
    assert sum(part for _, part in found.parts) + found.excess_minor + found.beyond_minor == minor
    assert all(0 < part <= one.left_minor for one, part in found.parts)
    assert 0 <= found.excess_minor <= excess
    assert (found.beyond_minor > 0) == (minor > sum(lefts) + excess)
