"""The simulator: a short life under every fault in each run, 1,000 kills on demand; and it sees what is broken."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import chain, islice
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.kernel import failpoints
from marketplace.kernel.failpoints import Place as At
from marketplace.kernel.failpoints import read_plan
from marketplace.simulator import checks, weather
from marketplace.simulator.children import Child, Died
from marketplace.simulator.place import standing
from marketplace.simulator.run import Simulation, Tally, simulate

HOUSE = Path(__file__).resolve().parents[2]
KEYS = ["seed", "steps", "kills", "restarts", "provider_faults", "webhooks", "invariants", "acknowledged_lost",
        "effects_doubled", "seconds"]  # fmt: skip
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]


class Knobs:
    """A provider that only remembers which of its knobs were turned."""

    def __init__(self) -> None:
        self.knobs: list[tuple[str, dict[str, Any]]] = []

    def knob(self, name: str, **params: Any) -> dict[str, Any]:
        """Remember it."""
        self.knobs.append((name, params))
        return {}


def command(*arguments: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run([sys.executable, "-m", "marketplace", "simulate", "--json", *arguments], cwd=HOUSE,
                          env={**os.environ, "PYTHONPATH": str(HOUSE)}, capture_output=True, text=True)  # fmt: skip
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


@pytest.mark.long
@pytest.mark.xdist_group("market")
def test_a_short_life_bears_every_kill_and_every_fault(postgres: EmbeddedPostgres, database: str) -> None:
    said: list[str] = []
    faults = frozenset({"kills", "provider", "webhooks", "clock"})  # the database is everybody's here
    tally = simulate(11, 14, faults, said.append, prepared=(postgres, database))
    assert tally.wrong == []
    assert tally.ok()
    assert "collection settled" in said[-3], "a life in which no debt is ever paid proves little"
    record = tally.record(11, 1.0)
    assert list(record) == KEYS
    assert record["kills"] >= 3
    assert record["webhooks"] > 0
    assert record["acknowledged_lost"] == record["effects_doubled"] == 0
    assert {one["name"] for one in record["invariants"]} > {"entries_balance", "clearing_is_explained"}


@pytest.mark.long
@pytest.mark.timeout(4 * 3_600)
def test_a_thousand_kills_leave_one_effect_each() -> None:
    code, record, said = command("--seed", "1000", "--steps", "200", "--kills", "1000")
    assert code == 0, said
    assert record["kills"] >= 1_000
    assert record["restarts"] > 0
    assert record["acknowledged_lost"] == record["effects_doubled"] == 0
    assert all(one["ok"] for one in record["invariants"])


@pytest.mark.parametrize("wrong", [("--faults", "rain"), ("--steps", "0"), ("--faults", "none", "--kills", "3")])
def test_a_wrong_use_is_told_and_nothing_begins(wrong: tuple[str, ...]) -> None:
    code, record, said = command(*wrong)
    assert (code, record) == (2, {})
    assert "Error" in said


def test_the_same_seed_makes_the_same_weather() -> None:
    def weather_of(seed: int) -> list[object]:
        dice = Random(seed)
        plans = weather.plans(dice, weather.WORKER_PLACES)
        return [(next(plans), weather.api_fault(dice), weather.delivery(dice)) for _ in range(50)]

    assert weather_of(4) == weather_of(4)
    assert weather_of(4) != weather_of(5)


def test_every_place_has_its_turn_before_any_has_a_second() -> None:
    for places in (weather.WEB_PLACES, weather.WORKER_PLACES):
        plans = weather.plans(Random(1), places)
        turn = list(islice(chain.from_iterable(read_plan(plan) for plan in plans), 2 * len(places)))
        assert Counter(turn) == dict.fromkeys(places, 2)
        assert set(turn[: len(places)]) == set(places)


def test_who_died_says_where(tmp_path: Path) -> None:
    def body() -> Callable[[tuple[Any, ...]], object]:
        return lambda words: failpoints.reach(At.RECORDED, str(words[0]))

    for plan, ends in (("answered,recorded@payout", "recorded@payout"), ("", "")):
        child = Child("worker", body, tmp_path / "log", plan)
        child.ask("transfer")
        if plan:
            with pytest.raises(Died):
                child.ask("payout")
        assert child.kill() is not bool(plan)
        assert child.died_at() == ends


def test_a_key_is_forgotten_only_a_day_after_it_was_used() -> None:
    life = Simulation(SimpleNamespace(sandbox=Knobs(), move_clock=lambda by: None), 1, frozenset(), print)  # type: ignore[arg-type]
    life._move_clock(timedelta(hours=20))
    life._move_clock(timedelta(hours=3, minutes=59))
    life._forget_keys()
    assert life._place.sandbox.knobs == []  # type: ignore[attr-defined]
    life._move_clock(timedelta(hours=2))
    life._forget_keys()
    first = life._moves[0][0].timestamp()
    assert life._place.sandbox.knobs == [("forget_keys", {"before": first})]  # type: ignore[attr-defined]


def test_two_payouts_for_one_wish_are_seen() -> None:
    def one(kind: str, **more: object) -> dict[str, Any]:
        return {"object": kind, "metadata": {"duebill_subject": "a"}, **more}

    good = [one("transfer", reversed=False), one("payout", status="paid"), one("checkout.session"),
            one("payment_intent"), one("transfer", reversed=True), one("payout", status="failed")]  # fmt: skip
    assert checks.twice(good) == []
    assert checks.twice([*good, one("transfer", reversed=False)]) == ["transfer a "]
    assert checks.twice([*good, one("payout", status="pending")]) == ["payout a "]
    assert checks.twice([*good, one("checkout.session")]) == ["checkout.session a "]


def test_a_life_with_anything_wrong_is_not_ok() -> None:
    assert Tally().ok()
    assert not Tally(lost=1).ok()
    assert not Tally(doubled=1).ok()
    assert not Tally(invariants={"entries_balance": False}).ok()
    assert not Tally(wrong=["the market did not come to rest"]).ok()


@pytest.mark.long
def test_what_was_committed_outlives_the_killed_database() -> None:
    with standing() as place:
        with place.superuser() as owner:
            owner.execute("CREATE TABLE kept (n integer)")
        for n in range(5):
            with place.superuser() as owner:
                owner.execute("INSERT INTO kept VALUES (%s)", (n,))
            place.kill_database()
            with place.superuser() as owner:
                assert owner.execute("SELECT count(*) FROM kept").fetchone() == (n + 1,)
