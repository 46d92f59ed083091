"""Rating: how many firm-years are scored a second.

Scored means what `bin/market rating evaluate` does with a row at the fullest level: figures of two years into ratios,
ratios into the champion's calibrated PD. Reading the file and the measures are told beside it. The firm-years are
invented: series of companies in the public layout, always the same ones.
"""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np

from bench.figures import Figure, Say, middle
from marketplace.rating.dataset import firm_years
from marketplace.rating.measures import auc, by_grade
from marketplace.rating.model import HOME, load_model
from marketplace.rating.ratios import Array

ROWS = 1_000_000
YEARS = 10
TARGET = 500_000
BOUNDS_PPM = (1_000, 2_000, 4_000, 7_500, 15_000, 30_000, 60_000, 120_000, 1_000_000)


def measure(size: int | None, runs: int, say: Say) -> Iterator[Figure]:
    """Yield the rows scored per second, the median of the runs."""
    rows = size or ROWS
    numbers = invented(rows)
    model = load_model(HOME)
    speeds, whole = [], []
    for run in range(runs):
        say(f"run {run + 1} of {runs}: {rows} firm-years")
        began = perf_counter()
        data = firm_years(numbers[0], numbers[1], numbers[2], "bench")
        pd = model.pd(data.ratios, "full")
        speeds.append(rows / (perf_counter() - began))
        auc(data.outcome, pd)
        by_grade(data.outcome, pd, BOUNDS_PPM)
        whole.append(rows / (perf_counter() - began))
    value = middle(speeds)
    yield Figure("rating rows scored per second", value, TARGET, value >= TARGET, runs,
                 {"rows": rows, "with_auc_and_grades": middle(whole), "model": model.version})  # fmt: skip


def invented(rows: int, seed: int = 15) -> tuple[Any, Any, dict[str, Array]]:
    """Return companies, years and the columns of so many firm-years, ten years a company."""
    draw = np.random.default_rng(seed)
    company, year = np.arange(rows) // YEARS, 2000 + np.arange(rows) % YEARS
    total = draw.lognormal(5, 2, rows)
    owed = np.minimum(draw.beta(4, 3, rows) * 1.3, 2)
    parts = {name: total * draw.uniform(low, high, rows) for name, low, high in (
        ("X1", 0.2, 0.8), ("X5", 0, 0.1), ("X7", 0, 0.1), ("X9", 0.1, 2.5), ("X12", -0.2, 0.3), ("X6", -0.3, 0.2),
        ("X15", -1.5, 0.6))}  # fmt: skip
    failed = draw.random(rows) < 0.02 * owed**4
    return company, year, parts | {"X10": total, "X17": total * owed, "X14": total * owed * 0.6,
                                   "y": failed.astype(np.float64)}  # fmt: skip
