"""A rated receivable goes on auction under terms that follow from it, its rating and the policy."""

from datetime import date
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import read_policy
from marketplace.db import db
from marketplace.kernel.errors import NotPermitted, RuleBroken
from marketplace.kernel.policy import parse
from marketplace.perform import perform
from marketplace.receivables import queries as receivables
from marketplace.receivables.quote import quote
from marketplace.trading import queries, rules
from marketplace.trading.actions import open_lot
from marketplace.trading.schemas import OpenLot
from tests.support import SYSTEM
from tests.trading.world import World

POLICY = parse(read_policy())


def test_a_rated_receivable_opens_with_the_terms_of_its_rating(world: World) -> None:
    receivable_id = world.receivable(reserve_bps=None, own_rate_bps=700)
    world.rate(receivable_id)
    assert queries.to_open(db.session) == [receivable_id]
    told = perform(open_lot, OpenLot(receivable_id), SYSTEM)
    lot = queries.lot(db.session, UUID(told["lot_id"]))
    assert (lot.target_minor, lot.advance_bps, lot.indicative_bps, lot.reserve_bps) == (4_131_000, 8_500, 735, 985)
    assert (lot.debtor_grade, lot.seller_grade, lot.own_rate_bps, lot.state) == ("A-", None, 700, "open")
    assert (lot.closes_at - lot.opened_at).total_seconds() == POLICY.auction.open_minutes * 60
    assert lot.tenor_days == (lot.expected_on - lot.closes_at.date()).days
    assert receivables.receivable(db.session, receivable_id).state == "on_auction"
    assert queries.to_open(db.session) == []


def test_a_receivable_opens_once(world: World) -> None:
    receivable_id = world.receivable()
    world.rate(receivable_id)
    perform(open_lot, OpenLot(receivable_id), SYSTEM)
    with pytest.raises(RuleBroken, match="wrong_state"):
        perform(open_lot, OpenLot(receivable_id), SYSTEM)


def test_what_is_not_rated_does_not_open(world: World) -> None:
    with pytest.raises(RuleBroken, match="wrong_state"):
        perform(open_lot, OpenLot(world.receivable()), SYSTEM)
    confirmed = world.receivable(state="confirmed")
    world.rate(confirmed)
    with pytest.raises(RuleBroken, match="wrong_state"):
        perform(open_lot, OpenLot(confirmed), SYSTEM)


def test_a_party_that_lost_its_standing_stops_the_lot_with_the_reason(world: World) -> None:
    receivable_id = world.receivable()
    world.rate(receivable_id)
    with world.superuser() as superuser:
        superuser.execute("UPDATE organisation SET good_standing = false WHERE id = %s", (world.id("kestrel"),))
    with pytest.raises(RuleBroken, match="lot_not_opened") as refusal:
        perform(open_lot, OpenLot(receivable_id), SYSTEM)
    assert [problem.rule for problem in refusal.value.problems] == ["not_in_good_standing"]


def test_an_investor_opens_no_lot(world: World) -> None:
    with pytest.raises(NotPermitted):
        perform(open_lot, OpenLot(world.receivable()), world.bob)


@given(
    face=st.integers(1, 10**12),
    deal=st.sampled_from(["advance", "outright"]),
    advance=st.integers(0, 9_000),
    indicative=st.integers(0, 4_000),
    own=st.none() | st.integers(1, 5_000),
    days=st.integers(1, 180),
)
def test_cash_discount_at_the_reserve_and_fee_never_exceed_the_face(
    face: int, deal: str, advance: int, indicative: int, own: int | None, days: int
) -> None:
    closes = date(2026, 1, 1)
    expected = date.fromordinal(closes.toordinal() + days)
    terms = rules.terms_of(POLICY, face, deal, advance, indicative, own, closes, expected)
    assert 0 <= terms.target_minor <= face
    assert terms.reserve_bps <= POLICY.auction.reserve_bps_max
    assert terms.tenor_days == days
    assert 0 < terms.lot_size_minor <= max(terms.target_minor, 1)
    discount = rules.discount_minor(terms.target_minor, terms.reserve_bps, days)
    assert terms.target_minor + discount + face * POLICY.fees.platform_bps // 10_000 <= face
    if deal == "advance":
        assert terms.target_minor <= face * advance // 10_000
    told = quote(face, terms.target_minor, min(indicative, terms.reserve_bps), days, POLICY.fees.platform_bps)
    assert min(told.discount_minor, told.fee_minor, told.later_minor) >= 0


@given(st.integers(1, 10**12), st.integers(0, 10**9), st.integers(1, 180))
def test_the_rate_for_a_wish_is_the_lowest_that_earns_it(cash: int, wanted: int, days: int) -> None:
    rate = rules.rate_for(cash, wanted, days)
    assert rate is not None
    assert rules.discount_minor(cash, rate, days) >= wanted
    assert rate == 0 or rules.discount_minor(cash, rate - 1, days) < wanted


@pytest.mark.parametrize(
    ("outcome", "stop_out", "groups", "own", "accepted"),
    [
        ("full", 700, 2, 700, True),
        ("partial", 700, 2, 701, True),
        ("full", 701, 2, 700, False),
        ("full", 700, 1, 700, False),
        ("full", 700, 2, None, False),
        ("failed", None, 0, 700, False),
    ],
)
def test_an_award_accepts_itself_only_below_the_own_rate_and_with_two_groups(
    outcome: str, stop_out: int | None, groups: int, own: int | None, accepted: bool
) -> None:
    assert rules.accepts_itself(outcome, stop_out, groups, own) is accepted


def test_a_mask_is_four_letters_and_the_same_every_time(world: World) -> None:
    assert rules.mask(world.id("alice")) == rules.mask(world.id("alice"))
    assert len(rules.mask(world.id("alice"))) == 4
