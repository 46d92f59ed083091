"""The exact clearing of a session where caps are nested: a min-cost flow, whose optimum is in whole minor units.

Money flows from the market to each investor (his budget), on to the debtors or sellers he limits, through his bids to
the lots (their targets). Costs are negative worths · 2^24, less the tie hash, so the optimum does not depend on the
order of the input. Run as `python -m auction.flow` it solves one flow in a process of its own, which can be stopped.

Source: market rules, "Many lots, one purse: JC-1".
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from auction.problem import NOWHERE, TIE_BITS, Family, Numbers, Problem

INLINE_MOST = 20_000  # so few bids never take long enough to be stopped
WORTH_MOST = 1 << 62 - TIE_BITS
Ends = npt.NDArray[np.int32]


class NotNested(Exception):
    """An investor's limits on debtors and on sellers cross: no flow says them both."""


class Unsolved(Exception):
    """The solver gave no answer: out of its range, or out of time."""


def solve_flow(problem: Problem, seconds_max: int | None = None) -> Numbers:
    """Return the filling of highest worth, least fills left aside; ties by hash.

    Raises: NotNested, Unsolved.
    """
    if int(problem.worth.max(initial=0)) >= WORTH_MOST:
        raise Unsolved
    there = np.flatnonzero(problem.cash > 0)
    fill = np.zeros(len(problem.cash), np.int64)
    if not len(there):
        return fill
    arcs = _network(problem, there)
    if seconds_max is None or len(there) <= INLINE_MOST:
        flows = _solve(*arcs)
    else:
        flows = _solve_apart(arcs, seconds_max)
    fill[there] = flows[: len(there)]
    return fill


def _network(problem: Problem, there: Numbers) -> tuple[Ends, Ends, Numbers, Numbers, int]:
    """Return tails, heads, capacities, costs of the arcs, those of the bids first, and the number of nodes.

    Node 0 is where money comes from, node 1 where it ends; then lots, investors, limits, as far as bids need them.
    """
    cash = problem.cash[there]
    lots, lot_of = np.unique(problem.lots.room_of[there], return_inverse=True)
    tails, heads, rooms = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    nodes = 2 + len(lots)
    above = np.zeros(len(there), np.int64)  # the node each bid's money comes from
    for room_of, minor in ((problem.budgets.room_of[there], problem.budgets.minor), _limits(problem, there)):
        used, place = _binding(room_of, minor, cash)
        if not len(used):
            continue
        first = np.full(len(used), -1, np.int64)
        inside = place >= 0
        first[place[inside]] = above[inside]  # nested: all bids of a room come from one node
        tails.append(first)
        heads.append(nodes + np.arange(len(used)))
        rooms.append(minor[used])
        above = np.where(inside, nodes + place, above)
        nodes += len(used)
    sink = np.ones(len(lots), np.int64)
    worth = (problem.worth[there] << TIE_BITS) + problem.tie[there]
    supply = int(min(int(cash.sum()), int(problem.lots.minor[lots].sum())))
    tails = [above, *tails, 2 + np.arange(len(lots)), np.zeros(1, np.int64)]
    heads = [2 + lot_of, *heads, sink, np.ones(1, np.int64)]
    rooms = [cash, *rooms, problem.lots.minor[lots], np.array([supply])]
    free = np.zeros(sum(map(len, rooms)) - len(there), np.int64)
    return (
        np.concatenate(tails).astype(np.int32),
        np.concatenate(heads).astype(np.int32),
        np.concatenate(rooms),
        np.concatenate((-worth, free)),
        supply,
    )


def _binding(room_of: Numbers, minor: Numbers, cash: Numbers) -> tuple[Numbers, Numbers]:
    """Return the rooms that could be too small for the bids on them, and for each bid the place of its room there."""
    asked = np.zeros(len(minor), np.int64)
    np.add.at(asked, room_of[room_of >= 0], cash[room_of >= 0])
    used = np.flatnonzero(asked > minor)
    place_of = np.full(len(minor) + 1, NOWHERE, np.int64)
    place_of[used] = np.arange(len(used))
    return used, place_of[room_of]


def _limits(problem: Problem, there: Numbers) -> tuple[Numbers, Numbers]:
    """Join the limits on debtors and on sellers into one family.

    Raises: NotNested when both may bind for one investor.
    """
    cash = problem.cash[there]
    by_debtor, by_seller = problem.debtor_limits, problem.seller_limits
    debtors = _narrow(by_debtor, there, cash)
    sellers = _narrow(by_seller, there, cash)
    budget = problem.budgets.room_of[there]
    if np.isin(budget[debtors >= 0], budget[sellers >= 0]).any():
        raise NotNested
    joined = np.where(debtors >= 0, debtors, np.where(sellers >= 0, sellers + len(by_debtor.minor), NOWHERE))
    return joined, np.concatenate((by_debtor.minor, by_seller.minor))


def _narrow(limits: Family, there: Numbers, cash: Numbers) -> Numbers:
    """Return each bid's limit, or NOWHERE if that limit can never be reached."""
    room_of = limits.room_of[there]
    _, place = _binding(room_of, limits.minor, cash)
    return np.where(place >= 0, room_of, NOWHERE)


def _solve(tails: Ends, heads: Ends, rooms: Numbers, costs: Numbers, supply: int) -> Numbers:
    # Loaded here: a market that never clears jointly need not carry the solver in every process.
    from ortools.graph.python import min_cost_flow

    flow = min_cost_flow.SimpleMinCostFlow()
    arcs = flow.add_arcs_with_capacity_and_unit_cost(tails, heads, rooms, costs)
    flow.set_nodes_supplies(np.array([0, 1], np.int32), np.array([supply, -supply], np.int64))
    if flow.solve() != flow.OPTIMAL:
        raise Unsolved
    solved: Numbers = np.asarray(flow.flows(arcs), np.int64)
    return solved


def _solve_apart(arcs: tuple[Ends, Ends, Numbers, Numbers, int], seconds_max: int) -> Numbers:
    question = io.BytesIO()
    np.savez(question, *arcs)
    command = [sys.executable, "-m", "auction.flow"]
    here = Path(__file__).resolve().parents[1]
    try:
        done = subprocess.run(
            command, input=question.getvalue(), capture_output=True, timeout=seconds_max, cwd=here, check=True
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as fault:
        raise Unsolved from fault
    flows: Numbers = np.frombuffer(done.stdout, np.int64)
    return flows


def main() -> None:
    """Solve the flow on standard input and write the arcs' flows to standard output, as 64-bit integers."""
    told = np.load(io.BytesIO(sys.stdin.buffer.read()))
    tails, heads, rooms, costs, supply = (told[name] for name in told.files)
    sys.stdout.buffer.write(_solve(tails, heads, rooms, costs, int(supply)).tobytes())


if __name__ == "__main__":
    main()
