"""The benchmarks run, at a small size, and say what they were asked to say."""

import importlib
import json

import pytest
from click.testing import CliRunner

from marketplace.cli import market
from marketplace.commands.bench import names

FIELDS = {"name", "value", "target", "ok", "runs", "parts", "machine"}


def test_an_unknown_benchmark_is_refused_naming_those_there_are() -> None:
    done = CliRunner().invoke(market, ["bench", "nothing"])
    assert done.exit_code == 2
    assert "duplicates" in done.output
    assert "duplicates" in names()


@pytest.mark.slow
def test_look_ups_are_measured_and_use_the_index_alone() -> None:
    done = CliRunner().invoke(market, ["bench", "duplicates", "--size", "60000", "--runs", "1", "--json"])
    told = json.loads(done.stdout.splitlines()[-1])
    assert set(told) == FIELDS
    assert (told["name"], told["target"], told["runs"]) == ("P14", 0.8, 1)
    assert told["value"] > 0.1  # how fast it must be is asked at full size
    assert told["parts"]["large"]["keys"] >= 60_000
    assert told["parts"]["large"]["candidates_each"] < 40
    assert done.exit_code == (0 if told["ok"] else 1)


def test_a_receipt_over_many_holdings_is_measured() -> None:
    (figure,) = importlib.import_module("bench.waterfall").measure(40, 1, lambda _: None)
    assert set(figure.record()) == FIELDS
    assert (figure.name, figure.target, figure.runs) == ("P9", 15.0, 1)
    assert figure.parts["rows"] == 120
    assert figure.value


def test_webhooks_of_a_bad_day_end_as_on_a_calm_one() -> None:
    slowest, differ = importlib.import_module("bench.webhooks").measure(20, 1, lambda _: None)
    assert all(set(one.record()) == FIELDS for one in (slowest, differ))
    assert slowest.parts["answers"] == {"200": 200, "400": 2}
    assert slowest.value
    assert (differ.value, differ.ok) == (0, True)


def test_a_settlement_is_measured_beside_the_same_one_row_by_row() -> None:
    copy, orm = importlib.import_module("bench.settle").measure(20, 1, lambda _: None)
    assert [(one.name, one.target) for one in (copy, orm)] == [("P8 copy", 10.0), ("P8 orm", 30.0)]
    assert all(set(one.record()) == FIELDS and one.value for one in (copy, orm))
    # ends of holds, postings, holdings and two dues each, and what there is once of a settlement; `measure` itself
    # asks that both ways left the same rows behind
    assert (orm.parts["orm_fills"], orm.parts["orm_rows"]) == (20, 5 * 20 + 23)
    assert orm.parts["orm_bare_s"]
    # COPY wrote what both did, with what triggers wrote beside it
    assert copy.parts["rows"] >= orm.parts["orm_rows"]
    assert {"hold_resolution", "posting", "holding", "due", "event"} <= copy.parts["bytes"].keys()
    assert copy.parts["binary_s"]
    assert copy.parts["binary_rows"] == copy.parts["rows"], "a copy was copied"
    assert copy.parts["narrow_s"]


def test_closing_is_measured_to_the_last_lot() -> None:
    figures = list(importlib.import_module("bench.close").measure(12, 1, lambda _: None))
    assert [one.name for one in figures] == ["P11 seconds", "P11 ratio"]
    assert all(set(one.record()) == FIELDS and one.value for one in figures)
    parts = figures[0].parts
    assert parts["bids"] == 12 * 30
    # COPY wrote at the least every bid's end, each lot with its award, and an event of what became of it
    assert parts["rows"] > 12 * 30 + 3 * 12
    assert parts["copy_s"]
    assert parts["binary_s"]
