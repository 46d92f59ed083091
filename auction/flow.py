"""The exact clearing of a session where caps are nested: a min-cost flow, whose optimum is in whole minor units.

Money flows from the market to each investor (his budget), on to the debtors or sellers he limits, through his bids to
the lots (their targets). A first flow finds the highest worth. Prices are then found that prove it: whole numbers at
which nobody would want another filling. They also say which bids every best filling treats alike; among the others, a
second flow gives most to those with the highest hash. Run as `python -m auction.flow` this happens in a process of its
own, which can be stopped.

Source: market rules, "Many lots, one purse: JC-1".
"""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from auction.problem import NOWHERE, Family, Numbers, Problem

INLINE_MOST = 20_000  # so few bids never take long enough to be stopped
WORTH_MOST = 1 << 38  # so that the worths along any path of a network add up within 64 bits
Ends = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Arcs by tail, head, capacity and cost, those of the bids first; what each node supplies; the bids' tie hashes.

    Node 0 is where money comes from, node 1 where it ends; then lots, investors, limits, as far as bids need them.
    """

    tails: Ends
    heads: Ends
    rooms: Numbers
    costs: Numbers
    supplies: Numbers
    ties: Numbers


class NotNested(Exception):
    """An investor's limits on debtors and on sellers cross: no flow says them both."""


class Unsolved(Exception):
    """The solver gave no answer: out of its range, or out of time."""


def solve_flow(problem: Problem, seconds_max: int | None = None) -> Numbers:
    """Return the filling of highest worth, least fills left aside; of several, the one with the highest hashes.

    Raises: NotNested, Unsolved.
    """
    if int(problem.worth.max(initial=0)) >= WORTH_MOST:
        raise Unsolved
    there = np.flatnonzero(problem.cash > 0)
    fill = np.zeros(len(problem.cash), np.int64)
    if not len(there):
        return fill
    network = _network(problem, there)
    if seconds_max is None or len(there) <= INLINE_MOST:
        flows = best_flow(network)
    else:
        flows = _solve_apart(network, seconds_max)
    fill[there] = flows[: len(there)]
    return fill


def _network(problem: Problem, there: Numbers) -> Network:
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
    supply = int(min(int(cash.sum()), int(problem.lots.minor[lots].sum())))
    tails = [above, *tails, 2 + np.arange(len(lots)), np.zeros(1, np.int64)]
    heads = [2 + lot_of, *heads, sink, np.ones(1, np.int64)]
    rooms = [cash, *rooms, problem.lots.minor[lots], np.array([supply])]
    free = np.zeros(sum(map(len, rooms)) - len(there), np.int64)
    supplies = np.zeros(nodes, np.int64)
    supplies[0], supplies[1] = supply, -supply
    return Network(
        tails=np.concatenate(tails).astype(np.int32),
        heads=np.concatenate(heads).astype(np.int32),
        rooms=np.concatenate(rooms),
        costs=np.concatenate((-problem.worth[there], free)),
        supplies=supplies,
        ties=problem.tie[there],
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


def best_flow(network: Network) -> Numbers:
    """Return the flow of every arc: least cost, proved so, and among such flows the highest hashes.

    Raises: Unsolved.
    """
    flows = _solve(network)
    prices = prove(network, flows)
    reduced = network.costs + prices[network.tails] - prices[network.heads]
    full, open_ = reduced < 0, reduced == 0
    fixed = np.where(full, network.rooms, 0)
    if not open_[: len(network.ties)].any():
        return fixed + np.where(open_, flows, 0)
    supplies = network.supplies.copy()
    np.subtract.at(supplies, network.tails[full], network.rooms[full])
    np.add.at(supplies, network.heads[full], network.rooms[full])
    wishes = np.zeros(len(network.costs), np.int64)
    wishes[: len(network.ties)] = -network.ties
    fixed[open_] = _solve(
        Network(network.tails[open_], network.heads[open_], network.rooms[open_], wishes[open_], supplies, network.ties)
    )
    return fixed


def prove(network: Network, flows: Numbers) -> Numbers:
    """Return prices of the nodes that prove a flow to be of least cost.

    At these prices every arc with room left costs nothing less than its ends differ by, and every arc in use nothing
    more. They are shortest distances in what the flow leaves open, found by relaxing only arcs whose tail has moved.

    Raises: Unsolved when the flow is not of least cost.
    """
    room, used = flows < network.rooms, flows > 0
    tails = np.concatenate((network.tails[room], network.heads[used]))
    heads = np.concatenate((network.heads[room], network.tails[used]))
    costs = np.concatenate((network.costs[room], -network.costs[used]))
    order = np.argsort(tails, kind="stable")
    tails, heads, costs = tails[order], heads[order], costs[order]
    nodes = len(network.supplies)
    first = np.searchsorted(tails, np.arange(nodes + 1))
    prices = np.zeros(nodes, np.int64)
    moved = np.arange(len(tails))
    for _ in range(nodes + 1):
        offers = prices[tails[moved]] + costs[moved]
        lower = offers < prices[heads[moved]]
        if not lower.any():
            return prices
        ends = heads[moved][lower]
        np.minimum.at(prices, ends, offers[lower])
        nodes_moved = np.unique(ends)
        counts = first[nodes_moved + 1] - first[nodes_moved]
        moved = np.repeat(first[nodes_moved] - np.cumsum(counts) + counts, counts) + np.arange(int(counts.sum()))
    raise Unsolved


def _solve(network: Network) -> Numbers:
    # Loaded here: a market that never clears jointly need not carry the solver in every process.
    from ortools.graph.python import min_cost_flow

    flow = min_cost_flow.SimpleMinCostFlow()
    arcs = flow.add_arcs_with_capacity_and_unit_cost(network.tails, network.heads, network.rooms, network.costs)
    flow.set_nodes_supplies(np.arange(len(network.supplies), dtype=np.int32), network.supplies)
    if flow.solve() != flow.OPTIMAL:
        raise Unsolved
    solved: Numbers = np.asarray(flow.flows(arcs), np.int64)
    return solved


def _solve_apart(network: Network, seconds_max: int) -> Numbers:
    question = io.BytesIO()
    np.savez(question, **{one.name: getattr(network, one.name) for one in fields(Network)})
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
    """Solve the network on standard input and write the arcs' flows to standard output, as 64-bit integers."""
    told = np.load(io.BytesIO(sys.stdin.buffer.read()))
    sys.stdout.buffer.write(best_flow(Network(**{name: told[name] for name in told.files})).tobytes())


if __name__ == "__main__":
    main()
