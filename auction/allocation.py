"""Share a whole number by weight so that the parts add up: largest remainder, ties by seq, then id."""

from __future__ import annotations

from collections.abc import Sequence

Tie = tuple[int, str]


def share(total: int, weights: Sequence[int], ties: Sequence[Tie]) -> list[int]:
    """Share `total` in proportion to `weights`; the parts sum to it exactly.

    Each part is its quota rounded down; the units left over go one each to the largest remainders, and
    among equal remainders to the lower (seq, id). Weights are positive. Order of the input is kept.
    """
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    parts = []
    remainders = []
    for weight in weights:
        part, remainder = divmod(total * weight, whole)
        parts.append(part)
        remainders.append(remainder)
    left = total - sum(parts)
    if left:
        by_remainder = sorted(range(len(weights)), key=lambda i: (-remainders[i], ties[i]))
        for i in by_remainder[:left]:
            parts[i] += 1
    return parts
