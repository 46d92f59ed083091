"""The market opens with one command, survives what is done to it, and leaves nothing behind."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack.running import HOUSE, RunningMarket, free_port, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("stack")]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that any user may reach; in memory where that is possible, for the disk is not what is tested."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="duebill-st-", dir=memory if os.access(memory, os.W_OK) else "/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


Open = Callable[..., RunningMarket]


@pytest.fixture
def start() -> Iterator[Open]:
    """Start markets; whatever still runs at the end of the test is killed."""
    started: list[RunningMarket] = []

    def start_one(home: Path, port: int | None = None, **how: Any) -> RunningMarket:
        started.append(RunningMarket(home, port or free_port(), "--empty", **how))
        return started[-1]

    yield start_one
    for market in started:
        if market.process.poll() is None:
            market.kill_everything()
        market.said_path.unlink()


@pytest.fixture(scope="module")
def market(folder: Path) -> Iterator[RunningMarket]:
    """An empty market that several tests look at and hurt, but that must be open again after each."""
    running = RunningMarket(folder / "home", free_port(), "--empty")
    try:
        running.opened()
        yield running
        assert running.close() == 0
    finally:
        running.kill_everything()
        running.said_path.unlink()


def test_it_answers_and_says_where(market: RunningMarket) -> None:
    assert market.status() == 200
    assert market.status("/") == 200
    opened = market.opened()
    assert opened["url"] == f"http://127.0.0.1:{market.port}"
    assert opened["demo"] is False
    assert re.search(r"PostgreSQL started \(\d+\.\d s\)", market.said)


def test_each_process_has_its_own_role_and_only_the_signer_its_folder(market: RunningMarket) -> None:
    def environ(word: str) -> str:
        assert until(lambda: market.processes(word))
        return Path(f"/proc/{market.processes(word)[0]}/environ").read_text().replace("\0", "\n")

    assert "//duebill_web:" in environ("gunicorn")
    assert "//duebill_signer:" in environ("marketplace signer")
    assert "DUEBILL_SIGNER_FOLDER" in environ("marketplace signer")
    assert "DATABASE_URL" not in environ("marketplace sandbox")
    for word in ("gunicorn", "marketplace sandbox"):
        assert "DUEBILL_SIGNER_FOLDER" not in environ(word)
        assert "duebill_owner" not in environ(word)
        assert "duebill_signer" not in environ(word)


def test_what_it_keeps_is_private(market: RunningMarket) -> None:
    assert until((market.home / "signer" / "key").exists)
    for place in (
        *(market.home / "secrets").iterdir(),
        market.home / "signer" / "key",
        market.home / "postgres" / "password",
    ):
        assert stat.S_IMODE(place.stat().st_mode) == 0o600, place
    for place in (
        market.home / "secrets",
        market.home / "signer",
        market.home / "log",
        market.home / "bank" / "in",  # where people are told to put the bank's files
        market.home / "postgres" / "data",
    ):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700, place


def test_the_folder_for_the_banks_files_is_there_and_looked_into(market: RunningMarket) -> None:
    bank = market.home / "bank"
    (bank / "in" / "statement.xml").touch()
    assert until((bank / "refused" / "statement.xml.txt").exists)
    assert until(lambda: "The file is empty." in (bank / "refused" / "statement.xml.txt").read_text())


def test_the_books_can_be_checked_while_it_is_open(market: RunningMarket) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DUEBILL_", "DATABASE_"))}
    done = subprocess.run([sys.executable, "-m", "marketplace", "verify", "--json"], cwd=HOUSE, capture_output=True,
                          env=environ | {"DUEBILL_HOME": str(market.home)}, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"name": "entries_balance", "ok": True} in told
    assert all(one["ok"] for one in told)
    assert market.status() == 200, "the server that was looked into goes on"


def test_the_stack_is_small(market: RunningMarket) -> None:
    def proportional_mb(pid: int) -> float:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
        return int(found[1]) / 1024 if found else 0.0

    sizes = {pid: proportional_mb(pid) for pid in market.processes()}
    assert sum(sizes.values()) < 1200
    assert max(proportional_mb(pid) for pid in market.processes("gunicorn")) < 250


def test_a_second_start_in_the_same_folder_says_where_the_first_is(market: RunningMarket, start: Open) -> None:
    second = start(market.home)
    assert second.process.wait(60) == 1
    assert f"already open: http://127.0.0.1:{market.port}, process {market.process.pid}" in second.said
    assert market.status() == 200


def test_a_busy_port_is_said(folder: Path, start: Open) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = start(folder / "other", port)
        assert other.process.wait(60) == 1
    assert f"Port {port} is in use by another program. Choose another one: bin/run --port" in other.said
    assert "Traceback" not in other.said


def test_a_folder_that_cannot_be_used_is_said(folder: Path, start: Open) -> None:
    (folder / "a-file").write_text("not a folder")
    other = start(folder / "a-file" / "home")
    assert other.process.wait(60) == 1
    assert "Set DUEBILL_HOME to a folder of your own" in other.said
    assert "Traceback" not in other.said


def test_postgresql_killed_comes_back(market: RunningMarket) -> None:
    os.kill(market.postmaster(), signal.SIGKILL)
    assert until(lambda: "PostgreSQL ended; starting it again" in market.said, 10)
    assert until(lambda: market.status() == 200, 30), market.said


@pytest.mark.parametrize("word", ["gunicorn", "marketplace signer", "marketplace sandbox"])
def test_a_killed_process_comes_back(market: RunningMarket, word: str) -> None:
    assert until(lambda: market.processes(word), 60)
    before = min(market.processes(word))
    os.kill(before, signal.SIGKILL)
    name = "web" if word == "gunicorn" else word.split()[1]
    assert until(lambda: f"{name} ended (killed by SIGKILL)" in market.said, 10)
    assert until(lambda: market.processes(word) and before not in market.processes(word), 60)
    assert until(lambda: market.status() == 200, 60)


@pytest.mark.long
def test_closing_ends_everything_and_it_opens_again_quickly(folder: Path, start: Open) -> None:
    port = free_port()
    first = start(folder / "again", port)
    first.opened()
    assert first.close() == 0
    assert first.processes() == []
    began = time.monotonic()
    second = start(folder / "again", port)
    second.opened()
    taken = time.monotonic() - began
    assert second.status() == 200
    assert second.close() == 0
    assert "migrated" not in second.said, "there was nothing to migrate"
    assert taken < 30, f"{taken:.1f} s; about 4 s on an idle machine"


@pytest.mark.long
def test_when_the_supervisor_is_killed_its_processes_die_with_it(folder: Path, start: Open) -> None:
    first = start(folder / "orphans")
    first.opened()
    first.process.kill()
    first.process.wait()
    assert until(lambda: not first.processes(), 20), first.processes()


def test_after_kill_9_of_everything_it_opens_again(folder: Path, start: Open) -> None:
    port = free_port()
    first = start(folder / "killed", port)
    first.opened()
    assert until((folder / "killed" / "signer" / "key").exists)
    key = (folder / "killed" / "signer" / "key").read_text()
    first.kill_everything()
    second = start(folder / "killed", port)
    second.opened()
    assert second.status() == 200
    assert (folder / "killed" / "signer" / "key").read_text() == key
    second.kill_everything()
    assert until(lambda: not second.processes(), 20)


@pytest.mark.long
def test_of_three_starters_at_once_one_opens_the_market(folder: Path, start: Open) -> None:
    port = free_port()
    starters = [start(folder / "three", port) for _ in range(3)]
    assert until(lambda: sum(one.process.poll() is not None for one in starters) == 2, 60)
    winner = next(one for one in starters if one.process.poll() is None)
    winner.opened()
    assert winner.status() == 200
    for loser in (one for one in starters if one is not winner):
        assert loser.process.returncode == 1
        assert "already open" in loser.said
    assert winner.close() == 0


@pytest.mark.long
def test_a_first_start_killed_half_way_is_begun_anew(folder: Path, start: Open) -> None:
    port = free_port()
    first = start(folder / "half", port)
    assert until(lambda: "PostgreSQL started" in first.said, 60)
    first.kill_everything()
    second = start(folder / "half", port)
    second.opened()
    assert second.status() == 200
    assert second.close() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_normal_user_opens_it(folder: Path, start: Open) -> None:
    from tests.embedded_postgres.test_embedded_postgres import python_for_everybody

    home = folder / "somebody" / "home"
    home.parent.mkdir(mode=0o777)
    home.parent.chmod(0o777)
    paths = [path for path in sys.path if "site-packages" in path]
    running = start(home, python=python_for_everybody(), user="nobody", extra_groups=[], paths=paths)
    running.opened()
    assert running.status() == 200
    assert home.stat().st_uid != 0
    assert running.close() == 0
