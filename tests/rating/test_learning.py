"""What the market's own outcomes teach: rows, comparison, candidates, two people, and constraints that hold."""

import json
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from flask import Flask
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from marketplace.db import db
from marketplace.jobs import model_learning
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import IntegrityBreach, InvalidInput, NotPermitted, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.perform import perform
from marketplace.rating import queries, serving, training
from marketplace.rating.actions import file_accounts, rate_party
from marketplace.rating.candidates import decide_model, note_learning, note_outcomes, withdraw_model
from marketplace.rating.card import CARD
from marketplace.rating.dataset import BOTH, OWN, firm_years
from marketplace.rating.learning import (
    CompanyYears,
    auc_gain,
    compared,
    enough,
    fit_here,
    is_better,
    parted,
    population,
    public_file,
)
from marketplace.rating.measures import auc
from marketplace.rating.model import CHALLENGER, CHAMPION, HOME, PAST, load_model, open_model, read_card
from marketplace.rating.model import model_of as shipped_model
from marketplace.rating.ratios import NAMES
from marketplace.rating.recomputing import recompute
from marketplace.rating.schemas import (
    DecideModel,
    FileAccounts,
    NoteLearning,
    NoteOutcomes,
    RateParty,
    WithdrawModel,
)
from tests.people import PersonOfTheTests
from tests.rating.filings import SOUND, accounts
from tests.rating.test_watching import POLICY, SYSTEM

People = dict[str, PersonOfTheTests]
WHY = "It did better on the newest months."
SHIPPED = read_card()["version"]
LEARNT = "gb-1a19daa3"  # a model of the past stands in for one that was learnt here
OTHER = "gb-dd08a0a6"


def files_of(version: str) -> dict[str, bytes]:
    return {name: (HOME / PAST / version / name).read_bytes() for name in (CHAMPION, CHALLENGER, CARD)}


def own_rows(count: int, seed: int = 3, level: str = "small-prior") -> CompanyYears:
    """Invented company years: the thinner the equity, the likelier the failure; one listing a day."""
    random = np.random.default_rng(seed)
    ratios = np.full((count, len(NAMES)), np.nan)
    equity = random.uniform(-0.3, 0.8, count)
    for name, values in {"equity": equity, "due_within": 0.6 - equity / 2, "working_capital": equity / 2,
                         "current_cover": equity, "due_after": 0.2 - equity / 8,
                         "growth": random.normal(0, 0.2, count)}.items():  # fmt: skip
        ratios[:, NAMES.index(name)] = values
    failed = (random.random(count) < np.where(equity < 0.1, 0.5, 0.05)).astype(np.int64)
    days = date(2023, 1, 1).toordinal() + np.arange(count)
    return CompanyYears(ratios, np.full(count, level, dtype="<U11"), failed,
                        np.array([date.fromordinal(int(day)).year - 1 for day in days]), np.arange(count) % 151, days,
                        np.full(count, np.nan))  # fmt: skip


# -- pure ---------------------------------------------------------------------------------------------------------


def test_rows_are_packed_and_parted_by_their_first_listing() -> None:
    rows = own_rows(400)
    again = CompanyYears.unpacked(rows.packed())
    for name in rows.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(rows, name))
    learnt, judged = parted(rows, POLICY)
    assert (len(learnt), len(judged)) == (220, 180), "six months of thirty days are held out"
    assert learnt.listed.max() < judged.listed.min()
    assert parted(CompanyYears.of([]), POLICY)[0].failures == 0


def test_too_few_rows_or_failures_are_not_learnt_from() -> None:
    learnt, judged = parted(own_rows(400), POLICY)
    assert enough(learnt, judged, POLICY)
    assert not enough(learnt, judged, replace(POLICY, learning_rows_min=221))
    assert not enough(learnt, judged, replace(POLICY, learning_failures_min=learnt.failures + 1))
    assert not enough(learnt, judged, replace(POLICY, learning_judged_failures_min=judged.failures + 1))


def test_the_gain_of_auc_and_its_error_worked_out_by_hand() -> None:
    """Failures 3 and 4 of five: one score has both on top (1), the other one of them second to last (5/6 … 2/3)."""
    outcome = np.array([0, 0, 0, 1, 1])
    best, worse = np.array([1.0, 2, 3, 4, 5]), np.array([1.0, 3, 4, 2, 5])
    assert auc(outcome, best) - auc(outcome, worse) == pytest.approx(1 - (1 / 3 + 1) / 2)
    gain, error = auc_gain(outcome, best, worse)
    assert gain == pytest.approx(1 / 3)
    # Placements differ by 2/3 and 0 among failures, by 0, ½ and ½ among survivors.
    assert error == pytest.approx(((2 / 9) / 2 + (1 / 12) / 3) ** 0.5)
    assert auc_gain(outcome, best, best) == (0, 0)


def test_a_model_is_no_better_than_itself_and_better_only_beyond_the_error() -> None:
    shipped = load_model()
    found = compared(shipped, shipped, own_rows(300), POLICY)
    assert found["champion"]["candidate"] == found["champion"]["serving"]
    assert (found["champion"]["loss_gain"], found["challenger"]["auc_gain"]) == (0, 0)
    assert not is_better(found)
    gain = {"loss_gain": 101, "loss_gain_error": 100, "auc_gain": -5, "auc_gain_error": 5}
    assert is_better({"champion": gain})
    assert not is_better({"champion": gain | {"loss_gain": 100}})
    assert not is_better({"champion": gain | {"auc_gain": -6}})


def test_own_rows_stand_after_the_public_ones_as_companies_of_their_own() -> None:
    own = own_rows(40)
    alone = population(own)
    assert (alone.origin, alone.own["rows"], alone.own["failures"]) == (OWN, 40, own.failures)
    figures = {
        name: np.array([9.0, 8, 7]) for name in ("X1", "X5", "X6", "X7", "X9", "X10", "X12", "X14", "X15", "X17")
    }
    public = firm_years(np.array([0, 0, 1]), np.array([2013, 2014, 2014]), figures | {"y": np.array([0.0, 0, 1])},
                        "public", "hash")  # fmt: skip
    both = population(own, public)
    assert (both.origin, len(both.outcome), both.sha256) == (BOTH, 43, "hash")
    assert set(both.company[:3]).isdisjoint(both.company[3:])
    assert list(both.filed[:4]) == ["full"] * 3 + ["small-prior"] if both.filed is not None else False
    keys = both.company * 20_000 + both.year
    assert (np.diff(keys) >= 0).all(), "what follows looks companies up by year"
    shuffled = own.only(np.random.default_rng(1).permutation(len(own)).astype(np.intp))
    assert population(shuffled).sha256 == alone.sha256, "the order of reading changes nothing"


def test_public_data_are_found_or_said_to_be_absent(tmp_path: Any) -> None:
    assert public_file(tmp_path / "nowhere") is None
    assert public_file(tmp_path) is None
    (tmp_path / "us_firmyears_1999_2014.parquet").write_bytes(b"")
    assert public_file(tmp_path) == public_file(tmp_path / "us_firmyears_1999_2014.parquet") is not None


def test_own_rows_alone_fit_a_model_twice_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "PARAMETERS", training.PARAMETERS | {"max_iter": 6, "min_samples_leaf": 40})
    monkeypatch.setattr(training, "FOLDS", 2)
    learnt, judged = parted(own_rows(700), POLICY)
    files = fit_here(learnt.packed(), None)
    assert files == fit_here(learnt.packed(), None)
    shipped, candidate = load_model(), open_model(json.loads(files[CARD]), files)
    assert candidate.card["data"]["own"]["rows"] == len(learnt)
    assert "default here" in " ".join(candidate.card["limits"])
    found = compared(candidate, shipped, judged, POLICY)
    assert found["champion"]["candidate"]["auc"] > 600_000


def test_fitting_in_a_process_of_its_own_refuses_too_few_in_words() -> None:
    with pytest.raises(InvalidInput) as few:
        model_learning.fit_apart(own_rows(60).packed(), None)
    assert few.value.code == "too_few_failures"


# -- verbs --------------------------------------------------------------------------------------------------------

COMPARISON = {"rows": 9, "failures": 3, "from": "2026-01-01", "to": "2026-06-01", **{
    name: {"candidate": dict.fromkeys(("auc", "auc_se", "log_loss", "brier", "ece", "mean_pd", "rate"), 1),
           "serving": dict.fromkeys(("auc", "auc_se", "log_loss", "brier", "ece", "mean_pd", "rate"), 2),
           "loss_gain": 5, "loss_gain_error": 1, "auc_gain": 1, "auc_gain_error": 1}
    for name in ("champion", "challenger")}}  # fmt: skip


def learnt(version: str = LEARNT, better: bool = True, against: str = SHIPPED) -> UUID:
    done = perform(
        note_learning,
        NoteLearning("own", 900, 300, 30, 100, 12, files_of(version), date(2026, 1, 1), against, COMPARISON, better),
        SYSTEM,
    )
    assert done["model"] == version
    db.session.rollback()
    found: UUID = db.session.execute(
        text("SELECT id FROM rating_model WHERE version = :version"), {"version": version}
    ).scalar_one()
    return found


def state(model_id: UUID) -> str:
    db.session.rollback()
    return str(db.session.execute(text("SELECT state FROM rating_model WHERE id = :id"), {"id": model_id}).scalar_one())


@pytest.fixture
def desk(context: Flask, people: People) -> tuple[Actor, Actor]:
    return people["operator_olga"].actor, people["operator_oscar"].actor


def test_two_people_put_a_model_into_service_and_two_take_it_out(
    people: People, desk: tuple[Actor, Actor], today: date
) -> None:
    olga, oscar = desk
    alice = people["seller_alice"].organisation_id
    perform(file_accounts, FileAccounts(alice, "accounts.html", accounts(today - timedelta(days=300), SOUND)), SYSTEM)
    perform(rate_party, RateParty(alice), SYSTEM)

    def version() -> str | None:
        perform(rate_party, RateParty(alice), SYSTEM)
        db.session.rollback()
        found = queries.party_rating(db.session(), alice)
        return found.model_version if found else None

    model_id = learnt()
    assert serving.serving_version(db.session()) == SHIPPED, "a proposal changes nothing"
    assert perform(decide_model, DecideModel(model_id, True, WHY), olga)["state"] == "proposed"
    with pytest.raises(NotPermitted) as twice:
        perform(decide_model, DecideModel(model_id, True, WHY), olga)
    assert twice.value.code == "second_person"
    assert version() == SHIPPED
    assert perform(decide_model, DecideModel(model_id, True, WHY), oscar)["state"] == "serving"
    assert version() == LEARNT
    assert serving.serving_card(db.session())["version"] == LEARNT
    assert queries.parties_to_rerate(db.session(), SHIPPED, context_policy()) == [alice]
    again = list(recompute(db.session(), context_policy()))
    assert [(one.model_version, one.same, one.whole) for one in again] == [
        (SHIPPED, True, True),
        (LEARNT, True, True),
    ], "both models compute what they said"
    perform(withdraw_model, WithdrawModel(model_id, "It warns of nobody."), oscar)
    with pytest.raises(NotPermitted):
        perform(withdraw_model, WithdrawModel(model_id, "It warns of nobody."), oscar)
    assert version() == LEARNT, "one person alone takes nothing out"
    assert perform(withdraw_model, WithdrawModel(model_id, "It warns of nobody."), olga)["state"] == "replaced"
    assert version() == SHIPPED


def context_policy() -> Any:
    from flask import current_app

    return current_app.extensions["duebill"].policy


def test_one_voice_against_refuses_and_a_reason_is_kept(desk: tuple[Actor, Actor]) -> None:
    model_id = learnt()
    perform(decide_model, DecideModel(model_id, True, WHY), desk[0])
    assert (
        perform(decide_model, DecideModel(model_id, False, "Too few failures to trust it."), desk[1])["state"]
        == "refused"
    )
    with pytest.raises(RuleBroken):
        perform(decide_model, DecideModel(model_id, True, WHY), desk[1])
    said = db.session.execute(text("SELECT voice, reason FROM model_voice ORDER BY said_at")).all()
    assert [tuple(row) for row in said] == [("for", WHY), ("against", "Too few failures to trust it.")]


def test_a_newer_proposal_overtakes_and_a_changed_service_is_compared_anew(desk: tuple[Actor, Actor]) -> None:
    first = learnt()
    second = learnt(OTHER, against="gb-00000000")
    assert (state(first), state(second)) == ("overtaken", "proposed")
    with pytest.raises(RuleBroken) as stale:
        perform(decide_model, DecideModel(second, True, WHY), desk[0])
    assert stale.value.code == "judged_against_another"
    assert perform(note_learning, NoteLearning("own", 1, 1, 0, 1, 0, files_of(OTHER), date(2026, 1, 1), SHIPPED,
                                               COMPARISON, True), SYSTEM)["verdict"] == "same"  # fmt: skip


def test_a_model_that_is_no_better_is_kept_and_waits_for_nobody(desk: tuple[Actor, Actor]) -> None:
    model_id = learnt(better=False)
    assert state(model_id) == "kept"
    with pytest.raises(RuleBroken):
        perform(decide_model, DecideModel(model_id, True, WHY), desk[0])
    assert perform(note_learning, NoteLearning("public", 3, 2, 0, 1, 0), SYSTEM)["verdict"] == "too_few"


def test_a_served_model_gives_way_to_the_next(desk: tuple[Actor, Actor]) -> None:
    first = learnt()
    for person in desk:
        perform(decide_model, DecideModel(first, True, WHY), person)
    second = learnt(OTHER, against=LEARNT)
    for person in desk:
        perform(decide_model, DecideModel(second, True, WHY), person)
    assert (state(first), state(second)) == ("replaced", "serving")
    assert serving.serving_model(db.session()).version == OTHER


@pytest.mark.parametrize("who", ["seller_alice", "investor_bob", "regulator_rex", "stranger_mallory"])
def test_only_operators_decide_about_models(context: Flask, people: People, who: str) -> None:
    model_id = learnt()
    with pytest.raises(NotPermitted):
        perform(decide_model, DecideModel(model_id, True, WHY), people[who].actor)
    with pytest.raises(NotPermitted):
        perform(withdraw_model, WithdrawModel(model_id, WHY), people[who].actor)


def test_a_model_nobody_has_is_named(context: Flask) -> None:
    with pytest.raises(IntegrityBreach):
        serving.model_of(db.session(), "gb-00000000")
    assert serving.model_of(db.session(), OTHER).version == OTHER, "a past one of the house"
    assert shipped_model(OTHER).version == OTHER


# -- constraints --------------------------------------------------------------------------------------------------

VOICE = ("INSERT INTO model_voice (id, model_id, voice, user_id, reason) SELECT gen_random_uuid(), id, {voice}, "
         "CAST('{who}' AS uuid), repeat('x', 20) FROM rating_model")  # fmt: skip
ANOTHER = (
    "INSERT INTO rating_model SELECT gen_random_uuid(), 'gb-00000001', champion, challenger, {card}, champion_sha256, "
    "challenger_sha256, card_sha256, base, own_rows, own_failures, learnt_until, against_version, comparison, {state} "
    "FROM rating_model"
)
TWICE = "INSERT INTO model_voice SELECT gen_random_uuid(), model_id, voice, user_id, reason FROM model_voice"
SOMEBODY = "00000000-0000-7000-8000-000000000005"


@pytest.fixture
def proposed(context: Flask, people: People) -> UUID:
    model_id = learnt()
    perform(decide_model, DecideModel(model_id, True, WHY), people["operator_olga"].actor)
    return model_id


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE rating_model SET state = 'serving'", "model_by_two_people"),
        ("UPDATE rating_model SET state = 'refused'", "model_by_two_people"),
        ("UPDATE rating_model SET state = 'kept'", "rating_model_state_moves"),
        ("UPDATE rating_model SET champion = 'x'", "rating_model"),
        ("UPDATE rating_model SET comparison = '{}'", "rating_model"),
        ("DELETE FROM rating_model", "rating_model"),
        ("UPDATE model_voice SET reason = repeat('y', 20)", "model_voice"),
        (VOICE.format(voice="'out'", who=SOMEBODY), "voice_in_time"),
        (TWICE, "uq_model_voice_model_id_voice_user_id"),
        (ANOTHER.format(card="card", state="'serving'"), "model_by_two_people"),
        (ANOTHER.format(card="card", state="'proposed'"), "uq_rating_model_state_live"),
        (ANOTHER.format(card="'another'", state="'kept'"), "ck_rating_model_card"),
    ],
)  # fmt: skip
def test_the_database_lets_nobody_past_the_two(
    proposed: UUID, owner_engine: Engine, statement: str, constraint: str
) -> None:
    with owner_engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text(statement))
    assert constraint in str(caught.value)


def test_a_model_in_service_leaves_it_by_two_people_alone(proposed: UUID, people: People, owner_engine: Engine) -> None:
    perform(decide_model, DecideModel(proposed, True, WHY), people["operator_oscar"].actor)
    with owner_engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text("UPDATE rating_model SET state = 'replaced'"))
    assert "model_by_two_people" in str(caught.value)


def test_no_outcome_stands_beside_another_s_rating(people: People, today: date) -> None:
    alice = people["seller_alice"].organisation_id
    perform(file_accounts, FileAccounts(alice, "accounts.html", accounts(today - timedelta(days=300), SOUND)), SYSTEM)
    perform(rate_party, RateParty(alice), SYSTEM)
    db.session.rollback()
    rating = queries.party_rating(db.session(), alice)
    assert rating is not None
    assert rating.filing is not None
    row = {"receivable_id": new_id(), "debtor_id": people["investor_bob"].organisation_id,
           "debtor_rating_id": rating.id, "filing_id": rating.filing.id, "model_version": rating.model_version,
           "listed_on": today, "ended_on": today, "outcome": "paid"}  # fmt: skip
    with pytest.raises(DBAPIError) as caught:
        perform(note_outcomes, NoteOutcomes((row,)), SYSTEM)
    assert "outcome_of_its_rating" in str(caught.value)
