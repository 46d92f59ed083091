"""How good a PD is: discrimination, calibration, and the table by grade. Pure, NumPy only."""

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Ranked:
    """Outcomes by rising score, sorted once for all measures; per distinct score how many failed and survived."""

    outcome: Outcome
    score: Array
    bad: Array
    good: Array

    @classmethod
    def of(cls, outcome: Outcome, score: Array) -> "Ranked":
        """Sort by score; equal scores keep their order."""
        order = np.argsort(score, kind="stable")
        outcome, score = outcome[order], score[order]
        last = np.flatnonzero(np.append(score[1:] != score[:-1], True)) if len(score) else np.empty(0, np.int64)
        bad = np.diff(np.cumsum(outcome)[last], prepend=0).astype(np.float64)
        return cls(outcome, score, bad, np.diff(last + 1, prepend=0) - bad)

    def auc(self) -> float:
        """Return the chance that a failure scores above a survivor; ties count half (Mann-Whitney)."""
        bad, good = self.bad.sum(), self.good.sum()
        if not bad or not good:
            return float("nan")
        return float(self.bad @ (np.cumsum(self.good) - self.good / 2) / (bad * good))

    def auc_interval(self, z: float = 1.96) -> tuple[float, float, float]:
        """Return (standard error, low, high) of the AUC: DeLong's variance, the bounds on the scale of log-odds.

        A company's years count as if they were independent. At 0 or 1 there is no error to tell: the bounds are the
        AUC.

        Source: DeLong, DeLong, Clarke-Pearson 1988, Biometrics 44, 837-845; Sun, Xu 2014, IEEE SPL 21(11) (by ranks).
        """
        bad, good = self.bad.sum(), self.good.sum()
        if min(bad, good) < 2:
            return float("nan"), float("nan"), float("nan")
        value = self.auc()
        above_good = (np.cumsum(self.good) - self.good / 2) / good
        below_bad = 1 - (np.cumsum(self.bad) - self.bad / 2) / bad
        spread = self.bad @ (above_good - value) ** 2 / (bad - 1) / bad
        spread += self.good @ (below_bad - value) ** 2 / (good - 1) / good
        error = float(np.sqrt(spread))
        if not 0 < value < 1:
            return error, value, value
        wide = z * error / (value * (1 - value))
        middle = float(logit(value))
        return error, float(expit(middle - wide)), float(expit(middle + wide))

    def ks(self) -> float:
        """Return the widest gap between the distributions of failures and survivors (Kolmogorov-Smirnov)."""
        return float(np.abs(np.cumsum(self.bad) / self.bad.sum() - np.cumsum(self.good) / self.good.sum()).max())

    def ece(self, bins: int = 10) -> float:
        """Return the expected calibration error of PDs over bins of equal count."""
        parts = zip(np.array_split(self.outcome, bins), np.array_split(self.score, bins), strict=True)
        count = len(self.score)
        return float(sum(len(pd) / count * abs(outcome.mean() - pd.mean()) for outcome, pd in parts if len(pd)))


def auc(outcome: Outcome, score: Array) -> float:
    """Return the chance that a failure scores above a survivor; ties count half (Mann-Whitney)."""
    return Ranked.of(outcome, score).auc()


def within_years(outcome: Outcome, score: Array, year: NDArray[np.int64]) -> tuple[float, float]:
    """Return (AUC, standard error) of each year's companies among themselves: the mean, by how many failed.

    A pooled AUC also compares companies of good years with those of bad ones, which no ratio can tell. Years with
    fewer than two failures or survivors are left out.
    """
    total = failures = spread = 0.0
    for one in np.unique(year):
        rows = year == one
        ranked = Ranked.of(outcome[rows], score[rows])
        failed, sound = float(ranked.bad.sum()), float(ranked.good.sum())
        if min(failed, sound) >= 2:
            total += failed * ranked.auc()
            failures += failed
            spread += (failed * ranked.auc_interval()[0]) ** 2
    return (total / failures, float(spread**0.5 / failures)) if failures else (float("nan"), float("nan"))


def jeffreys_interval(defaults: int, count: int, share: float = 0.95) -> tuple[float, float]:
    """Return the bounds that hold the true rate with this chance, the same beyond either: the Beta(½, ½) prior.

    Source: Brown, Cai, DasGupta 2001, Interval Estimation for a Binomial Proportion, Statistical Science 16(2).
    """
    from scipy.special import betaincinv

    low, high = (float(betaincinv(defaults + 0.5, count - defaults + 0.5, part))
                 for part in ((1 - share) / 2, (1 + share) / 2))  # fmt: skip
    return (low if defaults else 0.0), (high if defaults < count else 1.0)


def jeffreys_p(defaults: int, count: int, pd: float) -> float:
    """Return the chance that the true rate is at most `pd`, after so many defaults among so many companies.

    Small: the PD is too low for what was seen. One-sided, with the Beta(½, ½) prior.

    Source: European Central Bank 2019, Instructions for reporting the validation results of internal models, 2.5.3.1.
    """
    from scipy.special import betainc

    return float(betainc(defaults + 0.5, count - defaults + 0.5, pd))


def fit_line(outcome: Outcome, score: Array) -> tuple[float, float]:
    """Return (intercept, slope) of a logistic regression of the outcome on one score, by Newton's method."""
    weights = fit_logistic(outcome, [score], ridge=0.0)
    return float(weights[0]), float(weights[1])


def fit_logistic(
    outcome: Outcome | Array,
    features: Sequence[Array],
    ridge: float,
    start: Array | None = None,
    last_step: float = 1e-7,
) -> Array:
    """Return intercept and weights of a logistic regression; the ridge spares the intercept.

    `start`: weights that are known to be near, which save steps. The search ends with a step below `last_step`; the
    error left is about its square.
    """
    # A row a feature: products of long rows, and one buffer for all steps.
    design = np.vstack([np.ones(len(outcome)), *features])
    weighed = np.empty_like(design)
    penalty = np.full(len(design), ridge)
    penalty[0] = 0.0
    rate = (outcome.sum() + 0.5) / (len(outcome) + 1)
    weights = np.zeros(len(design)) if start is None else start
    if start is None:
        weights[0] = float(logit(rate))
    for _ in range(100):
        p = expit(weights @ design)
        slope = design @ (outcome - p) - penalty * weights
        np.multiply(design, np.sqrt(p * (1 - p)), out=weighed)
        curve = weighed @ weighed.T + np.diag(penalty + 1e-9)
        step = np.linalg.solve(curve, slope)
        # A long first step overshoots where failures are rare.
        weights = weights + step * min(1.0, 4.0 / max(1e-12, float(np.abs(step).max())))
        if float(np.abs(step).max()) < last_step:
            break
    return weights


def measure(outcome: Outcome, pd: Array, ranked: Ranked | None = None) -> dict[str, float]:
    """Return AUC with its standard error, KS, Brier score, log loss, ECE and calibration slope.

    `ranked`: the same, sorted already.
    """
    ranked = ranked or Ranked.of(outcome, pd)
    p = np.clip(pd, 1e-9, 1 - 1e-9)
    loss = -np.log(np.where(outcome == 1, p, 1 - p)).mean()
    # A PD that means something has a slope near one.
    slope = fit_logistic(outcome, [logit(p)], ridge=0.0, start=np.array([0.0, 1.0]))[1]
    return {
        "rows": len(outcome),
        "failures": int(outcome.sum()),
        "auc": round(ranked.auc(), 4),
        "auc_se": round(ranked.auc_interval()[0], 4),
        "ks": round(ranked.ks(), 4),
        "brier": round(float(((p - outcome) ** 2).mean()), 6),
        "log_loss": round(float(loss), 5),
        "ece": round(ranked.ece(), 5),
        "slope": round(float(slope), 3),
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
