"""Share a whole number over an array of weights, as `auction/allocation.py` does, in 64-bit integers.

A product that might not fit is worked out by long division, some bits at a time. Remainders are not kept: each is
smaller than 2^63, so its last 64 bits, which no overflow spoils, are all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auction.errors import TooLarge

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

WORD = 63
BUCKET_BITS = 11
PIECE = 1 << 14  # bids worked on at a time: what lies between two steps stays in the processor's cache


def pieces(count: int) -> Iterator[slice]:
    """Cut `count` places into slices that fit the processor's cache."""
    return (slice(start, start + PIECE) for start in range(0, count, PIECE))


@dataclass(frozen=True, slots=True, eq=False)
class Quotas:
    """⌊total · weight / whole⌋ for each weight, and the remainders; where `here` is false a weight counts as zero."""

    total: int
    weights: Numbers
    whole: int
    parts: Numbers
    here: Mask | None

    def remainders(self, piece: slice = slice(None)) -> Numbers:
        """Return the remainders of some places."""
        left = weigh(self.weights, self.here, piece).view(np.uint64) * np.uint64(self.total)
        left -= self.parts[piece].view(np.uint64) * np.uint64(self.whole)
        return left.view(np.int64)


def share_columns(total: int, weights: Numbers, seq: Numbers, here: Mask | None = None) -> Numbers:
    """Share `total` by weight; the parts sum to it exactly. Largest remainder, ties to the lower seq.

    A weight of zero, or one that is not `here`, gets nothing. `total` is not above the sum of the others.

    Raises: TooLarge when the weights' sum leaves no bit to spare.
    """
    whole = sum(int(weigh(weights, here, piece).sum()) for piece in pieces(len(weights)))
    if not whole:
        return np.zeros_like(weights)
    found = quotas(total, weights, whole, here)
    give_rest(found, seq)
    return found.parts


def weigh(weights: Numbers, here: Mask | None, piece: slice) -> Numbers:
    """Return some of the weights, zero where they are not here."""
    return weights[piece] if here is None else weights[piece] * here[piece]


def quotas(total: int, weights: Numbers, whole: int, here: Mask | None = None) -> Quotas:
    """Work out the quotas; `total` and every weight are at most `whole`.

    Raises: TooLarge.
    """
    bits = WORD - 1 - whole.bit_length()  # so that (whole − 1 + weight) · 2^bits stays below 2^63
    if total * int(weights.max(initial=0)) < 1 << WORD:
        digits, bits = [total], 0
    elif bits < 1:
        raise TooLarge("the cash at the stop-out leaves no bit to spare")
    else:
        count = -(-total.bit_length() // bits)
        digits = [total >> bits * place & ((1 << bits) - 1) for place in reversed(range(count))]
    parts = np.empty_like(weights)
    for piece in pieces(len(weights)):
        _divide(weigh(weights, here, piece), digits, bits, whole, parts[piece])
    return Quotas(total, weights, whole, parts, here)


def _divide(weights: Numbers, digits: list[int], bits: int, whole: int, parts: Numbers) -> None:
    """Divide total · weights by `whole` into `parts`; `digits` are those of the total, `bits` each."""
    left = weights * digits[0]
    step = np.floor_divide(left, whole, out=parts)
    for digit in digits[1:]:
        left -= step * whole
        left <<= bits
        left += weights * digit
        step = left // whole
        parts <<= bits
        parts += step


def give_rest(found: Quotas, seqs: Numbers, places: Numbers | None = None) -> None:
    """Give, in place, one unit each to the largest remainders until the parts sum to the total; ties to the lower seq.

    The seq of the i-th part is that of `seqs` at the i-th of `places`, or at i: few of them are ever looked at.
    """
    parts = found.parts
    count = found.total - int(parts.sum())
    if not count:
        return
    shift = max((found.whole - 1).bit_length() - BUCKET_BITS, 0)
    held = np.zeros(1 << BUCKET_BITS, np.int64)
    for piece in pieces(len(parts)):
        held += np.bincount(found.remainders(piece) >> shift, minlength=1 << BUCKET_BITS)
    above = np.cumsum(held[::-1])  # how many lie in the top bucket, in the top two …
    steps = int(np.searchsorted(above, count))
    edge = len(above) - 1 - steps
    count -= int(above[steps - 1]) if steps else 0
    open_places, open_remainders = [], []
    for piece in pieces(len(parts)):
        remainders = found.remainders(piece)
        buckets = remainders >> shift
        at_edge = np.flatnonzero(buckets == edge)
        parts[piece] += buckets > edge
        open_places.append(piece.start + at_edge)
        open_remainders.append(remainders[at_edge])
    open_ = np.concatenate(open_places)
    seq = seqs[open_ if places is None else places[open_]]
    parts[open_[_largest(count, np.concatenate(open_remainders), seq)]] += 1


def _largest(count: int, remainders: Numbers, seq: Numbers) -> Numbers:
    """Return the places of the `count` largest remainders; among equal ones, those of the lowest seq."""
    if count == len(remainders):
        return np.arange(count)
    least = int(np.partition(remainders, -count)[-count])
    above = np.flatnonzero(remainders > least)
    equal = np.flatnonzero(remainders == least)
    count -= len(above)
    last = int(np.partition(seq[equal], count - 1)[count - 1])
    return np.concatenate((above, equal[seq[equal] <= last]))
