"""The model at work: records of payments, outcomes against PDs, falls since listing, and the jobs that keep them."""

import json
from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

from flask import Flask
from sqlalchemy import text

from config.settings import read_policy
from marketplace.audit import packs
from marketplace.db import db
from marketplace.jobs.runner import run_job
from marketplace.jobs.schedule import job
from marketplace.kernel import policy as policies
from marketplace.kernel.ids import new_id
from marketplace.rating import queries
from marketplace.rating.behaviour import PaymentRecord
from marketplace.rating.model import load_model, read_card
from marketplace.rating.register import queries as register
from marketplace.reports import rating_watch
from marketplace.reports.market import payment_history
from tests import lives
from tests.rating.test_watching import POLICY
from tests.trading.world import World
from tests.web.test_operator import visitor

FACE = 4_860_000


def today() -> date:
    found: date = db.session.execute(text("SELECT market_now()::date")).scalar_one()
    return found


def opened_on(receivable_id: UUID) -> date:
    return lives.collection(receivable_id).opened_at.date()


def records() -> dict[UUID, PaymentRecord]:
    db.session.rollback()
    return rating_watch.payment_records(db.session(), today(), 30)


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


def test_nobody_is_late_for_the_days_that_the_bank_s_file_took(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 35)
    lives.apply(lives.received(world, receivable_id, FACE, on=today() - timedelta(days=35)))
    found = records()[world.id("kestrel")]
    assert (found.paid, found.late, found.late_days_sum) == (1, 0, 0)
    assert found.exposure_days == (today() - timedelta(days=35) - opened_on(receivable_id)).days + 1
    assert [one.days_late for one in payment_history(db.session(), world.id("kestrel"))] == [0]


def test_the_night_notes_what_changed_once(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 12)
    lives.pays(world, receivable_id, FACE)
    db.session.rollback()
    run_job(job("learn_payments"))
    db.session.rollback()
    assert rating_watch.kept_records(db.session()) == records()
    assert rating_watch.changed_records(db.session(), today(), 30) == {}
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
    with db.engine.connect() as connection:
        pack = next(one for one in packs.tables(connection, 0, 0) if one.path == "packs/ratings/rating_watch")
        told = {(row["kind"], row["key"]) for row in pack.rows(connection)}
    assert told == set(measures), "the regulator reads which grade, month or ratio each is of"


def test_the_night_rates_anew_what_another_model_rated_and_whose_accounts_became_overdue(world: World) -> None:
    world.rate(world.receivable())
    db.session.rollback()
    policy = replace(policies.parse(read_policy()), version="test")
    kestrel = world.id("kestrel")

    def found(model: str = "test") -> list[UUID]:
        db.session.rollback()
        return queries.parties_to_rerate(db.session(), model, policy)

    def said(overdue: bool, made_up_to: date, insolvent: bool = False) -> None:
        with world.superuser() as owner:
            owner.execute("UPDATE register_answer SET asked_at = asked_at - interval '1 day'")
            owner.execute(
                "INSERT INTO register_answer (id, organisation_id, company_number, source, said_on, company_name, "
                "company_state, accounts_overdue, accounts_made_up_to, charges_total, charges_outstanding, cases, "
                "insolvent) VALUES (%s, %s, '00000001', 'api', market_now()::date, 'KESTREL', %s, %s, %s, 2, 1, '[]', "
                "%s)",
                (new_id(), kestrel, "liquidation" if insolvent else "active", overdue, made_up_to, insolvent),
            )

    def accounts_of(day: date) -> None:
        with world.superuser() as owner:
            owner.execute("UPDATE filing SET period_end = %s", (day,))

    assert found("gb-new") == [kestrel]
    ago = {days: today() - timedelta(days=days) for days in (300, 500, 660, 3_000)}
    accounts_of(ago[300])
    assert found() == []
    accounts_of(ago[660])
    assert found() == [kestrel], "its next accounts are overdue by their date"
    accounts_of(ago[3_000])
    assert found("gb-new") == [], "too old to rate anybody"
    accounts_of(ago[300])
    said(True, ago[500])
    assert found() == [], "what the register misses was filed here since"
    said(True, ago[300])
    assert found() == [kestrel], "the register says that they are overdue"
    assert register.says_overdue(db.session(), kestrel, ago[300])
    assert not register.says_overdue(db.session(), kestrel, ago[300] + timedelta(days=1))
    said(True, ago[300], insolvent=True)
    assert found("gb-new") == [], "nobody rates the insolvent"


def test_falls_stand_on_the_investor_s_pages_in_three_languages(world: World, app: Flask) -> None:
    held = lives.funded(world)
    world.rate(held)
    lot = world.lot()
    rerated(world, "B-")
    bob = visitor(app, world, "bob")
    collected = db.session.execute(text("SELECT lot_id FROM collection")).scalar_one()
    db.session.rollback()
    words = {"en": ("3 grades since the lot opened", "fell 3 grades"),
             "zh_Hant": ("自拍品開售以來下跌 3 級", "下跌 3 級"),
             "zh_Hans": ("自拍品开售以来下跌 3 级", "下跌 3 级")}  # fmt: skip
    for language, (said, mark) in words.items():
        bob.get(f"/language/{language}?next=/investor/portfolio")
        pages = {place: bob.get(f"/investor/{place}").text
                 for place in (f"lots/{lot}", f"lots/{collected}", f"holdings/{held}", "portfolio")}  # fmt: skip
        for place, page in pages.items():
            assert (mark if place == "portfolio" else said) in page, (language, place)
    rerated(world, "A-")
    assert "下跌" not in bob.get("/investor/portfolio").text
