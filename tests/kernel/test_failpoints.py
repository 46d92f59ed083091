"""Failpoints: nothing when off, a kill at the very time when on, and no way to turn one on from outside."""

import ast
import os
import signal
import subprocess
import sys
import timeit
from dataclasses import replace
from pathlib import Path

import pytest

from config.settings import Settings, SettingsError
from marketplace.app import create_app
from marketplace.kernel import failpoints
from marketplace.kernel.failpoints import VARIABLE, Place, read_plan
from tests.house.sources import modules, tree

HOUSE = Path(__file__).resolve().parents[2]
CODE = """
from marketplace.kernel.failpoints import Place, reach
for step in range(5):
    reach(Place.BEFORE_COMMIT, "another_verb")
    reach(Place.BEFORE_COMMIT, "confirm_call")
    print(step, flush=True)
"""


def run(plan: str | None) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != VARIABLE}
    environ |= {VARIABLE: plan} if plan is not None else {}
    return subprocess.run([sys.executable, "-c", CODE], cwd=HOUSE, env=environ, capture_output=True, text=True)


def test_off_they_do_nothing_and_cost_next_to_nothing() -> None:
    assert failpoints.PLAN == {}
    assert failpoints.reach is failpoints._pass_by
    seconds = min(timeit.repeat(lambda: failpoints.reach(Place.BEFORE_COMMIT, "x"), number=100_000, repeat=5))
    assert seconds / 100_000 < 2e-6, "a commit takes 100 times as long"


@pytest.mark.parametrize(
    ("plan", "steps"),
    [("before_commit", 0), ("before_commit@confirm_call", 0), ("before_commit@confirm_call:3", 2),
     ("before_commit:4", 1), ("accepted, before_commit@confirm_call:2", 1)],
)  # fmt: skip
def test_on_the_process_is_killed_at_that_very_time(plan: str, steps: int) -> None:
    done = run(plan)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == [str(step) for step in range(steps)]


@pytest.mark.parametrize("plan", [None, "", "accepted", "before_commit@fund_account", "before_commit:99"])
def test_what_is_not_reached_kills_nobody(plan: str | None) -> None:
    assert run(plan).returncode == 0


@pytest.mark.parametrize("plan", ["nowhere", "before_commit:0", "before_commit:x", "@x", "accepted:1:2"])
def test_a_plan_that_cannot_be_read_stops_the_start(plan: str) -> None:
    with pytest.raises(ValueError, match=VARIABLE):
        read_plan(plan)
    assert run(plan).returncode == 1


@pytest.mark.xdist_group("house")
def test_no_other_code_names_the_plan() -> None:
    """Whatever comes in, nothing outside this module arms a place: the plan is read once, before anything else."""
    naming = []
    for path in modules("marketplace"):
        names = {node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
        if names & {"PLAN", "armed", "_pass_by"} and path.name != "failpoints.py":
            naming.append(path.name)
    assert naming == []


def test_a_market_with_a_live_key_does_not_start_with_them(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failpoints, "ARMED", True)
    with pytest.raises(SettingsError, match=VARIABLE):
        create_app(replace(settings, stripe_api_key="sk_live_1"))
