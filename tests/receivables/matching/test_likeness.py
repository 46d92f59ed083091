"""What is learnt from judged pairs: figures the same from both sides, and a model that is what its card says."""

import json
import random
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from marketplace.commands.duplicates import command
from marketplace.kernel.errors import IntegrityBreach, InvalidInput
from marketplace.receivables.matching.judged_pairs import read_pair
from marketplace.receivables.matching.likeness import CARD, HOME, MODEL, load_likeness
from marketplace.receivables.matching.near_match import by_rule, compare
from marketplace.receivables.matching.resemblance import FEATURES, NAMES, UNKNOWN, resemblance
from tests.receivables.matching.pairs.judged_set import pairs, write

FIGURES_MAX = 125


def figures(one: Mapping[str, object], other: Mapping[str, object]) -> list[float]:
    raw = json.dumps({"a": one, "b": other, "same": True, "kind": "k"}).encode()
    pair = read_pair(raw, 1)
    return resemblance(pair.other, pair.one, by_rule(pair.other, pair.one)[1])


def test_figures_are_the_same_from_both_sides_and_none_below_unknown() -> None:
    rng = random.Random(7)
    for pair in islice(pairs(11, 300, 300), 600):
        sides = [{name: value for name, value in pair[side].items() if rng.random() < 0.8} for side in ("a", "b")]
        there = figures(sides[0], sides[1])
        assert there == figures(sides[1], sides[0])
        assert len(there) == len(NAMES)
        assert all(value == UNKNOWN or value >= 0 for value in there)


def test_where_the_telling_text_stands_does_not_matter() -> None:
    said = "Road freight Luton - Ulm, CMR 5703539, 11/06/2026"
    line, note = {"lines": [{"description": said}]}, {"notes": said}
    found = dict(zip(NAMES, figures(line, note), strict=True))
    assert (found["anchors_shared"], found["anchors_left"], found["anchors_more"]) == (3, 0, 0)
    assert found["text_alike"] == 1


def test_every_figure_is_explained_and_they_are_few() -> None:
    assert len(NAMES) <= FIGURES_MAX
    assert all(words.strip() for words in FEATURES.values())


# -- the shipped model


def test_the_card_tells_what_the_model_was_taught_and_how_it_was_judged() -> None:
    card = json.loads((HOME / CARD).read_text())
    assert card["version"] == load_likeness().version
    assert card["features"] == FEATURES
    names = [one["name"] for one in card["sets"]]
    assert set(card["left_out"]) == set(card["learnt"]) == set(names)
    assert all(len(one["sha256"]) == 64 for one in card["sets"])
    assert np.mean([card["left_out"][name]["honest_held"] for name in names]) <= 0.02 + 1e-6


def test_a_model_that_is_not_the_cards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityBreach) as refused:
        load_likeness(tmp_path / "none")
    assert refused.value.code == "model_missing"
    (tmp_path / CARD).write_bytes((HOME / CARD).read_bytes())
    (tmp_path / MODEL).write_bytes((HOME / MODEL).read_bytes() + b"\n")
    with pytest.raises(IntegrityBreach) as refused:
        load_likeness(tmp_path)
    assert refused.value.code == "model_altered"


def test_a_held_pair_says_how_much_it_resembles_known_copies() -> None:
    pair = next(one for one in pairs(3, 400, 0) if one["kind"] == "near_renumbered_order_replaced" or one["same"])
    read = read_pair(json.dumps({**pair, "b": {**pair["a"], "invoice_number": "QX-7719"}}).encode(), 1)
    match = compare(read.other, read.one)
    assert match.verdict == "hold"
    found = next(finding for finding in match.findings if finding.code == "resembles")
    assert 50 <= int(str(found.params["percent"])) <= 99


# -- teaching it


def taught(tmp_path: Path, out: str, *sets: Path) -> Path:
    home = tmp_path / out
    done = CliRunner().invoke(command, ["train", *map(str, sets), "--out", str(home), "--json"], standalone_mode=False)
    assert done.exception is None, done.exception
    return home


def test_the_same_sets_give_the_same_model_which_tells_copies_from_honest_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from marketplace.receivables.matching import learning

    monkeypatch.setitem(learning.PARAMETERS, "max_iter", 12)
    sets = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for path, seed in zip(sets, (21, 22), strict=True):
        write(path, seed, 250, 250)
    homes = [taught(tmp_path, out, *sets) for out in ("a", "b")]
    assert (homes[0] / MODEL).read_bytes() == (homes[1] / MODEL).read_bytes()
    assert (homes[0] / CARD).read_bytes() == (homes[1] / CARD).read_bytes()
    card = json.loads((homes[0] / CARD).read_text())
    assert set(card["left_out"]) == {"one", "two"}
    model, judged = load_likeness(homes[0]), learning.read_judged(sets[0])
    assert (homes[0] / MODEL).stat().st_size > 1_000
    known = ~np.isnan(judged.rows[:, 0]) & ~judged.blocked
    chances = np.array([model.chance(row.tolist()) for row in judged.rows[known]])
    same = judged.same[known]
    assert chances[same].mean() > chances[~same].mean() + 0.3


def test_a_set_that_holds_no_pair_is_refused_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_text("{}\n")
    refused = CliRunner().invoke(command, ["train", str(path), "--out", str(tmp_path / "x")], standalone_mode=False)
    assert isinstance(refused.exception, InvalidInput)
    assert "line 1, same is not true or false" in refused.exception.said()
    assert not (tmp_path / "x").exists()
