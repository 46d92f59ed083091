"""The model at work: load it, check it is the one its card describes, turn what is seen of a company into a PD."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from marketplace.kernel.errors import IntegrityBreach
from marketplace.rating.card import CARD
from marketplace.rating.grades import MILLION, floored
from marketplace.rating.measures import expit, logit
from marketplace.rating.model_file import read_trees
from marketplace.rating.parts import fill, in_parts
from marketplace.rating.ratios import NAMES, Array, Sight, masked
from marketplace.rating.scorecard import card_log_odds, score_card
from marketplace.rating.trees import BoostedTrees, Forest

CHAMPION, CHALLENGER = "champion.skops", "challenger.json"
# Models that are no longer in use stay here, a folder a version: a past rating can be computed again.
PAST = "past"
HOME = Path(__file__).resolve().parents[2] / "config" / "rating"


@dataclass(frozen=True)
class Model:
    """A loaded model. `reference` is the row of the median survivor; `columns` those of the ratios its trees know."""

    version: str
    boosted: BoostedTrees = field(repr=False)
    forest: Forest = field(repr=False)
    calibration: Mapping[str, tuple[float, float]]
    base_rate: float
    reference: Array = field(repr=False)
    challenger: Mapping[str, Any] = field(repr=False)
    card: Mapping[str, Any] = field(repr=False)
    trees_weight: float
    columns: tuple[int, ...]

    def log_odds(self, rows: Array, level: str) -> Array:
        """Return the calibrated log-odds of failure of every row, at the failure rate of the calibration window."""
        intercept, slope = self.calibration[level]
        return in_parts(lambda part: np.asarray(intercept + slope * self.raw(masked(part, level), level)), rows)

    def raw(self, table: Array, level: str) -> Array:
        """Return the uncalibrated log-odds of masked rows: the weighed mean of trees and scorecard."""
        return blend(self.trees_weight, self.forest.log_odds(self._known(table)), self.challenger, table, level)

    def both(self, rows: Array, level: str) -> tuple[Array, Array]:
        """Return the PDs of champion and challenger, without a shift: what both need is worked out once."""
        champion, challenger = self.calibration[level], self.challenger[level].get("calibration", (0.0, 1.0))

        def score(part: slice) -> Array:
            table = masked(rows[part], level)
            trees = self.forest.log_odds(self._known(table)) if self.trees_weight else 0.0
            card = card_log_odds(self.challenger, table, level)
            mixed = self.trees_weight * trees + (1 - self.trees_weight) * card
            lines = (champion, mixed), (challenger, card)
            return expit(np.stack([line[0] + line[1] * raw for line, raw in lines], axis=1))

        pds = fill(np.empty((len(rows), 2)), score)
        return pds[:, 0].copy(), pds[:, 1].copy()

    def _known(self, table: Array) -> Array:
        """Return the columns that the trees know: all of them, unless the model is a past one."""
        return table if self.columns == tuple(range(table.shape[1])) else table[:, self.columns]

    def pd(self, rows: Array, level: str, prior: float | None = None) -> Array:
        """Return the twelve-month PD of every row, moved to a population whose yearly rate is `prior`."""
        return expit(self.log_odds(rows, level) + self.shift(prior))

    def shift(self, prior: float | None) -> float:
        """Return what the other population's rate adds to the log-odds.

        Source: Elkan 2001, The Foundations of Cost-Sensitive Learning, theorem 2.
        """
        return 0.0 if prior is None else float(logit(prior) - logit(self.base_rate))

    def challenger_pd(self, rows: Array, level: str, prior: float | None = None) -> Array:
        """Return the challenger's PD, moved likewise: it was calibrated on the same window."""
        raw = score_card(self.challenger, masked(rows, level), level)
        return expit(logit(raw) + self.shift(prior))


def blend(weight: float, trees: Array, card: Mapping[str, Any], table: Array, level: str) -> Array:
    """Return the weighed mean of the trees' log-odds and the scorecard's."""
    if weight == 1.0:
        return trees
    return np.asarray(weight * trees + (1 - weight) * card_log_odds(card, table, level))


def pd_ppm(model: Model, sight: Sight, prior_ppm: int, floor_ppm: int) -> int:
    """Return a company's twelve-month PD in parts per million: half-even, then not below the floor."""
    pd = float(model.pd(sight.row(), sight.level, prior_ppm / MILLION)[0])
    return floored(round(pd * MILLION), floor_ppm)


def challenger_ppm(model: Model, sight: Sight, prior_ppm: int, floor_ppm: int) -> int:
    """Return the challenger's PD likewise."""
    pd = float(model.challenger_pd(sight.row(), sight.level, prior_ppm / MILLION)[0])
    return floored(round(pd * MILLION), floor_ppm)


@lru_cache(maxsize=2)
def load_model(directory: Path = HOME) -> Model:
    """Load the model of a directory, once a process.

    Raises: IntegrityBreach("model_altered") when a file is not the one its card names.
    """
    card = read_card(directory)
    return open_model(card, {name: (directory / name).read_bytes() for name in (CHAMPION, CHALLENGER)})


def open_model(card: Mapping[str, Any], contents: Mapping[str, bytes]) -> Model:
    """Return the model that its card and its two files make.

    Raises: IntegrityBreach("model_altered", "model_types", "model_shape").
    """
    for name in (CHAMPION, CHALLENGER):
        if hashlib.sha256(contents[name]).hexdigest() != card["files"][name]:
            raise IntegrityBreach("model_altered", "%(file)s is not the file its model card describes.", {"file": name})
    boosted = read_trees(contents[CHAMPION])
    return Model(
        version=card["version"],
        boosted=boosted,
        forest=Forest(boosted),
        calibration={level: (line[0], line[1]) for level, line in card["calibration"].items()},
        base_rate=card["base_rate"],
        reference=np.array([[card["reference"].get(name, np.nan) for name in NAMES]], dtype=np.float64),
        challenger=json.loads(contents[CHALLENGER]),
        card=card,
        trees_weight=card.get("trees_weight", 1.0),
        # A past model may know fewer ratios than there are today.
        columns=tuple(NAMES.index(name) for name in card["levels"]["full"]),
    )


def model_of(version: str, home: Path = HOME) -> Model:
    """Return the model of a version: the one in use, or a past one.

    Raises: IntegrityBreach("model_missing").
    """
    return load_model(home if read_card(home)["version"] == version else home / PAST / Path(version).name)


def retire(home: Path) -> None:
    """Move the model in use to the past ones, before another takes its place; nothing to do where there is none."""
    if not (home / CARD).is_file():
        return
    place = home / PAST / read_card(home)["version"]
    place.mkdir(parents=True, exist_ok=True)
    for name in (CHAMPION, CHALLENGER, CARD):
        (home / name).replace(place / name)


def read_card(directory: Path = HOME) -> dict[str, Any]:
    """Return the model card, for people and pages."""
    try:
        card: dict[str, Any] = json.loads((directory / CARD).read_text())
    except (OSError, ValueError) as error:
        raise IntegrityBreach("model_missing", "There is no readable model card in %(place)s.",
                              {"place": directory.name}) from error  # fmt: skip
    return card
