"""Fit champion and challenger. The only importer of scikit-learn's fitting; never imported by a door or a job's start.

Champion: gradient boosting over scale-free ratios, each bound to its sensible direction, fitted once on five copies of
the same firm-years, each masked to what a filing of that level tells. No class weights: they ruin the level of the PD.
The same data give the same files, bit for bit.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from marketplace.kernel.errors import InvalidInput
from marketplace.kernel.words import N_
from marketplace.rating.card import write_card
from marketplace.rating.dataset import FirmYears
from marketplace.rating.measures import Outcome, expit, fit_line, measure
from marketplace.rating.model import CHALLENGER, CHAMPION, check_types, retire
from marketplace.rating.ratios import LEVELS, NAMES, RATIOS, Array, masked
from marketplace.rating.scorecard import calibrate_card, fit_scorecard, score_card

FIT_UNTIL = 2011
CALIBRATE_FROM, CALIBRATE_UNTIL = 2012, 2014
# An earlier split, only to judge the recipe on years that saw neither fit nor calibration.
EARLY_FIT_UNTIL, EARLY_CALIBRATE_UNTIL = 2008, 2010
FAILURES_MIN = 20
# Few and small trees: three times as many lost nothing measurable and scored three times slower.
PARAMETERS = {"max_iter": 80, "learning_rate": 0.1, "max_leaf_nodes": 8, "min_samples_leaf": 600,
              "l2_regularization": 20.0, "max_features": 0.4, "early_stopping": False,
              "random_state": 20140101}  # fmt: skip
Progress = Callable[[str], None]


def train(data: FirmYears, out: Path, progress: Progress = lambda words: None) -> dict[str, Any]:
    """Fit, calibrate and judge both models, write their files and the model card into `out`, return the card.

    Raises: InvalidInput("too_few_failures") when a window holds too few to learn from.
    """
    tables = {level: masked(data.ratios, level) for level in LEVELS}
    fit = data.year <= FIT_UNTIL
    late = data.between(CALIBRATE_FROM, CALIBRATE_UNTIL)
    for window in (fit, late):
        if int(data.outcome[window].sum()) < FAILURES_MIN:
            raise InvalidInput("too_few_failures", N_("A training window needs at least %(count)s failures."),
                               {"count": FAILURES_MIN})  # fmt: skip
    progress(f"champion: fitting {len(LEVELS)} copies of {int(fit.sum())} firm-years")
    booster = _boost(tables, data.outcome, fit)
    scores = {level: booster.decision_function(tables[level]) for level in LEVELS}
    calibration = {level: _platt(data.outcome[late], scores[level][late]) for level in LEVELS}
    progress("challenger: cutting bins")
    challenger = fit_scorecard({level: tables[level][fit] for level in LEVELS}, data.outcome[fit])
    progress("judging on the later window")
    metrics = _judge(data, scores, tables, challenger, late)
    for level in LEVELS:
        line = _platt(data.outcome[late], _log_odds(score_card(challenger, tables[level][late], level)))
        challenger[level] = calibrate_card(challenger[level], line)
    progress("judging the recipe on an earlier split")
    early = _early_split(data, tables)
    out.mkdir(parents=True, exist_ok=True)
    retire(out)
    champion_bytes = _packed(booster)
    challenger_bytes = (json.dumps(challenger, indent=1, sort_keys=True) + "\n").encode()
    (out / CHAMPION).write_bytes(champion_bytes)
    (out / CHALLENGER).write_bytes(challenger_bytes)
    progress("writing the model card")
    return write_card(
        out,
        data=data,
        windows={"fit": [int(data.year.min()), FIT_UNTIL], "calibrate": [CALIBRATE_FROM, CALIBRATE_UNTIL]},
        parameters=PARAMETERS,
        calibration=calibration,
        base_rate=float(data.outcome[late].mean()),
        reference=_reference(data, fit),
        metrics=metrics,
        early=early,
        files={CHAMPION: hashlib.sha256(champion_bytes).hexdigest(),
               CHALLENGER: hashlib.sha256(challenger_bytes).hexdigest()},
    )  # fmt: skip


def _boost(tables: dict[str, Array], outcome: Outcome, rows: Any) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    booster = HistGradientBoostingClassifier(monotonic_cst=[ratio.direction for ratio in RATIOS], **PARAMETERS)
    # One thread: sums in another order would differ in their last bit.
    with threadpool_limits(1):
        booster.fit(np.vstack([tables[level][rows] for level in LEVELS]), np.tile(outcome[rows], len(LEVELS)))
    return booster


def _platt(outcome: Outcome, score: Array) -> list[float]:
    intercept, slope = fit_line(outcome, score)
    return [round(intercept, 9), round(max(slope, 1e-6), 9)]


def _calibrated(line: list[float], score: Array) -> Array:
    return expit(line[0] + line[1] * score)


def _judge(data: FirmYears, scores: dict[str, Array], tables: dict[str, Array], challenger: dict[str, Any], late: Any
           ) -> dict[str, Any]:  # fmt: skip
    """Measure on the later window, which the trees never saw; calibration is cross-fitted over halves of companies."""
    outcome = data.outcome[late]
    half = np.unique(data.company[late], return_inverse=True)[1] % 2
    found: dict[str, Any] = {}
    for level in LEVELS:
        row = {}
        for name, score in (("champion", scores[level][late]),
                            ("challenger", _log_odds(score_card(challenger, tables[level][late], level)))):  # fmt: skip
            pd = np.empty(len(score))
            for side in (0, 1):
                pd[half == side] = _calibrated(_platt(outcome[half != side], score[half != side]), score[half == side])
            # Two lines on two halves mix the order a little; the order is the score's own.
            row[name] = measure(outcome, pd) | {"auc": measure(outcome, expit(score))["auc"]}
        found[level] = row
    return found


def _log_odds(pd: Array) -> Array:
    return np.asarray(np.log(pd / (1 - pd)))


def _early_split(data: FirmYears, tables: dict[str, Array]) -> dict[str, Any]:
    """Fit until 2008, calibrate on 2009-10, judge on all later years."""
    fit = data.year <= EARLY_FIT_UNTIL
    middle = data.between(EARLY_FIT_UNTIL + 1, EARLY_CALIBRATE_UNTIL)
    late = data.year > EARLY_CALIBRATE_UNTIL
    if min(int(data.outcome[rows].sum()) for rows in (fit, middle, late)) < FAILURES_MIN:
        return {}
    booster = _boost(tables, data.outcome, fit)
    found: dict[str, Any] = {}
    for level in LEVELS:
        score = booster.decision_function(tables[level])
        line = _platt(data.outcome[middle], score[middle])
        found[level] = measure(data.outcome[late], _calibrated(line, score[late]))
    return found


def _reference(data: FirmYears, fit: Any) -> dict[str, float]:
    """Return the median survivor: the company that explanations compare with."""
    with np.errstate(all="ignore"):
        medians = np.nanmedian(data.ratios[fit & (data.outcome == 0)], axis=0)
    return {name: round(float(value), 6) for name, value in zip(NAMES, medians, strict=True)}


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
    check_types(raw)
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
    return packed.getvalue()
