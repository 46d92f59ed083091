"""Judge the model in use on any file of firm-years: no fitting, no shift, at one level of filing."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.words import N_
from marketplace.rating.dataset import FirmYears
from marketplace.rating.drift import P_WATCH
from marketplace.rating.measures import Outcome, Ranked, auc, by_grade, jeffreys_interval, measure
from marketplace.rating.model import Model
from marketplace.rating.ratios import NAMES, Array

# Without assets there is no such share, and no rating.
ASSETS = NAMES.index("equity")
DRAWS = 20_000
MEASURES = ("ks", "brier", "log_loss", "ece", "slope")


def evaluate(
    model: Model,
    data: FirmYears,
    level: str,
    bounds_ppm: Sequence[int],
    first: int | None = None,
    last: int | None = None,
) -> dict[str, Any]:
    """Return how well champion and challenger tell failures from survivors at a level, and the table by grade.

    The PD is the calibrated one at the calibration window's rate, without the shift to another country's rate.
    Rows without assets cannot be rated and are not among the `n`.

    Raises: InvalidInput("nothing_to_judge") when there is no failure, or no survivor, among the rows to judge.
    """
    rows = data.between(first if first is not None else -9999, last if last is not None else 9999)
    rows &= np.isfinite(data.ratios[:, ASSETS])
    # Hundreds of megabytes are not copied to leave nothing out.
    whole = bool(rows.all())
    table, z = (column if whole else column[rows] for column in (data.ratios, data.z))
    outcome = data.outcome if whole else data.outcome[rows]
    _require_both(outcome, data.filename)
    champion, challenger = model.both(table, level)
    told = np.isfinite(z)
    z_auc = auc(outcome[told], -z[told])
    return {
        "n": len(outcome),
        "events": int(outcome.sum()),
        **_judged(outcome, champion, bounds_ppm),
        "challenger": _judged(outcome, challenger, bounds_ppm),
        "z_double_prime_auc": round(z_auc, 4) if np.isfinite(z_auc) else None,
    }


def inversions(grades: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return every grade of the table that defaulted more often than the next worse one that has rows.

    `p` is the chance of that much or more were both of one rate (Fisher's exact test, one-sided): an `alarm` where it
    is below P_WATCH, else no more than a few failures' luck.
    """
    from scipy.stats import hypergeom

    found = []
    for better, worse in pairwise(row for row in grades if row["n"]):
        if better["defaults"] * worse["n"] > worse["defaults"] * better["n"]:
            both, failed = better["n"] + worse["n"], better["defaults"] + worse["defaults"]
            p = float(hypergeom.sf(better["defaults"] - 1, both, failed, better["n"]))
            found.append({"better": better["grade"], "worse": worse["grade"], "rates": [better["rate"], worse["rate"]],
                          "counts": [[row["defaults"], row["n"]] for row in (better, worse)],
                          "intervals": [[round(bound, 6) for bound in jeffreys_interval(row["defaults"], row["n"])]
                                        for row in (better, worse)],
                          "p": round(p, 4), "alarm": p < P_WATCH})  # fmt: skip
    return found


def chance_of_inversion(grades: Sequence[Mapping[str, Any]]) -> float:
    """Return how often a table of these counts shows at least one inverted pair though every mean PD is exactly right.

    Drawn 20,000 times from the binomial distributions, always the same draws.
    """
    filled = [row for row in grades if row["n"]]
    random = np.random.default_rng(20_141_231)
    rates = [random.binomial(row["n"], row["mean_pd"], DRAWS) / row["n"] for row in filled]
    upside_down = np.zeros(DRAWS, np.bool_)
    for better, worse in pairwise(rates):
        upside_down |= better > worse
    return float(upside_down.mean())


def _judged(outcome: Outcome, pd: Array, bounds_ppm: Sequence[int]) -> dict[str, Any]:
    ranked = Ranked.of(outcome, pd)
    found = measure(outcome, pd, ranked)
    _, low, high = ranked.auc_interval()
    interval = [round(bound, 4) if np.isfinite(bound) else None for bound in (low, high)]
    return {"auc": found["auc"], "auc_interval": interval, **{name: found[name] for name in MEASURES},
            "grades": by_grade(outcome, pd, bounds_ppm)}  # fmt: skip


def _require_both(outcome: Outcome, filename: str) -> None:
    problems = []
    if not len(outcome):
        problems.append(Problem(filename, "empty", N_("no row can be judged in the years chosen")))
    elif not outcome.any():
        problems.append(Problem(filename, "no_events", N_("no failure (y = 1) among %(count)s rows"),
                                {"count": len(outcome)}))  # fmt: skip
    elif outcome.all():
        problems.append(Problem(filename, "no_survivors", N_("no survivor (y = 0) among %(count)s rows"),
                                {"count": len(outcome)}))  # fmt: skip
    if problems:
        raise InvalidInput("nothing_to_judge", N_("The file needs failures and survivors in the years chosen."),
                           problems=problems)  # fmt: skip
