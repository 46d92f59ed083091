"""Whether the model still holds: drift of what it sees, and of what it said against what came. Pure, NumPy only."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from marketplace.kernel.policy import Rating
from marketplace.rating.grades import MILLION
from marketplace.rating.measures import jeffreys_p

LEAST_SHARE = 0.0005
P_WATCH, P_ALARM = 0.05, 0.01


@dataclass(frozen=True)
class Measure:
    """One thing measured: what of, over how many, expected and seen in ppm, a value in millionths, and the verdict.

    `alarm`: none, few (too few to judge), watch, alarm.
    """

    kind: str
    key: str
    n: int
    defaults: int = 0
    expected_ppm: int | None = None
    seen_ppm: int | None = None
    value_micro: int | None = None
    p_ppm: int | None = None
    alarm: str = "none"


@dataclass(frozen=True)
class Bucket:
    """Receivables judged together: how many came to an end, how many defaulted, and the mean PD over their tenor."""

    key: str
    n: int
    defaults: int
    expected_ppm: int


def psi(expected: Sequence[float], seen: Sequence[int]) -> float:
    """Return the population stability index of counts against shares; empty cells count as 0.05 %.

    Source: Siddiqi 2006, Credit Risk Scorecards, chapter 8 (below .1 stable, above .25 shifted).
    """
    total = sum(seen)
    if not total:
        return 0.0
    shares = [(max(LEAST_SHARE, share), max(LEAST_SHARE, count / total))
              for share, count in zip(expected, seen, strict=True)]  # fmt: skip
    return sum((now - then) * math.log(now / then) for then, now in shares)


def drift(key: str, expected: Sequence[float], seen: Sequence[int], policy: Rating) -> Measure:
    """Judge one distribution by its PSI: .1 is watched, .25 is an alarm, of too few nothing is said."""
    value, n = psi(expected, seen), sum(seen)
    ppm = round(value * MILLION)
    alarm = "alarm" if ppm >= policy.psi_alarm_ppm else "watch" if ppm >= policy.psi_watch_ppm else "none"
    return Measure("drift", key, n, value_micro=ppm, alarm=alarm if n >= policy.watch_count_min else "few")


def against(kind: str, bucket: Bucket, policy: Rating) -> Measure:
    """Judge expected against actual by Jeffreys' test: whether the PDs were too low for what came."""
    p = jeffreys_p(bucket.defaults, bucket.n, bucket.expected_ppm / MILLION) if bucket.n else 1.0
    # Of nothing that defaulted no PD was too low, however few there were.
    alarm = "none" if not bucket.defaults else "alarm" if p < P_ALARM else "watch" if p < P_WATCH else "none"
    if alarm == "none" and bucket.n < policy.watch_count_min:
        alarm = "few"
    seen = round(bucket.defaults * MILLION / bucket.n) if bucket.n else None
    return Measure(kind, bucket.key, bucket.n, bucket.defaults, bucket.expected_ppm, seen, p_ppm=round(p * MILLION),
                   alarm=alarm)  # fmt: skip


def inversions(buckets: Sequence[Bucket], policy: Rating) -> list[Measure]:
    """Compare each grade with the next worse one that has receivables: a better grade must not default more often.

    With enough of both an inversion is an alarm, else it is watched.
    """
    found = []
    filled = [bucket for bucket in buckets if bucket.n]
    for better, worse in pairwise(filled):
        upside_down = better.defaults * worse.n > worse.defaults * better.n
        enough = min(better.n, worse.n) >= policy.watch_count_min
        alarm = ("alarm" if enough else "watch") if upside_down else "none" if enough else "few"
        found.append(Measure("inversion", f"{better.key} / {worse.key}", better.n + worse.n,
                             better.defaults + worse.defaults, round(worse.defaults * MILLION / worse.n),
                             round(better.defaults * MILLION / better.n), alarm=alarm))  # fmt: skip
    return found


def calibration(buckets: Sequence[Bucket], policy: Rating) -> Measure:
    """Judge all receivables together."""
    n = sum(bucket.n for bucket in buckets)
    expected = round(sum(bucket.expected_ppm * bucket.n for bucket in buckets) / n) if n else 0
    return against("calibration", Bucket("all", n, sum(bucket.defaults for bucket in buckets), expected), policy)


def shadow(pairs: Sequence[tuple[int, int]], policy: Rating) -> Measure:
    """Compare champion and challenger on the parties rated now: the mean distance of their log-odds."""
    n = len(pairs)
    value = sum(abs(_log_odds(one) - _log_odds(other)) for one, other in pairs) / n if n else 0.0
    means = [round(sum(pair[place] for pair in pairs) / n) if n else None for place in (0, 1)]
    alarm = "few" if n < policy.watch_count_min else "watch" if value > math.log(2) else "none"
    return Measure("shadow", "challenger", n, expected_ppm=means[0], seen_ppm=means[1],
                   value_micro=round(value * MILLION), alarm=alarm)  # fmt: skip


def _log_odds(ppm: int) -> float:
    share = min(max(ppm, 1), MILLION - 1) / MILLION
    return math.log(share / (1 - share))
