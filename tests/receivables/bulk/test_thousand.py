"""Many invoices at once: repeated, killed in the middle, sent again; each is listed exactly once.

A thousand of them under `bin/test --long`, or by `DUEBILL_BULK_ROWS=1000`.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import date
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from marketplace.db import db
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.kernel.actors import Actor
from marketplace.perform import perform
from marketplace.receivables.bulk import actions as bulk
from marketplace.receivables.bulk import queries as bulk_queries
from marketplace.receivables.bulk.schemas import ListBulkRows
from marketplace.receivables.bulk.work import run_in_full, work_off
from tests.conftest import APPLICATION, HOUSE
from tests.receivables.bulk.bulks import counts, files_of, papers, rows, sealed, state, why, worked, zipped
from tests.receivables.conftest import People
from tests.receivables.invoices import ubl

COUNT = int(os.environ.get("DUEBILL_BULK_ROWS", "1000" if os.environ.get("DUEBILL_LONG") else "150"))
WORKER = """
import sys
from dataclasses import replace
from pathlib import Path
from uuid import UUID
from config.settings import Settings, read_policy
from marketplace.app import create_app
from marketplace.receivables.bulk.work import run_in_full
url, home, upload = sys.argv[1:]
app = create_app(Settings(home=Path(home), database_url=url, secret_key="a secret of the tests",
                          pepper=b"a pepper of the tests", policy_table=read_policy(), testing=True))
with app.app_context():
    run_in_full(UUID(upload))
"""


@pytest.fixture
def alice(people: People, context: Flask) -> Actor:
    return people["seller_alice"].actor


def scalar(statement: str) -> int:
    with db.engine.connect() as connection:
        return int(connection.execute(text(statement)).scalar_one())


def worker(postgres: EmbeddedPostgres, database: str, home: Path, upload_id: UUID) -> subprocess.Popen[bytes]:
    url = postgres.url(database, APPLICATION).replace("postgresql://", "postgresql+psycopg://")
    command = [sys.executable, "-c", WORKER, url, str(home), str(upload_id)]
    return subprocess.Popen(command, cwd=HOUSE, start_new_session=True)


def doubled() -> list[int]:
    """Count what must not exist: two titles, receivables, drafts, letters or documents where there is one invoice."""
    return [
        scalar(f"SELECT count(*) FROM (SELECT FROM {table} GROUP BY {key} HAVING count(*) > 1) AS twice")
        for table, key in (
            ("receivable", "number, debtor_id"),
            ("draft", "read->>'number', read->>'debtor_legal_id', format"),
            ("outgoing_mail", "receivable_id, kind"),
            ("title", "receivable_id"),
            ("document", "sha256"),
        )
    ]


def test_a_worker_killed_again_and_again_lists_each_invoice_exactly_once(
    alice: Actor, today: date, postgres: EmbeddedPostgres, database: str, tmp_path: Path
) -> None:
    count = 64
    upload_id = sealed(alice, {"june.zip": zipped(files_of(papers(count, today)))}, list_as_read=True)
    kills = 0
    for ripe in ("SELECT count(*) FROM bulk_row", "SELECT count(*) FROM draft", "SELECT count(*) FROM draft",
                 "SELECT count(*) FROM receivable", "SELECT count(*) FROM receivable"):  # fmt: skip
        before, process = scalar(ripe), worker(postgres, database, tmp_path, upload_id)
        until = time.monotonic() + 60
        while scalar(ripe) < before + 7 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 4
    assert state(upload_id) in ("reading", "listing")
    last = worker(postgres, database, tmp_path, upload_id)
    assert last.wait(200) == 0
    assert state(upload_id) == "done"
    assert counts(upload_id) == {"listed": count}
    assert scalar("SELECT count(*) FROM receivable") == count
    assert doubled() == [0] * 5


def test_one_row_that_kills_its_worker_is_given_up_and_the_others_are_listed(
    alice: Actor, today: date, owner_engine: Engine
) -> None:
    """Attempts are counted before they are made: a row at which workers died is taken alone, and given up."""
    upload_id = sealed(alice, files_of(papers(30, today)))
    work_off(upload_id, 0)  # unpacked
    with owner_engine.begin() as connection:  # three workers died: first in a batch of all, then at row 7 alone
        connection.execute(text("ALTER TABLE bulk_row DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE bulk_row SET attempts = CASE position WHEN 7 THEN 4 ELSE 1 END"))
        connection.execute(text("ALTER TABLE bulk_row ENABLE TRIGGER USER"))
    run_in_full(upload_id)
    assert counts(upload_id) == {"ready": 29, "failed": 1}
    assert "several times" in why(rows(upload_id)[6])


def test_two_workers_do_not_work_on_one_upload(
    alice: Actor, today: date, postgres: EmbeddedPostgres, database: str, tmp_path: Path
) -> None:
    upload_id = sealed(alice, files_of(papers(40, today)), list_as_read=True)
    both = [worker(postgres, database, tmp_path, upload_id) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert counts(upload_id) == {"listed": 40}
    assert doubled() == [0] * 5


@pytest.mark.long
@pytest.mark.timeout(900)
def test_many_invoices_with_repetitions_end_once_each(alice: Actor, today: date) -> None:
    registered = papers(30, today)
    worked(alice, files_of(registered), list_as_read=True)
    files = files_of(papers(COUNT, today))
    twice = {f"copy of {name}": content for name, content in list(files.items())[100:120]}
    otherwise = {f"other/{one.number}.xml": ubl(one) for one in papers(COUNT, today)[60:100:2]}
    began, busy = time.monotonic(), time.process_time()
    upload_id = worked(alice, {"year.zip": zipped(files | twice | otherwise)})
    read = time.monotonic() - began
    found = counts(upload_id)
    perform(bulk.list_bulk_rows, ListBulkRows(upload_id), alice)
    run_in_full(upload_id)
    took = time.monotonic() - began
    print(f"\n{COUNT + 40} rows read in {read:.1f} s, all done in {took:.1f} s", found, counts(upload_id))
    ended = Counter(row.state for row in rows(upload_id))
    assert ended["known"] == 30 + 20 + 20
    assert ended["listed"] + ended["held"] == COUNT - 30
    assert scalar("SELECT count(*) FROM receivable") == COUNT
    assert time.process_time() - busy < COUNT * 0.18, (
        "a busy machine does not decide; bench/bulk.py measures by the clock"
    )
    assert bulk_queries.upload(db.session(), upload_id).state == "done"
    again = worked(alice, {"year.zip": zipped(files)}, list_as_read=True)
    assert counts(again) == {"known": COUNT}
    assert all("already listed as DB-" in why(row) for row in rows(again))
