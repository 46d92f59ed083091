"""P14: look-ups of look-alikes among ten million keys, as a share of their rate among a hundred thousand.

The keys are the product's own: blocking keys of made-up but lifelike invoices, hashed as a listing hashes them, in the
product's own table. The look-ups are the product's own statement for invoices that are not registered, every fourth of
them a copy of one that is. Both sizes are asked in turn within each run.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from flask import Flask
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.orm import Session

from bench.figures import Figure, Say, middle
from bench.invoices import claims
from bench.server import application, database, server
from config.settings import sqlalchemy_url
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.kernel.ids import new_id
from marketplace.receivables.matching.blocking import blocking_keys
from marketplace.receivables.matching.near_match import Claim
from marketplace.receivables.walls.duplicates import LOOK_UP, candidates, key_of

LARGE, RATIO, TARGET = 10_000_000, 100, 0.8
PROBES, WARM = 1_500, 300
KEYS_EACH = 25  # an invoice has some more, so that there are invoices enough
KEY_BYTES_KEPT = 200  # of table and index together
Keys = list[bytes]


def measure(size: int | None, runs: int, say: Say) -> Iterator[Figure]:
    """Yield P14. `size` is the number of keys in the large table, by default ten million; the small one has a 100th."""
    large = size or LARGE
    with server(large * KEY_BYTES_KEPT, say) as postgres:
        app = application(database(postgres, "small"), postgres.directory)
        database(postgres, "large")
        with app.app_context():
            kept = {
                "small": _fill(postgres, "small", large // RATIO, say),
                "large": _fill(postgres, "large", large, say),
            }
            yield _compare(app, postgres, kept, runs, say)


def _fill(postgres: EmbeddedPostgres, name: str, keys: int, say: Say) -> dict[str, int]:
    """Register honest invoices until the table has so many keys; return how many of each there are."""
    began, made, invoices = time.perf_counter(), 0, 0
    with postgres.connect(name) as connection:
        connection.execute("SET session_replication_role = replica")  # the invoices themselves are not looked at
        connection.execute("ALTER TABLE fingerprint DROP CONSTRAINT pk_fingerprint")
        with connection.cursor().copy(
            "COPY fingerprint (value, receivable_id, kind) FROM STDIN (FORMAT binary)"
        ) as copy:
            copy.set_types(["bytea", "uuid", "text"])
            for claim in claims(keys // KEYS_EACH):
                receivable_id, invoices = new_id(), invoices + 1
                for kind, words in blocking_keys(claim):
                    copy.write_row((key_of(kind, words), receivable_id, kind))
                    made += 1
                if made >= keys:
                    break
        say(f"{name}: {made:,} keys of {invoices:,} invoices in {time.perf_counter() - began:.0f} s; indexing")
        connection.execute("ALTER TABLE fingerprint ADD CONSTRAINT pk_fingerprint PRIMARY KEY (value, receivable_id)")
        connection.execute("VACUUM (ANALYZE) fingerprint")
        size = connection.execute("SELECT pg_total_relation_size('fingerprint')").fetchone()
    return {"keys": made, "invoices": invoices, "bytes": size[0] if size else 0}


def _probes(invoices: int, count: int, seed: int) -> list[Keys]:
    """Return the keys of invoices to look up: new ones, and copies of registered ones with number and sum changed."""
    fresh = claims(max(invoices, count), seed)
    known = islice(claims(invoices), seed % 7, None, max(invoices * 4 // count, 1))
    found = []
    for index in range(count):
        copied = next(known, None) if index % 4 == 0 else None
        claim = _edited(copied) if copied else next(fresh)
        found.append([key_of(kind, words) for kind, words in blocking_keys(claim)])
    return found


def _edited(claim: Claim) -> Claim:
    return replace(claim, number=f"{claim.number}A", amount_minor=(claim.amount_minor or 0) + 1)


def _compare(app: Flask, postgres: EmbeddedPostgres, kept: dict[str, dict[str, int]], runs: int, say: Say) -> Figure:
    engines = {name: create_engine(sqlalchemy_url(postgres.url(name)), poolclass=NullPool) for name in kept}
    rates: dict[str, list[float]] = {name: [] for name in kept}
    found: dict[str, float] = {}
    for run in range(runs):
        asked = {name: _probes(kept[name]["invoices"], PROBES, 100 + run) for name in kept}
        for name in kept if run % 2 else reversed(kept):
            seconds, met = _ask(engines[name], asked[name])
            rates[name].append(PROBES / seconds)
            found[name] = round(met / PROBES, 2)
        say(f"run {run + 1}: " + ", ".join(f"{name} {rates[name][-1]:.0f}/s" for name in kept))
    ratios = [large / small for small, large in zip(rates["small"], rates["large"], strict=True)]
    value = middle(ratios)
    parts = {
        name: {**kept[name], "look_ups_per_second": round(middle(rates[name])), "candidates_each": found[name]}
        for name in kept
    }
    plan = _plan(engines["large"], asked["large"][0])
    return Figure("P14", value, TARGET, value >= TARGET, runs, {**parts, "ratios": [round(r, 3) for r in ratios],
                                                               "index_only": "Index Only Scan" in plan})  # fmt: skip


def _ask(engine: Engine, asked: list[Keys]) -> tuple[float, int]:
    """Return how many seconds the look-ups took, and how many candidates they met; the first few only warm up."""
    with Session(engine) as session:
        for keys in asked[:WARM]:
            candidates(session, keys)
        began = time.perf_counter()
        met = sum(len(candidates(session, keys)) for keys in asked)
        return time.perf_counter() - began, met


def _plan(engine: Engine, keys: Keys) -> str:
    with Session(engine) as session:
        rows = session.execute(text("EXPLAIN " + LOOK_UP), {"values": keys, "bearers": 200, "most": 200})
        return "\n".join(rows.scalars())
