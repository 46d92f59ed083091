"""The trees of a saved model, read as data: no object that the file describes is ever made.

A skops file is a ZIP of one description (schema.json) and arrays. To score, a baseline and each tree's nodes are all
that is needed. Reading them by hand spares every process that scores scikit-learn, whose import takes three to five
seconds, and leaves nothing in the file that could run.

Source: https://skops.readthedocs.io/en/stable/persistence.html
"""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketplace.kernel.errors import IntegrityBreach
from marketplace.rating.trees import BoostedTrees

SCHEMA = "schema.json"
BOOSTING = "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier"
PREDICTOR = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
# All that a boosting of two classes consists of. A file that names anything else was not written by our training.
KNOWN = frozenset({
    "builtins.dict", "builtins.list", "builtins.str", "builtins.tuple", "numpy.ndarray", "numpy.uint64",
    "numpy.random._generator.Generator", BOOSTING, PREDICTOR,
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper", "sklearn.preprocessing._label.LabelEncoder",
    "sklearn._loss._loss.CyHalfBinomialLoss", "sklearn._loss.loss.HalfBinomialLoss", "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
})  # fmt: skip


def read_trees(content: bytes) -> BoostedTrees:
    """Return the trees of a model file.

    Raises: IntegrityBreach("model_types") when it names a type that is not on the list; IntegrityBreach("model_shape")
    when it is no boosting of trees.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            schema = json.loads(archive.read(SCHEMA))
            _check_types(schema)
            return _trees(archive, schema)
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise IntegrityBreach("model_shape", "The model file cannot be read as boosted trees.") from error


def _check_types(schema: Any) -> None:
    strange = set(_types(schema)) - KNOWN
    if strange:
        raise IntegrityBreach("model_types", "The model file holds unexpected types: %(types)s.",
                              {"types": ", ".join(sorted(strange))})  # fmt: skip


def _types(part: Any) -> Iterator[str]:
    """Yield the types that a description names, wherever they stand in it."""
    if isinstance(part, dict):
        if "__class__" in part:
            yield _type(part)
        for inner in part.values():
            yield from _types(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _types(inner)


def _type(part: dict[str, Any]) -> str:
    return f"{part['__module__']}.{part['__class__']}"


def _trees(archive: zipfile.ZipFile, schema: dict[str, Any]) -> BoostedTrees:
    boosting = _content(schema, BOOSTING)
    baseline = _array(archive, boosting["_baseline_prediction"])
    nodes = [_nodes(archive, step) for step in boosting["_predictors"]["content"]]
    return BoostedTrees(float(np.ravel(baseline)[0]), tuple(nodes))


def _nodes(archive: zipfile.ZipFile, step: dict[str, Any]) -> NDArray[Any]:
    (predictor,) = step["content"]  # one tree a step: there are two classes
    return _array(archive, _content(predictor, PREDICTOR)["nodes"])


def _content(part: dict[str, Any], wanted: str) -> dict[str, Any]:
    """Return the fields of an object. Raises: ValueError when it is of another type."""
    if _type(part) != wanted:
        raise ValueError(f"{_type(part)} stands where {wanted} should.")
    fields: dict[str, Any] = part["content"]["content"]
    return fields


def _array(archive: zipfile.ZipFile, part: dict[str, Any]) -> NDArray[Any]:
    found: NDArray[Any] = np.load(io.BytesIO(archive.read(part["file"])), allow_pickle=False)
    return found
