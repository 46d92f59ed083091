"""P1 to P4: what a bid costs beside the barest row, whether a lot or wallet that all want slows it, what HTTP adds.

Eight clients are threads of as many processes as the web server has workers, each with a connection of its own where
it needs one, as eight people are who bid over the web. They place bids in lots spread and then all in one lot, by the
function that the web's door calls, which places together what meets in one process; then they insert rows of five
columns that nothing watches, a transaction each, over the same pool and driver in the same threads. All kinds take
short turns in every run, so that what else the machine does hits all alike; P1 is bids ÷ rows, the run's own.

Told beside it: the same with a process for each client, where no two bids can meet (`apart_…`, the form of before), and
against rows in one message on a bare connection of each thread (`bare_per_second`, `ratio_to_bare`).

P4: over HTTP thirty-two clients with connections that stay open post what the page posts, as signed-in investors, in
turn with the five values of a bare row, to the same server; all ask a few times before they are counted. Beside it
stand eight clients (`few_…`), of whose posts fewer meet.

Commits flush for one millisecond, as a disk does, with group commit.

P3: thirty-two clients of one institution bid from one wallet, which is one row of the ledger, in the same processes.
What spares them one another's commits is no stripes but that bids which meet share a transaction; the value is that ÷
the same bids each in a transaction of its own, which holds the row to its end. Beside it stand thirty-two institutions
with a wallet each (`hot_to_spread`: what one wallet costs at all, hence the most that stripes could bring), and those
placed each alone (`alone_ratio`), for a bid alone costs more than the wait for the row.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Queue
from typing import Any
from uuid import UUID

import psycopg
from flask import Flask
from sqlalchemy import text

from bench.bid_http import TURNS as HTTP_TURNS
from bench.bid_http import Served, rates_over_http
from bench.figures import Figure, Say, middle, ratio
from bench.lots import STEP, make
from bench.server import FLUSHING, application, database, server
from marketplace.db import db
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.ids import new_id

CLIENTS, CROWD, WORKERS, LOTS, SECONDS = 8, 32, 2, 64, 4.0  # as many workers as gunicorn has by its settings
PLACE_LEAST, HOT_LEAST, WALLET_LEAST, HTTP_LEAST = 0.75, 0.9, 8.0, 0.60
PATIENCE, WARMING, TURNS = 300, 0.2, 4
KINDS = ("spread", "hot", "raw", "bare")
WALLETS = ("wallet", "wallet_alone", "spread", "alone")
RAW = "CREATE TABLE raw (id uuid PRIMARY KEY, lot_id uuid, investor_id uuid, cash_minor bigint, rate_bps integer)"
ROW = "INSERT INTO raw VALUES (%s, %s, %s, 10000, 700)"
SAME = text("INSERT INTO raw VALUES (:id, :lot, :investor, 10000, 700)")


@dataclass(frozen=True)
class Given:
    """What every process of a race is told."""

    url: str
    home: Path
    lots: list[UUID]
    wallet: UUID  # the investor that all bid for where they share a wallet
    seconds: float
    runs: int
    kinds: tuple[str, ...]


def measure(size: int | None, runs: int, say: Say) -> Iterator[Figure]:
    """Yield P1 to P4. `size` is how many milliseconds a client works on each kind in a run, 4,000 by default."""
    seconds = size / 1000 if size else SECONDS
    with server(500_000_000, say, FLUSHING) as postgres:
        url = database(postgres, "bids")
        with postgres.connect("bids") as connection:
            made = make(connection, LOTS, CROWD, 0)
            connection.execute(RAW)
            connection.execute("GRANT SELECT, INSERT ON raw TO duebill_web, duebill_worker")
        given = Given(url, postgres.directory, made.lots, made.investors[0], seconds, runs, KINDS)
        few = made.investors[:CLIENTS]
        told = _race(given, _parted(few, WORKERS), say)
        apart = _race(replace(given, kinds=("spread", "raw")), _parted(few, CLIENTS), say)
        yield from _figures(told, apart, seconds, runs)
        yield _of_wallets(_race(replace(given, kinds=WALLETS), _parted(made.investors, WORKERS), say), seconds, runs)
        crowd = Served(postgres, url, made, seconds, CROWD)
        http = [(rates_over_http(crowd), rates_over_http(replace(crowd, clients=CLIENTS))) for _ in range(runs)]
        yield _of_posts([rates for rates, _ in http], [rates for _, rates in http], seconds)


def _parted(investors: list[UUID], processes: int) -> list[list[UUID]]:
    return [investors[place::processes] for place in range(processes)]


def _race(given: Given, parted: list[list[UUID]], say: Say) -> dict[str, list[float]]:
    """Let a process for each part, with a thread for each of its investors, work on each kind in turn.

    Returns rates a second by kind, one a run.
    """
    spawn = multiprocessing.get_context("spawn")
    gate, answers = spawn.Barrier(len(parted) + 1), spawn.Queue()
    workers = [spawn.Process(target=worker, args=(place, part, given, gate, answers), daemon=True)
               for place, part in enumerate(parted)]  # fmt: skip
    told: dict[str, list[float]] = {kind: [] for kind in given.kinds}
    for one in workers:
        one.start()
    try:
        for _ in range(given.runs):
            rates = dict.fromkeys(given.kinds, 0.0)
            for _, kind in product(range(TURNS), given.kinds):
                gate.wait(PATIENCE)
                rates[kind] += sum(answers.get(timeout=PATIENCE) for _ in workers) / TURNS
            for kind, rate in rates.items():
                told[kind].append(rate)
                say(f"{kind}, {len(parted)} processes: {rate:.0f} a second")
    finally:
        for one in workers:
            one.join(5)
            one.kill()
    return told


def worker(place: int, investors: list[UUID], given: Given, gate: Barrier, answers: "Queue[float]") -> None:
    """Body of one process: its threads work when the gate opens, it tells their rate, and waits for the next kind."""
    app = application(given.url, given.home)
    clients = [Client(app, given, place + at * 2, one) for at, one in enumerate(investors)]
    for _, kind in product(range(given.runs * TURNS), given.kinds):
        with ThreadPoolExecutor(len(clients)) as threads:
            list(threads.map(lambda client, kind=kind: client.rate(kind, WARMING), clients))
            gate.wait(PATIENCE)
            answers.put(sum(threads.map(lambda client, kind=kind: client.rate(kind, given.seconds / TURNS), clients)))


class Client:
    """One investor's thread."""

    def __init__(self, app: Flask, given: Given, place: int, investor: UUID) -> None:
        self.app, self.given, self.place, self.investor = app, given, place, investor
        self.actor = Actor(Role.INVESTOR, new_id(), investor)
        self.shared = Actor(Role.INVESTOR, new_id(), given.wallet)
        self.plain = given.url.replace("postgresql+psycopg://", "postgresql://")

    def rate(self, kind: str, seconds: float) -> float:
        """Return how often a second this client got one kind of thing done."""
        lots, many = self.given.lots, len(self.given.lots)
        with self.app.app_context(), psycopg.connect(self.plain, autocommit=True) as connection:
            work: dict[str, Callable[[int], Any]] = {
                "spread": lambda turn: self.bid(lots[(self.place + turn * CLIENTS) % many], self.actor),
                "hot": lambda _: self.bid(lots[0], self.actor),
                "wallet": lambda turn: self.bid(lots[(self.place + turn * CLIENTS) % many], self.shared),
                "alone": lambda turn: self.bid_alone(lots[(self.place + turn * CLIENTS) % many], self.actor),
                "wallet_alone": lambda turn: self.bid_alone(lots[(self.place + turn * CLIENTS) % many], self.shared),
                "raw": lambda _: self.insert(lots[0]),
                "bare": lambda _: connection.execute(ROW, (new_id(), lots[0], self.investor)),
            }
            began, turn, ask = time.perf_counter(), 0, work[kind]
            while time.perf_counter() - began < seconds:
                ask(turn)
                turn += 1
            return turn / (time.perf_counter() - began)

    def bid(self, lot_id: UUID, actor: Actor) -> None:
        """Place a bid as the web's door does."""
        from marketplace.trading.placing_together import place_together
        from marketplace.trading.schemas import PlaceBid

        place_together(PlaceBid(lot_id, 700, STEP), actor)

    def bid_alone(self, lot_id: UUID, actor: Actor) -> None:
        """Place a bid in a transaction of its own, which holds the wallet's row until it stands."""
        from marketplace.perform import perform
        from marketplace.trading.actions import place_bid
        from marketplace.trading.schemas import PlaceBid

        perform(place_bid, PlaceBid(lot_id, 700, STEP), actor)

    def insert(self, lot_id: UUID) -> None:
        """Insert a bare row over the application's pool."""
        with db.engine.begin() as connection:
            connection.execute(SAME, {"id": new_id(), "lot": lot_id, "investor": self.investor})


def _figures(
    told: dict[str, list[float]], apart: dict[str, list[float]], seconds: float, runs: int
) -> Iterator[Figure]:
    rates = {f"{kind}_per_second": middle(found) for kind, found in told.items()}
    rates |= {f"apart_{kind}_per_second": middle(found) for kind, found in apart.items()}
    parts = {"clients": CLIENTS, "processes": WORKERS, **_timed(TURNS, seconds), **rates}
    parts |= {"ratio_to_bare": _ratio(told, "spread", "bare"), "apart_ratio": _ratio(apart, "spread", "raw")}
    placed = _ratio(told, "spread", "raw")
    yield Figure("P1", placed, PLACE_LEAST, placed >= PLACE_LEAST, runs, parts)
    hot = _ratio(told, "hot", "spread")
    yield Figure("P2", hot, HOT_LEAST, hot >= HOT_LEAST, runs, parts)


def _of_wallets(told: dict[str, list[float]], seconds: float, runs: int) -> Figure:
    rates = {f"{kind}_per_second": middle(found) for kind, found in told.items()}
    parts = {"clients": CROWD, "processes": WORKERS, **_timed(TURNS, seconds),
             "remedy": "bids that meet share a transaction; one row, no stripes", **rates,
             "hot_to_spread": _ratio(told, "wallet", "spread"),
             "alone_ratio": _ratio(told, "wallet_alone", "alone")}  # fmt: skip
    value = _ratio(told, "wallet", "wallet_alone")
    return Figure("P3", value, WALLET_LEAST, value >= WALLET_LEAST, runs, parts)


def _of_posts(crowd: list[tuple[float, float]], few: list[tuple[float, float]], seconds: float) -> Figure:
    parts: dict[str, Any] = {"processes": WORKERS, **_timed(HTTP_TURNS, seconds)}
    for name, clients, rates in (("", CROWD, crowd), ("few_", CLIENTS, few)):
        parts |= {f"{name}clients": clients, f"{name}bids_per_second": middle([bid for bid, _ in rates]),
                  f"{name}bare_per_second": middle([bare for _, bare in rates]),
                  f"{name}ratio": middle([bid / bare for bid, bare in rates])}  # fmt: skip
    value = parts.pop("ratio")
    return Figure("P4", value, HTTP_LEAST, value >= HTTP_LEAST, len(crowd), parts)


def _timed(turns: int, seconds: float) -> dict[str, Any]:
    """Tell how long each kind was worked on in a run, in how many turns."""
    return {"turns": turns, "seconds_a_turn": seconds / turns, "flush_ms": 1}


def _ratio(told: dict[str, list[float]], one: str, other: str) -> float:
    """Return the median of one kind ÷ another."""
    return ratio(told[one], told[other])
