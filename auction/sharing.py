"""Share a whole number over an array of weights, as `auction/allocation.py` does, in 64-bit integers.

A product that might not fit is worked out by long division, some bits at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from auction.errors import TooLarge

Numbers = npt.NDArray[np.int64]

WORD = 63
BUCKET_BITS = 11
PIECE = 1 << 14  # bids worked on at a time: what lies between two steps stays in the processor's cache


def pieces(count: int) -> Iterator[slice]:
    """Cut `count` places into slices that fit the processor's cache."""
    return (slice(start, start + PIECE) for start in range(0, count, PIECE))


def share_columns(total: int, weights: Numbers, seq: Numbers) -> Numbers:
    """Share `total` by weight; the parts sum to it exactly. Largest remainder, ties to the lower seq.

    A weight of zero gets nothing. `total` is not above the sum of the weights.

    Raises: TooLarge when the weights' sum leaves no bit to spare.
    """
    whole = int(weights.sum())
    if not whole:
        return np.zeros_like(weights)
    parts, remainders = quotas(total, weights, whole)
    give_rest(total, parts, remainders, seq)
    return parts


def quotas(total: int, weights: Numbers, whole: int) -> tuple[Numbers, Numbers]:
    """Return ⌊total · weight / whole⌋ and the remainders; `total` and every weight are at most `whole`.

    Raises: TooLarge.
    """
    parts, remainders = np.empty_like(weights), np.empty_like(weights)
    bits = WORD - 1 - whole.bit_length()  # so that (whole − 1 + weight) · 2^bits stays below 2^63
    if total * int(weights.max()) < 1 << WORD:
        digits, bits = [total], 0
    elif bits < 1:
        raise TooLarge("the cash at the stop-out leaves no bit to spare")
    else:
        count = -(-total.bit_length() // bits)
        digits = [total >> bits * place & ((1 << bits) - 1) for place in reversed(range(count))]
    for piece in pieces(len(weights)):
        _divide(weights[piece], digits, bits, whole, parts[piece], remainders[piece])
    return parts, remainders


def _divide(weights: Numbers, digits: list[int], bits: int, whole: int, parts: Numbers, remainders: Numbers) -> None:
    """Divide total · weights by `whole` into `parts` and `remainders`; `digits` are those of the total, `bits` each."""
    np.multiply(weights, digits[0], out=remainders)
    np.floor_divide(remainders, whole, out=parts)
    remainders -= parts * whole
    for digit in digits[1:]:
        remainders <<= bits
        remainders += weights * digit
        step = remainders // whole
        remainders -= step * whole
        parts <<= bits
        parts += step


def give_rest(total: int, parts: Numbers, remainders: Numbers, seqs: Numbers, places: Numbers | None = None) -> None:
    """Give, in place, one unit each to the largest remainders until the parts sum to `total`; ties to the lower seq.

    The seq of the i-th part is that of `seqs` at the i-th of `places`, or at i: few of them are ever looked at.
    """
    count = total - int(parts.sum())
    if not count:
        return
    bits = min(len(parts).bit_length() + 1, BUCKET_BITS)
    shift = max(int(remainders.max()).bit_length() - bits, 0)
    held = np.zeros(1 << bits, np.int64)
    for piece in pieces(len(parts)):
        held += np.bincount(remainders[piece] >> shift, minlength=1 << bits)
    above = np.cumsum(held[::-1])  # how many lie in the top bucket, in the top two …
    steps = int(np.searchsorted(above, count))
    edge = len(above) - 1 - steps
    count -= int(above[steps - 1]) if steps else 0
    beyond, open_places = (edge + 1) << shift, []
    for piece in pieces(len(parts)):
        parts[piece] += remainders[piece] >= beyond
        open_places.append(piece.start + np.flatnonzero(remainders[piece] >> shift == edge))
    open_ = np.concatenate(open_places)
    parts[open_[_largest(count, remainders[open_], seqs[open_ if places is None else places[open_]])]] += 1


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
