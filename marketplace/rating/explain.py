"""Why a company has its PD: what each ratio adds, in words with its figure.

Contributions are Shapley values of the champion's log-odds between the company and one reference company: the median
survivor, seen at the same level and with the same ratios missing. They are exact and add up to the whole difference.
A contribution says what the model did with a ratio; it does not say that the ratio caused anything.

Of the trees they are interventional TreeSHAP; of the scorecard, which only adds, the difference of the points.

Source: Lundberg et al. 2020, From local explanations to global understanding (interventional TreeSHAP), with one
background row.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from marketplace.kernel.words import N_
from marketplace.rating.grades import MILLION
from marketplace.rating.model import Model
from marketplace.rating.ratios import BY_NAME, LOGARITHMS, NAMES, RATIOS, Array, Ratio, Sight, masked
from marketplace.rating.scorecard import card_points

STRONGEST = 5


@dataclass(frozen=True)
class Reason:
    """One contribution: its words, their parameters, and its weight in millionths of log-odds. Above zero: riskier."""

    ratio: str
    words: str
    params: Mapping[str, str]
    weight_ppm: int


def reasons(model: Model, sight: Sight, most: int = STRONGEST) -> list[Reason]:
    """Return the strongest contributions, strongest first; ties in the order of the ratios, zeros left out."""
    weights = contributions(model, sight)
    order = sorted(weights, key=lambda name: (-abs(weights[name]), NAMES.index(name)))
    found = [_reason(BY_NAME[name], sight.ratios[name], weights[name]) for name in order[:most]]
    return [reason for reason in found if reason.weight_ppm]


def contributions(model: Model, sight: Sight) -> dict[str, float]:
    """Return what each known ratio adds to the calibrated log-odds, compared with the reference company."""
    row = masked(sight.row(), sight.level)[0]
    reference = np.where(np.isfinite(row), model.reference[0], np.nan)
    trees = np.zeros(len(model.columns))
    seen, compared = row[list(model.columns)], reference[list(model.columns)]
    for nodes in model.boosted.trees:
        _add_tree(nodes, seen, compared, trees)
    total = np.zeros(len(NAMES))
    total[list(model.columns)] = model.trees_weight * trees
    # The scorecard only adds: what a ratio's points differ by is its whole contribution.
    for name, (own, others) in card_points(model.challenger, row, reference, sight.level).items():
        total[NAMES.index(name)] += (1 - model.trees_weight) * (own - others)
    slope = model.calibration[sight.level][1]
    return {name: slope * float(total[place]) for place, name in enumerate(NAMES) if np.isfinite(row[place])}


def _add_tree(nodes: Any, row: Array, reference: Array, total: Array) -> None:
    """Add one tree's exact Shapley values to the total.

    A mixed company takes some ratios from the company, the rest from the reference. On the way to a leaf, a ratio on
    which both would turn alike does not matter; one on which only the company would turn this way must be its own; one
    on which only the reference would must not be. A leaf that needs a own and b other ratios gives each of the first
    value · (a-1)! b! / (a+b)! and takes from each of the second value · a! (b-1)! / (a+b)!.
    """
    stack: list[tuple[int, frozenset[int], frozenset[int]]] = [(0, frozenset(), frozenset())]
    while stack:
        place, own, other = stack.pop()
        node = nodes[place]
        if node["is_leaf"]:
            for ratio in own:
                total[ratio] += node["value"] * _share(len(own), len(other))
            for ratio in other:
                total[ratio] -= node["value"] * _share(len(other), len(own))
            continue
        ratio = int(node["feature_idx"])
        left = _goes_left(node, row[ratio])
        left_reference = _goes_left(node, reference[ratio])
        for child, mine, theirs in ((int(node["left"]), left, left_reference),
                                    (int(node["right"]), not left, not left_reference)):  # fmt: skip
            if mine and theirs:
                stack.append((child, own, other))
            elif mine and ratio not in other:
                stack.append((child, own | {ratio}, other))
            elif theirs and ratio not in own:
                stack.append((child, own, other | {ratio}))


def _goes_left(node: Any, value: float) -> bool:
    return bool(node["missing_go_to_left"]) if math.isnan(value) else bool(value <= node["num_threshold"])


@cache
def _share(these: int, those: int) -> float:
    return math.factorial(these - 1) * math.factorial(those) / math.factorial(these + those)


def _reason(ratio: Ratio, value: float, weight: float) -> Reason:
    percent = 100 * (math.exp(value) - (1 if ratio.name == "growth" else 0) if ratio.name in LOGARITHMS else value)
    below = percent < 0 and ratio.words_below
    shown = -percent if below else percent
    words = ratio.words_below if below else ratio.words
    if ratio.words_most and value >= ratio.most - 1e-9:
        words = ratio.words_most
    bound = next((abs(bound) for bound in (ratio.least, ratio.most) if math.isclose(value, bound, abs_tol=1e-9)), 0.0)
    return Reason(ratio.name, words, {"percent": ("≥ " if bound > 1 else "") + _figure(shown)}, round(weight * MILLION))


def _figure(percent: float) -> str:
    """Return whole per cent from ten upwards, else one decimal."""
    return str(round(percent)) if abs(percent) >= 9.95 else f"{round(percent, 1) + 0.0:.1f}"


GAPS = {
    "profit": N_("No profit and loss account is filed."),
    "retained": N_("Retained profits are not shown."),
    "debtors": N_("Debtors are not shown."),
    "liquid": N_("Cash is not shown."),
}
NO_PRIOR = N_("The year before is not in the accounts.")


def missing(sight: Sight) -> list[str]:
    """Return in words what the accounts do not tell, of what the model could use."""
    has_prior = any(ratio.prior and ratio.name in sight.ratios for ratio in RATIOS)
    return ([] if has_prior else [NO_PRIOR]) + [words for name, words in GAPS.items() if name not in sight.ratios]
