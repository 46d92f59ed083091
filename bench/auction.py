"""P5, P6, P7: clearing one lot against sorting its bids, how it grows, and a matching engine in C++.

Timed is the fast engine from columns of numbers (cash, least fill, rate, seq, group) to the fill of every bid:
refusals, group caps, stop-out, drops, pro rata. Reading a book, pricing and writing the transcript are left out, as
they are of what it is held against: `numpy.lexsort` of the same columns by (rate, seq), where a clearing that sorts
would begin. The bids come in the order of a stored book, by id, which is no order of rate or seq; the parts tell what
comes of it when they lie by seq already. Processor time, all in turn, the better of two tries each: a try now and then
pays for memory that the system tidies up.
"""

import time
from collections.abc import Callable, Iterator
from math import log

import numpy as np

from auction.columns import Cleared, Columns, Terms, clear_columns
from bench.figures import Figure, Say, middle

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
SORTED_LEAST = 100_000  # P5 begins here
SORT_MOST, SLOPE_MOST, TIED_MOST, MATCHING_LEAST = 0.10, 1.05, 3.0, 40.0
MATCHING_SIZE = 1_000_000
STEP, RESERVE, TRIES = 10_000, 1_800, 2
SMALL_ENOUGH = 200_000  # below this a clearing is repeated within a run, so that the clock can see it


def measure(size: int | None, runs: int, say: Say) -> Iterator[Figure]:
    """Yield P5, P6 (growth, ties) and P7; `size` is the largest book, 10,000,000 bids by default."""
    most = size or SIZES[-1]
    sizes = sorted({*(count for count in SIZES if count < most), most})
    clearing: dict[int, list[float]] = {count: [] for count in sizes}
    tied: dict[int, list[float]] = {count: [] for count in sizes}
    sorting: dict[int, list[float]] = {count: [] for count in sizes}
    arrival: dict[int, list[float]] = {count: [] for count in sizes}
    for run in range(runs):
        for count in sizes:
            terms, bids = book(count, run)
            level = book(count, run, tied=True)
            in_time = Columns(**{name: getattr(bids, name) for name in ("cash", "least", "rate", "group", "groups")},
                              seq=np.arange(count))  # fmt: skip
            clearing[count].append(_timed(count, lambda t=terms, b=bids: clear_columns(t, b)))
            sorting[count].append(_timed(count, lambda b=bids: np.lexsort((b.seq, b.rate))))
            tied[count].append(_timed(count, lambda one=level: clear_columns(*one)))
            arrival[count].append(
                _timed(count, lambda t=terms, b=in_time: clear_columns(t, b))
                / _timed(count, lambda b=in_time: np.lexsort((b.seq, b.rate)))
            )
        say(f"run {run + 1}: {most:,} bids cleared in {clearing[most][-1]:.3f} s, sorted in {sorting[most][-1]:.3f} s")
    yield _against_sorting(clearing, sorting, arrival, runs)
    yield _growth(clearing, runs)
    ratios = {count: middle(_ratios(tied[count], clearing[count])) for count in sizes}
    value = ratios[most]
    yield Figure("P6 ties", value, TIED_MOST, value <= TIED_MOST, runs, {"bids": most, "by_size": ratios})
    yield _matching(clearing, runs)


def book(bids: int, seed: int, *, tied: bool = False) -> tuple[Terms, Columns]:
    """Return a made-up lot of so many bids; the same for the same seed. `tied`: all at one rate.

    Rates over 1,601 ticks, one bid in twenty with a least fill of half its cash (when tied: none, so that ties alone
    are measured), a few refused, 5,000 groups of which none reaches its cap, supply twice the target.
    """
    random = np.random.default_rng(seed)
    cash = random.integers(1, 1_000, bids) * STEP
    least = np.where(random.random(bids) < 0.05, cash // 2, 0)
    rate = random.integers(200, RESERVE + 1, bids)
    columns = Columns(
        cash=cash,
        least=np.zeros(bids, np.int64) if tied else least,
        rate=np.full(bids, 900) if tied else rate,
        seq=random.permutation(bids),
        group=random.integers(0, 5_000, bids),
        groups=5_000,
    )
    terms = Terms(int(cash.sum()) // 2, STEP, STEP, RESERVE - 1, 8_000, 3_500, related=(7,))
    return terms, columns


def _timed(count: int, work: Callable[[], Cleared | np.ndarray]) -> float:
    times = max(SMALL_ENOUGH // count, 1)
    found = []
    for _ in range(TRIES):
        began = time.process_time()
        for _ in range(times):
            work()
        found.append((time.process_time() - began) / times)
    return min(found)


def _ratios(over: list[float], under: list[float]) -> list[float]:
    return [one / other for one, other in zip(over, under, strict=True)]


def _against_sorting(
    clearing: dict[int, list[float]], sorting: dict[int, list[float]], arrival: dict[int, list[float]], runs: int
) -> Figure:
    """P5: the worst of the sizes from 100,000 up."""
    sizes = [count for count in clearing if count >= SORTED_LEAST] or list(clearing)
    ratios = {count: _ratios(clearing[count], sorting[count]) for count in sizes}
    value = max(middle(ratios[count]) for count in sizes)
    parts = {
        "timed": "columns to fills; sorting: numpy.lexsort by (rate, seq); bids stored by id",
        "by_size": {
            count: {"least": round(min(found), 4), "middle": middle(found), "most": round(max(found), 4),
                    "stored_by_seq": middle(arrival[count])}
            for count, found in ratios.items()
        },
    }  # fmt: skip
    return Figure("P5", value, SORT_MOST, value <= SORT_MOST, runs, parts)


def _growth(clearing: dict[int, list[float]], runs: int) -> Figure:
    """P6: the slope of seconds over bids, both as logarithms, by least squares."""
    seconds = {count: middle_seconds(found) for count, found in clearing.items()}
    across = [log(count) for count in seconds]
    up = [log(second) for second in seconds.values()]
    mean_across, mean_up = sum(across) / len(across), sum(up) / len(up)
    spread = sum((x - mean_across) ** 2 for x in across)
    slope = sum((x - mean_across) * (y - mean_up) for x, y in zip(across, up, strict=True)) / (spread or 1)
    value = round(slope, 4)
    parts = {"microseconds": {count: round(second * 1e6) for count, second in seconds.items()}}
    return Figure("P6 growth", value, SLOPE_MOST, value <= SLOPE_MOST, runs, parts)


def middle_seconds(found: list[float]) -> float:
    """Return the median of some durations, unrounded."""
    return sorted(found)[len(found) // 2]


def _matching(clearing: dict[int, list[float]], runs: int) -> Figure:
    """P7 asks for Liquibook, which is a C++ library that has to be built: it is not here, and nothing is claimed."""
    ours = clearing.get(MATCHING_SIZE)
    parts = {
        "skipped": "Liquibook (C++) is not installed; it matches orders as they come, which is another job",
        "ours_microseconds": round(middle_seconds(ours) * 1e6) if ours else None,
    }
    return Figure("P7", None, MATCHING_LEAST, None, runs, parts)
