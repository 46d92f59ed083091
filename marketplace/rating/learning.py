"""What the market's own outcomes teach: rows to learn from, a fit with them, and how it compares. Never imports fitting
before it is asked to fit.

A row is a company year: one debtor and one set of accounts on which receivables of its debts were listed. It failed
when one of them defaulted within the window after the first of these listings, and is known when that window is over:
failures that are told before their window ends would raise the rate. The newest months are held out of the fit and
judge it, so that the model that was judged is the one that will serve.
"""

import base64
import hashlib
import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketplace.kernel.policy import Rating
from marketplace.rating.dataset import BOTH, OWN, FirmYears, read_firm_years
from marketplace.rating.grades import MILLION
from marketplace.rating.measures import Outcome, measure
from marketplace.rating.model import Model
from marketplace.rating.ratios import LEVELS, NAMES, Array

PUBLIC = "us_firmyears_*.parquet"
TOLD = ("auc", "auc_se", "log_loss", "brier", "ece", "mean_pd", "rate")
Fit = Callable[[bytes, Path | None], dict[str, bytes]]


@dataclass(frozen=True)
class CompanyYears:
    """The market's own rows, by first listing: ratios as the model sees them, level, outcome, year, company, day.

    `company` numbers the debtors; `year` is the balance sheet's; `listed` the day of the first listing as an ordinal.
    """

    ratios: Array
    level: NDArray[np.str_]
    outcome: Outcome
    year: NDArray[np.int64]
    company: NDArray[np.int64]
    listed: NDArray[np.int64]
    z: Array

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.outcome)

    @property
    def failures(self) -> int:
        """How many of them failed."""
        return int(self.outcome.sum())

    def only(self, rows: NDArray[np.bool_]) -> "CompanyYears":
        """Return some of the rows."""
        return CompanyYears(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def packed(self) -> bytes:
        """Return the rows as bytes: the same rows give the same bytes."""
        kept = io.BytesIO()
        np.savez(kept, **{name: getattr(self, name) for name in self.__dataclass_fields__})
        return zlib.compress(kept.getvalue(), 1)

    @classmethod
    def unpacked(cls, content: bytes) -> "CompanyYears":
        """Return the rows that `packed` packed."""
        with np.load(io.BytesIO(zlib.decompress(content)), allow_pickle=False) as found:
            return cls(**{name: found[name] for name in cls.__dataclass_fields__})

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> "CompanyYears":
        """Return rows with `debtor_id`, `ratios`, `level`, `z_milli`, `period_end`, `listed_on`, `failed`."""
        debtors = {debtor: place for place, debtor in enumerate(sorted({str(row["debtor_id"]) for row in rows}))}
        return cls(
            np.array([[float(row["ratios"].get(name, "nan")) for name in NAMES] for row in rows]).reshape(
                -1, len(NAMES)
            ),
            np.array([row["level"] for row in rows], dtype="<U11"),
            np.array([bool(row["failed"]) for row in rows], np.int64),
            np.array([row["period_end"].year for row in rows], np.int64),
            np.array([debtors[str(row["debtor_id"])] for row in rows], np.int64),
            np.array([row["listed_on"].toordinal() for row in rows], np.int64),
            np.array([np.nan if row["z_milli"] is None else row["z_milli"] / 1000 for row in rows], np.float64),
        )


def parted(years: CompanyYears, policy: Rating) -> tuple[CompanyYears, CompanyYears]:
    """Return (to learn from, to judge by): the newest months of first listings judge."""
    newest = int(years.listed.max()) if len(years) else 0
    late = years.listed > newest - 30 * policy.learning_judged_months
    return years.only(~late), years.only(late)


def enough(learnt: CompanyYears, judged: CompanyYears, policy: Rating) -> bool:
    """Return whether there are enough own rows, and failures among them, to learn from and to judge by."""
    return (len(learnt) >= policy.learning_rows_min and learnt.failures >= policy.learning_failures_min
            and judged.failures >= policy.learning_judged_failures_min)  # fmt: skip


def public_file(place: Path) -> Path | None:
    """Return the public firm-years that the operator has put there, or None when they are not at hand.

    `place` is the file or a folder that holds one.
    """
    if place.is_file():
        return place
    found = sorted(place.glob(PUBLIC)) if place.is_dir() else []
    return found[0] if len(found) == 1 else None


def population(own: CompanyYears, public: FirmYears | None = None) -> FirmYears:
    """Return the rows to fit on: the market's own, after the public ones where they are at hand."""
    order = np.lexsort((own.listed, own.year, own.company))
    rows = CompanyYears(*(getattr(own, name)[order] for name in own.__dataclass_fields__))
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(getattr(rows, name)).tobytes()
                                     for name in rows.__dataclass_fields__)).hexdigest()  # fmt: skip
    told = {"rows": len(rows), "failures": rows.failures, "sha256": digest,
            "until": date.fromordinal(int(rows.listed.max())).isoformat()}  # fmt: skip
    alone = FirmYears(rows.ratios, rows.outcome, rows.year, rows.company, rows.z, "own outcomes", digest, OWN,
                      rows.level, own=told)  # fmt: skip
    if public is None:
        return alone

    def both(name: str) -> Any:
        return np.concatenate([getattr(public, name), getattr(alone, name)])

    return replace(
        alone, ratios=both("ratios"), outcome=both("outcome"), year=both("year"), z=both("z"),
        company=np.concatenate([public.company, rows.company + int(public.company.max()) + 1]),
        filed=np.concatenate([np.full(len(public.outcome), "full", dtype="<U11"), rows.level]),
        filename=public.filename, sha256=public.sha256, origin=BOTH,
    )  # fmt: skip


def fit_here(content: bytes, public: Path | None, progress: Callable[[str], None] = lambda words: None
             ) -> dict[str, bytes]:  # fmt: skip
    """Return the files of a model fitted on packed own rows, and on the public ones where there is a file of them.

    Raises: InvalidInput("too_few_failures", "dataset_refused").
    """
    from marketplace.rating.training import fit_files

    data = population(CompanyYears.unpacked(content), read_firm_years(public) if public else None)
    return fit_files(data, progress)[1]


def fit_apart(content: bytes, public: str | None) -> dict[str, str]:
    """Return what `fit_here` does as JSON can carry it: for a process of its own."""
    files = fit_here(content, Path(public) if public else None)
    return {name: base64.b64encode(file).decode() for name, file in files.items()}


def compared(candidate: Model, serving: Model, judged: CompanyYears, policy: Rating) -> dict[str, Any]:
    """Return how two models do on rows that neither was fitted on, each as it would serve: in whole millionths.

    By model (`champion`, `challenger`): the measures of the candidate and of the serving one, what is gained of log
    loss and of AUC, and the standard error of either gain, from differences row by row.
    """
    prior = policy.pd_prior_ppm / MILLION
    first, last = (date.fromordinal(int(day)).isoformat() for day in (judged.listed.min(), judged.listed.max()))
    found: dict[str, Any] = {"rows": len(judged), "failures": judged.failures, "from": first, "to": last}
    for name in ("champion", "challenger"):
        new, old = (_pds(model, name, judged, prior) for model in (candidate, serving))
        losses = [_losses(judged.outcome, pd) for pd in (new, old)]
        less = losses[1] - losses[0]
        gain, error = auc_gain(judged.outcome, new, old)
        found[name] = {
            "candidate": _millionths(measure(judged.outcome, new)),
            "serving": _millionths(measure(judged.outcome, old)),
            "loss_gain": round(float(less.mean()) * MILLION),
            "loss_gain_error": round(float(less.std(ddof=1)) / len(less) ** 0.5 * MILLION),
            "auc_gain": round(gain * MILLION),
            "auc_gain_error": round(error * MILLION),
        }
    return found


def is_better(comparison: Mapping[str, Any]) -> bool:
    """Return whether the candidate's champion is worth proposing: its log loss is lower by more than the standard error
    of the difference, and its AUC is not lower by more than that of its own.
    """
    champion = comparison["champion"]
    return bool(champion["loss_gain"] > champion["loss_gain_error"]
                and champion["auc_gain"] >= -champion["auc_gain_error"])  # fmt: skip


def auc_gain(outcome: Outcome, new: Array, old: Array) -> tuple[float, float]:
    """Return (AUC of one score less that of another, its standard error) on the same rows.

    Source: DeLong, DeLong, Clarke-Pearson 1988, Biometrics 44, 837-845, on two correlated curves.
    """
    parts = [_placements(outcome, score) for score in (new, old)]
    bad, good = (parts[0][side] - parts[1][side] for side in (0, 1))
    error = (bad.var(ddof=1) / len(bad) + good.var(ddof=1) / len(good)) ** 0.5 if min(len(bad), len(good)) > 1 else 0.0
    return float(bad.mean()), float(error)


def _placements(outcome: Outcome, score: Array) -> tuple[Array, Array]:
    """Return, of each failure, the share of survivors below it; of each survivor, that of failures above. Ties half."""
    bad, good = (np.sort(score[outcome == kind]) for kind in (1, 0))

    def below(values: Array, among: Array) -> Array:
        left, right = np.searchsorted(among, values, side="left"), np.searchsorted(among, values, side="right")
        return np.asarray((left + right) / 2 / len(among))

    return below(score[outcome == 1], good), 1 - below(score[outcome == 0], bad)


def _pds(model: Model, name: str, rows: CompanyYears, prior: float) -> Array:
    pd = np.empty(len(rows))
    for level in LEVELS:
        own = rows.level == level
        if own.any():
            judge = model.pd if name == "champion" else model.challenger_pd
            pd[own] = judge(rows.ratios[own], level, prior)
    return pd


def _losses(outcome: Outcome, pd: Array) -> Array:
    p = np.clip(pd, 1e-9, 1 - 1e-9)
    return np.asarray(-np.log(np.where(outcome == 1, p, 1 - p)))


def _millionths(measured: Mapping[str, float]) -> dict[str, int]:
    return {name: round(measured[name] * MILLION) for name in TOLD}
