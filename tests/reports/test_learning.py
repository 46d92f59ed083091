"""How receivables ended becomes rows to learn from; the month's learning from the first outcome to the proposal."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from flask import Flask
from psycopg.types.json import Jsonb
from sqlalchemy import text

from config.settings import read_policy
from marketplace.db import db
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.jobs import model_learning
from marketplace.jobs.runner import run_job
from marketplace.jobs.schedule import job
from marketplace.kernel.ids import new_id
from marketplace.rating.learning import CompanyYears
from marketplace.rating.ratios import NAMES
from marketplace.reports import learning
from tests import lives
from tests.rating.test_learning import LEARNT, files_of, own_rows
from tests.trading.world import World

FACE = 4_860_000
HOUSE = Path(__file__).resolve().parents[2]


def today() -> date:
    found: date = db.session.execute(text("SELECT market_now()::date")).scalar_one()
    return found


def never(content: bytes, public: Path | None) -> dict[str, bytes]:
    raise AssertionError("there is too little to fit on")


def rated_at_listing(world: World, first: UUID, *others: UUID) -> None:
    world.rate(first)
    with world.superuser() as owner:
        for other in others:
            owner.execute(
                "INSERT INTO receivable_rating SELECT %s, %s, debtor_rating_id, seller_id, seller_rating_id, "
                "tenor_days, pd_tenor_ppm, expected_loss_ppm, expected_loss_recourse_ppm, indicative_bps, advance_bps, "
                "inputs, model_version, policy_version FROM receivable_rating WHERE receivable_id = %s",
                (new_id(), other, first),
            )
        owner.execute("UPDATE receivable_rating SET rated_at = (SELECT opened_at FROM lot WHERE lot.receivable_id = "
                      "receivable_rating.receivable_id)")  # fmt: skip


def test_every_end_is_noted_once_with_the_rating_of_its_listing(world: World) -> None:
    paid, late, lost, unrated = (lives.funded(world) for _ in range(4))
    rated_at_listing(world, paid, late, lost)
    lives.on_day(world, paid, 6)
    lives.pays(world, paid, FACE)
    lives.pays(world, unrated, FACE)
    lives.on_day(world, late, 40)
    lives.pays(world, late, FACE)
    done = model_learning.learn(never)
    assert (done["verdict"], done["outcomes"], done["base"]) == ("too_few", 2, "own")
    assert not model_learning.is_due(), "once a month"
    lives.on_day(world, lost, 95)
    lives.age(lost)
    assert model_learning.is_due()
    assert model_learning.learn(never)["outcomes"] == 3
    db.session.rollback()
    assert learning.outcomes_to_note(db.session(), 30) == []
    assert learning.outcome_counts(db.session()) == {"paid": 1, "late": 1, "defaulted": 1}
    rows = db.session.execute(text(
        "SELECT o.receivable_id, o.outcome, o.model_version, o.filing_id = p.filing_id AS own FROM rating_outcome o "
        "JOIN party_rating p ON p.id = o.debtor_rating_id ORDER BY o.noted_at, o.ended_on"
    )).all()  # fmt: skip
    assert [tuple(row) for row in rows] == [
        (paid, "paid", "test", True), (late, "late", "test", True), (lost, "defaulted", "test", True)]  # fmt: skip
    assert [row.verdict for row in learning.runs(db.session())] == ["too_few", "too_few"]


def test_a_payment_that_is_taken_back_and_comes_again_is_noted_anew(world: World) -> None:
    receivable_id = lives.funded(world)
    rated_at_listing(world, receivable_id)
    lives.on_day(world, receivable_id, 3)
    payment_id = lives.received(world, receivable_id, FACE)
    lives.apply(payment_id)
    model_learning.learn(never)
    assert learning.outcome_counts(db.session()) == {"paid": 1}
    db.session.rollback()
    lives.taken_back(payment_id, FACE)
    lives.on_day(world, receivable_id, 50)
    lives.pays(world, receivable_id, FACE)
    model_learning.learn(never)
    assert learning.outcome_counts(db.session()) == {"late": 1}, "the newest word counts"


def write_years(world: World, rows: CompanyYears, since: date) -> None:
    """Write own rows as listings, ratings and outcomes leave them: one listing a day, each of a debtor of its own."""
    with world.superuser() as owner:
        for place in range(len(rows)):
            debtor, filing, rating = new_id(), new_id(), new_id()
            ratios = {name: str(value) for name, value in zip(NAMES, rows.ratios[place], strict=True) if value == value}
            listed = since + timedelta(days=place)
            owner.execute("INSERT INTO organisation (id, kind, legal_name, country) VALUES (%s, 'debtor', %s, 'GB')",
                          (debtor, f"Debtor {place} Ltd"))  # fmt: skip
            owner.execute(
                "INSERT INTO filing (id, organisation_id, filename, size_bytes, sha256, content, company_number, "
                "period_end, dormant, read, faults, filed_by_role) VALUES (%s, %s, 'accounts.html', 0, "
                "encode(sha256(''), 'hex'), '', '00000001', %s, false, '{}', '[]', 'system')",
                (filing, debtor, listed - timedelta(days=300)),
            )
            owner.execute(
                "INSERT INTO party_rating (id, organisation_id, filing_id, level, ratios, prior_ppm, floor_ppm, "
                "pd_ppm, grade, challenger_ppm, reasons, missing, model_version, policy_version, rated_at) VALUES "
                "(%s, %s, %s, %s, %s, 5200, 500, 3400, 'A-', 3000, '[]', '[]', 'test', 'test', %s)",
                (rating, debtor, filing, str(rows.level[place]), Jsonb(ratios), listed),
            )
            for outcome, after in (("paid", 60), *([("defaulted", 200)] if rows.outcome[place] else [])):
                owner.execute(
                    "INSERT INTO rating_outcome (id, receivable_id, debtor_id, debtor_rating_id, filing_id, "
                    "model_version, listed_on, ended_on, outcome) VALUES (%s, %s, %s, %s, %s, 'test', %s, %s, %s)",
                    (new_id(), new_id(), debtor, rating, filing, listed, listed + timedelta(days=after), outcome),
                )


def test_a_company_year_is_one_debtor_on_one_set_of_accounts_and_counts_when_it_is_over(world: World) -> None:
    rows = own_rows(6)
    rows.outcome[:] = [1, 0, 0, 1, 0, 0]
    write_years(world, rows, today() - timedelta(days=368))
    found = learning.company_years(db.session(), 365, today())
    assert [row["failed"] for row in found] == [True, False, False, True], "listed 368 to 365 days ago"
    assert learning.company_year_counts(db.session(), 365, today()) == {"over": 4, "failed": 2, "open": 2}
    assert not any(row["failed"] for row in learning.company_years(db.session(), 199, today())), "200 days after"
    years = CompanyYears.of(found)
    assert (len(years), years.failures) == (4, 2)
    assert years.ratios[0, NAMES.index("equity")] == rows.ratios[0, NAMES.index("equity")]
    assert list(years.listed) == sorted(years.listed)


def small(table: Any) -> Any:
    changed = deepcopy(dict(table))
    changed["rating"] |= {"learning_rows_min": 60, "learning_failures_min": 10, "learning_judged_months": 2,
                          "learning_judged_failures_min": 5}  # fmt: skip
    return changed


def test_a_month_is_learnt_compared_and_kept(
    make_app: Callable[..., Flask], postgres: EmbeddedPostgres, database: str, tmp_path: Path
) -> None:
    with make_app(policy_table=small(read_policy()), rating_data_place=tmp_path).app_context():
        world = World(postgres, database)
        write_years(world, own_rows(180), today() - timedelta(days=560))
        seen: list[tuple[int, int]] = []

        def fit(content: bytes, public: Path | None) -> dict[str, bytes]:
            assert public is None
            rows = CompanyYears.unpacked(content)
            seen.append((len(rows), rows.failures))
            return files_of(LEARNT)

        said: list[str] = []
        done = model_learning.learn(fit, said.append)
        assert seen == [(120, done["failures"])], "the newest sixty days are held out"
        assert "not at hand" in " ".join(said)
        assert (done["verdict"], done["model"], done["judged"]) in [
            (verdict, LEARNT, 60) for verdict in ("kept", "proposed")]  # fmt: skip
        row = learning.models(db.session())[0]
        assert row.comparison == done["comparison"]
        assert row.comparison["rows"] == 60
        assert row.comparison["champion"]["candidate"] != row.comparison["champion"]["serving"]
        assert row.state == done["verdict"]
        assert model_learning.learn(fit)["verdict"] == "same"
        db.session.rollback()
        run_job(job("learn_model"))
        db.session.rollback()
        assert len(learning.runs(db.session())) == 2, "the clock learns once a month"


def test_the_commands_learn_and_compute_past_ratings_again(
    world: World, postgres: EmbeddedPostgres, database: str, tmp_path: Path
) -> None:
    rated_at_listing(world, lives.funded(world))
    db.session.rollback()
    environment = os.environ | {"DATABASE_URL": postgres.url(database, "duebill_worker"), "DUEBILL_HOME": str(tmp_path)}

    def said(*words: str) -> tuple[int, list[Any], str]:
        asked = [sys.executable, "-m", "marketplace", "rating", *words, "--json"]
        done = subprocess.run(asked, cwd=HOUSE, env=environment, capture_output=True, text=True)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    code, (learnt,), progress = said("learn")
    assert (code, learnt["verdict"], learnt["base"]) == (0, "too_few", "own")
    assert "not at hand" in progress
    code, told, progress = said("recompute")
    assert code == 1, "the model of these rows never was"
    assert [(one["kind"], one["same"], one["model_version"]) for one in told] == [
        ("party", False, "test"), ("receivable", False, "test")]  # fmt: skip
    assert "2 differ" in progress
