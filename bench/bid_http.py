"""The bid over HTTP: gunicorn on a socket of its own, clients with open connections, a bare row beside it."""

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode
from uuid import UUID

from flask import Flask, request
from sqlalchemy import text

from bench.lots import SET, Made
from bench.server import application, wait_for_answer
from marketplace.db import db
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.kernel.ids import new_id
from marketplace.parties import sessions
from marketplace.stack.installation import free_port
from marketplace.stack.supervisor import GUNICORN_SETTINGS
from marketplace.web.security import csrf

PEOPLE = """
    INSERT INTO user_account (id, email, display_name, role, organisation_id)
    VALUES (%(id)s, %(email)s, 'A bidder', 'investor', %(organisation)s)"""
SESSION = """
    INSERT INTO web_session (id, user_id, token_hash, expires_at)
    VALUES (%(session)s, %(id)s, %(hash)s, clock_timestamp() + interval '1 day')"""
BARE = text("INSERT INTO raw VALUES (:id, :lot, :investor, :cash, :rate)")
BARE_PATH = "/api/bare"  # where nobody is signed in and no visitor's posts are counted
FORM = "application/x-www-form-urlencoded"
WARMING, AGAIN, PATIENCE = 5, 1, 120  # answers a client waits for before its first turn is counted, and any later one
TURNS = 8


@dataclass(frozen=True)
class Served:
    """What is served, to how many clients, for how many seconds of each kind."""

    postgres: EmbeddedPostgres
    url: str
    made: Made
    seconds: float
    clients: int


def app() -> Flask:
    """Return the market with one more address, which inserts the row that is posted: what gunicorn loads."""
    made = _app(os.environ["DUEBILL_BENCH_URL"], Path(os.environ["DUEBILL_BENCH_HOME"]))

    def bare() -> str:
        with db.engine.begin() as connection:
            connection.execute(BARE, {"id": new_id(), **request.form})
        return "in"

    csrf.exempt(bare)
    made.add_url_rule(BARE_PATH, "bare", bare, methods=["POST"])
    return made


def _app(url: str, home: Path) -> Flask:
    made = application(url, home)
    known = made.extensions["duebill"]
    patient = replace(known.policy.session, posts_per_minute_max=10**9)  # a bench is nobody's attack
    made.extensions["duebill"] = replace(known, policy=replace(known.policy, session=patient))
    return made


def rates_over_http(served: Served) -> tuple[float, float]:
    """Return bids and bare rows a second over the same server, in turn. Both come as a posted form."""
    port = free_port(0)
    bidders = served.made.investors[: served.clients]
    cookies = [_signed_in(served, investor) for investor in bidders]
    environment = {**os.environ, "DUEBILL_BENCH_URL": served.url, "DUEBILL_BENCH_HOME": str(served.postgres.directory)}
    command = [sys.executable, "-m", "gunicorn", "--config", str(GUNICORN_SETTINGS), "--bind", f"127.0.0.1:{port}",
               "--log-level", "error", "bench.bid_http:app()"]  # fmt: skip
    process = subprocess.Popen(command, env=environment, cwd=Path(__file__).parent.parent)
    try:
        wait_for_answer(port, "GET", "/healthz")
        lots = served.made.lots
        bids = [_poster(cookie, lots, place) for place, cookie in enumerate(cookies)]
        rows = [_bare_poster(investor, lots, place) for place, investor in enumerate(bidders)]
        return _in_turn(served, port, bids, rows)
    finally:
        process.terminate()
        process.wait(20)


def _signed_in(served: Served, investor: UUID) -> str:
    """Sign an investor in and return the cookie."""
    token, user = sessions.new_token(), new_id()
    row = {"id": user, "email": f"{user}@example.test", "organisation": investor, "session": new_id(),
           "hash": sessions.token_hash(token)}  # fmt: skip
    with served.postgres.connect("bids") as connection:
        connection.execute(SET)
        connection.execute(PEOPLE, row)
        connection.execute(SESSION, row)
    made = _app(served.url, served.postgres.directory)
    signer = made.session_interface.get_signing_serializer(made)  # type: ignore[attr-defined]
    return f"{made.config['SESSION_COOKIE_NAME']}={signer.dumps({'_user_id': token, '_fresh': True})}"


Ask = Callable[[http.client.HTTPConnection, int], int]


def _poster(cookie: str, lots: list[UUID], place: int) -> Ask:
    headers = {"Cookie": cookie, "Content-Type": FORM}
    body = urlencode({"rate": "700", "cash": "100", "once": ""})

    def post(connection: http.client.HTTPConnection, turn: int) -> int:
        lot = lots[(place + turn * 7) % len(lots)]
        return _posted(connection, f"/investor/lots/{lot}/bids", f"{body}{new_id()}", headers)

    return post


def _bare_poster(investor: UUID, lots: list[UUID], place: int) -> Ask:
    def post(connection: http.client.HTTPConnection, turn: int) -> int:
        lot = lots[(place + turn * 7) % len(lots)]
        body = urlencode({"lot": lot, "investor": investor, "cash": "10000", "rate": "700"})
        return _posted(connection, BARE_PATH, body, {"Content-Type": FORM})

    return post


def _posted(connection: http.client.HTTPConnection, address: str, body: str, headers: dict[str, str]) -> int:
    connection.request("POST", address, body=body, headers=headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def _in_turn(served: Served, port: int, these: list[Ask], those: list[Ask]) -> tuple[float, float]:
    """Return answers a second of two kinds, asked in short turns: what else the machine does then hits both alike."""
    told = [tuple(_all(served, port, asks, AGAIN if turn else WARMING) for asks in (these, those))
            for turn in range(TURNS)]  # fmt: skip
    return sum(one for one, _ in told) / TURNS, sum(other for _, other in told) / TURNS


def _all(served: Served, port: int, asks: list[Ask], warming: int) -> float:
    """Let all clients ask for a turn; return answers a second. Raises: RuntimeError at a refusal."""
    counts, wrong = [0] * len(asks), set()
    began = 0.0

    def begin() -> None:
        nonlocal began
        began = time.perf_counter()

    gate = threading.Barrier(len(asks), action=begin)

    def run(place: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for turn in range(warming):  # what a worker loads with its first answers is not what is measured
            asks[place](connection, turn)
        gate.wait(PATIENCE)
        while time.perf_counter() - began < served.seconds / TURNS:
            status = asks[place](connection, counts[place])
            if status not in (200, 303):
                wrong.add(status)
                return
            counts[place] += 1

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(asks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise RuntimeError(f"the server answered {sorted(wrong)}")
    return sum(counts) / (time.perf_counter() - began)
