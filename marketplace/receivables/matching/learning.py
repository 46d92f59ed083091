"""Learn from judged sets how likely a pair is one claim listed twice; judge it on each set by a model of the others.

The same files give the same model to the byte. What the rules block is not learnt, nor are full rewrites: nothing in
them says which they are.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from marketplace.receivables.matching.blocking import share_a_key
from marketplace.receivables.matching.judged_pairs import REWRITE, read_pair
from marketplace.receivables.matching.likeness import CARD, MODEL, Likeness
from marketplace.receivables.matching.near_match import by_rule
from marketplace.receivables.matching.resemblance import FEATURES, NAMES, resemblance

PARAMETERS: dict[str, Any] = {
    "max_iter": 240, "learning_rate": 0.12, "max_leaf_nodes": 8, "min_samples_leaf": 40, "l2_regularization": 1.0,
    "max_features": 0.3, "random_state": 0, "early_stopping": False,
}  # fmt: skip
HONEST_HELD_MAX = 0.02
NEAR = ("near_", "no_", "id_", "group_", "cut_")
COMPOSED = ("composed_", "mix_", "again_", "refiled_")


@dataclass(frozen=True)
class Judged:
    """A judged set, ready to learn from: a row of figures a pair, and what is known of it."""

    name: str
    sha256: str
    rows: NDArray[np.float64]
    same: NDArray[np.bool_]
    blocked: NDArray[np.bool_]
    ruled: NDArray[np.float64]  # 1 or 0 where a rule holds or passes the pair, else not a number
    kinds: NDArray[np.str_]

    @property
    def rewritten(self) -> NDArray[np.bool_]:
        """Full rewrites, which are neither learnt nor counted."""
        return np.logical_and(self.same, [REWRITE in kind for kind in self.kinds])

    def begins(self, *with_: str) -> NDArray[np.bool_]:
        """Copies of the kinds that begin so."""
        return np.logical_and(self.same, [kind.startswith(with_) for kind in self.kinds])


def read_judged(path: Path, every: int = 1) -> Judged:
    """Read a judged set, as `duplicates evaluate` takes it; with `every` 3 about a third of it, chosen by its hashes.

    Raises: InvalidInput("pair_invalid").
    """
    rows, same, blocked, ruled, kinds = [], [], [], [], []
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for place, raw in enumerate(stream, 1):
            digest.update(raw)
            if not raw.strip() or int.from_bytes(hashlib.sha256(raw.strip()).digest()[:4]) % every:
                continue
            pair = read_pair(raw, place)
            verdict, findings = by_rule(pair.other, pair.one)
            reachable = verdict == "same" or share_a_key(pair.one, pair.other)
            rows.append(resemblance(pair.other, pair.one, findings) if reachable else [np.nan] * len(NAMES))
            same.append(pair.same)
            blocked.append(verdict == "same")
            ruled.append(np.nan if verdict is None else float(verdict != "apart"))
            kinds.append(pair.kind)
    return Judged(path.stem, digest.hexdigest(), np.array(rows, float), np.array(same), np.array(blocked),
                  np.array(ruled), np.array(kinds))  # fmt: skip


def train(sets: Sequence[Judged], out: Path, progress: Callable[[str], None], every: int = 1) -> dict[str, Any]:
    """Judge each set by the others, choose the threshold, learn from all, write model and card; return the card.

    `every` is said on the card: which part of each set was read.
    """
    chances = {}
    for left_out in sets if len(sets) > 1 else ():
        progress(f"judging {left_out.name} by the others")
        chances[left_out.name] = _ask(_fit([one for one in sets if one is not left_out]), left_out)
    threshold = _threshold([chances[one.name][~one.same & ~one.blocked] for one in sets]) if chances else 0.5
    progress("learning from all sets")
    model = _fit(sets)
    content = _packed(model)
    sha256 = hashlib.sha256(content).hexdigest()
    card = {
        "name": "Duebill duplicates",
        "version": sha256[:12],
        "sha256": sha256,
        "threshold": threshold,
        "threshold_rule": f"The least at which, each set judged by a model of the others, on average at most "
                          f"{HONEST_HELD_MAX:.2%} of a set's honest pairs are held.",
        "parameters": PARAMETERS,
        "every": every,
        "sets": [{"name": one.name, "sha256": one.sha256, "pairs": len(one.same)} for one in sets],
        "left_out": {one.name: measure(one, chances[one.name], threshold) for one in sets if chances},
        "learnt": {one.name: measure(one, _ask(model, one), threshold) for one in sets},
        "features": FEATURES,
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / MODEL).write_bytes(content)
    (out / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    return card


def measure(judged: Judged, chances: NDArray[np.float64], threshold: float) -> dict[str, float | None]:
    """Return shares of one: blocked or held of each kind of copies, blocked and held of the honest."""
    caught = judged.blocked | (chances >= threshold)
    of = {"near": judged.begins(*NEAR), "composed": judged.begins(*COMPOSED), "all": judged.same & ~judged.rewritten}
    found = {name: _share(caught, among) for name, among in of.items()}
    return {
        "exact_blocked": _share(judged.blocked, judged.begins("exact_", "sameno_")),
        **found,
        "honest_blocked": _share(judged.blocked, ~judged.same),
        "honest_held": _share(caught & ~judged.blocked, ~judged.same),
    }


def _share(what: NDArray[np.bool_], among: NDArray[np.bool_]) -> float | None:
    return round(float(what[among].mean()), 5) if among.any() else None


def _threshold(honest: Sequence[NDArray[np.float64]]) -> float:
    """Return the least threshold, in hundredths, at which on average over the sets few enough honest are held."""
    for hundredths in range(5, 96):
        if np.mean([(chances >= hundredths / 100).mean() for chances in honest]) <= HONEST_HELD_MAX:
            return hundredths / 100
    return 0.95


def _learnt(judged: Judged) -> NDArray[np.bool_]:
    return np.isnan(judged.ruled) & ~judged.rewritten & ~np.isnan(judged.rows[:, 0])


def _weights(judged: Judged, of: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weigh a set's pairs: copies and honest ones alike, and a kind by the root of its number."""
    kinds, same = judged.kinds[of], judged.same[of]
    many = Counter(kinds.tolist())
    weights = np.array([many[kind] ** -0.5 for kind in kinds.tolist()])
    for side in (same, ~same):
        weights[side] /= weights[side].sum() or 1.0
    return weights


def _fit(sets: Sequence[Judged]) -> Likeness:
    from sklearn.ensemble import HistGradientBoostingClassifier

    chosen = [_learnt(one) for one in sets]
    weights = np.concatenate([_weights(one, of) for one, of in zip(sets, chosen, strict=True)])
    booster = HistGradientBoostingClassifier(**PARAMETERS)
    # One thread: sums in another order would differ in their last bit.
    with threadpool_limits(1):
        booster.fit(
            np.vstack([one.rows[of] for one, of in zip(sets, chosen, strict=True)]),
            np.concatenate([one.same[of] for one, of in zip(sets, chosen, strict=True)]),
            sample_weight=weights / weights.mean(),
        )
    base = float(np.ravel(booster._baseline_prediction)[0])
    return Likeness("", 0.5, base, tuple(_tree(predictor.nodes, 0) for (predictor,) in booster._predictors))


def _tree(nodes: NDArray[Any], place: int) -> Any:
    node = nodes[place]
    if node["is_leaf"]:
        return round(float(node["value"]), 6)
    which, threshold = int(node["feature_idx"]), float(node["num_threshold"])
    return which, threshold, _tree(nodes, int(node["left"])), _tree(nodes, int(node["right"]))


def _packed(model: Likeness) -> bytes:
    trees = ",\n".join(json.dumps(tree, separators=(",", ":")) for tree in model.trees)
    return f'{{"figures":{json.dumps(NAMES)},\n"base":{model.base},\n"trees":[\n{trees}\n]}}\n'.encode()


def _ask(model: Likeness, judged: Judged) -> NDArray[np.float64]:
    """Return the chance of every pair: as the rules have it, 0 of one that would never be looked up, or as learnt."""
    return np.array(
        [
            0.0 if np.isnan(row[0]) else model.chance(row.tolist()) if np.isnan(ruled) else ruled
            for row, ruled in zip(judged.rows, judged.ruled, strict=True)
        ]
    )
