"""What each choice in the model buys: fits that end earlier, judged on the two years after, and companies held out.

Windows that grow: until 2003 judged on 2004-05, until 2005 on 2006-07, until 2007 on 2008-09, until 2009 on 2010-11.
And the years until 2011 in five parts, each judged by the companies of the others: there a year's companies are
compared with each other alone. The years 2012-2014 take no part, so that they can judge what was chosen. Never
imported by a door.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from marketplace.rating.dataset import FirmYears
from marketplace.rating.measures import auc, within_years
from marketplace.rating.ratios import LEVELS, NAMES, Array, masked
from marketplace.rating.scorecard import BINS, card_log_odds, fit_scorecard
from marketplace.rating.training import FOLDS, PARAMETERS, SOON_WEIGHT, TREES_WEIGHT, Rows, boost, told_soon
from marketplace.rating.trees import BoostedTrees, Forest

WINDOWS = ((2003, 2004, 2005), (2005, 2006, 2007), (2007, 2008, 2009), (2009, 2010, 2011))
LAST = 2011
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)


@dataclass(frozen=True)
class Recipe:
    """What is fitted: parameters of the trees that differ, the scorecard's bins, what a failure a year later counts."""

    trees: Mapping[str, Any] = field(default_factory=dict)
    bins: tuple[int, ...] = BINS
    soon: float = SOON_WEIGHT
    without: str | None = None


CHOICES = {
    "scorecard: 8 bins alone": Recipe(bins=(8,)),
    "scorecard: failures of the coming year alone": Recipe(soon=0.0),
    "scorecard: both, as it was": Recipe(bins=(8,), soon=0.0),
    "trees: 160 of half the step": Recipe({"max_iter": 160, "learning_rate": 0.05}),
    "trees: a fifth of the ratios each": Recipe({"max_features": 0.2}),
    "trees: a ridge of 100": Recipe({"l2_regularization": 100.0}),
    "trees: not bound to directions": Recipe({"monotonic_cst": None}),
    **{f"without {name}": Recipe(without=name)
       for name in ("loss_borne", "profit_before", "debtors", "retained_change")},
}  # fmt: skip


def compare(data: FirmYears, progress: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Yield a record a choice, first the recipe in use.

    `windows`: the mean AUC over the levels, a window each; by level and `mean`: over the windows; `by_company`: over
    levels, companies held out, within years.
    """
    lab = _Lab(data)
    in_use = Recipe()
    progress(f"the recipe in use: {len(WINDOWS)} windows, {FOLDS} parts of the companies")
    yield lab.record("in use", in_use, TREES_WEIGHT)
    for weight in WEIGHTS:
        yield lab.record(f"trees' weight {weight}", in_use, weight)
    for name, recipe in CHOICES.items():
        progress(name)
        yield lab.record(name, recipe, TREES_WEIGHT)


class _Lab:
    """The data cut into rows to fit and rows to judge; what was fitted is remembered while choices share it."""

    def __init__(self, data: FirmYears) -> None:
        self._data = data
        self._tables = {level: masked(data.ratios, level) for level in LEVELS}
        until, part = data.year <= LAST, data.company % FOLDS
        self._windows = [(data.year <= last, data.between(*judged)) for last, *judged in WINDOWS]
        self._parts = [(until & (part != fold), until & (part == fold)) for fold in range(FOLDS)]
        self._scores: dict[Any, dict[str, list[Array]]] = {}

    def record(self, name: str, recipe: Recipe, weight: float) -> dict[str, Any]:
        """Return how the recipe does with this weight of the trees."""
        data, splits = self._data, [*self._windows, *self._parts]
        trees, card = self._trees(recipe), self._card(recipe)
        mixed = {level: [weight * trees[level][place] + (1 - weight) * card[level][place]
                         for place in range(len(splits))] for level in LEVELS}  # fmt: skip
        windows = np.array([[auc(data.outcome[late], mixed[level][place]) for level in LEVELS]
                            for place, (_, late) in enumerate(self._windows)])  # fmt: skip
        held_out = []
        for level in LEVELS:
            score = np.full(len(data.outcome), np.nan)
            for (_, own), found in zip(self._parts, mixed[level][len(self._windows) :], strict=True):
                score[own] = found
            told = np.isfinite(score)
            held_out.append(within_years(data.outcome[told], score[told], data.year[told])[0])
        levels = {level: round(float(value), 4) for level, value in zip(LEVELS, windows.mean(axis=0), strict=True)}
        return {"choice": name, **levels, "mean": round(float(windows.mean()), 4),
                "by_company": round(float(np.mean(held_out)), 4),
                "windows": [round(float(value), 4) for value in windows.mean(axis=1)]}  # fmt: skip

    def _trees(self, recipe: Recipe) -> dict[str, list[Array]]:
        tables = self._without(recipe.without)

        def fit(rows: Rows, late: Rows) -> dict[str, Array]:
            booster = boost(tables, self._data.outcome, dict.fromkeys(LEVELS, rows), PARAMETERS | dict(recipe.trees))
            forest = Forest(BoostedTrees.of(booster))
            return {level: forest.log_odds(tables[level][late]) for level in LEVELS}

        return self._remembered(("trees", repr(recipe.trees), recipe.without), fit)

    def _card(self, recipe: Recipe) -> dict[str, list[Array]]:
        tables = self._without(recipe.without)

        def fit(rows: Rows, late: Rows) -> dict[str, Array]:
            outcome = told_soon(self._data, rows, recipe.soon)[rows]
            card = fit_scorecard({level: tables[level][rows] for level in LEVELS}, dict.fromkeys(LEVELS, outcome),
                                 recipe.bins)  # fmt: skip
            return {level: card_log_odds(card, tables[level][late], level) for level in LEVELS}

        return self._remembered(("card", recipe.bins, recipe.soon, recipe.without), fit)

    def _remembered(self, key: Any, fit: Callable[[Rows, Rows], dict[str, Array]]) -> dict[str, list[Array]]:
        if key not in self._scores:
            found = [fit(rows, late) for rows, late in (*self._windows, *self._parts)]
            self._scores[key] = {level: [one[level] for one in found] for level in LEVELS}
        return self._scores[key]

    def _without(self, name: str | None) -> dict[str, Array]:
        if name is None:
            return self._tables
        less = {level: table.copy() for level, table in self._tables.items()}
        for table in less.values():
            table[:, NAMES.index(name)] = 0.0
        return less
