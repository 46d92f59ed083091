"""The challenger: a binned logistic scorecard, kept as JSON that a person can read. NumPy only.

One card a level. Every ratio is cut into bins of equal count; a bin's value is its weight of evidence, made monotone
in the ratio's direction (pool adjacent violators); a missing ratio weighs nothing. Weights of the wrong sign go. That
is done with few, with more and with many bins, and the mean of the three is the card: no single cut decides much.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from marketplace.rating.measures import Outcome, expit, fit_logistic
from marketplace.rating.parts import in_parts
from marketplace.rating.ratios import BY_NAME, LEVELS, NAMES, RATIOS, Array, in_level

BINS = (5, 8, 12)
WATCHED_BINS = 8  # what later populations are compared by
RIDGE = 10.0
# A ratio that hardly any filing tells says more of who tells it than of what it is.
KNOWN_MIN, KNOWN_SHARE = 20, 0.01
DIGITS = 6
COARSE, FINE = 1e-3, 1e-7


def fit_scorecard(
    tables: Mapping[str, Array], outcomes: Mapping[str, Outcome | Array], bins: tuple[int, ...] = BINS
) -> dict[str, Any]:
    """Return the card of every level, fitted on its rows: intercept, and for each ratio its cuts and points (log-odds).

    An outcome between 0 and 1 is so much of a failure. A ratio that fewer than KNOWN_MIN rows tell, or a hundredth of
    them, is left out.
    """
    near: dict[str, float] = {}
    binned: dict[tuple[str, int], _Binned] = {}
    return {level: _fit_level(tables[level], outcomes[level], level, bins, near, binned) for level in LEVELS}


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


@dataclass(frozen=True)
class _Binned:
    """A column of values with their outcome, its cuts, the weight of evidence of each bin, and that of each row."""

    values: Array
    outcome: Outcome | Array
    cuts: Array
    points: Array
    evidence: Array


def _fit_level(
    table: Array, outcome: Outcome | Array, level: str, bins: tuple[int, ...], near: dict[str, float],
    binned: dict[tuple[str, int], _Binned]
) -> dict[str, Any]:  # fmt: skip
    """Return the level's card. `near`: weights found last; `binned`: what was cut last; both are kept up to date."""
    columns = {}
    for place, ratio in enumerate(RATIOS):
        told = np.isfinite(table[:, place]).sum()
        if in_level(ratio, level) and told >= max(KNOWN_MIN, KNOWN_SHARE * len(table)):
            columns[ratio.name] = table[:, place]
    cards = []
    for count in bins:
        # Levels mostly share their rows: what one has cut the next one finds.
        for name, values in columns.items():
            known = binned.get((name, count))
            if known is None or not (np.array_equal(known.values, values, equal_nan=True)
                                     and np.array_equal(known.outcome, outcome)):  # fmt: skip
                cuts, points = _bins(values, outcome, BY_NAME[name].direction, count)
                binned[name, count] = _Binned(values, outcome, cuts, points, _points(values, cuts, points))
        cards.append(_fit_bins({name: binned[name, count] for name in columns}, outcome, near))
    found = {}
    for name, values in columns.items():
        cuts, points = _mean([card[name] for _, card in cards if name in card], len(cards))
        if not len(cuts):
            continue
        watched = _cuts(values, WATCHED_BINS)
        found[name] = {
            "cuts": [round(float(cut), DIGITS) for cut in cuts],
            "points": [round(float(point), DIGITS) for point in points],
            "watched_cuts": [round(float(cut), DIGITS) for cut in watched],
            "shares": _shares(values, watched),
        }
    return {"intercept": round(float(np.mean([intercept for intercept, _ in cards])), DIGITS), "ratios": found}


def _fit_bins(
    columns: Mapping[str, _Binned], outcome: Outcome | Array, near: dict[str, float]
) -> tuple[float, dict[str, tuple[Array, Array]]]:
    """Return the intercept of one card, and the cuts and points of each ratio that helps."""
    names, last_step = list(columns), COARSE
    while True:
        start = np.array([near.get(name, 0.0) for name in ("", *names)]) if near else None
        features = [columns[name].evidence for name in names]
        weights = fit_logistic(outcome, features, RIDGE, start, last_step)
        near.update(zip(("", *names), map(float, weights), strict=True))
        wrong = [name for name in names if near[name] <= 0]
        if wrong:
            names.remove(min(wrong, key=lambda name: near[name]))
        elif last_step == FINE:
            break
        # Signs are told by a coarse search; the weights that stay, by a fine one.
        last_step = COARSE if wrong else FINE
    return near[""], {name: (columns[name].cuts, near[name] * columns[name].points) for name in names}


def _mean(parts: list[tuple[Array, Array]], count: int) -> tuple[Array, Array]:
    """Return the steps that are the sum of the parts' steps by `count`, without cuts on which nothing changes."""
    cuts = np.unique(np.concatenate([cuts for cuts, _ in parts])) if parts else np.empty(0)
    # A value in each bin: below the first cut, then on each.
    on = np.concatenate([[-np.inf], cuts])
    points = np.sum([points[np.searchsorted(own, on, side="right")] for own, points in parts], axis=0) / count
    changes = np.diff(points) != 0 if len(cuts) else np.empty(0, np.bool_)
    return cuts[changes], points[np.concatenate([[True], changes])] if len(cuts) else np.empty(0)


def bin_counts(values: Array, cuts: Any) -> list[int]:
    """Return how many known values fall into each bin."""
    index = np.searchsorted(np.asarray(cuts), values[np.isfinite(values)], side="right")
    return [int(count) for count in np.bincount(index, minlength=len(cuts) + 1)]


def _shares(values: Array, cuts: Any) -> list[float]:
    """Return the bins' shares among those the card was fitted on: what later populations are compared with."""
    counts = bin_counts(values, np.round(cuts, DIGITS))
    return [round(count / max(1, sum(counts)), DIGITS) for count in counts]


def _cuts(values: Array, count: int) -> Array:
    """Return the inner bounds of so many bins of equal count."""
    known = values[np.isfinite(values)]
    return np.unique(np.round(np.quantile(known, np.linspace(0, 1, count + 1)[1:-1]), DIGITS))


def _bins(values: Array, outcome: Outcome | Array, direction: int, count: int) -> tuple[Array, Array]:
    known = np.isfinite(values)
    cuts = _cuts(values, count)
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
