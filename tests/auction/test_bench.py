"""The benchmarks of clearing run and say what they claim; small sizes here, whose ratios prove nothing."""

from __future__ import annotations

import json

from click.testing import CliRunner

from marketplace.commands.bench import command

KEYS = {"name", "value", "target", "ok", "runs", "parts", "machine"}


def figures(*words: str) -> dict[str, dict]:
    told = CliRunner().invoke(command, [*words, "--json"])
    assert told.exception is None or isinstance(told.exception, SystemExit), told.exception
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert all(set(line) == KEYS for line in lines)
    return {line["name"]: line for line in lines}


def test_clearing_is_measured_against_sorting():
    found = figures("auction", "--size", "20000", "--runs", "1")
    assert set(found) == {"P5", "P6 growth", "P6 ties", "P7"}
    assert found["P5"]["value"] > 0
    assert found["P7"]["value"] is found["P7"]["ok"] is None
    assert "Liquibook" in found["P7"]["parts"]["skipped"]


def test_joint_clearing_is_measured_against_the_optimum_and_highs():
    found = figures("joint", "--size", "5000", "--runs", "2")
    assert found["P10 gap"]["value"] == 0
    assert found["P10 gap"]["ok"]
    assert found["P10 ratio"]["value"] > 0
    assert 0 <= found["P10 gap"]["parts"]["greedy_gap"] < 0.05
    assert 0 <= found["P10 gap"]["parts"]["certificate_above_optimum"] < 0.05
