"""`bin/market duplicates evaluate` on a judged set that was written before the matcher was tuned."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.house.sources import HOUSE
from tests.receivables.matching.pairs.judged_set import FRAUD, HONEST, REWRITE, bare_key, pairs, write

pytestmark = pytest.mark.xdist_group("judged pairs")  # one process judges them, once

SEED, FRAUDS, HONESTS = 3, 4_000, 12_000
Report = dict[str, Any]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """What the command prints for the judged set."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    write(path, SEED, FRAUDS, HONESTS)
    asked = [sys.executable, "-m", "marketplace", "duplicates", "evaluate", str(path), "--json"]
    done = subprocess.run(asked, cwd=HOUSE, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    told: Report = json.loads(done.stdout)
    return told


def caught(report: Report, *beginnings: str) -> tuple[int, int]:
    """How many pairs of the kinds that begin so were blocked or held, and how many there are."""
    kinds = [of for kind, of in report["by_kind"].items() if kind.startswith(beginnings)]
    return sum(of["blocked"] + of["held"] for of in kinds), sum(of["n"] for of in kinds)


def weakest(report: Report, beginning: str, least: float) -> dict[str, Any]:
    """The kinds that begin so and are caught less often than asked, for a person to read."""
    return {
        kind: of
        for kind, of in report["by_kind"].items()
        if kind.startswith(beginning) and of["blocked"] + of["held"] < least * of["n"]
    }


def test_every_pair_is_judged(report: Report) -> None:
    assert report["pairs"] == FRAUDS + HONESTS == report["blocked"] + report["held"] + report["passed"]
    assert set(report["by_kind"]) == {*FRAUD, *HONEST}


def test_the_same_key_is_always_blocked(report: Report) -> None:
    exact = {kind: of for kind, of in report["by_kind"].items() if kind.startswith("exact_")}
    assert {kind: of for kind, of in exact.items() if of["blocked"] != of["n"]} == {}


def test_composed_edits_are_blocked_or_held(report: Report) -> None:
    found, of = caught(report, "composed_")
    assert found >= 0.99 * of, weakest(report, "composed_", 0.99)


def test_nearly_everything_but_full_rewrites_is_blocked_or_held(report: Report) -> None:
    found, of = caught(report, "exact_", "near_", "composed_")
    assert found >= 0.98 * of, weakest(report, "near_", 0.98)
    assert report["recall_without_full_rewrite"] == pytest.approx(found / of, abs=1e-4)


def test_no_honest_listing_is_blocked(report: Report) -> None:
    blocked = {kind: of for kind, of in report["by_kind"].items() if kind in HONEST and of["blocked"]}
    assert blocked == {}
    assert report["honest_blocked"] == 0


def test_few_honest_listings_are_held(report: Report) -> None:
    held = {kind: of["held"] for kind, of in report["by_kind"].items() if kind in HONEST and of["held"]}
    assert sum(held.values()) <= 0.02 * HONESTS, held
    assert report["honest_held_rate"] == pytest.approx(sum(held.values()) / HONESTS, abs=1e-4)


def test_the_set_is_wide_enough_to_judge_by() -> None:
    told = Counter(kind.split("_")[0] for kind in (*FRAUD, *HONEST))
    assert len(FRAUD) - sum(kind.startswith(REWRITE) for kind in FRAUD) >= 60
    assert told["honest"] >= 20
    assert told["exact"] >= 40
    assert HONESTS >= 10_000


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write(tmp_path / name, seed, fraud=200, honest=100)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_no_pair_is_a_listing_twice_and_no_honest_one_shares_a_key() -> None:
    for pair in pairs(9, fraud=300, honest=300):
        assert pair["a"] != pair["b"]
        assert pair["same"] or bare_key(pair["a"]) != bare_key(pair["b"])
