"""The model at work: records of payments, outcomes against PDs, falls since listing, and the jobs that keep them."""

import json
from uuid import UUID

from sqlalchemy import text

from marketplace.db import db
from marketplace.jobs.runner import run_job
from marketplace.jobs.schedule import job
from marketplace.kernel.ids import new_id
from marketplace.rating.behaviour import PaymentRecord
from marketplace.rating.model import load_model, read_card
from marketplace.reports import rating_watch
from tests import lives
from tests.rating.test_watching import POLICY
from tests.trading.world import World

FACE = 4_860_000


def today() -> object:
    return db.session.execute(text("SELECT market_now()::date")).scalar_one()


def records() -> dict[UUID, PaymentRecord]:
    db.session.rollback()
    return rating_watch.payment_records(db.session(), today(), 30)  # type: ignore[arg-type]


def rerated(world: World, grade: str) -> None:
    """Write a newer rating of the debtor."""
    with world.superuser() as owner:
        owner.execute(
            "INSERT INTO party_rating SELECT %s, organisation_id, filing_id, level, %s, prior_ppm, floor_ppm, pd_ppm, "
            "%s, challenger_ppm, z_milli, reasons, missing, model_version, policy_version, market_now() + "
            "interval '1 second' FROM party_rating ORDER BY rated_at DESC LIMIT 1",
            (new_id(), json.dumps({"equity": "0.1", "due_within": "0.5"}), grade),
        )


def test_what_a_debtor_pays_and_how_late_is_counted(world: World) -> None:
    kestrel = world.id("kestrel")
    first, second = lives.funded(world), lives.funded(world)
    assert records()[kestrel].paid == 0
    lives.on_day(world, first, 6)
    lives.pays(world, first, FACE)
    found = records()[kestrel]
    assert (found.paid, found.late, found.defaulted) == (1, 0, 0)
    assert (found.late_days_sum, found.late_days_squares) == (6, 36)
    lives.on_day(world, second, 40)
    found = records()[kestrel]
    assert (found.late, found.past_due_days) == (1, 40)
    assert found.exposure_days >= 80, "days on which two were open count once"
    assert found.exposure_days <= 110


def test_the_night_notes_what_changed_once(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 12)
    lives.pays(world, receivable_id, FACE)
    db.session.rollback()
    run_job(job("learn_payments"))
    db.session.rollback()
    assert rating_watch.kept_records(db.session()) == records()
    assert rating_watch.changed_records(db.session(), today(), 30) == {}  # type: ignore[arg-type]
    run_job(job("learn_payments"))
    db.session.rollback()
    assert db.session.execute(text("SELECT count(*) FROM payment_record")).scalar_one() == 1


def test_a_fall_of_two_notches_flags_what_is_on_sale_and_what_is_held(world: World) -> None:
    held = lives.funded(world)
    world.rate(held)
    lot = world.lot()
    db.session.rollback()
    assert rating_watch.falls(db.session(), 2) == []
    rerated(world, "B+")
    assert rating_watch.falls(db.session(), 2) == [], "one notch is none"
    db.session.rollback()
    rerated(world, "B-")
    found = rating_watch.falls(db.session(), 2)
    assert {(one.stage, one.was, one.now, one.notches) for one in found} == {
        ("held", "A-", "B-", 3), ("on_sale", "A-", "B-", 3)}  # fmt: skip
    assert lot in {one.lot_id for one in found}
    assert [one.receivable_id for one in rating_watch.falls(db.session(), 2, [held])] == [held]


def test_the_day_s_measures_are_taken_and_kept(world: World) -> None:
    receivable_id = lives.funded(world)
    world.rate(receivable_id)
    with world.superuser() as owner:
        owner.execute("UPDATE receivable_rating SET rated_at = rated_at - interval '2 days'")
    lives.on_day(world, receivable_id, 3)
    lives.pays(world, receivable_id, FACE)
    rerated(world, "A-")
    db.session.rollback()
    measures = {(one.kind, one.key): one for one in rating_watch.measures(db.session(), load_model(), POLICY)}
    assert {kind for kind, _ in measures} == {"drift", "calibration", "backtest", "vintage", "shadow"}
    tested = measures["backtest", "A-"]
    assert (tested.n, tested.defaults, tested.alarm) == (1, 0, "few")
    assert tested.expected_ppm is not None
    assert tested.expected_ppm > 0
    assert ("drift", "equity") in measures
    run_job(job("watch_ratings"))
    db.session.rollback()
    kept = rating_watch.latest(db.session())
    assert {(row.kind, row.key) for row in kept} == set(measures)
    assert {row.model_version for row in kept} == {read_card()["version"]}


def test_the_night_rates_anew_what_another_model_rated(world: World) -> None:
    world.rate(world.receivable())
    db.session.rollback()
    from marketplace.rating import queries

    assert queries.parties_to_rerate(db.session(), "gb-new", "test") == [world.id("kestrel")]
    assert queries.parties_to_rerate(db.session(), "test", "test") == []
