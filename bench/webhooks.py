"""Webhooks of a bad day: 10,000 events ten times each, shuffled, forged ones among them, against one calm day.

The storm goes over HTTP to the market's own server, from clients with open connections, while a worker folds in what
was kept. The calm day is the same events once each, in order. In the end both books are written down without the ids
and instants that every run makes anew, and must be the same to the byte. The time of an answer is what the client
sees. The provider's side is a table of what each object has become: asking it costs nothing.
"""

import hashlib
import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from flask import Flask

from bench.figures import Figure, Say
from bench.lots import SET, make
from bench.server import FLUSHING, application, database, server, wait_for_answer
from marketplace.db import let_go
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.payments import inbox
from marketplace.payments.gateway import Checkout
from marketplace.payments.sandbox.clock import sign
from marketplace.payments.stripe_gateway import StripeGateway
from marketplace.stack.installation import free_port
from marketplace.stack.supervisor import GUNICORN_SETTINGS

EVENTS, COPIES, CLIENTS, HOUSES = 10_000, 10, 8, 50
SECRET = "whsec_of_a_benchmark"
FORGED_EACH, P99_MS, SLOWEST = 10, 500.0, 0.99
EVENTS_OF_ONE = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
ENDS = ("succeeded", "succeeded", "succeeded", "failed", "expired")
ASKED = """
    INSERT INTO funding (id, organisation_id, currency, amount_minor, words, return_url, state, session_id, intent_id,
        pay_url)
    SELECT made.id, made.owner, 'GBP', made.minor, 'bench', '', 'open', made.session, made.intent, 'http://127.0.0.1/'
    FROM unnest(%s::uuid[], %s::uuid[], %s::bigint[], %s::text[], %s::text[])
        AS made (id, owner, minor, session, intent)"""
# Everything that a person could be shown, in an order that does not come from ids.
PICTURE = (
    "SELECT session_id, state, amount_minor, received_minor, received_currency FROM funding ORDER BY 1",
    "SELECT object_id, kind, provider, event_id, state, encode(raw, 'hex') FROM incoming_event ORDER BY event_id",
    """SELECT account.code, organisation.legal_id, posted_minor, held_minor FROM balance
        JOIN account ON account.id = account_id LEFT JOIN organisation ON organisation.id = organisation_id
        ORDER BY 1, 2""",
    """SELECT f.session_id, entry.kind, account.code, posting.minor FROM posting JOIN entry ON entry.id = entry_id
        JOIN account ON account.id = account_id JOIN funding f ON f.id = entry.subject_id ORDER BY 1, 2, 3, 4""",
    "SELECT verb, subject_kind, count(*) FROM event GROUP BY 1, 2 ORDER BY 1, 2",
)


@dataclass(frozen=True)
class Day:
    """What happened at the provider: each session's end, and the events that told of it, in order."""

    ends: dict[str, Checkout]
    events: list[bytes]


class Provider(StripeGateway):
    """The market's own gateway, with the provider's answers out of a table."""

    def __init__(self, ends: dict[str, Checkout]) -> None:
        super().__init__("sk_test_bench", "http://127.0.0.1:9", SECRET)
        self._ends = ends

    def fetch_checkout(self, session_id: str) -> Checkout:
        """Return what a session has become."""
        return self._ends[session_id]


def app() -> Flask:
    """Return the market that gunicorn loads."""
    return application(os.environ["DUEBILL_BENCH_URL"], Path(os.environ["DUEBILL_BENCH_HOME"]))


def measure(size: int | None, runs: int, say: Say) -> Iterator[Figure]:
    """Yield the storm twice: p99 of its answers in ms, and whether both books are the same; `size` is the events."""
    events = size or EVENTS
    slowest: list[float] = []
    differ, parts = 0, Counter[str]()
    with server(events * 60_000 + 300_000_000, say, FLUSHING) as postgres:
        for run in range(runs):
            calm = _lived(postgres, f"calm_{run}", _day(events), 1, None, say)
            storm = _lived(postgres, f"storm_{run}", _day(events), COPIES, run, say)
            times = sorted(storm.times)
            slowest.append(1_000 * times[int(SLOWEST * (len(times) - 1))])
            differ += calm.picture != storm.picture
            parts.update({str(status): count for status, count in storm.answers.items()})
            say(f"run {run + 1}: {len(times):,} answers, p99 {slowest[-1]:.0f} ms, "
                f"books {'the same' if calm.picture == storm.picture else 'DIFFER'}")  # fmt: skip
    p99 = round(sorted(slowest)[len(slowest) // 2], 1)
    told = {"events": events, "copies": COPIES, "forged": events // FORGED_EACH, "answers": dict(parts)}
    yield Figure("webhooks p99 ms", p99, P99_MS, p99 < P99_MS, runs, told)
    yield Figure("webhooks runs that end otherwise", differ, 0, differ == 0, runs, told)


@dataclass(frozen=True)
class Lived:
    """What became of a day: the books in the end, every answer's seconds, and how many of each kind there were."""

    picture: str
    times: list[float]
    answers: Counter[int]


def _day(events: int) -> Day:
    """Make a day up, the same one each time."""
    sessions = [f"cs_{number:07d}" for number in range(max(1, events // len(EVENTS_OF_ONE)))]
    ends = {
        name: Checkout(name, ENDS[number % len(ENDS)], 10_000 + number, "GBP", f"pi_{number:07d}", None)
        for number, name in enumerate(sessions)
    }
    told = [
        json.dumps({"id": f"evt_{kind}_{name}", "type": kind,
                    "data": {"object": {"object": "checkout.session", "id": name}}}).encode()
        for kind in EVENTS_OF_ONE for name in sessions
    ]  # fmt: skip
    return Day(ends, told)


def _lived(postgres: EmbeddedPostgres, name: str, day: Day, copies: int, seed: int | None, say: Say) -> Lived:
    url = database(postgres, name)
    with postgres.connect(name) as connection:
        houses = make(connection, 1, HOUSES, 0).investors
        connection.execute(SET)
        rows = list(enumerate(day.ends.values()))
        connection.execute(ASKED, ([UUID(int=number + 1) for number, _ in rows],
                                   [houses[number % HOUSES] for number, _ in rows],
                                   [one.minor for _, one in rows], [one.session_id for _, one in rows],
                                   [one.intent_id for _, one in rows]))  # fmt: skip
        connection.execute("UPDATE organisation SET legal_id = numbered.name FROM (SELECT id, 'H' || row_number() OVER "
                           "(ORDER BY array_position(%s::uuid[], id)) AS name FROM organisation) AS numbered "
                           "WHERE numbered.id = organisation.id", (houses,))  # fmt: skip
    post = [(raw, True) for raw in day.events for _ in range(copies)]
    if seed is not None:
        post += [(raw, False) for raw in day.events[::FORGED_EACH]]
        random.Random(seed).shuffle(post)
    made = application(url, postgres.directory)
    made.extensions["duebill_gateway"] = Provider(day.ends)
    times, answers = _delivered(url, postgres.directory, post, made, len(day.events), 1 if seed is None else CLIENTS)
    picture = _picture(postgres, name)
    with made.app_context():
        let_go()
    postgres.drop_database(name)
    say(f"{name}: {len(times):,} posts, {dict(answers)}")
    return Lived(picture, times, answers)


def _delivered(
    url: str, home: Path, post: list[tuple[bytes, bool]], made: Flask, events: int, clients: int
) -> tuple[list[float], Counter[int]]:
    """Post everything to a server of its own while a worker folds events in; return once every event is settled."""
    port = free_port(0)
    environment = {**os.environ, "DUEBILL_BENCH_URL": url, "DUEBILL_BENCH_HOME": str(home)}
    command = [sys.executable, "-m", "gunicorn", "--config", str(GUNICORN_SETTINGS), "--bind", f"127.0.0.1:{port}",
               "--log-level", "error", "bench.webhooks:app()"]  # fmt: skip
    process = subprocess.Popen(command, env=environment, cwd=Path(__file__).parent.parent)
    times: list[list[float]] = [[] for _ in range(clients)]
    answers: list[Counter[int]] = [Counter() for _ in range(clients)]
    try:
        wait_for_answer(port, "POST", "/api/webhooks/stripe")
        threads = [
            threading.Thread(target=_post, args=(port, post[place::clients], times[place], answers[place]))
            for place in range(clients)
        ]
        for thread in threads:
            thread.start()
        settled = 0
        with made.app_context():
            while any(thread.is_alive() for thread in threads) or settled < events:
                worked = inbox.run_inbox()
                settled += worked
                if not worked and not any(thread.is_alive() for thread in threads):
                    break
                time.sleep(0 if worked else 0.01)
        for thread in threads:
            thread.join()
    finally:
        process.terminate()
        process.wait(20)
    return [one for some in times for one in some], sum(answers, Counter())


def _post(port: int, post: list[tuple[bytes, bool]], times: list[float], answers: Counter[int]) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for raw, genuine in post:
            signature = sign(SECRET if genuine else "whsec_of_a_forger", raw, int(time.time()))
            began = time.perf_counter()
            connection.request("POST", "/api/webhooks/stripe", raw, {"Stripe-Signature": signature})
            answer = connection.getresponse()
            answer.read()
            times.append(time.perf_counter() - began)
            answers[answer.status] += 1


def _picture(postgres: EmbeddedPostgres, name: str) -> str:
    """Return the hash of everything that must come out the same."""
    told: list[Any] = []
    with postgres.connect(name) as connection:
        for statement in PICTURE:
            told.append(connection.execute(statement).fetchall())
    return hashlib.sha256(repr(told).encode()).hexdigest()
