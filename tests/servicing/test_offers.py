"""Selling a holding on: cash, units and what is still to come go over together, or not at all."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.db import db
from marketplace.kernel.errors import Conflict, NotFound, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.perform import perform
from marketplace.servicing import offer_rules as rules
from marketplace.servicing import queries
from marketplace.servicing.buying_back import buy_back_receivable
from marketplace.servicing.offer_ends import expire_offer, withdraw_offer
from marketplace.servicing.offers import accept_offer, offer_holding
from marketplace.servicing.schemas import AcceptOffer, BuyBackReceivable, ExpireOffer, OfferHolding, WithdrawOffer
from marketplace.servicing.waterfall import (
    TO_INVESTORS,
    Due,
    Step,
    accrue_late,
    distribute,
    hand_over,
    to_come_minor,
)
from marketplace.title import queries as title
from tests import lives
from tests.servicing.dues import opening_dues
from tests.servicing.test_buy_back import broken, cash, price, put_in
from tests.servicing.test_constraints import refused
from tests.support import SYSTEM
from tests.trading.test_opening import POLICY
from tests.trading.world import World

BOBS = 2_352_941  # units: £20,000 of £41,310 in a face of £48,600, by largest remainder
PRICE = 1_990_000


def units(receivable: UUID) -> dict[UUID, int]:
    db.session.rollback()
    found: dict[UUID, int] = {}
    for owner, first, beyond in title.held_now(db.session(), receivable):
        found[owner] = found.get(owner, 0) + beyond - first
    return found


def offered(world: World, receivable: UUID, count: int | None = None, minor: int = PRICE, hours: int = 48) -> UUID:
    count = count or units(receivable)[world.id("bob")]
    done = perform(offer_holding, OfferHolding(receivable, count, minor, hours), world.bob)
    return UUID(str(done["offer_id"]))


def bought(world: World, offer: UUID, who: str = "carol", minor: int = PRICE, ack: bool = False) -> dict[str, object]:
    return perform(accept_offer, AcceptOffer(offer, minor, ack), getattr(world, who))


def outstanding(receivable: UUID, who: UUID) -> dict[Step, int]:
    dues = lives.collection(receivable).dues
    return {due.step: due.outstanding_minor for due in dues if due.party == who and due.outstanding_minor}


def test_a_whole_holding_goes_over_with_all_that_is_still_to_come(world: World) -> None:
    receivable = lives.funded(world)
    world.fund("carol", PRICE)
    bob, carol, before = world.id("bob"), world.id("carol"), units(receivable)
    had, theirs = outstanding(receivable, bob), outstanding(receivable, carol)
    cash_before = cash(world, "bob"), cash(world, "carol")
    bought(world, offered(world, receivable))
    assert units(receivable) == {carol: before[bob] + before[carol]}
    assert outstanding(receivable, bob) == {}
    assert outstanding(receivable, carol) == {step: had[step] + theirs[step] for step in had}
    assert (cash(world, "bob"), cash(world, "carol")) == (cash_before[0] + PRICE, cash_before[1] - PRICE)
    assert broken() == []


def test_later_receipts_pay_the_new_holder_to_the_penny_and_earlier_ones_stay(world: World) -> None:
    receivable = lives.funded(world)
    world.fund("dave", 1_000_000)
    lives.pays(world, receivable, 1_000_001)
    bob = cash(world, "bob")
    step = 1_000_000
    part, _ = (outstanding(receivable, world.id("bob"))[Step.PRINCIPAL], None)
    mine = units(receivable)[world.id("bob")]
    offer = offered(world, receivable, step, 600_000)
    told = queries.offer(db.session(), offer)
    assert told.principal_minor in (part * step // mine, part * step // mine + 1)
    world.move_clock(timedelta(hours=5))
    bought(world, offer, "dave", 600_000)
    assert cash(world, "bob") == bob + 600_000
    to_dave = sum(outstanding(receivable, world.id("dave")).values())
    assert to_dave == told.to_come_minor
    before = {who: cash(world, who) for who in ("bob", "carol", "dave")}
    owed = {who: sum(outstanding(receivable, world.id(who)).values()) for who in before}
    lives.pays(world, receivable, 3_859_999)
    assert {who: cash(world, who) - before[who] for who in before} == owed
    assert lives.collection(receivable).state == "settled"
    assert broken() == []


def test_the_chain_of_title_tells_who_held_each_unit_when(world: World) -> None:
    receivable = lives.funded(world)
    world.fund("carol", PRICE)
    bought(world, offered(world, receivable, 1_000_000, 800_000), minor=800_000)
    chain = title.chain(db.session(), receivable)
    sold = [one for one in chain if one.cause == "transfer"]
    assert [(one.owner_id, one.units) for one in sold] == [
        (world.id("carol"), 1_000_000), (world.id("bob"), BOBS - 1_000_000),
    ]  # fmt: skip
    before = sold[0].since - timedelta(microseconds=1)
    assert {one.owner_id for one in title.owners_at(db.session(), receivable, before) if one.first_unit == 0} == {
        world.id("bob")
    }


def test_what_is_offered_is_in_steps_and_not_more_than_is_free(world: World) -> None:
    receivable = lives.funded(world)
    for count, rule in ((10_001, "not_lot_multiple"), (BOBS + 1, "not_in_one_piece")):
        with pytest.raises(RuleBroken, match="offer_refused") as refusal:
            offered(world, receivable, count, 1)
        assert [p.rule for p in refusal.value.problems] == [rule]
    offered(world, receivable, 1_000_000, 1)
    with pytest.raises(RuleBroken, match="at most 1,352,941 units"):
        offered(world, receivable, 2_000_000, 1)
    offered(world, receivable, BOBS - 1_000_000, 1)
    with pytest.raises(RuleBroken, match="on offer already"):
        offered(world, receivable, 10_000, 1)
    with pytest.raises(NotFound):
        perform(offer_holding, OfferHolding(receivable, 10_000, 1), world.dave)


def test_a_price_above_what_can_still_come_is_refused(world: World) -> None:
    receivable = lives.funded(world)
    most = sum(outstanding(receivable, world.id("bob")).values())
    with pytest.raises(RuleBroken, match="can still bring"):
        offered(world, receivable, minor=most + 1)
    offered(world, receivable, minor=most)


@pytest.mark.parametrize("hours", [1, 4, 337])
def test_an_offer_stands_longer_than_the_first_refusal_and_not_for_ever(world: World, hours: int) -> None:
    with pytest.raises(RuleBroken, match="from 5 to 336 hours"):
        offered(world, lives.funded(world), hours=hours)


def test_co_holders_come_first(world: World) -> None:
    receivable = lives.funded(world)
    world.fund("dave", PRICE)
    offer = offered(world, receivable)
    with pytest.raises(RuleBroken, match="only those who hold part of it"):
        bought(world, offer, "dave")
    world.move_clock(timedelta(hours=4))
    bought(world, offer, "dave")
    assert broken() == []


def test_nobody_is_first_where_no_co_holder_may_buy(world: World) -> None:
    """At a group cap of 50 % carol, who holds 51 %, has no room."""
    receivable = lives.funded(world, (("bob", 600, 2_000_000), ("carol", 700, 2_060_000)), group_cap=5_000)
    world.fund("carol", PRICE)
    offer = offered(world, receivable, 1_000_000, 800_000)
    assert queries.offer(db.session(), offer).refusal_until is None
    with pytest.raises(RuleBroken, match="cap of 2,430,000 units"):
        bought(world, offer, minor=800_000)


def test_related_suspended_and_own_buyers_are_refused(world: World) -> None:
    receivable = lives.funded(world)
    world.fund("dave", PRICE)
    offer = offered(world, receivable)
    with pytest.raises(RuleBroken, match="your own"):
        bought(world, offer, "bob")
    world.move_clock(timedelta(hours=5))
    with world.superuser() as owner:
        owner.execute("UPDATE organisation SET group_id = %s WHERE id = %s", (world.id("alice"), world.id("dave")))
    with pytest.raises(RuleBroken, match="related"):
        bought(world, offer, "dave")
    with world.superuser() as owner:
        owner.execute("UPDATE organisation SET group_id = NULL, good_standing = false WHERE id = %s",
                      (world.id("dave"),))  # fmt: skip
    with pytest.raises(RuleBroken, match="suspended"):
        bought(world, offer, "dave")


def test_a_late_one_must_be_acknowledged(world: World) -> None:
    receivable = lives.funded(world)
    world.fund("carol", PRICE)
    lives.on_day(world, receivable, 3)
    offer = offered(world, receivable)
    with pytest.raises(RuleBroken, match="speaks against it"):
        bought(world, offer)
    bought(world, offer, ack=True)
    assert queries.offer(db.session(), offer).acknowledged == ("overdue",)


def test_without_the_cash_nothing_moves(world: World) -> None:
    receivable = lives.funded(world)
    offer, before = offered(world, receivable), units(receivable)
    with pytest.raises(RuleBroken, match="insufficient_cash"):
        bought(world, offer, minor=PRICE)
    assert units(receivable) == before
    assert queries.offer(db.session(), offer).state == "open"


def test_an_offer_is_withdrawn_by_its_owner_alone(world: World) -> None:
    receivable = lives.funded(world)
    offer = offered(world, receivable)
    with pytest.raises(NotFound):
        perform(withdraw_offer, WithdrawOffer(offer), world.carol)
    perform(withdraw_offer, WithdrawOffer(offer), world.bob)
    world.fund("carol", PRICE)
    with pytest.raises(Conflict, match="offer_ended"):
        bought(world, offer)


def test_an_offer_runs_out_by_the_databases_clock(world: World) -> None:
    receivable = lives.funded(world)
    world.fund("carol", PRICE)
    offer = offered(world, receivable)
    with pytest.raises(RuleBroken, match="not_due"):
        perform(expire_offer, ExpireOffer(offer), SYSTEM)
    world.move_clock(timedelta(hours=48))
    with pytest.raises(RuleBroken, match="offer_over"):
        bought(world, offer)
    perform(expire_offer, ExpireOffer(offer), SYSTEM)
    assert queries.offer(db.session(), offer).state == "expired"


def test_the_price_that_was_shown_is_the_one_that_is_paid(world: World) -> None:
    receivable = lives.funded(world)
    world.fund("carol", PRICE)
    with pytest.raises(RuleBroken, match="price_changed"):
        bought(world, offered(world, receivable), minor=PRICE - 1)


def test_a_payment_a_buy_back_or_an_end_voids_the_offer(world: World) -> None:
    receivable = lives.funded(world)
    first = offered(world, receivable)
    lives.pays(world, receivable, 100)
    assert queries.offer(db.session(), first).state == "void"
    second = offered(world, receivable)
    wanted = price(world, receivable)
    put_in(world, wanted)
    perform(buy_back_receivable, BuyBackReceivable(receivable, wanted), world.alice)
    found = queries.offer(db.session(), second)
    assert (found.state, found.end_reason) == ("void", "bought_back")
    with pytest.raises((RuleBroken, NotFound)):
        offered(world, receivable, 10_000, 1)
    assert broken() == []


def test_the_platforms_fee_comes_out_of_the_sellers_price(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    from dataclasses import replace

    from flask import current_app

    known = current_app.extensions["duebill"]
    charged = replace(POLICY, secondary=replace(POLICY.secondary, fee_bps=25))
    monkeypatch.setitem(current_app.extensions, "duebill", replace(known, policy=charged))
    receivable = lives.funded(world)
    world.fund("carol", PRICE)
    before = cash(world, "bob"), cash(world, "carol")
    bought(world, offered(world, receivable))
    assert cash(world, "bob") - before[0] == PRICE - PRICE * 25 // 10_000
    assert before[1] - cash(world, "carol") == PRICE
    assert broken() == []


def test_a_buy_back_after_a_sale_pays_the_new_holder(world: World) -> None:
    receivable = lives.funded(world)
    world.fund("carol", PRICE)
    bought(world, offered(world, receivable))
    bob, carol, wanted = cash(world, "bob"), cash(world, "carol"), price(world, receivable)
    put_in(world, wanted)
    perform(buy_back_receivable, BuyBackReceivable(receivable, wanted), world.alice)
    assert (cash(world, "bob"), cash(world, "carol")) == (bob, carol + 4_131_000)
    assert broken() == []


# -- what the database keeps ------------------------------------------------------------------------------------------

COPY = (
    "INSERT INTO holding_offer (id, receivable_id, owner_id, units, currency, price_minor, principal_minor, "
    "to_come_minor, fee_bps, policy_version, offered_by, closes_at, state, ended_at) "
    "SELECT gen_random_uuid(), receivable_id, {owner}, {units}, currency, {price}, principal_minor, to_come_minor, "
    "fee_bps, o.policy_version, offered_by, closes_at, 'open', NULL FROM holding_offer AS o"
)
EVENT = ("INSERT INTO event (id, verb, actor_role, request_id, subject_kind, subject_id, body) "
         "VALUES (gen_random_uuid(), 'x', 'x', gen_random_uuid(), 'x', gen_random_uuid(), 'x')")  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "kept"),
    [
        (COPY.format(owner="owner_id", units="int8range(5, 10)", price="1"), "ex_holding_offer_one_open"),
        (COPY.format(owner="owner_id", units="int8range(4000000, 4000010)", price="1"), "open_offers_are_held"),
        (COPY.format(owner="seller_id", units="int8range(2000000, 2000010)", price="1").replace(
            "AS o", "AS o JOIN collection USING (receivable_id, currency)"),
         "open_offers_are_held"),
        (COPY.format(owner="owner_id", units="int8range(2000000, 2000010)", price="0"), "ck_holding_offer_price"),
        ("UPDATE holding_offer SET price_minor = 2", ""),
        ("UPDATE holding_offer SET state = 'accepted', ended_at = market_now()", "ck_holding_offer_accepted"),
        ("UPDATE holding_offer SET state = 'expired', ended_at = market_now()", "ck_holding_offer_times"),
        (("UPDATE holding_offer SET state = 'accepted', ended_at = market_now(), buyer_id = owner_id, fee_minor = 0, "
         "entry_id = (SELECT id FROM entry LIMIT 1)"), "ck_holding_offer_accepted"),
        (("UPDATE holding_offer SET state = 'accepted', ended_at = market_now(), fee_minor = 0, buyer_id = "
         "(SELECT id FROM organisation WHERE kind = 'seller' LIMIT 1), entry_id = (SELECT id FROM entry LIMIT 1)"),
         "offer_buyer_allowed"),
        ("DELETE FROM holding_offer", ""),
    ],
)  # fmt: skip
def test_the_database_keeps_offers_sound(world: World, statement: str, kept: str) -> None:
    offered(world, lives.funded(world), 1_000_000, 1)
    told = refused(world, (EVENT, ()), (statement, ()))
    assert told
    assert kept in told


def test_units_on_offer_cannot_leave_their_owner_behind_the_offers_back(world: World) -> None:
    from marketplace.title import actions
    from tests.support import do

    receivable = lives.funded(world)
    offered(world, receivable, 1_000_000, 1)
    with pytest.raises(Exception, match="does not hold"):
        do(lambda tx: actions.transfer(tx, receivable, world.id("bob"), world.id("dave"), 0, 10))


def test_the_web_may_shift_what_is_due_but_never_what_was_paid(world: World) -> None:
    lives.funded(world)
    with world.superuser() as owner:
        owner.execute("SET ROLE duebill_web")
        with pytest.raises(Exception, match="permission denied"):
            owner.execute("UPDATE due SET paid_minor = 1")
        owner.rollback()
    with world.superuser(resting=False) as owner:  # nor without an event that tells of it
        owner.execute("SET ROLE duebill_web")
        owner.execute("UPDATE due SET due_minor = due_minor + CASE WHEN party_id = %s THEN 1000 ELSE -1000 END "
                      "WHERE step = 'principal'", (world.id("carol"),))  # fmt: skip
        with pytest.raises(Exception, match="audit event"):
            owner.execute("SET CONSTRAINTS ALL IMMEDIATE")
        owner.rollback()


# -- pure -------------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**7)), min_size=2, max_size=5),
    st.integers(0, 10**9), st.integers(0, 10**10), st.integers(1, 10**9), st.integers(0, 10**9), st.integers(0, 90),
)  # fmt: skip
def test_a_hand_over_keeps_every_sum_and_every_paid_penny(
    fills: list[tuple[int, int]], rest: int, received: int, sold: int, kept: int, late: int
) -> None:
    from datetime import date

    seller, owners = new_id(), [new_id() for _ in fills]
    face = sum(p + d for p, d in fills) + rest
    dues = opening_dues(face, seller, [(o, p, d) for o, (p, d) in zip(owners, fills, strict=True)], 20)
    paid = {(s.step, s.party): s.minor for s in distribute(received, dues).shares}
    dues = [Due(due.step, due.party, due.due_minor, paid.get((due.step, due.party), 0)) for due in dues]
    dues = accrue_late(dues, 800, date(2026, 1, 1), date(2026, 1, 1 + late % 28))
    giver, taker = owners[0], owners[1]
    after = hand_over(dues, giver, taker, sold, sold + kept)
    assert sum(due.due_minor for due in after) == sum(due.due_minor for due in dues) == face
    assert {(d.step, d.party): d.paid_minor for d in dues if d.paid_minor} == {
        (d.step, d.party): d.paid_minor for d in after if d.paid_minor
    }
    assert all(due.outstanding_minor >= 0 for due in after)
    both = to_come_minor(dues, giver) + to_come_minor(dues, taker)
    assert to_come_minor(after, giver) + to_come_minor(after, taker) == both
    for step in TO_INVESTORS:
        had = sum(due.outstanding_minor for due in dues if (due.step, due.party) == (step, giver))
        left = sum(due.outstanding_minor for due in after if (due.step, due.party) == (step, giver))
        assert abs((had - left) * (sold + kept) - had * sold) < sold + kept
    if kept == 0:
        assert to_come_minor(after, giver) == 0


def test_the_yield_of_a_price() -> None:
    """£1,000.00 to come in 73 days, a fifth of a year, for £980.00: 2.0408 % in a fifth of a year is 10.20 %."""
    assert rules.yield_bps(98_000, 100_000, 73) == 1_020
    assert rules.price_for(100_000, 1_020, 73) == 98_000
    assert rules.yield_bps(98_000, 100_000, 0) is None


@given(st.integers(1, 10**12), st.integers(0, 5_000), st.integers(1, 400))
def test_a_price_for_a_yield_earns_at_least_that(to_come: int, rate: int, days: int) -> None:
    price_ = rules.price_for(to_come, rate, days)
    if price_:
        earned = rules.yield_bps(price_, to_come, days)
        assert earned is not None
        assert earned >= rate
