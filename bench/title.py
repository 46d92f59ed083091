"""Races for title over real connections: the same key listed, the same receivable sold, the same units handed over.

Several processes, each with a connection of its own, want the same things at the same moment. Every transaction goes
the one way through (`perform`) and calls the title room's own actions for a handful of races; the windows of the
processes overlap by a part, so that one transaction wins some of its races and loses others. At the end the books are
asked what nobody was told: how often anything was sold twice. That must be never, and no deadlock may reach a caller.
"""

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from multiprocessing.context import SpawnContext
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Queue
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bench.figures import Figure, Say
from bench.server import application, database, server
from marketplace.embedded_postgres import EmbeddedPostgres

RACES, PROCESSES, WINDOW, FACE = 20_000, 3, 60, 100_000
KINDS = ("list", "assign", "transfer")
BYTES_A_RACE = 3_000
PATIENCE_SECONDS = 3_600


@dataclass(frozen=True)
class Task:
    """What one process is told."""

    url: str
    home: Path
    place: int
    titles: int


@dataclass
class Told:
    """What a process found: races won by kind, transactions, and errors that reached it."""

    won: Counter[str]
    transactions: int = 0
    deadlocks_unretried: int = 0
    other_errors: Counter[str] = field(default_factory=Counter)  # by SQLSTATE: 55P03 waited too long for a lock


def measure(size: int | None, runs: int, say: Say) -> Iterator[Figure]:
    """Yield one figure: how often something was sold twice, of `size` races (a third of each kind); the target is 0.

    One run: what is counted is not a speed. `runs` is not used.
    """
    titles = max((size or RACES) // len(KINDS), WINDOW)
    with server(titles * len(KINDS) * BYTES_A_RACE, say) as postgres:
        url = database(postgres, "races")
        spawn = multiprocessing.get_context("spawn")
        gate, answers = spawn.Barrier(PROCESSES + 1), spawn.Queue()
        tasks = [Task(url, postgres.directory, place, titles) for place in range(PROCESSES)]
        seconds, told = _run(spawn, gate, answers, tasks, postgres, say)
        yield _figure(postgres, titles, seconds, told)


def _run(
    spawn: SpawnContext, gate: Barrier, answers: Any, tasks: Sequence[Task], postgres: EmbeddedPostgres, say: Say
) -> tuple[dict[str, float], list[Told]]:
    """Let the processes race, one kind after the other; return seconds by kind and what each process found."""
    racers = [spawn.Process(target=race, args=(task, gate, answers), daemon=True) for task in tasks]
    for racer in racers:
        racer.start()
    seconds = {}
    try:
        for kind in KINDS:
            gate.wait(PATIENCE_SECONDS)
            began = time.perf_counter()
            gate.wait(PATIENCE_SECONDS)
            seconds[kind] = time.perf_counter() - began
            say(f"{kind}: {tasks[0].titles:,} races in {seconds[kind]:.1f} s")
            with postgres.connect("races") as connection:
                connection.execute("ANALYZE title, holding")
        return seconds, [answers.get(timeout=60) for _ in racers]
    finally:
        for racer in racers:
            racer.join(10)
            racer.kill()


def race(task: Task, gate: Barrier, answers: "Queue[Told]") -> None:
    """Body of one process: every race of every kind, in windows that overlap those of the others."""
    told = Told(Counter())
    try:
        with application(task.url, task.home).app_context():
            for kind in KINDS:
                gate.wait(PATIENCE_SECONDS)
                sellers = _holders(task.url) if kind == "transfer" else {}
                for first, beyond in _windows(task):
                    told.won[kind] += _try(told, _body(kind, task.place, range(first, beyond), sellers))
                gate.wait(PATIENCE_SECONDS)
    except BaseException:
        gate.abort()  # else the others would wait for this one
        raise
    answers.put(told)


def _windows(task: Task) -> Iterator[tuple[int, int]]:
    """Yield [first, beyond) windows that cover all titles; each process's begin a part of a window later."""
    shift = task.place * WINDOW // PROCESSES
    edges = [0, *range(shift or WINDOW, task.titles, WINDOW), task.titles]
    return ((a, b) for a, b in pairwise(edges) if a < b)


def _try(told: Told, body: Callable[[Any], int]) -> int:
    """Perform one transaction; what perform could not retry away is counted, never hidden."""
    from marketplace.kernel.actors import Actor, Role
    from marketplace.perform import Tx, Verb, perform

    def run(tx: Tx, _: None) -> dict[str, Any]:
        won = body(tx)
        if won == 0:
            tx.record("race", tx.actor.request_id, after={"won": 0})
        return {"won": won}

    told.transactions += 1
    try:
        return int(perform(Verb("race", run, frozenset(Role)), None, Actor.system("bench"))["won"])
    except DBAPIError as error:
        state = str(getattr(error.orig, "sqlstate", None))
        if state in ("40P01", "40001"):
            told.deadlocks_unretried += 1
        else:
            told.other_errors[state] += 1
        return 0


def _body(kind: str, place: int, numbers: range, sellers: dict[UUID, UUID]) -> Callable[[Any], int]:
    """Return what one transaction does for its window of races: the title room's actions, for the set of them."""
    from marketplace.kernel.ids import new_id
    from marketplace.title import actions
    from marketplace.title.rules import Claim, HandOver, Sale

    own = UUID(int=place + 1)
    if kind == "list":
        claims = [Claim(new_id(), own, FACE, "GBP", key_of(number)) for number in numbers]
        return lambda tx: len(actions.register_many(tx, claims))
    if kind == "assign":
        shares = ((own, 1),)
        return lambda tx: len(actions.assign_many(tx, [Sale(one, shares) for one in _ids(tx, numbers)]))
    taker = UUID(int=place + 1_000)
    return lambda tx: len(
        actions.transfer_many(tx, [HandOver(one, sellers[one], taker, 0, 500) for one in _ids(tx, numbers)])
    )


def _ids(tx: Any, numbers: range) -> list[UUID]:
    """Return the receivables that won the keys of these races."""
    keys = [key_of(number) for number in numbers]
    rows = tx.session.execute(text("SELECT receivable_id FROM title WHERE key = ANY (:keys)"), {"keys": keys})
    return list(rows.scalars())


def _holders(url: str) -> dict[UUID, UUID]:
    """Return who was awarded the first unit of each receivable: the one owner from whom it can be taken."""
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://")) as connection:
        rows = connection.execute(
            "SELECT receivable_id, owner_id FROM holding WHERE cause = 'award' AND lower(units) = 0"
        )
        return dict(rows.fetchall())


# What must not be, counted by the owner of the books after the races.
BOOKS = {
    "listed_twice": "SELECT count(*) - count(DISTINCT key) FROM title",
    "sold_twice": "SELECT count(*) FROM (SELECT FROM holding WHERE cause = 'award' GROUP BY receivable_id "
    "HAVING count(DISTINCT lower(held_during)) > 1 OR sum(upper(units) - lower(units)) <> 100000) AS twice",
    "units_of_two_owners": "SELECT count(*) FROM holding a JOIN holding b ON b.receivable_id = a.receivable_id "
    "AND b.id > a.id AND b.units && a.units AND b.held_during && a.held_during",
    "handed_over_twice": "SELECT count(*) FROM (SELECT FROM holding WHERE cause = 'transfer' AND lower(units) = 0 "
    "GROUP BY receivable_id HAVING count(*) > 1) AS twice",
    "units_not_face": "SELECT count(*) FROM (SELECT FROM title LEFT JOIN holding "
    "ON holding.receivable_id = title.receivable_id AND upper_inf(held_during) GROUP BY title.receivable_id, "
    "face_minor HAVING coalesce(sum(upper(units) - lower(units)), 0) <> face_minor) AS crooked",
}


def _figure(postgres: EmbeddedPostgres, titles: int, seconds: dict[str, float], told: list[Told]) -> Figure:
    """Ask the books, and compare what they say with what the processes were told."""
    won = sum((one.won for one in told), Counter[str]())
    with postgres.connect("races") as connection:
        wrong = {name: _count(connection, statement) for name, statement in BOOKS.items()}
        deadlocks = _count(connection, "SELECT sum(deadlocks) FROM pg_stat_database")
        events = _count(connection, "SELECT count(*) FROM event WHERE verb IN "
                                    "('register_title', 'assign_title', 'transfer_title')")  # fmt: skip
    races = titles * len(KINDS)
    parts = {
        "races": races, "connections": PROCESSES, "transactions": sum(one.transactions for one in told),
        **wrong, "won": dict(won), "deadlocks": deadlocks,
        "deadlocks_unretried": sum(one.deadlocks_unretried for one in told),
        "other_errors": dict(sum((one.other_errors for one in told), Counter[str]())), "events": events,
        "seconds": round(sum(seconds.values()), 1), "races_per_second": round(races / sum(seconds.values())),
    }  # fmt: skip
    twice = sum(wrong.values())
    won_once = all(won[kind] == titles for kind in KINDS) and events == races
    ok = twice == 0 and won_once and parts["deadlocks_unretried"] == 0 and not parts["other_errors"]
    return Figure("title_races", twice, 0, ok, 1, parts)


def _count(connection: psycopg.Connection[Any], statement: str) -> int:
    row = connection.execute(statement).fetchone()  # type: ignore[arg-type]
    return int(row[0] or 0) if row else 0


def key_of(number: int) -> bytes:
    """Return the key of a race."""
    return sha256(number.to_bytes(8, "big")).digest()
