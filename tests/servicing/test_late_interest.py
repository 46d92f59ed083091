"""Interest by law for paying late: worked examples, each half-year's rate, and where a late payer's money goes."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from config.settings import read_policy
from marketplace.audit.sequencer import sequence_events
from marketplace.db import db
from marketplace.kernel.policy import LateInterest, parse
from marketplace.ledger import queries as ledger
from marketplace.servicing import late_claims, late_interest
from marketplace.servicing.late_interest import EU, GB, Terms, beyond, claimed, grown, terms
from marketplace.servicing.waterfall import Due, Step
from tests import lives
from tests.jobs.test_invariants import broken
from tests.receivables.conftest import token_for
from tests.trading.world import World
from tests.web.test_operator import visitor

POLICY = parse(read_policy()).late_interest
FACE = 4_860_000
DUE = date(2025, 3, 31)


def at(rate_bps: int, compensation: int = 0, since: date = DUE) -> Terms:
    return Terms(GB, rate_bps - 800, rate_bps, since, compensation)


# -- the rules ----------------------------------------------------------------------------------------------------


def test_worked_examples() -> None:
    # GOV.UK, "Late commercial payments: charging interest and debt recovery": £1,000 at 8.5 % is £85 a year, 23p a day.
    year = claimed(at(850), 100_000, [], DUE + timedelta(days=365))
    assert (year.interest_minor, year.daily_minor) == (8_500, 23)
    # £10,000 for 73 days, a fifth of a year, at 12.75 %: 255.00; and £100 from £10,000 on.
    fifth = claimed(at(1_275, 10_000), 1_000_000, [], DUE + timedelta(days=73))
    assert (fifth.interest_minor, fifth.compensation_minor, fifth.total_minor) == (25_500, 10_000, 35_500)
    # €10,000 at 10.15 %, half of it paid after 73 days, the rest after 73 more: 203.00 + 101.50.
    paid = [(DUE + timedelta(days=73), 500_000), (DUE + timedelta(days=146), 500_000)]
    assert claimed(at(1_015), 1_000_000, paid, DUE + timedelta(days=400)).interest_minor == 20_300 + 10_150
    # A leap day counts like any other; the divisor stays 365. 29 February 2024 lies between.
    assert claimed(at(3_650, since=date(2024, 2, 28)), 1_000_000, [], date(2024, 3, 1)).interest_minor == 2_000
    # On the day it is due nothing has come up, and paid on that day nothing ever does.
    assert claimed(at(1_275, 7_000), 100_000, [], DUE).total_minor == 0
    assert claimed(at(1_275, 7_000), 100_000, [(DUE, 100_000)], DUE + timedelta(days=9)).total_minor == 0


@pytest.mark.parametrize(
    ("law", "due_on", "rate"),
    [(GB, date(2024, 12, 30), 1_325), (GB, date(2024, 12, 31), 1_275), (GB, date(2025, 6, 29), 1_275),
     (GB, date(2025, 6, 30), 1_225), (EU, date(2025, 6, 30), 1_015), (EU, date(2024, 6, 30), 1_225),
     (EU, date(2024, 6, 29), 1_250), (EU, date(1999, 6, 29), None)],
)  # fmt: skip
def test_the_half_year_in_which_it_becomes_overdue_gives_the_rate(law: str, due_on: date, rate: int | None) -> None:
    found = terms(law, due_on, "GBP", 100_000, POLICY)
    assert (found and found.rate_bps) == rate


def test_the_fixed_sum_goes_by_size_and_is_never_converted() -> None:
    def fixed(law: str, currency: str, unpaid: int) -> int:
        found = terms(law, DUE, currency, unpaid, POLICY)
        assert found is not None
        return found.compensation_minor

    assert [fixed(GB, "GBP", minor) for minor in (1, 99_999, 100_000, 999_999, 1_000_000)] == [
        4_000, 4_000, 7_000, 7_000, 10_000,
    ]  # fmt: skip
    assert (fixed(EU, "EUR", 99), fixed(EU, "GBP", 99), fixed(GB, "EUR", 99), fixed(GB, "GBP", 0)) == (4_000, 0, 0, 0)
    countries = [late_interest.law_of(country, POLICY) for country in ("GB", "DE", "IE", "HK", "US")]
    assert countries == [GB, EU, EU, None, None]


@pytest.mark.parametrize(
    ("name", "value"),
    [("gb_reference", (("2025-02-01", 1),)), ("gb_reference", (("2025-01-01", -1),)), ("eu_reference", (("x",),)),
     ("gb_compensation", ()), ("eu_compensation", ((1, 1),)), ("gb_compensation", ((0, 1), (5, 1), (2, 1)))],
)  # fmt: skip
def test_a_wrong_line_in_the_policy_is_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        replace(POLICY, **{name: value})


@settings(max_examples=200)
@given(
    st.integers(1, 10**9), st.lists(st.tuples(st.integers(-5, 400), st.integers(1, 10**9)), max_size=5),
    st.integers(0, 400), st.integers(0, 60),
)  # fmt: skip
def test_a_claim_only_grows_and_paying_earlier_never_costs_more(
    debt: int, paid: list[tuple[int, int]], days: int, later: int
) -> None:
    def on(day: int) -> date:
        return DUE + timedelta(days=day)

    given_ = [(on(day), minor) for day, minor in paid]
    now, then = (claimed(at(1_275, 7_000), debt, given_, on(day)) for day in (days, days + later))
    assert 0 <= now.interest_minor <= then.interest_minor
    assert now.compensation_minor <= then.compensation_minor
    earlier = claimed(at(1_275), debt, [(day - timedelta(days=1), minor) for day, minor in given_], on(days))
    assert earlier.interest_minor <= now.interest_minor


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.lists(st.integers(1, 10**6), min_size=1, max_size=5))
def test_what_comes_beyond_the_debt_is_shared_to_the_penny(minor: int, short: int, principals: list[int]) -> None:
    seller = UUID(int=99)
    dues = [Due(Step.PRINCIPAL, UUID(int=n + 1), one, one) for n, one in enumerate(principals)]
    shares = beyond(dues, seller, minor, short)
    assert sum(share.minor for share in shares) == minor
    assert sum(share.minor for share in shares if share.step == Step.LATE_CHARGE) == min(minor, short)
    after = grown(dues, shares)
    assert sum(due.due_minor for due in after) == sum(principals) + minor


# -- in the market ------------------------------------------------------------------------------------------------


@pytest.fixture
def known(app: Flask) -> Iterator[LateInterest]:
    """A policy that knows every half-year that a test can fall into: four per cent, so twelve are claimed."""
    years = range(2024, 2045)
    rates = tuple((f"{year}-{half}-01", 400) for year in years for half in ("01", "07"))
    mine = replace(POLICY, gb_reference=rates, eu_reference=rates)
    market = app.extensions["duebill"]
    app.extensions["duebill"] = replace(market, policy=replace(market.policy, late_interest=mine))
    yield mine
    app.extensions["duebill"] = market


def late(world: World, days: int) -> tuple[UUID, late_claims.Standing]:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, days)
    lives.age(receivable_id)
    return receivable_id, standing(world, receivable_id)


def standing(world: World, receivable_id: UUID) -> late_claims.Standing:

    found = lives.collection(receivable_id)
    today = db.session.execute(text("SELECT market_now()::date")).scalar_one()
    told = late_claims.standing(db.session(), found, today)
    assert told is not None
    return told


def sound() -> None:
    while sequence_events():
        pass
    assert broken() == []


def held(code: str, owner: UUID | None = None) -> int:
    db.session.rollback()
    return ledger.balance(db.session(), code, owner, "GBP").posted_minor


def test_a_late_payer_pays_the_debt_then_the_interest_and_what_is_more_is_suspended(
    world: World, known: LateInterest
) -> None:
    receivable_id, told = late(world, 40)
    interest = FACE * 1_200 * 40 // (10_000 * 365)
    assert (told.terms.rate_bps, told.claim.interest_minor, told.claim.compensation_minor) == (1_200, interest, 10_000)
    lives.pays(world, receivable_id, FACE)
    found = lives.collection(receivable_id)
    assert (found.state, found.outstanding_minor) == ("settled", 0)
    residual = held("residual_in_transit", world.id("alice"))
    assert standing(world, receivable_id).left_minor == interest + 10_000
    lives.pays(world, receivable_id, 5_000)
    lives.pays(world, receivable_id, interest + 10_000)  # 50.00 too much
    assert (standing(world, receivable_id).left_minor, held("suspense")) == (0, 5_000)
    late_paid = sum(due.paid_minor for due in lives.collection(receivable_id).dues) - FACE
    assert late_paid == interest + 10_000
    to_seller = held("residual_in_transit", world.id("alice")) - residual
    assert interest + 10_000 - 2 <= to_seller <= interest + 10_000  # pennies that rounding kept from the holders
    sound()


def test_in_one_payment_a_debtor_settles_both_and_a_part_in_time_bears_no_interest(
    world: World, known: LateInterest
) -> None:
    receivable_id = lives.funded(world)
    lives.pays(world, receivable_id, 4_000_000)
    lives.on_day(world, receivable_id, 73)
    lives.age(receivable_id)
    told = standing(world, receivable_id)
    assert (told.claim.interest_minor, told.claim.compensation_minor) == (860_000 * 12 // 500, 7_000)
    lives.pays(world, receivable_id, 860_000 + told.left_minor)
    assert (lives.collection(receivable_id).state, held("suspense")) == ("settled", 0)
    assert standing(world, receivable_id).left_minor == 0
    sound()


def test_what_the_residual_could_not_bear_of_the_late_charge_comes_out_of_the_interest_first(
    world: World, known: LateInterest
) -> None:
    receivable_id = lives.funded(world)
    with world.superuser() as owner:  # a deal with next to no residual
        owner.execute(
            "UPDATE due SET due_minor = due_minor + (SELECT due_minor - 100 FROM due r WHERE r.step = 'residual') "
            "WHERE step = 'platform_fee'"
        )
        owner.execute("UPDATE due SET due_minor = 100 WHERE step = 'residual'")
    lives.on_day(world, receivable_id, 60)
    lives.age(receivable_id)
    told = standing(world, receivable_id)
    lives.pays(world, receivable_id, FACE)
    charged = sum(due.due_minor for due in lives.collection(receivable_id).dues if due.step == Step.LATE_CHARGE)
    assert charged == 100
    lives.pays(world, receivable_id, told.left_minor)
    given_ = dict.fromkeys(Step, 0)
    for due in lives.collection(receivable_id).dues:
        given_[due.step] += due.paid_minor
    days = 60 - (lives.collection(receivable_id).expected_on - lives.collection(receivable_id).due_on).days
    assert given_[Step.LATE_CHARGE] == given_[Step.PRINCIPAL] * 700 * days // (10_000 * 365)
    assert given_[Step.RESIDUAL] == told.left_minor - (given_[Step.LATE_CHARGE] - 100)
    sound()


def test_a_receipt_with_interest_that_is_taken_back_was_never_paid_and_bears_no_interest_on_interest(
    world: World, known: LateInterest
) -> None:
    receivable_id, told = late(world, 40)
    whole = FACE + told.left_minor
    payment_id = lives.received(world, receivable_id, whole)
    lives.apply(payment_id)
    assert standing(world, receivable_id).left_minor == 0
    lives.taken_back(payment_id, whole)
    lives.on_day(world, receivable_id, 140)
    facts = late_claims.facts(db.session(), receivable_id)
    assert [sum(minor for _, minor in paid) for paid in (facts.paid, facts.principal_paid)] == [0, 0]
    again = late_interest.claimed(told.terms, FACE, facts.paid, told.terms.since_on + timedelta(days=140))
    assert again.interest_minor == FACE * 1_200 * 140 // (10_000 * 365) == 223_693
    lives.taken_back(payment_id, whole, "won")
    lives.pays(world, receivable_id, 10_000)
    sound()


def test_the_debtors_page_claims_it_and_takes_it_after_the_debt_was_settled(
    world: World, known: LateInterest, app: Flask
) -> None:
    receivable_id, told = late(world, 40)
    with world.superuser() as owner:
        owner.execute("UPDATE debtor_link SET expires_at = market_now() + interval '9 days'")
    page, client = f"/d/{token_for(receivable_id, 'account')}", app.test_client()
    shown = client.get(page).text
    for words in ("Interest for paying late", "(Interest) Act 1998", "12.00%", "for each further day", "£100"):
        assert words in shown, words
    lives.pays(world, receivable_id, FACE)
    shown = client.get(page).text
    assert "The invoice is paid, thank you" in shown
    left = told.left_minor
    more = client.post(f"{page}/pay", data={"pay_minor": f"{(left + 1) / 100:.2f}"})
    assert (more.status_code, "up to what is owed" in more.text) == (422, True)
    assert client.post(f"{page}/pay", data={"pay_minor": f"{left / 100:.2f}"}).status_code in (200, 303)
    lives.pays(world, receivable_id, left)
    assert "Paid, thank you" in client.get(page).text
    assert (
        "by law that came beyond it" in visitor(app, world, "olga").get(f"/operator/receivables/{receivable_id}").text
    )


def test_nothing_is_claimed_where_no_rate_is_known_and_a_person_is_told_once_until_it_is(
    world: World, request: pytest.FixtureRequest
) -> None:
    for _ in range(2):
        receivable_id = lives.funded(world)
        lives.on_day(world, receivable_id, 3)
        lives.age(receivable_id)
    db.session.rollback()
    assert db.session.execute(text("SELECT count(*) FROM late_claim")).scalar_one() == 0
    told = text("SELECT closed_at IS NULL FROM payment_alert WHERE kind = 'late_rate_unknown'")
    assert db.session.execute(told).all() == [(True,)]
    request.getfixturevalue("known")
    lives.age(receivable_id)
    db.session.rollback()
    assert db.session.execute(text("SELECT count(*) FROM late_claim")).scalar_one() == 1
    assert db.session.execute(told).all() == [(False,)]


# what is done, and the rule that stands against it
BREAKS = {
    "UPDATE late_claim SET rate_bps = 1": "is refused",
    "DELETE FROM late_claim": "is refused",
    "INSERT INTO late_claim SELECT * FROM late_claim": "pk_late_claim",
    "INSERT INTO late_claim SELECT gen_random_uuid(), law, 5, 4, since_on, 0, 'x' FROM late_claim": (
        "ck_late_claim_rate"
    ),
    "INSERT INTO late_claim SELECT gen_random_uuid(), 'XX', 5, 6, since_on, 0, 'x' FROM late_claim": (
        "ck_late_claim_law"
    ),
    "DELETE FROM late_receipt": "is refused",
    "INSERT INTO late_receipt SELECT distribution_id, receivable_id, 0 FROM late_receipt": "ck_late_receipt_minor",
    "INSERT INTO late_receipt SELECT gen_random_uuid(), receivable_id, 1 FROM late_claim": "is not within a receipt",
    "INSERT INTO late_receipt SELECT id, receivable_id, received_minor + 1 FROM distribution": "not within a receipt",
    "INSERT INTO late_receipt SELECT d.id, r.id, 1 FROM distribution d, receivable r WHERE r.id <> d.receivable_id": (
        "is not within a receipt"
    ),
    "INSERT INTO late_receipt SELECT id, receivable_id, 1 FROM distribution WHERE received_minor = 4860000; "
    "SET CONSTRAINTS commit_check_judged IMMEDIATE": r"the dues of .* late",
}


def test_the_database_refuses(world: World, known: LateInterest) -> None:
    receivable_id, told = late(world, 40)
    lives.pays(world, receivable_id, FACE)
    lives.pays(world, receivable_id, told.left_minor)
    lives.funded(world)
    db.session.rollback()
    for statement, rule in BREAKS.items():
        with world.superuser(resting=False) as owner, pytest.raises(psycopg.Error, match=rule):
            for one in statement.split("; "):
                owner.execute(one)
            pytest.fail(statement)


def test_the_policy_says_what_the_document_says() -> None:
    written = (Path(__file__).resolve().parents[2] / "docs" / "late-payment.md").read_text(encoding="utf-8")
    for (day, british), (same, european) in zip(POLICY.gb_reference, POLICY.eu_reference, strict=True):
        assert day == same
        assert f"| {day} | {british / 100:.2f} % | {european / 100:.2f} % |" in written, day
