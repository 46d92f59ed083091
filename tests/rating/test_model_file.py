"""A saved model read as data: the library's own numbers, nothing of the library, and nothing strange."""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import skops.io

from marketplace.kernel.errors import IntegrityBreach
from marketplace.rating.model import CHAMPION, HOME, PAST
from marketplace.rating.model_file import PREDICTOR, SCHEMA, read_trees
from marketplace.rating.trees import BoostedTrees

MODELS = [HOME, *sorted((HOME / PAST).iterdir())]


def opened_by_the_library(place: Path) -> Any:
    """The classifier of a folder, as scikit-learn knows it."""
    return skops.io.loads((place / CHAMPION).read_bytes(), trusted=[PREDICTOR])


def altered(change: Callable[[dict[str, Any]], None]) -> bytes:
    """The shipped model file with another description."""
    with zipfile.ZipFile(HOME / CHAMPION) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    schema = json.loads(parts[SCHEMA])
    change(schema)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as target:
        for name, content in (parts | {SCHEMA: json.dumps(schema).encode()}).items():
            target.writestr(name, content)
    return written.getvalue()


@pytest.mark.parametrize("place", MODELS, ids=lambda place: place.name)
def test_the_trees_are_those_that_the_library_opens(place: Path) -> None:
    read, opened = read_trees((place / CHAMPION).read_bytes()), BoostedTrees.of(opened_by_the_library(place))
    assert read.baseline == opened.baseline
    assert len(read.trees) == len(opened.trees) > 10
    for mine, theirs in zip(read.trees, opened.trees, strict=True):
        assert mine.dtype == theirs.dtype
        assert (mine == theirs).all()


def test_a_type_that_is_not_on_the_list_is_named_and_refused_wherever_it_hides() -> None:
    def hide(schema: dict[str, Any]) -> None:
        schema["content"]["content"]["verbose"] = {"__class__": "system", "__module__": "os", "content": "true"}

    with pytest.raises(IntegrityBreach) as caught:
        read_trees(altered(hide))
    assert (caught.value.code, caught.value.params) == ("model_types", {"types": "os.system"})


def without_trees(schema: dict[str, Any]) -> None:
    del schema["content"]["content"]["_predictors"]


def with_two_trees_a_step(schema: dict[str, Any]) -> None:
    steps = schema["content"]["content"]["_predictors"]["content"]
    steps[0]["content"] *= 2


def with_an_array_that_is_not_there(schema: dict[str, Any]) -> None:
    schema["content"]["content"]["_baseline_prediction"]["file"] = "none.npy"


def of_another_kind(schema: dict[str, Any]) -> None:
    schema["__class__"], schema["__module__"] = "dict", "builtins"


@pytest.mark.parametrize(
    "change", [without_trees, with_two_trees_a_step, with_an_array_that_is_not_there, of_another_kind]
)
def test_what_is_no_boosting_of_trees_is_refused_in_words(change: Callable[[dict[str, Any]], None]) -> None:
    with pytest.raises(IntegrityBreach) as caught:
        read_trees(altered(change))
    assert caught.value.code == "model_shape"


@pytest.mark.parametrize("content", [b"", b"PK", b"{}"])
def test_what_is_no_model_file_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(IntegrityBreach) as caught:
        read_trees(content)
    assert caught.value.code == "model_shape"


def test_a_company_is_scored_and_explained_without_scikit_learn() -> None:
    house = Path(__file__).resolve().parents[2]
    code = (
        "import sys; import marketplace.rating.actions; from marketplace.rating.explain import reasons; "
        "from marketplace.rating.model import load_model, pd_ppm; from marketplace.rating.ratios import Sight; "
        "sight = Sight('micro', {'equity': 0.4}); model = load_model(); "
        "assert pd_ppm(model, sight, 5200, 500) and reasons(model, sight); "
        "assert not {'sklearn', 'scipy', 'skops', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=house, check=True, timeout=240)
