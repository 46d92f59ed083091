"""How good a PD is: discrimination, calibration, and the table by grade. Pure, NumPy only."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketplace.rating.grades import GRADES
from marketplace.rating.ratios import Array

Outcome = NDArray[np.int64]


def logit(p: Array | float) -> Array:
    """Return the log-odds."""
    clipped = np.clip(p, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(clipped / (1 - clipped)))


def expit(score: Array | float) -> Array:
    """Return the probability of log-odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(score, -40, 40))))


def auc(outcome: Outcome, score: Array) -> float:
    """Return the chance that a failure scores above a survivor; ties count half (Mann-Whitney)."""
    bad = int(outcome.sum())
    good = len(outcome) - bad
    if not bad or not good:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[outcome == 1].sum() - bad * (bad + 1) / 2) / (bad * good))


def auc_interval(outcome: Outcome, score: Array, z: float = 1.96) -> tuple[float, float, float]:
    """Return (standard error, low, high) of the AUC: DeLong's variance, the bounds on the scale of log-odds.

    A company's years count as if they were independent. At 0 or 1 there is no error to tell: the bounds are the AUC.

    Source: DeLong, DeLong, Clarke-Pearson 1988, Biometrics 44, 837-845; Sun, Xu 2014, IEEE SPL 21(11) (by ranks).
    """
    bad, good = score[outcome == 1], score[outcome == 0]
    if len(bad) < 2 or len(good) < 2:
        return float("nan"), float("nan"), float("nan")
    above_good = (_ranks(np.concatenate([bad, good]))[: len(bad)] - _ranks(bad)) / len(good)
    below_bad = 1 - (_ranks(np.concatenate([good, bad]))[: len(good)] - _ranks(good)) / len(bad)
    value = float(above_good.mean())
    error = float(np.sqrt(above_good.var(ddof=1) / len(bad) + below_bad.var(ddof=1) / len(good)))
    if not 0 < value < 1:
        return error, value, value
    wide = z * error / (value * (1 - value))
    middle = float(logit(value))
    return error, float(expit(middle - wide)), float(expit(middle + wide))


def _ranks(values: Array) -> Array:
    """Return ranks from 1; equal values share the middle one."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse])


def jeffreys_p(defaults: int, count: int, pd: float) -> float:
    """Return the chance that the true rate is at most `pd`, after so many defaults among so many companies.

    Small: the PD is too low for what was seen. One-sided, with the Beta(½, ½) prior.

    Source: European Central Bank 2019, Instructions for reporting the validation results of internal models, 2.5.3.1.
    """
    from scipy.special import betainc

    return float(betainc(defaults + 0.5, count - defaults + 0.5, pd))


def ks(outcome: Outcome, score: Array) -> float:
    """Return the widest gap between the distributions of failures and survivors (Kolmogorov-Smirnov)."""
    values, inverse = np.unique(score, return_inverse=True)
    bad = np.bincount(inverse, weights=outcome, minlength=len(values))
    good = np.bincount(inverse, weights=1 - outcome, minlength=len(values))
    return float(np.max(np.abs(np.cumsum(bad) / bad.sum() - np.cumsum(good) / good.sum())))


def ece(outcome: Outcome, pd: Array, bins: int = 10) -> float:
    """Return the expected calibration error over bins of equal count."""
    parts = np.array_split(np.argsort(pd, kind="stable"), bins)
    return float(sum(len(part) / len(pd) * abs(outcome[part].mean() - pd[part].mean()) for part in parts if len(part)))


def fit_line(outcome: Outcome, score: Array) -> tuple[float, float]:
    """Return (intercept, slope) of a logistic regression of the outcome on one score, by Newton's method."""
    weights = fit_logistic(outcome, score[:, None], ridge=0.0)
    return float(weights[0]), float(weights[1])


def fit_logistic(outcome: Outcome, features: Array, ridge: float) -> Array:
    """Return intercept and weights of a logistic regression; the ridge spares the intercept."""
    # A row a feature: products of long rows, and one buffer for all steps.
    design = np.vstack([np.ones(len(outcome)), features.T])
    weighed = np.empty_like(design)
    penalty = np.full(len(design), ridge)
    penalty[0] = 0.0
    rate = (outcome.sum() + 0.5) / (len(outcome) + 1)
    weights = np.zeros(len(design))
    weights[0] = float(logit(rate))
    for _ in range(100):
        p = expit(weights @ design)
        slope = design @ (outcome - p) - penalty * weights
        np.multiply(design, np.sqrt(p * (1 - p)), out=weighed)
        curve = weighed @ weighed.T + np.diag(penalty + 1e-9)
        step = np.linalg.solve(curve, slope)
        # A long first step overshoots where failures are rare.
        weights = weights + step * min(1.0, 4.0 / max(1e-12, float(np.abs(step).max())))
        if float(np.abs(step).max()) < 1e-10:
            break
    return weights


def measure(outcome: Outcome, pd: Array) -> dict[str, float]:
    """Return AUC with its standard error, KS, Brier score, log loss, ECE and calibration slope."""
    p = np.clip(pd, 1e-9, 1 - 1e-9)
    loss = -(outcome * np.log(p) + (1 - outcome) * np.log(1 - p)).mean()
    return {
        "rows": len(outcome),
        "failures": int(outcome.sum()),
        "auc": round(auc(outcome, pd), 4),
        "auc_se": round(auc_interval(outcome, pd)[0], 4),
        "ks": round(ks(outcome, pd), 4),
        "brier": round(float(((p - outcome) ** 2).mean()), 6),
        "log_loss": round(float(loss), 5),
        "ece": round(ece(outcome, pd), 5),
        "slope": round(fit_line(outcome, logit(p))[1], 3),
        "mean_pd": round(float(p.mean()), 5),
        "rate": round(float(outcome.mean()), 5),
    }


def grade_places(pd: Array, bounds_ppm: Sequence[int]) -> NDArray[np.int64]:
    """Return the place of every PD among the GRADES, as `grade_of` tells it; all rows at once."""
    ppm = np.rint(np.asarray(pd) * 1_000_000)
    return np.minimum(np.searchsorted(np.asarray(bounds_ppm), ppm, side="left"), len(GRADES) - 1)


def by_grade(outcome: Outcome, pd: Array, bounds_ppm: Sequence[int]) -> list[dict[str, Any]]:
    """Return a row a grade: how many, how many failed, mean PD, rate seen, and Jeffreys' p. Empty grades have None."""
    places = grade_places(pd, bounds_ppm)
    counts = np.bincount(places, minlength=len(GRADES))
    defaults = np.bincount(places, weights=outcome, minlength=len(GRADES))
    sums = np.bincount(places, weights=pd, minlength=len(GRADES))
    return [
        {
            "grade": grade,
            "n": int(n),
            "defaults": int(d),
            "mean_pd": round(float(total / n), 6) if n else None,
            "rate": round(float(d / n), 6) if n else None,
            "jeffreys_p": round(jeffreys_p(int(d), int(n), float(total / n)), 4) if n else None,
        }
        for grade, n, d, total in zip(GRADES, counts, defaults, sums, strict=True)
    ]
