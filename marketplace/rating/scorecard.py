"""The challenger: a binned logistic scorecard, kept as JSON that a person can read. NumPy only.

One card a level. Every ratio is cut into bins of equal count; a bin's value is its weight of evidence, made monotone
in the ratio's direction (pool adjacent violators); a missing ratio weighs nothing. Weights of the wrong sign go.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from marketplace.rating.measures import Outcome, expit, fit_logistic
from marketplace.rating.parts import in_parts
from marketplace.rating.ratios import LEVELS, NAMES, RATIOS, Array, in_level

BINS = 8
RIDGE = 10.0
# A ratio that hardly any filing tells says more of who tells it than of what it is.
KNOWN_MIN, KNOWN_SHARE = 20, 0.01
DIGITS = 6


def fit_scorecard(tables: Mapping[str, Array], outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """Return the card of every level, fitted on its rows: intercept, and for each ratio its cuts and points (log-odds).

    A ratio that fewer than KNOWN_MIN rows tell, or a hundredth of them, is left out.
    """
    return {level: _fit_level(tables[level], outcomes[level], level) for level in LEVELS}


def score_card(card: Mapping[str, Any], table: Array, level: str) -> Array:
    """Return the PD of every row by the level's card, calibrated by the line that stands in it."""
    intercept, slope = card[level].get("calibration", (0.0, 1.0))
    return expit(intercept + slope * card_log_odds(card, table, level))


def card_log_odds(card: Mapping[str, Any], table: Array, level: str) -> Array:
    """Return the uncalibrated log-odds of every row: the intercept and the points of each known ratio."""
    part = card[level]
    bins = [(NAMES.index(name), np.asarray(one["cuts"]), np.append(one["points"], 0.0))
            for name, one in sorted(part["ratios"].items())]  # fmt: skip

    def score(rows: Array) -> Array:
        columns = np.ascontiguousarray(rows.T)
        total = np.full(len(rows), float(part["intercept"]))
        for place, cuts, points in bins:
            index = np.zeros(len(rows), np.uint8)
            for cut in cuts:
                index += columns[place] >= cut
            # The last place is that of a ratio that is not known: it weighs nothing.
            index[np.isnan(columns[place])] = len(points) - 1
            total += points[index]
        return total

    return in_parts(score, table)


def card_points(card: Mapping[str, Any], one: Array, other: Array, level: str) -> dict[str, tuple[float, float]]:
    """Return (points of one row, points of another) of every ratio of a level's card."""
    found = {}
    for name, bins in card[level]["ratios"].items():
        place = NAMES.index(name)
        own, others = _points(np.array([one[place], other[place]]), bins["cuts"], bins["points"])
        found[name] = (float(own), float(others))
    return found


def _points(values: Array, cuts: Any, points: Any) -> Array:
    known = np.isfinite(values)
    index = np.searchsorted(np.asarray(cuts), np.where(known, values, 0.0), side="right")
    return np.where(known, np.asarray(points)[index], 0.0)


def _fit_level(table: Array, outcome: Outcome, level: str) -> dict[str, Any]:
    binned = {}
    for place, ratio in enumerate(RATIOS):
        told = np.isfinite(table[:, place]).sum()
        if in_level(ratio, level) and told >= max(KNOWN_MIN, KNOWN_SHARE * len(table)):
            binned[ratio.name] = _bins(table[:, place], outcome, ratio.direction)
    names = list(binned)
    evidence = {name: _points(table[:, NAMES.index(name)], *binned[name]) for name in names}
    while True:
        weights = fit_logistic(outcome, np.column_stack([evidence[name] for name in names]), RIDGE)
        wrong = [name for name, weight in zip(names, weights[1:], strict=True) if weight <= 0]
        if not wrong:
            break
        names.remove(min(wrong, key=lambda name: weights[1 + names.index(name)]))
    return {
        "intercept": round(float(weights[0]), DIGITS),
        "ratios": {
            name: {
                "cuts": [round(float(cut), DIGITS) for cut in binned[name][0]],
                "points": [round(float(weight * point), DIGITS) for point in binned[name][1]],
                "shares": _shares(table[:, NAMES.index(name)], binned[name][0]),
            }
            for name, weight in zip(names, weights[1:], strict=True)
        },
    }


def bin_counts(values: Array, cuts: Any) -> list[int]:
    """Return how many known values fall into each bin."""
    index = np.searchsorted(np.asarray(cuts), values[np.isfinite(values)], side="right")
    return [int(count) for count in np.bincount(index, minlength=len(cuts) + 1)]


def _shares(values: Array, cuts: Any) -> list[float]:
    """Return the bins' shares among those the card was fitted on: what later populations are compared with."""
    counts = bin_counts(values, np.round(cuts, DIGITS))
    return [round(count / max(1, sum(counts)), DIGITS) for count in counts]


def _bins(values: Array, outcome: Outcome, direction: int) -> tuple[Array, Array]:
    known = np.isfinite(values)
    cuts = np.unique(np.round(np.quantile(values[known], np.linspace(0, 1, BINS + 1)[1:-1]), DIGITS))
    index = np.searchsorted(cuts, values[known], side="right")
    bad = np.bincount(index, weights=outcome[known], minlength=len(cuts) + 1)
    good = np.bincount(index, weights=1 - outcome[known], minlength=len(cuts) + 1)
    rate = (outcome[known].sum() + 0.5) / (known.sum() + 1)
    # Two imagined companies of the average kind a bin keep a bin without a failure from being certain.
    log_odds = np.log((bad + 2 * rate) / (good + 2 * (1 - rate))) - np.log(rate / (1 - rate))
    return cuts, _monotone(log_odds, bad + good, direction) if direction else log_odds


def _monotone(values: Array, weights: Any, direction: int) -> Array:
    """Return the nearest sequence that only rises (direction 1) or only falls (-1): pool adjacent violators."""
    blocks: list[list[float]] = []
    for value, weight in zip(values * direction, weights, strict=True):
        blocks.append([float(value), max(float(weight), 1e-9), 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            last, before = blocks.pop(), blocks.pop()
            mass = before[1] + last[1]
            blocks.append([(before[0] * before[1] + last[0] * last[1]) / mass, mass, before[2] + last[2]])
    return np.concatenate([np.full(int(size), value) for value, _, size in blocks]) * direction
