"""Payment records, overrides by two people and the measures of a day: pure rules, verbs, and constraints that hold."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from config.settings import read_policy
from marketplace.db import db
from marketplace.kernel import policy as policies
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import InvalidInput, NotPermitted, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.perform import perform
from marketplace.rating import queries
from marketplace.rating.actions import file_accounts, rate_party
from marketplace.rating.behaviour import (
    PaymentRecord,
    blended_pd_ppm,
    expected_lateness,
    late_chance_ppm,
    warnings,
)
from marketplace.rating.drift import Bucket, against, calibration, drift, inversions, psi
from marketplace.rating.grades import GRADES, grade_of
from marketplace.rating.overriding import decide_override, nearest_pd_ppm, notches, propose_override
from marketplace.rating.register.actions import record_register_answer
from marketplace.rating.register.answers import Charges, CompanyAnswer, Profile
from marketplace.rating.register.schemas import RecordRegisterAnswer
from marketplace.rating.schemas import (
    DecideOverride,
    FileAccounts,
    NotePayments,
    NoteWatch,
    ProposeOverride,
    RateParty,
)
from marketplace.rating.watching import note_payments, note_watch
from tests.people import PersonOfTheTests
from tests.rating.filings import SOUND, accounts

People = dict[str, PersonOfTheTests]
POLICY = policies.parse(read_policy()).rating
SYSTEM = Actor.system("tests")
WHY = "Its parent gave a guarantee in writing this week."


# -- pure ---------------------------------------------------------------------------------------------------------


def test_a_blend_worked_out_by_hand() -> None:
    """K = 4 years at 2 %, two years watched, one default: (4 · .02 + 1) / 6 = .18."""
    record = PaymentRecord(paid=10, defaulted=1, exposure_days=730)
    assert blended_pd_ppm(20_000, record, POLICY) == 180_000
    assert blended_pd_ppm(20_000, PaymentRecord(paid=10, exposure_days=1_460), POLICY) == 10_000
    assert blended_pd_ppm(20_000, PaymentRecord(), POLICY) == 20_000


@given(st.integers(500, 1_000_000), st.integers(0, 50), st.integers(0, 20), st.integers(0, 5), st.integers(0, 4_000))
def test_worse_records_never_lower_a_pd(pd: int, paid: int, late: int, defaulted: int, days: int) -> None:
    record = PaymentRecord(paid, late, defaulted, days)
    found = blended_pd_ppm(pd, record, POLICY)
    assert POLICY.pd_floor_ppm <= found <= 1_000_000
    for worse in (PaymentRecord(paid, late + 1, defaulted, days), PaymentRecord(paid, late, defaulted + 1, days)):
        assert blended_pd_ppm(pd, worse, POLICY) >= found
    assert blended_pd_ppm(pd, PaymentRecord(paid, late, defaulted, days + 30), POLICY) <= found


def test_lateness_is_learnt_payment_by_payment() -> None:
    """The market's 2 days count as five payments: twenty payments 12 days late give (10 + 240) / 25 = 10."""
    record = PaymentRecord(paid=20, late_days_sum=240, late_days_squares=2_880)
    assert expected_lateness(PaymentRecord(), 2, POLICY) == 2
    assert expected_lateness(record, 2, POLICY) == 10
    assert expected_lateness(PaymentRecord(paid=20, late_days_sum=-200, late_days_squares=2_000), 2, POLICY) == 0
    steady, wild = late_chance_ppm(record, 2, 30, POLICY), late_chance_ppm(
        PaymentRecord(paid=20, late_days_sum=240, late_days_squares=20_000), 2, 30, POLICY)  # fmt: skip
    assert steady < wild
    assert late_chance_ppm(record, 2, -1_000, POLICY) > 999_000
    assert warnings(record, 2, 30, POLICY) == ["pays_late"]
    assert warnings(PaymentRecord(), 2, 30, POLICY) == []
    assert warnings(PaymentRecord(defaulted=1, past_due_days=40), 2, 30, POLICY)[:2] == ["defaulted", "past_due"]


def test_what_is_unpaid_and_later_than_expected_counts_as_paid_today() -> None:
    """The market's 2 days count as five payments: one that is 146 days late gives (10 + 146) / 6 = 26."""
    overdue = PaymentRecord(past_due_days=146)
    assert expected_lateness(overdue, 2, POLICY) == 26
    assert expected_lateness(PaymentRecord(past_due_days=2), 2, POLICY) == 2, "no news yet"
    assert late_chance_ppm(overdue, 2, 30, POLICY) > 5 * late_chance_ppm(PaymentRecord(), 2, 30, POLICY)
    prompt = PaymentRecord(paid=20, late_days_sum=-200, late_days_squares=2_000, past_due_days=0)
    assert expected_lateness(prompt, 2, POLICY) == 0
    assert [PaymentRecord(past_due_days=days).told(30)[3] for days in (29, 30, 59, 60)] == [0, 1, 1, 2]


@given(st.integers(0, 50), st.integers(-100, 3_000), st.integers(0, 400))
def test_another_day_unpaid_never_shortens_what_is_expected(paid: int, days_sum: int, past_due: int) -> None:
    record = PaymentRecord(paid, late_days_sum=days_sum if paid else 0, past_due_days=past_due)
    later = replace(record, past_due_days=past_due + 1)
    assert expected_lateness(later, 2, POLICY) >= expected_lateness(record, 2, POLICY)


def test_the_stability_index_on_known_shares() -> None:
    """Half and half become three quarters and one: 2 · .25 · ln 3 / 2 … worked out as .25 ln 1.5 + -.25 ln .5."""
    assert psi([0.5, 0.5], [50, 50]) == pytest.approx(0)
    assert psi([0.5, 0.5], [75, 25]) == pytest.approx(0.25 * 0.405465 + 0.25 * 0.693147, abs=1e-5)
    assert psi([0.5, 0.5], [0, 0]) == 0
    assert drift("x", [0.5, 0.5], [75, 25], POLICY).alarm == "alarm"
    assert drift("x", [0.5, 0.5], [65, 35], POLICY).alarm == "none"
    assert drift("x", [0.5, 0.5], [67, 33], POLICY).alarm == "watch"
    assert drift("x", [0.5, 0.5], [15, 5], POLICY).alarm == "few"


def test_expected_against_actual() -> None:
    assert against("backtest", Bucket("B", 1_000, 10, 10_000), POLICY).alarm == "none"
    assert against("backtest", Bucket("B", 1_000, 40, 10_000), POLICY).alarm == "alarm"
    assert against("backtest", Bucket("B", 5, 0, 10), POLICY).alarm == "few"
    assert against("backtest", Bucket("B", 5, 1, 10), POLICY).alarm == "alarm", "one default of the safest says much"
    assert against("backtest", Bucket("B", 0, 0, 0), POLICY).p_ppm == 1_000_000
    both = [Bucket("A", 100, 5, 1_000), Bucket("B", 100, 1, 9_000)]
    assert [one.alarm for one in inversions(both, POLICY)] == ["alarm"]
    assert [one.alarm for one in inversions(both[::-1], POLICY)] == ["none"]
    assert inversions([Bucket("A", 4, 1, 1_000), Bucket("B", 9, 0, 9_000)], POLICY)[0].alarm == "watch"
    assert calibration(both, POLICY).expected_ppm == 5_000
    assert calibration([], POLICY).n == 0


@given(st.integers(500, 1_000_000), st.sampled_from(GRADES))
def test_a_changed_grade_has_a_pd_of_its_own(pd: int, grade: str) -> None:
    found = nearest_pd_ppm(pd, grade, POLICY)
    assert grade_of(found, POLICY.grade_bounds_ppm) == grade
    assert notches(grade, grade) == 0


# -- verbs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def rated(people: People, today: date) -> UUID:
    """Alice's company, rated from sound accounts of ten months ago."""
    alice = people["seller_alice"].organisation_id
    content = accounts(today - timedelta(days=300), SOUND)
    perform(file_accounts, FileAccounts(alice, "accounts.html", content), SYSTEM)
    perform(rate_party, RateParty(alice), SYSTEM)
    return alice


def grade(organisation_id: UUID) -> queries.PartyRating:
    db.session.rollback()
    found = queries.party_rating(db.session(), organisation_id)
    assert found is not None
    return found


def two_worse(organisation_id: UUID, by: int = 2) -> str:
    return GRADES[GRADES.index(str(grade(organisation_id).grade)) + by]


def test_two_people_change_a_grade_until_the_next_rating(rated: UUID, people: People) -> None:
    olga, oscar = people["operator_olga"].actor, people["operator_oscar"].actor
    before, wanted = grade(rated), two_worse(rated)
    made = perform(propose_override, ProposeOverride(rated, wanted, WHY), olga)
    assert grade(rated).grade == before.grade, "a proposal changes nothing"
    with pytest.raises(NotPermitted) as same:
        perform(decide_override, DecideOverride(UUID(made["override_id"]), True, "I agree with it."), olga)
    assert same.value.code == "second_person"
    perform(decide_override, DecideOverride(UUID(made["override_id"]), True, "I agree with it."), oscar)
    after = grade(rated)
    assert (after.grade, after.model_pd_ppm, after.override_id) == (
        wanted,
        before.model_pd_ppm,
        UUID(made["override_id"]),
    )
    assert after.pd_ppm is not None
    assert before.pd_ppm is not None
    assert after.pd_ppm > before.pd_ppm
    assert perform(rate_party, RateParty(rated), SYSTEM)["grade"] == wanted, "it stands while nothing new is known"
    with pytest.raises(RuleBroken) as again:
        perform(propose_override, ProposeOverride(rated, GRADES[-1], WHY), olga)
    assert again.value.code == "overridden"
    perform(note_payments, NotePayments(rated, PaymentRecord(paid=3, exposure_days=90)), SYSTEM)
    assert grade(rated).override_id is None, "new knowledge is judged anew"


def test_a_refused_proposal_changes_nothing(rated: UUID, people: People) -> None:
    olga, oscar = people["operator_olga"].actor, people["operator_oscar"].actor
    before = grade(rated)
    made = perform(propose_override, ProposeOverride(rated, two_worse(rated, 1), WHY), olga)
    with pytest.raises(RuleBroken) as twice:
        perform(propose_override, ProposeOverride(rated, two_worse(rated), WHY), oscar)
    assert twice.value.code == "proposed_already"
    perform(decide_override, DecideOverride(UUID(made["override_id"]), False, "No such guarantee was seen."), oscar)
    assert grade(rated) == before
    with pytest.raises(RuleBroken):
        perform(decide_override, DecideOverride(UUID(made["override_id"]), True, "I agree with it."), oscar)


def test_what_was_rated_anew_is_not_overridden_by_an_old_proposal(rated: UUID, people: People) -> None:
    made = perform(propose_override, ProposeOverride(rated, two_worse(rated), WHY), people["operator_olga"].actor)
    perform(note_payments, NotePayments(rated, PaymentRecord(paid=1, exposure_days=30)), SYSTEM)
    with pytest.raises(RuleBroken) as late:
        perform(decide_override, DecideOverride(UUID(made["override_id"]), True, "I agree with it."),
                people["operator_oscar"].actor)  # fmt: skip
    assert late.value.code == "rated_anew"


@pytest.mark.parametrize("far", [0, 3])
def test_no_notch_and_three_are_refused(rated: UUID, people: People, far: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        perform(propose_override, ProposeOverride(rated, two_worse(rated, far), WHY), people["operator_olga"].actor)
    assert caught.value.code == "override_grade"


@pytest.mark.parametrize("who", ["seller_alice", "investor_bob", "regulator_rex", "stranger_mallory"])
def test_only_operators_change_grades(rated: UUID, people: People, who: str) -> None:
    with pytest.raises(NotPermitted):
        perform(propose_override, ProposeOverride(rated, two_worse(rated), WHY), people[who].actor)


def test_a_default_here_outweighs_sound_accounts(rated: UUID) -> None:
    before = grade(rated)
    record = PaymentRecord(paid=4, late=1, defaulted=1, exposure_days=200, late_days_sum=80, late_days_squares=2_000)
    done = perform(note_payments, NotePayments(rated, record), SYSTEM)
    after = grade(rated)
    assert done["fall"] >= 2
    assert after.pd_ppm is not None
    assert after.pd_ppm > 150_000
    assert (after.model_pd_ppm, after.payment_record_id) == (before.model_pd_ppm, UUID(done["payment_record_id"]))
    found = queries.as_record(queries.newest_record(db.session(), rated))
    assert found == record


def test_who_has_no_accounts_still_has_a_record(people: People, context: Flask) -> None:
    bob = people["investor_bob"].organisation_id
    assert perform(note_payments, NotePayments(bob, PaymentRecord(paid=1)), SYSTEM)["grade"] is None


def test_a_day_s_measures_are_kept_together(context: Flask) -> None:
    measures = (drift("equity", [0.5, 0.5], [75, 25], POLICY), against("vintage", Bucket("2026-01", 9, 1, 90), POLICY))
    done = perform(note_watch, NoteWatch("gb-test", measures), SYSTEM)
    assert (done["measures"], done["alarms"]) == (2, 2)
    rows = db.session.execute(text("SELECT kind, key, alarm FROM rating_watch ORDER BY kind")).all()
    assert [tuple(row) for row in rows] == [("drift", "equity", "alarm"), ("vintage", "2026-01", "alarm")]


# -- constraints --------------------------------------------------------------------------------------------------

PROPOSE = (
    "INSERT INTO grade_override (id, organisation_id, rating_id, from_grade, to_grade, reason, maker_id, state{more}) "
    "SELECT gen_random_uuid(), organisation_id, id, {first}, {to}, repeat('x', 30), CAST(:olga AS uuid), {state}"
    "{values} FROM party_rating WHERE override_id IS NULL ORDER BY rated_at LIMIT 1"
)


@pytest.mark.parametrize(
    ("said", "constraint"),
    [
        ({"to": "'E'"}, "ck_grade_override_notches"),
        ({"to": "grade"}, "ck_grade_override_notches"),
        ({"to": "'D'", "first": "'C'"}, "override_of_its_rating"),
        ({"state": "'approved'"}, "override_of_its_rating"),
    ],
)
def test_the_database_refuses_what_people_may_not(rated: UUID, said: dict[str, str], constraint: str) -> None:
    usual = {"more": "", "values": "", "first": "grade", "to": f"'{two_worse(rated)}'", "state": "'proposed'"}
    with pytest.raises(DBAPIError) as caught:
        db.session.execute(text(PROPOSE.format(**usual | said)), {"olga": str(new_id())})
    assert constraint in str(caught.value)
    db.session.rollback()


RATE_BY_IT = (
    "INSERT INTO party_rating SELECT gen_random_uuid(), organisation_id, filing_id, level, ratios, prior_ppm, "
    "floor_ppm, pd_ppm, grade, challenger_ppm, z_milli, reasons, missing, model_version, policy_version, "
    "market_now(), NULL, (SELECT id FROM grade_override LIMIT 1) FROM party_rating LIMIT 1"
)
DECIDE = "UPDATE grade_override SET state = 'approved', decided_at = market_now(), approver_reason = repeat('y', 20), "


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        (DECIDE + "approver_id = maker_id", "ck_grade_override_two_people"),
        ("UPDATE grade_override SET state = 'approved'", "ck_grade_override_decided"),
        ("UPDATE grade_override SET to_grade = 'A'", "grade_override"),
        ("DELETE FROM grade_override", "grade_override"),
        (RATE_BY_IT, "rating_by_override"),
    ],
)  # fmt: skip
def test_one_person_alone_moves_no_grade(
    rated: UUID, people: People, owner_engine: Any, statement: str, constraint: str
) -> None:
    perform(propose_override, ProposeOverride(rated, two_worse(rated), WHY), people["operator_olga"].actor)
    with owner_engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text(statement))
    assert constraint in str(caught.value)


def test_records_that_contradict_themselves_are_refused(rated: UUID) -> None:
    with pytest.raises(DBAPIError) as caught:
        perform(note_payments, NotePayments(rated, PaymentRecord(paid=1, late_days_sum=50)), SYSTEM)
    assert "ck_payment_record_moments" in str(caught.value)


def test_what_the_register_calls_overdue_raises_the_pd_once(rated: UUID, today: date) -> None:
    before = grade(rated)
    assert before.model_pd_ppm is not None
    assert before.filing is not None
    assert not before.overdue
    made_up_to = before.filing.period_end
    for known, raised in ((made_up_to - timedelta(days=366), False), (made_up_to, True)):
        profile = Profile("07100001", "ALICE", "active", None, None, None, today, True, known, None, has_charges=True,
                          has_insolvency_history=False)  # fmt: skip
        answer = CompanyAnswer("07100001", profile, None, Charges(9, 9))
        perform(record_register_answer, RecordRegisterAnswer(rated, answer), SYSTEM)
        perform(rate_party, RateParty(rated), SYSTEM)
        after = grade(rated)
        assert (after.overdue, after.id == before.id) == (raised, not raised)
        # Nine charges are shown, and change nothing.
        factor = POLICY.accounts_overdue_ppm if raised else 1_000_000
        assert after.pd_ppm == -(-before.model_pd_ppm * factor // 1_000_000)
