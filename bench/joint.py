"""P10: how far the joint clearing of a session is from the optimum, and how much longer HiGHS takes for the same.

A session is made up: lots of mixed size and tenor, investors who bid on fifty lots with cash for ten, and a limit of
each investor on each debtor. Timed is the solving of one problem given as arrays: building the network or the matrix,
and the solver; ours also proves the optimum by whole-number prices and breaks ties, HiGHS does neither. Reading the
books, judging bids and pricing are left out of both. Processor time, so that a busy machine does not decide. The parts
tell, once, how the two compare where every purse and many limits are used up: the flow's hardest case.
"""

import time
from collections.abc import Iterator

import numpy as np

from auction.flow import solve_flow
from auction.greedy import bound, fill_by_worth
from auction.problem import Family, Problem, tie_of
from auction.program import relaxed_value
from bench.figures import Figure, Say, middle

BIDS, BIDS_EACH, LOTS_AFFORDED, DEBTORS_EACH = 250_000, 50, 10, 10
RATIO_LEAST = 1.5
FLOAT_SLACK = 1e-9


def measure(size: int | None, runs: int, say: Say) -> Iterator[Figure]:
    """Yield the gap (0 is asked) and HiGHS ÷ ours, of `runs` sessions of `size` bids, the two solvers in turn."""
    count = size or BIDS
    gaps, ratios, greedy_gaps, bound_gaps, ours, theirs = [], [], [], [], [], []
    for run in range(runs):
        problem = session(count, run)
        began = time.process_time()
        fill = solve_flow(problem)
        ours.append(time.process_time() - began)
        began = time.process_time()
        best = relaxed_value(problem)
        theirs.append(time.process_time() - began)
        if not problem.holds(fill):
            raise ValueError("the filling breaks a cap")
        value = problem.value(fill)
        gaps.append((best - value) / value if best - value > FLOAT_SLACK * value else 0.0)
        ratios.append(theirs[-1] / ours[-1])
        by_worth = problem.value(fill_by_worth(problem))
        greedy_gaps.append((value - by_worth) / value)
        bound_gaps.append((bound(problem) - value) / value)
        say(f"run {run + 1}: ours {ours[-1]:.2f} s, HiGHS {theirs[-1]:.2f} s of processor time, gap {gaps[-1]:.2g}")
    parts = {
        "bids": count, "lots": count // BIDS_EACH, "investors": count // BIDS_EACH,
        "timed": "network or matrix built from arrays, and solved", "highs": "scipy.optimize.linprog, method highs",
        "greedy_gap": middle(greedy_gaps), "certificate_above_optimum": middle(bound_gaps),
    }  # fmt: skip
    yield Figure("P10 gap", max(gaps), 0, max(gaps) == 0, runs, parts)
    spread = {"least": round(min(ratios), 3), "most": round(max(ratios), 3)}
    seconds = {"ours_seconds": middle(ours), "highs_seconds": middle(theirs)}
    value = middle(ratios)
    tight = {"ratio_where_every_purse_is_used_up": round(_ratio(session(count, 0, tight=True)), 3)}
    yield Figure("P10 ratio", value, RATIO_LEAST, value >= RATIO_LEAST, runs, parts | spread | seconds | tight)


def _ratio(problem: Problem) -> float:
    """Return HiGHS ÷ ours for one problem."""
    began = time.process_time()
    solve_flow(problem)
    between = time.process_time()
    relaxed_value(problem)
    return (time.process_time() - between) / (between - began)


def session(bids: int, seed: int, *, tight: bool = False) -> Problem:
    """Return a made-up session of so many bids; the same for the same seed.

    `tight`: half the cash, a tenth of the debtors, and a tenth of a purse at most on each.
    """
    random = np.random.default_rng(seed)
    lots = max(bids // BIDS_EACH, 2)
    target = random.integers(50, 500, lots) * 1_000_00
    reserve = random.integers(600, 1_800, lots)
    days = random.integers(15, 181, lots)
    liked = random.pareto(2.0, lots) + 0.2  # some lots draw many times the bids of others
    lot = np.searchsorted(np.cumsum(liked / liked.sum())[:-1], random.random(bids))
    investor = np.arange(bids) % max(bids // BIDS_EACH, 1)
    cash = np.minimum(random.integers(5, 100, bids) * 1_000_00, target[lot] * 35 // 100)
    rate = reserve[lot] * random.integers(40, 101, bids) // 100
    asked = np.bincount(investor) * 0
    np.add.at(asked, investor, cash)
    debtors = max(lots // (DEBTORS_EACH * (10 if tight else 1)), 1)
    pairs, pair_of = np.unique(investor * debtors + random.integers(0, debtors, lots)[lot], return_inverse=True)
    budget = asked * LOTS_AFFORDED // BIDS_EACH // (2 if tight else 1)
    return Problem(
        cash=cash,
        least=np.zeros(bids, np.int64),
        worth=(reserve[lot] - rate + 1) * days[lot],
        tie=np.array([tie_of(f"bid-{number:08d}") for number in range(bids)], np.int64),
        lots=Family(lot, target),
        budgets=Family(investor, budget),
        debtor_limits=Family(pair_of.astype(np.int64), budget[pairs // debtors] // (10 if tight else 4)),
        seller_limits=Family(np.full(bids, -1), np.zeros(0, np.int64)),
    )
