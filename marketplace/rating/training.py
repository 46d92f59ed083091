"""Fit champion and challenger. The only importer of scikit-learn's fitting; never imported by a door or a job's start.

Champion: gradient boosting over scale-free ratios, each bound to its sensible direction, fitted once on five copies of
the same firm-years, each masked to what a filing of that level tells; its log-odds and the challenger scorecard's are
averaged. No class weights: they ruin the level of the PD. Calibrated on the newest years by companies held out of the
fit, so that the fit may use those years too. The same data give the same files, bit for bit.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from marketplace.kernel.errors import InvalidInput
from marketplace.kernel.words import N_
from marketplace.rating.card import CARD, card_text, make_card
from marketplace.rating.dataset import FirmYears
from marketplace.rating.measures import Outcome, Ranked, by_grade, expit, fit_line, measure, within_years
from marketplace.rating.model import CHALLENGER, CHAMPION, blend, retire
from marketplace.rating.model_file import read_trees
from marketplace.rating.ratios import LEVELS, NAMES, RATIOS, Array, masked
from marketplace.rating.scorecard import BINS, card_log_odds, fit_scorecard
from marketplace.rating.trees import BoostedTrees, Forest

CALIBRATION_YEARS = 3
HELD_BACK_YEARS = 3
FOLDS = 5
FAILURES_MIN = 20
BAND_YEARS = 5
# The best on growing windows and on companies held out, both inside the years until 2011: `bin/market rating choose`.
TREES_WEIGHT = 0.3
# So much of a failure counts a company that fails in the year after next, when the scorecard is fitted: failures are
# few, and most are ill for longer than a year. What is judged and calibrated is the coming year alone.
SOON_WEIGHT = 0.3
# Few and small trees: more, smaller or slower ones lost or gained less than a standard error inside those years.
PARAMETERS: dict[str, Any] = {"max_iter": 80, "learning_rate": 0.1, "max_leaf_nodes": 8, "min_samples_leaf": 600,
              "l2_regularization": 20.0, "max_features": 0.4, "early_stopping": False,
              "random_state": 20140101}  # fmt: skip
Progress = Callable[[str], None]
Tables = Mapping[str, Array]
Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class Fitted:
    """Both models of the years up to one: trees, scorecard, the lines that calibrate them, and out-of-fold scores."""

    booster: Any
    scorecard: dict[str, Any]
    champion_lines: dict[str, list[float]]
    challenger_lines: dict[str, list[float]]
    fit: Rows
    newest: Rows
    unseen: dict[str, tuple[Array, Array]]  # by level: champion's and challenger's scores by models without the company


def train(
    data: FirmYears, out: Path, progress: Progress = lambda words: None, until: int | None = None,
    bounds_ppm: Sequence[int] = (),
) -> dict[str, Any]:  # fmt: skip
    """Fit, calibrate and judge both models, write their files and the model card into `out`, return the card.

    `until`: the last year to learn from, to judge the model on later ones; by default the newest of the data.
    `bounds_ppm`: those of the grades, for a table by grade of the companies held out.

    Raises: InvalidInput("too_few_failures") when there are too few to learn from.
    """
    card, files = fit_files(data, progress, until, bounds_ppm)
    out.mkdir(parents=True, exist_ok=True)
    retire(out)
    for name, content in files.items():
        (out / name).write_bytes(content)
    return card


def fit_files(
    data: FirmYears, progress: Progress = lambda words: None, until: int | None = None, bounds_ppm: Sequence[int] = ()
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the card and the three files of what `train` writes; nothing is written.

    Raises: InvalidInput("too_few_failures").
    """
    last = int(data.year.max()) if until is None else until
    tables = {level: masked(data.ratios, level) for level in LEVELS}
    with _one_thread():
        held_back = _held_back(data, tables, last, progress)
        fitted = _fit(data, tables, last, progress)
    challenger = {level: fitted.scorecard[level] | {"calibration": fitted.challenger_lines[level]} for level in LEVELS}
    files = {CHAMPION: _packed(fitted.booster),
             CHALLENGER: (json.dumps(challenger, indent=1, sort_keys=True) + "\n").encode()}  # fmt: skip
    progress("making the model card")
    first = int(data.year.min())
    split = last - HELD_BACK_YEARS
    card = make_card(
        data=data,
        windows={"fit": [first, last], "calibrate": [int(data.year[fitted.newest].min()), last],
                 "held_back_fit": [first, split], "held_back": [split + 1, last]},
        parameters=PARAMETERS | {"folds_of_companies": FOLDS, "scorecard_bins": list(BINS), "soon_weight": SOON_WEIGHT},
        trees_weight=TREES_WEIGHT,
        calibration=fitted.champion_lines,
        base_rate=float(data.outcome[fitted.newest].mean()),
        reference=_reference(data, fitted.fit),
        held_back=held_back,
        by_company=_by_company(data, fitted, fitted.fit, bounds_ppm),
        by_company_newest=_by_company(data, fitted, fitted.newest, ()),
        by_company_years=_by_years(data, fitted),
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )  # fmt: skip
    return card, files | {CARD: card_text(card).encode()}


def _fit(data: FirmYears, tables: Tables, last: int, progress: Progress) -> Fitted:
    """Fit both models on the years up to one; calibrate them on the newest years by five models without the company.

    Raises: InvalidInput("too_few_failures").
    """
    fit = data.year <= last
    newest = fit & (data.year > last - CALIBRATION_YEARS)
    for rows in (fit, newest):
        if int(data.outcome[rows].sum()) < FAILURES_MIN:
            raise InvalidInput("too_few_failures", N_("A training window needs at least %(count)s failures."),
                               {"count": FAILURES_MIN})  # fmt: skip
    unseen = {level: (np.full(len(fit), np.nan), np.full(len(fit), np.nan)) for level in LEVELS}
    for fold in range(FOLDS):
        progress(f"until {last}: companies held out, part {fold + 1} of {FOLDS}")
        out = data.company % FOLDS == fold
        booster, card = _both(data, tables, fit & ~out)
        for level in LEVELS:
            rows = fit & out
            for kept, score in zip(unseen[level], scores(booster, card, tables[level][rows], level), strict=True):
                kept[rows] = score
    progress(f"until {last}: fitting {len(LEVELS)} copies of {int(fit.sum())} firm-years")
    booster, card = _both(data, tables, fit)
    late = {level: data.telling(newest, level, FAILURES_MIN) for level in LEVELS}
    lines = [{level: _platt(data.outcome[rows], unseen[level][model][rows]) for level, rows in late.items()}
             for model in (0, 1)]  # fmt: skip
    return Fitted(booster, card, lines[0], lines[1], fit, newest, unseen)


def _both(data: FirmYears, tables: Tables, rows: Rows) -> tuple[Any, dict[str, Any]]:
    by_level = {level: data.telling(rows, level, FAILURES_MIN) for level in LEVELS}
    card = fit_scorecard({level: tables[level][one] for level, one in by_level.items()},
                         {level: told_soon(data, rows)[one] for level, one in by_level.items()})  # fmt: skip
    return boost(tables, data.outcome, by_level), card


def told_soon(data: FirmYears, rows: Rows, weight: float = SOON_WEIGHT) -> Array:
    """Return the outcome, and `weight` for each row whose company fails a year later, as far as `rows` tell of it."""
    key = data.company * 20_000 + data.year
    later = np.minimum(np.searchsorted(key, key + 1), len(key) - 1)
    soon = (key[later] == key + 1) & (data.outcome[later] == 1) & rows[later]
    return np.where(soon & (data.outcome == 0), weight, data.outcome)


def scores(booster: Any, card: Mapping[str, Any], table: Array, level: str) -> tuple[Array, Array]:
    """Return the uncalibrated log-odds of champion and challenger."""
    trees = Forest(BoostedTrees.of(booster)).log_odds(table)
    return blend(TREES_WEIGHT, trees, card, table, level), card_log_odds(card, table, level)


def _held_back(data: FirmYears, tables: Tables, last: int, progress: Progress) -> dict[str, Any]:
    """Judge the same recipe, ended three years earlier, on those three years: neither fit nor calibration saw them."""
    late = data.between(last - HELD_BACK_YEARS + 1, last)
    if int(data.outcome[late].sum()) < FAILURES_MIN:
        return {}
    try:
        earlier = _fit(data, tables, last - HELD_BACK_YEARS, progress)
    except InvalidInput:
        return {}
    found = {level: scores(earlier.booster, earlier.scorecard, tables[level], level) for level in LEVELS}
    return _judge(data, late, found, earlier)


def _judge(data: FirmYears, rows: Rows, found: Mapping[str, tuple[Array, Array]], by: Fitted) -> dict[str, Any]:
    lines = {"champion": by.champion_lines, "challenger": by.challenger_lines}
    by_level = {level: data.telling(rows, level, FAILURES_MIN) for level in LEVELS}
    return {
        level: {
            name: measure(data.outcome[some], _calibrated(lines[name][level], score[some]))
            for name, score in zip(lines, found[level], strict=True)
        }
        for level, some in by_level.items()
    }


def _by_company(data: FirmYears, fitted: Fitted, rows: Rows, bounds_ppm: Sequence[int]) -> dict[str, Any]:
    """Judge the scores by models that saw none of a company's years; lines fitted on the other parts calibrate them.

    With bounds the champion's table by grade too.
    """
    found: dict[str, Any] = {level: {} for level in LEVELS}
    for level, judged in found.items():
        some = data.telling(rows, level, FAILURES_MIN)
        for name, score in zip(("champion", "challenger"), fitted.unseen[level], strict=True):
            pd = np.full(len(some), np.nan)
            for fold in range(FOLDS):
                own = some & (data.company % FOLDS == fold)
                others = some & ~own
                pd[own] = _calibrated(_platt(data.outcome[others], score[others]), score[own])
            judged[name] = measure(data.outcome[some], pd[some])
            if name == "champion" and len(bounds_ppm):
                judged["grades"] = [row for row in by_grade(data.outcome[some], pd[some], bounds_ppm) if row["n"]]
    return found


def _by_years(data: FirmYears, fitted: Fitted) -> list[dict[str, Any]]:
    """Judge the same scores on all years and on five at a time, counted back from the newest: pooled, within years.

    Years that hold too few failures for a part of their own stand with the next.
    """
    first, last = int(data.year[fitted.fit].min()), int(data.year[fitted.fit].max())
    cuts = [start for start in range(last - BAND_YEARS + 1, first, -BAND_YEARS)
            if data.outcome[fitted.fit & (data.year < start)].sum() >= FAILURES_MIN]  # fmt: skip
    starts = [first, *sorted(cuts), last + 1]
    bands = [(first, last), *([(begin, end - 1) for begin, end in pairwise(starts)] if cuts else [])]
    found = []
    for begin, end in bands:
        for level in LEVELS:
            rows = data.telling(fitted.fit, level, FAILURES_MIN) & data.between(begin, end)
            outcome, score = data.outcome[rows], fitted.unseen[level][0][rows]
            ranked = Ranked.of(outcome, score)
            within, error = within_years(outcome, score, data.year[rows])
            found.append({"years": [begin, end], "level": level, "failures": int(outcome.sum()),
                          **{name: round(value, 4) if np.isfinite(value) else None for name, value in (
                              ("auc", ranked.auc()), ("auc_se", ranked.auc_interval()[0]), ("auc_within", within),
                              ("auc_within_se", error))}})  # fmt: skip
    return found


def _platt(outcome: Outcome, score: Array) -> list[float]:
    intercept, slope = fit_line(outcome, score)
    return [round(intercept, 9), round(max(slope, 1e-6), 9)]


def _calibrated(line: list[float], score: Array) -> Array:
    return expit(line[0] + line[1] * score)


def boost(tables: Tables, outcome: Outcome, rows: Mapping[str, Rows], parameters: dict[str, Any] = PARAMETERS) -> Any:
    """Return trees fitted on each level's rows of its table, one copy a level."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    bound: dict[str, Any] = {"monotonic_cst": [ratio.direction for ratio in RATIOS]}
    booster = HistGradientBoostingClassifier(**bound | parameters)
    copies = np.vstack([tables[level][rows[level]] for level in LEVELS])
    # A ratio that no row tells is a constant, which no tree can ask for; a column without a number cannot be cut.
    copies[:, np.isnan(copies).all(axis=0)] = 0.0
    with _one_thread():
        booster.fit(copies, np.concatenate([outcome[rows[level]] for level in LEVELS]))
    return booster


def _one_thread() -> threadpool_limits:
    """Bind the libraries to one thread: sums in another order would differ in their last bit, and waits cost more."""
    return threadpool_limits(1)


def _reference(data: FirmYears, fit: Any) -> dict[str, float]:
    """Return the median survivor: the company that explanations compare with."""
    survivors = data.ratios[fit & (data.outcome == 0)]
    known = np.isfinite(survivors).any(axis=0)
    medians = np.nanmedian(survivors[:, known], axis=0)
    names = [name for name, told in zip(NAMES, known, strict=True) if told]
    return {name: round(float(value), 6) for name, value in zip(names, medians, strict=True)}


def _packed(booster: Any) -> bytes:
    """Return the model as skops writes it, but with ids that count from 1 and without the time of day.

    skops names its parts by memory address; renamed in order of appearance the same model gives the same bytes.
    """
    import skops.io

    # The nodes' records have padding between their fields; copy field by field so that it is zero.
    for (tree,) in booster._predictors:
        nodes = np.zeros_like(tree.nodes)
        for name in nodes.dtype.names or ():
            nodes[name] = tree.nodes[name]
        tree.nodes = nodes
    raw = skops.io.dumps(booster)
    with zipfile.ZipFile(io.BytesIO(raw)) as source:
        schema = source.read("schema.json").decode()
        names: dict[str, str] = {}
        for found in re.findall(r'"__id__": (\d+)|"(\d+)\.npy"', schema):
            names.setdefault(found[0] or found[1], str(len(names) + 1))
        schema = re.sub(r'"__id__": (\d+)', lambda m: f'"__id__": {names[m[1]]}', schema)
        schema = re.sub(r'"(\d+)\.npy"', lambda m: f'"{names[m[1]]}.npy"', schema)
        parts = {f"{names[name[:-4]]}.npy": source.read(name) for name in source.namelist() if name.endswith(".npy")}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in sorted((parts | {"schema.json": schema.encode()}).items()):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, content)
    read_trees(packed.getvalue())  # what could not be opened again is not handed out
    return packed.getvalue()
