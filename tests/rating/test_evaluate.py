"""`bin/market rating evaluate`: the keys, the figures, and files that cannot be used."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from sklearn.metrics import roc_auc_score

from marketplace.cli import main
from marketplace.commands.rating import command
from marketplace.kernel.errors import InvalidInput
from marketplace.rating.dataset import NEEDED, READY, read_firm_years, read_polish
from marketplace.rating.evaluation import chance_of_inversion, inversions
from marketplace.rating.grades import GRADES, grade_of
from marketplace.rating.measures import Ranked, by_grade, grade_places, jeffreys_interval, jeffreys_p
from marketplace.rating.model import HOME, load_model
from marketplace.rating.ratios import BY_NAME, LEVELS, NAMES, masked
from marketplace.rating.scorecard import card_log_odds
from tests.rating.test_model_file import opened_by_the_library
from tests.rating.test_training import population

KEYS = ["n", "events", "auc", "auc_interval", "ks", "brier", "log_loss", "ece", "slope", "grades", "challenger",
        "z_double_prime_auc"]  # fmt: skip
BOUNDS = (1_000, 2_000, 4_000, 7_500, 15_000, 30_000, 60_000, 120_000, 1_000_000)


def evaluate(*words: str) -> Result:
    return CliRunner().invoke(command, ["evaluate", *words])


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Firm-years in the public layout."""
    return population(tmp_path_factory.mktemp("evaluate") / "firms.parquet", companies=200)


@pytest.mark.parametrize("level", LEVELS)
def test_it_prints_the_keys_at_every_level(sample: Path, level: str) -> None:
    done = evaluate("--data", str(sample), "--level", level, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert list(found) == KEYS
    assert found["n"] == 200 * 9
    assert [row["grade"] for row in found["grades"]] == list(GRADES)
    assert sum(row["n"] for row in found["grades"]) == found["n"]
    assert sum(row["defaults"] for row in found["grades"]) == found["events"]
    assert set(found["grades"][0]) == {"grade", "n", "defaults", "mean_pd", "rate", "jeffreys_p"}
    low, high = found["auc_interval"]
    assert low < found["auc"] < high
    assert {"auc", "auc_interval", "ks", "ece", "slope", "grades"} <= found["challenger"].keys()


def test_csv_and_parquet_tell_the_same(sample: Path, tmp_path: Path) -> None:
    other = tmp_path / "firms.CSV"
    pa.csv.write_csv(pq.read_table(sample), other)
    assert evaluate("--data", str(sample), "--json").stdout == evaluate("--data", str(other), "--json").stdout


def test_the_auc_is_what_another_library_says(sample: Path) -> None:
    data = read_firm_years(sample)
    pd = load_model().pd(data.ratios, "small")
    found = json.loads(evaluate("--data", str(sample), "--level", "small", "--json").stdout)
    assert found["auc"] == pytest.approx(roc_auc_score(data.outcome, pd), abs=6e-5)
    assert found["z_double_prime_auc"] == pytest.approx(roc_auc_score(data.outcome, -data.z), abs=6e-5)


def test_the_years_narrow_what_is_judged_but_still_give_the_year_before(sample: Path) -> None:
    found = json.loads(evaluate("--data", str(sample), "--from-year", "2013", "--to-year", "2014", "--json").stdout)
    assert found["n"] == 400
    none = evaluate("--data", str(sample), "--from-year", "2030")
    assert isinstance(none.exception, InvalidInput)


def test_rows_that_stand_several_times_find_the_same_year_before(sample: Path, tmp_path: Path) -> None:
    once = pq.read_table(sample)
    pq.write_table(pa.concat_tables([once, once, once]), tmp_path / "thrice.parquet")
    found = evaluate("--data", str(tmp_path / "thrice.parquet"), "--json").stdout
    alone = json.loads(evaluate("--data", str(sample), "--json").stdout)
    thrice = json.loads(found)
    assert (thrice["n"], thrice["events"]) == (3 * alone["n"], 3 * alone["events"])
    assert (thrice["auc"], thrice["ks"], thrice["brier"]) == (alone["auc"], alone["ks"], alone["brier"])


def test_the_polish_layout_is_read(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    columns = {f"Attr{number}": draw.uniform(0.1, 1, 300) for number in range(1, 65)}
    columns["Attr37"][:100] = np.nan
    columns["class"] = (draw.random(300) < 0.2).astype(float)
    path = tmp_path / "polish.parquet"
    pq.write_table(pa.table(columns), path)
    done = evaluate("--data", str(path), "--dataset", "polish", "--level", "micro", "--json")
    assert list(json.loads(done.stdout)) == KEYS
    ratios = read_polish(path).ratios
    place = NAMES.index("equity")
    assert ratios[:, place] == pytest.approx(np.clip(columns[READY["equity"]], -3, 1))
    assert np.isnan(ratios[:, [one.prior for one in BY_NAME.values()]]).all(), "no year before"


def _without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda table: table.pop(name)


def _put(name: str, value: Any, place: int = 1) -> Callable[[dict[str, Any]], Any]:
    return lambda table: table[name].__setitem__(place, value)


def _all(name: str, values: list[Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda table: table.__setitem__(name, values)


@pytest.mark.parametrize(
    ("spoil", "field", "rule"),
    [
        (_without("X15"), "bad.parquet", "columns"),
        (_put("X10", None), "X10", "number"),
        (_put("X10", float("nan")), "X10", "number"),
        (_put("X17", float("inf")), "X17", "number"),
        (_all("X9", ["a", "b", "c"]), "X9", "type"),
        (_all("X9", [None, None, None]), "X9", "number"),
        (_put("year", 2001.5), "bad.parquet", "year"),
        (_put("year", 1e12), "bad.parquet", "year"),
        (_put("y", 2.0), "bad.parquet", "y"),
        (_put("y", None), "y", "number"),
        (_put("company_name", None), "bad.parquet", "company_name"),
        (_all("y", [0.0, 0.0, 0.0]), "bad.parquet", "no_events"),
        (_all("y", [1.0, 1.0, 1.0]), "bad.parquet", "no_survivors"),
        (_all("X10", [0.0, 0.0, 0.0]), "bad.parquet", "empty"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, spoil: Callable[[Any], Any], field: str, rule: str) -> None:
    table: dict[str, Any] = {name: [10.0, 11.0, 12.0] for name in NEEDED}
    table |= {"company_name": ["A", "A", "B"], "year": [2001.0, 2002.0, 2003.0], "y": [0.0, 1.0, 0.0]}
    spoil(table)
    path = tmp_path / "bad.parquet"
    pq.write_table(pa.table(table), path)
    done = evaluate("--data", str(path), "--json")
    assert isinstance(done.exception, InvalidInput), done.output
    assert [(problem.field, problem.rule) for problem in done.exception.problems] == [(field, rule)]
    assert done.exception.problems[0].said()
    assert done.stdout == ""


@pytest.mark.parametrize("content", [b"", b"PAR1 no parquet", b"a,b\n1,2,3\n\xff"])
@pytest.mark.parametrize("name", ["bad.csv", "bad.parquet"])
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert isinstance(evaluate("--data", str(tmp_path / name)).exception, InvalidInput)


def test_a_header_without_rows_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "bad.csv").open("w", newline="") as file:
        csv.writer(file).writerow(NEEDED)
    done = evaluate("--data", str(tmp_path / "bad.csv"))
    assert isinstance(done.exception, InvalidInput)
    assert done.exception.problems[0].rule == "empty"


def test_wrong_data_leave_the_command_line_with_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.csv").write_text("company_name,year\nA,2001\n")
    monkeypatch.setattr("sys.argv", ["market", "rating", "evaluate", "--data", str(tmp_path / "bad.csv"), "--json"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "X15" in told.err


def test_the_interval_of_an_auc_holds_it_as_often_as_it_says() -> None:
    draw = np.random.default_rng(11)
    truth, held, runs = 0.7602, 0, 300  # normal scores one apart: Φ(1/√2)
    for _ in range(runs):
        score = np.concatenate([draw.normal(1, 1, 40), draw.normal(0, 1, 400)])
        _, low, high = Ranked.of(np.repeat([1, 0], [40, 400]), score).auc_interval()
        held += low <= truth <= high
    assert 0.92 <= held / runs <= 0.985


def test_jeffreys_p_on_known_values() -> None:
    # Beta(½, ½) is the arcsine law: 2/π · arcsin √p. Beta(1½, ½): that less 2/π · √(p(1-p)).
    assert jeffreys_p(0, 0, 0.25) == pytest.approx(1 / 3)
    assert jeffreys_p(1, 1, 0.25) == pytest.approx(1 / 3 - np.sqrt(3) / (2 * np.pi))
    assert jeffreys_p(0, 1_000, 0.5) == pytest.approx(1)


@pytest.mark.parametrize("level", LEVELS)
def test_the_fast_scorer_gives_the_library_s_own_numbers(level: str) -> None:
    model = load_model()
    draw = np.random.default_rng(5)
    rows = masked(
        np.where(draw.random((60_000, len(NAMES))) < 0.1, np.nan, draw.normal(0, 1, (60_000, len(NAMES)))), level
    )
    booster = opened_by_the_library(HOME)
    assert (model.forest.log_odds(rows) == booster.decision_function(rows)).all()
    assert (model.forest.log_odds(rows[:7]) == booster.decision_function(rows[:7])).all()
    slow = sum(
        np.where(
            np.isfinite(rows[:, NAMES.index(name)]),
            np.append(one["points"], 0)[np.searchsorted(one["cuts"], rows[:, NAMES.index(name)], "right")],
            0,
        )
        for name, one in model.challenger[level]["ratios"].items()
    )
    assert card_log_odds(model.challenger, rows, level) == pytest.approx(slow + model.challenger[level]["intercept"])


def test_grades_of_many_are_grades_of_each() -> None:
    pd = np.concatenate([np.array(BOUNDS) / 1e6, np.array(BOUNDS[:-1]) / 1e6 + 1e-6, [0.0, 0.0005, 1.0]])
    assert [GRADES[place] for place in grade_places(pd, BOUNDS)] == [
        grade_of(round(float(one) * 1e6), BOUNDS) for one in pd
    ]
    rows = by_grade(np.array([0, 1]), np.array([0.0005, 0.5]), BOUNDS)
    assert [(row["n"], row["defaults"]) for row in rows if row["n"]] == [(1, 0), (1, 1)]


def test_a_grade_that_fails_more_often_than_a_worse_one_is_told_and_luck_is_no_alarm() -> None:
    def table(*pairs: tuple[int, int]) -> list[dict[str, Any]]:
        return [{"grade": grade, "n": n, "defaults": d, "rate": d / n if n else None}
                for grade, (n, d) in zip(GRADES, pairs, strict=False)]  # fmt: skip

    assert inversions(table((100, 1), (100, 1), (0, 0), (50, 2))) == []
    thin, sure = ({"n": n, "mean_pd": pd} for n, pd in ((50, 0.02), (100_000, 0.03)))
    assert chance_of_inversion([sure, sure | {"mean_pd": 0.06}]) == 0
    assert 0.2 < chance_of_inversion([thin, sure]) < 0.3, "two or more of fifty fail by chance in 26 % of cases"
    low, high = jeffreys_interval(3, 1_093)
    assert (low, high) == (pytest.approx(0.000773, abs=1e-6), pytest.approx(0.007316, abs=1e-5))
    assert jeffreys_interval(0, 10)[0] == 0.0
    assert jeffreys_interval(10, 10)[1] == 1.0
    luck, alarm = inversions(table((100, 1), (100, 0), (0, 0), (1000, 80), (1000, 20)))
    assert (luck["better"], luck["worse"], luck["p"], luck["alarm"]) == ("A+", "A", 0.5, False)
    assert (alarm["better"], alarm["worse"], alarm["alarm"]) == ("B+", "B", True)
