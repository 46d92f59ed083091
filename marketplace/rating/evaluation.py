"""Judge the model in use on any file of firm-years: no fitting, no shift, at one level of filing."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from marketplace.kernel.errors import InvalidInput
from marketplace.kernel.words import N_
from marketplace.rating.dataset import FirmYears
from marketplace.rating.measures import by_grade, measure
from marketplace.rating.model import Model
from marketplace.rating.ratios import masked


def evaluate(
    model: Model,
    data: FirmYears,
    level: str,
    bounds_ppm: Sequence[int],
    first: int | None = None,
    last: int | None = None,
) -> dict[str, Any]:
    """Return AUC, KS, Brier score, log loss, ECE, slope and the table by grade, of champion and challenger.

    The PD is the calibrated one at the calibration window's rate, without the shift to another country's rate.
    Rows without assets are left out and counted.

    Raises: InvalidInput("nothing_to_judge") when a class is missing.
    """
    rows = data.between(first if first is not None else -9999, last if last is not None else 9999)
    table = masked(data.ratios, level)
    seen = rows & np.isfinite(table).any(axis=1)
    outcome = data.outcome[seen]
    if not 0 < int(outcome.sum()) < len(outcome):
        raise InvalidInput("nothing_to_judge", N_("The file needs failures and survivors in the years chosen."))
    pd = model.pd(table[seen], level)
    return {
        "file": data.filename,
        "sha256": data.sha256,
        "level": level,
        "model_version": model.version,
        "left_out": int(rows.sum() - seen.sum()),
        **measure(outcome, pd),
        "challenger": measure(outcome, model.challenger_pd(table[seen], level)),
        "grades": by_grade(outcome, pd, bounds_ppm),
    }
