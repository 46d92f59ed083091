"""P1, P2, P4: what a bid costs beside the barest row, whether one hot lot slows bids down, and what HTTP adds.

Eight clients, each a process with a connection of its own, place bids through the market's own verb for a while, then
all on one lot, then insert rows of five columns that nothing watches, a transaction each: over the same pool and
driver as the bids, which P1 is measured by, and once more in one message on a bare connection, which is told beside it
(`bare_per_second`, `ratio_to_bare`). All kinds take turns in every run; the ratio is that run's own. Over HTTP eight
clients with connections that stay open post bids as signed-in investors to gunicorn, then ask the same server for a
bare row; both are asked for a few times before they are counted.
Commits flush for one millisecond, as a disk does, with group commit.

P3 (striped wallets) is not measured: an investor's purse is one row of the ledger.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Queue
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import text

from bench.bid_http import Served, rates_over_http
from bench.figures import Figure, Say, middle
from bench.lots import STEP, Made, make
from bench.server import FLUSHING, application, database, server
from marketplace.db import db
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.ids import new_id

CLIENTS, LOTS, SECONDS = 8, 64, 4.0
PLACE_LEAST, HOT_LEAST, HTTP_LEAST = 0.75, 0.9, 0.60
PATIENCE = 300
KINDS = ("spread", "hot", "raw", "bare")
RAW = "CREATE TABLE raw (id uuid PRIMARY KEY, lot_id uuid, investor_id uuid, cash_minor bigint, rate_bps integer)"
ROW = "INSERT INTO raw VALUES (%s, %s, %s, 10000, 700)"
SAME = text("INSERT INTO raw VALUES (:id, :lot, :investor, 10000, 700)")


def measure(size: int | None, runs: int, say: Say) -> Iterator[Figure]:
    """Yield P1, P2 and P4. `size` is how many milliseconds a client works each time, 4,000 by default."""
    seconds = size / 1000 if size else SECONDS
    with server(500_000_000, say, FLUSHING) as postgres:
        url = database(postgres, "bids")
        with postgres.connect("bids") as connection:
            made = make(connection, LOTS, CLIENTS, 0)
            connection.execute(RAW)
            connection.execute("GRANT SELECT, INSERT ON raw TO duebill_web, duebill_worker")
        told = _race(postgres, url, made, seconds, runs, say)
        yield from _figures(told, seconds, runs)
        served = Served(postgres, url, made, seconds, CLIENTS)
        http = [rates_over_http(served) for _ in range(runs)]
        value = middle([bid / bare for bid, bare in http])
        parts = {"clients": CLIENTS, "bids_per_second": middle([bid for bid, _ in http]),
                 "bare_per_second": middle([bare for _, bare in http])}  # fmt: skip
        yield Figure("P4", value, HTTP_LEAST, value >= HTTP_LEAST, runs, parts)


def _race(
    postgres: EmbeddedPostgres, url: str, made: Made, seconds: float, runs: int, say: Say
) -> dict[str, list[float]]:
    """Let the clients work on each kind in turn; return rates a second by kind, one a run."""
    spawn = multiprocessing.get_context("spawn")
    gate, answers = spawn.Barrier(CLIENTS + 1), spawn.Queue()
    given = (url, postgres.directory, made.lots, seconds, runs)
    clients = [spawn.Process(target=client, args=(place, one, given, gate, answers), daemon=True)
               for place, one in enumerate(made.investors)]  # fmt: skip
    told: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for one in clients:
        one.start()
    try:
        for _ in range(runs):
            for kind in KINDS:
                gate.wait(PATIENCE)
                told[kind].append(sum(answers.get(timeout=PATIENCE) for _ in clients))
                say(f"{kind}: {told[kind][-1]:.0f} a second")
    finally:
        for one in clients:
            one.join(5)
            one.kill()
    return told


def client(
    place: int,
    investor: UUID,
    given: tuple[str, Path, list[UUID], float, int],
    gate: Barrier,
    answers: "Queue[float]",
) -> None:
    """Body of one client: work when the gate opens, tell the rate, wait for the next."""
    url, home, lots, seconds, runs = given
    plain = url.replace("postgresql+psycopg://", "postgresql://")
    with application(url, home).app_context(), psycopg.connect(plain, autocommit=True) as connection:
        actor = Actor(Role.INVESTOR, new_id(), investor)
        work: dict[str, Callable[[int], Any]] = {
            "spread": lambda turn: _bid(actor, lots[(place + turn * CLIENTS) % len(lots)]),
            "hot": lambda _: _bid(actor, lots[0]),
            "raw": lambda _: _insert(lots[0], investor),
            "bare": lambda _: connection.execute(ROW, (new_id(), lots[0], investor)),
        }
        for _ in range(runs):
            for kind in KINDS:
                work[kind](0)
                gate.wait(PATIENCE)
                answers.put(_rate(work[kind], seconds))


def _bid(actor: Actor, lot_id: UUID) -> None:
    from marketplace.perform import perform
    from marketplace.trading.actions import place_bid
    from marketplace.trading.schemas import PlaceBid

    perform(place_bid, PlaceBid(lot_id, 700, STEP), actor)


def _insert(lot_id: UUID, investor: UUID) -> None:
    with db.engine.begin() as connection:
        connection.execute(SAME, {"id": new_id(), "lot": lot_id, "investor": investor})


def _rate(work: Callable[[int], Any], seconds: float) -> float:
    began, turn = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        work(turn)
        turn += 1
    return turn / (time.perf_counter() - began)


def _figures(told: dict[str, list[float]], seconds: float, runs: int) -> Iterator[Figure]:
    rates = {f"{kind}_per_second": middle(found) for kind, found in told.items()}
    parts = {"clients": CLIENTS, "seconds_each": seconds, "flush_ms": 1, **rates}
    parts["ratio_to_bare"] = middle([bid / bare for bid, bare in zip(told["spread"], told["bare"], strict=True)])
    placed = middle([bid / raw for bid, raw in zip(told["spread"], told["raw"], strict=True)])
    yield Figure("P1", placed, PLACE_LEAST, placed >= PLACE_LEAST, runs, parts)
    hot = middle([one / many for one, many in zip(told["hot"], told["spread"], strict=True)])
    yield Figure("P2", hot, HOT_LEAST, hot >= HOT_LEAST, runs, parts)
