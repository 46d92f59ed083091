"""P11: ten thousand lots that are due at once, with thirty bids each.

Timed is the scheduler's own job from the first look for what is due to the last commit: walls asked, books cleared,
transcripts, awards and fills written, every hold of a loser freed, every event. Against it, the loop that closes a lot
a transaction (`close_lot`), over a part of as many lots, in turn. Commits flush for one millisecond. Told beside it:
what a bare COPY of the rows that the job wrote takes (`by_copy`), which no close that writes them can undercut.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from bench.by_copy import copied_as_written, last_transaction, written_since
from bench.figures import Figure, Say, middle, ratio
from bench.lots import make
from bench.server import FLUSHING, application, database, server
from marketplace.db import let_go
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.jobs.runner import run_job
from marketplace.jobs.schedule import job
from marketplace.kernel.actors import Actor
from marketplace.perform import perform
from marketplace.trading.actions import close_lot
from marketplace.trading.batches import TOGETHER_MAX
from marketplace.trading.schemas import CloseLot

LOTS, BIDS_EACH, INVESTORS = 10_000, 30, 200
SECONDS_MOST, RATIO_LEAST = 1.0, 10.0
LOOPED_MOST = 200  # lots that the loop closes, a run: its time grows with their number and nothing else
BYTES_A_LOT = 120_000  # with its rows once more, as COPY writes them


@dataclass(frozen=True)
class Closed:
    """What the job took, and a COPY of the rows it wrote: in seconds, and how many rows and bytes of text."""

    seconds: float
    copy_seconds: float
    binary_seconds: float
    rows: int
    bytes: int


def measure(size: int | None, runs: int, say: Say) -> Iterator[Figure]:
    """Yield P11 in seconds and as the loop's time a lot ÷ ours; `size` is the number of lots, 10,000 by default."""
    lots = size or LOTS
    closed, loops = [], []
    with server(lots * BYTES_A_LOT * runs + 100_000_000, say, FLUSHING) as postgres:
        for run in range(runs):
            name = f"close_{run}"
            app = application(database(postgres, name), postgres.directory)
            with app.app_context():
                loops.append(_loop(postgres, name, min(lots, LOOPED_MOST)))
                closed.append(_job(postgres, name, lots))
                let_go()
            postgres.drop_database(name)
            say(f"run {run + 1}: {lots:,} lots in {closed[-1].seconds:.2f} s, COPY {closed[-1].copy_seconds:.2f} s; "
                f"the loop takes {loops[-1] * 1000:.1f} ms a lot")  # fmt: skip
    ours, copies = [one.seconds for one in closed], [one.copy_seconds for one in closed]
    parts = {"lots": lots, "bids": lots * BIDS_EACH, "loop_lots": min(lots, LOOPED_MOST), "flush_ms": 1,
             "together": TOGETHER_MAX, "loop_ms_a_lot": middle([one * 1000 for one in loops]),
             "ours_ms_a_lot": middle([one / lots * 1000 for one in ours]),
             "rows": closed[-1].rows, "bytes": closed[-1].bytes, "copy_s": middle(copies),
             "binary_s": middle([one.binary_seconds for one in closed]),
             "ours_to_copy": ratio(ours, copies)}  # fmt: skip
    value = middle(ours)
    yield Figure("P11 seconds", value, SECONDS_MOST, value <= SECONDS_MOST, runs, parts)
    quicker = ratio([loop * lots for loop in loops], ours)
    yield Figure("P11 ratio", quicker, RATIO_LEAST, quicker >= RATIO_LEAST, runs, parts)


def _due(postgres: EmbeddedPostgres, name: str, lots: int) -> list[UUID]:
    """Write lots with their bids, and let their time come; return their ids."""
    with postgres.connect(name) as connection:
        made = make(connection, lots, INVESTORS, BIDS_EACH)
        connection.execute("UPDATE clock_shift SET shift = shift + interval '2 days'")
        connection.execute("CHECKPOINT")
    return made.lots


def _loop(postgres: EmbeddedPostgres, name: str, lots: int) -> float:
    """Close lots a transaction each; return seconds a lot."""
    due = _due(postgres, name, lots)
    began = time.perf_counter()
    for lot_id in due:
        perform(close_lot, CloseLot(lot_id), Actor.system("bench"))
    return (time.perf_counter() - began) / lots


def _job(postgres: EmbeddedPostgres, name: str, lots: int) -> Closed:
    """Let the scheduler's job close them; return what it took, and what COPY takes for its rows."""
    _due(postgres, name, lots)
    since = last_transaction(postgres, name)
    began = time.perf_counter()
    done = run_job(job("close_lots"))
    seconds = time.perf_counter() - began
    if done != lots:
        raise RuntimeError(f"{done} of {lots} lots were closed")
    written = written_since(postgres, name, since)
    as_bytes = written_since(postgres, name, since, "binary")  # now: a copy is written later too
    return Closed(
        seconds, copied_as_written(postgres, name, written), copied_as_written(postgres, name, as_bytes, "binary"),
        sum(rows for _, rows, _ in written), sum(len(content) for _, _, content in written),
    )  # fmt: skip
