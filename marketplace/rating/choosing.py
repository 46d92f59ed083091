"""What each choice in the model buys: fits that end earlier, judged on the two years after, three times over.

Windows that grow: until 2005 judged on 2006-07, until 2007 on 2008-09, until 2009 on 2010-11. The years 2012-2014 take
no part, so that they can judge what was chosen. Never imported by a door.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from marketplace.rating.dataset import FirmYears
from marketplace.rating.measures import auc
from marketplace.rating.model import blend
from marketplace.rating.ratios import LEVELS, NAMES, Array, masked
from marketplace.rating.scorecard import fit_scorecard
from marketplace.rating.training import PARAMETERS, TREES_WEIGHT, boost
from marketplace.rating.trees import Forest

WINDOWS = ((2005, 2006, 2007), (2007, 2008, 2009), (2009, 2010, 2011))
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
TREES: Mapping[str, dict[str, Any]] = {
    "trees: 160 of half the step": {"max_iter": 160, "learning_rate": 0.05},
    "trees: 160 of 3 leaves": {"max_iter": 160, "max_leaf_nodes": 3, "min_samples_leaf": 300},
    "trees: a fifth of the ratios each": {"max_features": 0.2},
    "trees: not bound to directions": {"monotonic_cst": None},
}
LEFT_OUT = ("loss_borne", "profit_before", "debtors", "retained_change")


def compare(data: FirmYears, progress: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Yield a record a choice: the mean AUC over the windows by level, and over levels; first the recipe in use."""
    tables = {level: masked(data.ratios, level) for level in LEVELS}
    progress(f"trees' weight, {len(WINDOWS)} windows")
    by_weight = _windows(data, tables, {}, WEIGHTS)
    yield _record("in use", by_weight[TREES_WEIGHT])
    for weight in WEIGHTS:
        yield _record(f"trees' weight {weight}", by_weight[weight])
    for name, change in TREES.items():
        progress(name)
        yield _record(name, _windows(data, tables, change, (TREES_WEIGHT,))[TREES_WEIGHT])
    for ratio in LEFT_OUT:
        progress(f"without {ratio}")
        less = {level: table.copy() for level, table in tables.items()}
        for table in less.values():
            table[:, NAMES.index(ratio)] = 0.0
        yield _record(f"without {ratio}", _windows(data, less, {}, (TREES_WEIGHT,))[TREES_WEIGHT])


def _windows(
    data: FirmYears, tables: Mapping[str, Array], change: dict[str, Any], weights: tuple[float, ...]
) -> dict[float, Array]:
    """Return by weight the AUC of every window (rows) and level (columns)."""
    found: dict[float, list[list[float]]] = {weight: [] for weight in weights}
    for until, first, last in WINDOWS:
        fit, late = data.year <= until, data.between(first, last)
        card = fit_scorecard({level: tables[level][fit] for level in LEVELS},
                             dict.fromkeys(LEVELS, data.outcome[fit]))  # fmt: skip
        forest = Forest(boost(tables, data.outcome, dict.fromkeys(LEVELS, fit), PARAMETERS | change))
        trees = {level: forest.log_odds(tables[level][late]) for level in LEVELS}
        for weight, rows in found.items():
            rows.append([auc(data.outcome[late], blend(weight, trees[level], card, tables[level][late], level))
                         for level in LEVELS])  # fmt: skip
    return {weight: np.array(rows) for weight, rows in found.items()}


def _record(name: str, aucs: Array) -> dict[str, Any]:
    means = {level: round(float(value), 4) for level, value in zip(LEVELS, aucs.mean(axis=0), strict=True)}
    return {"choice": name, **means, "mean": round(float(aucs.mean()), 4),
            "windows": [round(float(value), 4) for value in aucs.mean(axis=1)]}  # fmt: skip
