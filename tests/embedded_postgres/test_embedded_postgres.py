"""The embedded server: started, shared, killed, adopted, moved to another user, and never lost."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from marketplace.embedded_postgres import SUPERUSER, EmbeddedPostgres, PostgresFailed

HOUSE = Path(__file__).resolve().parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that any user may reach, unlike pytest's own."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="duebill-ep-", dir=memory if os.access(memory, os.W_OK) else "/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def server(place: Path) -> Iterator[EmbeddedPostgres]:
    """A server that keeps its data, in a folder of the test's own."""
    embedded = EmbeddedPostgres(place / "postgres")
    yield embedded
    embedded.stop()


def postmaster(server: EmbeddedPostgres) -> int:
    return int((server.root / "data" / "postmaster.pid").read_text().splitlines()[0])


def guardian(server: EmbeddedPostgres) -> int:
    words = Path(f"/proc/{postmaster(server)}/stat").read_text()
    return int(words.rpartition(")")[2].split()[1])


def ends(what: Callable[[], bool], seconds: float = 60) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(0.02)
    return False


def write_a_row(server: EmbeddedPostgres) -> None:
    with server.connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('kept')")


def rows(server: EmbeddedPostgres) -> int:
    with server.connect() as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    return row[0] if row else -1


def test_a_server_starts_answers_and_stops(server: EmbeddedPostgres) -> None:
    assert server.start() == "started"
    with server.connect() as connection:
        version = connection.execute("SHOW server_version_num").fetchone()
        provider = connection.execute("SELECT datlocprovider FROM pg_database WHERE datname = 'postgres'").fetchone()
        address = connection.execute("SHOW listen_addresses").fetchone()
    assert version is not None
    assert int(version[0]) >= 150_000
    assert provider == ("b",)
    assert address == ("",), "no port is open"
    assert server.stop() == "stopped"
    assert not server.alive()


def test_a_wrong_password_and_no_password_are_refused(server: EmbeddedPostgres) -> None:
    server.start()
    for password in ("wrong", ""):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(host=str(server.root / "socket"), user=SUPERUSER, dbname="postgres", password=password)


def test_secrets_and_sockets_are_private(server: EmbeddedPostgres) -> None:
    server.start()
    assert (server.root / "password").stat().st_mode & 0o777 == 0o600
    assert (server.root / "socket").stat().st_mode & 0o777 == 0o700
    assert (server.root / "data").stat().st_mode & 0o777 == 0o700


def test_a_role_signs_in_with_its_own_password(server: EmbeddedPostgres) -> None:
    server.start()
    server.ensure_role("duebill_web")
    server.ensure_role("duebill_web")
    with server.connect(user="duebill_web") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("duebill_web",)
    assert server.password("duebill_web") != server.password("duebill_signer")


def test_the_second_start_uses_the_running_server(server: EmbeddedPostgres) -> None:
    server.start()
    pid = postmaster(server)
    second = EmbeddedPostgres(server.directory)
    assert second.start() == "adopted"
    assert server.stop() == "in use"
    assert postmaster(second) == pid
    write_a_row(second)
    assert second.stop() == "stopped"


def _start_and_count(directory: Path, results: "multiprocessing.Queue[str]", gate: "multiprocessing.Event") -> None:  # type: ignore[valid-type]
    embedded = EmbeddedPostgres(directory)
    results.put(embedded.start())
    gate.wait(30)  # type: ignore[attr-defined]
    embedded.stop()


def test_three_starters_at_once_get_one_server(place: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results, gate = context.Queue(), context.Event()
    starters = [context.Process(target=_start_and_count, args=(place / "postgres", results, gate)) for _ in range(3)]
    for starter in starters:
        starter.start()
    try:
        assert sorted(results.get(timeout=60) for _ in starters) == ["adopted", "adopted", "started"]
    finally:
        gate.set()
        for starter in starters:
            starter.join(30)


def test_committed_data_survives_the_death_of_postgresql(server: EmbeddedPostgres) -> None:
    server.start()
    write_a_row(server)
    os.kill(postmaster(server), signal.SIGKILL)
    assert ends(lambda: not server.alive())
    assert server.start() == "started"
    assert rows(server) == 1


def test_the_server_goes_when_its_only_user_is_killed_and_the_data_stay(server: EmbeddedPostgres) -> None:
    words = (
        "import sys, time; from pathlib import Path; from marketplace.embedded_postgres import EmbeddedPostgres;"
        "s = EmbeddedPostgres(Path(sys.argv[1])); s.start(); c = s.connect();"
        "c.execute('CREATE TABLE kept (word text)'); c.execute(\"INSERT INTO kept VALUES ('kept')\");"
        "print('ready', flush=True); time.sleep(60)"
    )
    user = subprocess.Popen([sys.executable, "-c", words, str(server.directory)], cwd=HOUSE, stdout=subprocess.PIPE)
    assert user.stdout is not None
    with user.stdout:
        assert user.stdout.readline() == b"ready\n"
        user.kill()
        user.wait()
    assert ends(lambda: not server.alive()), "nobody uses it, so it must not stay"
    assert server.start() == "started"
    assert rows(server) == 1


def test_a_server_without_guardian_is_adopted_and_still_stopped(server: EmbeddedPostgres) -> None:
    server.start()
    write_a_row(server)
    pid = postmaster(server)
    os.kill(guardian(server), signal.SIGKILL)
    server._end_use()
    assert server.alive()
    later = EmbeddedPostgres(server.directory)
    assert later.start() == "adopted"
    assert postmaster(later) == pid
    assert rows(later) == 1
    assert later.stop() == "stopped"
    assert not later.alive()


def test_a_stale_lock_file_that_names_a_living_stranger_is_cleared(server: EmbeddedPostgres) -> None:
    server.start()
    write_a_row(server)
    os.kill(postmaster(server), signal.SIGKILL)
    assert ends(lambda: not server.alive())
    lock = server.root / "data" / "postmaster.pid"
    words = lock.read_text().splitlines()
    stranger = subprocess.Popen(["sleep", "60"], **({"user": "nobody"} if os.geteuid() == 0 else {}))  # type: ignore[call-overload]
    try:
        lock.write_text("\n".join([str(stranger.pid), *words[1:]]) + "\n")
        assert server.start() == "started"
        assert rows(server) == 1
        assert stranger.poll() is None, "the stranger was left alone"
    finally:
        stranger.kill()
        stranger.wait()


def test_a_server_whose_socket_was_swept_away_is_replaced(server: EmbeddedPostgres) -> None:
    server.start()
    write_a_row(server)
    for path in (server.root / "socket").iterdir():
        path.unlink()
    assert not server._answers()
    server._end_use()  # the guardian stops what nobody uses
    assert server.start() == "started"
    assert rows(server) == 1


def test_an_interrupted_initdb_is_begun_anew(server: EmbeddedPostgres) -> None:
    half = server.directory / "data.new-0123"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server.start()
    assert not half.exists()


def test_a_long_path_gets_a_short_socket(place: Path) -> None:
    deep = place / ("a" * 60) / ("b" * 60) / "postgres"
    embedded = EmbeddedPostgres(deep)
    embedded.start()
    try:
        assert len(str(embedded._socket_directory() / ".s.PGSQL.5432")) <= 107
        assert embedded._socket_directory().stat().st_mode & 0o777 == 0o700
        write_a_row(embedded)
    finally:
        embedded.stop()
        shutil.rmtree(embedded._socket_directory())


def test_a_password_that_does_not_fit_is_said(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    (server.root / "password").write_text("another\n")
    with pytest.raises(PostgresFailed, match="does not open the data"):
        server.start()
    assert not server.alive()


def test_a_damaged_server_says_what_postgresql_said(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    (server.root / "data" / "global" / "pg_control").unlink()
    with pytest.raises(PostgresFailed, match=r"postgres\.log"):
        server.start()


def test_a_throw_away_server_leaves_nothing(place: Path) -> None:
    embedded = EmbeddedPostgres(place / "gone", throw_away=True)
    embedded.start()
    pid = postmaster(embedded)
    os.kill(guardian(embedded), signal.SIGKILL)
    assert ends(lambda: not Path(f"/proc/{pid}").exists()), "it dies with its guardian"
    embedded.stop()
    again = EmbeddedPostgres(place / "again", throw_away=True)
    again.start()
    again.stop()
    assert ends(lambda: not (place / "again").exists()), "its guardian clears up when nobody needs it"


@as_root
def test_root_runs_it_as_somebody_else(server: EmbeddedPostgres) -> None:
    server.start()
    status = Path(f"/proc/{postmaster(server)}/status").read_text()
    assert "Uid:\t0\t" not in status
    assert (server.root / "data").stat().st_uid != 0


@as_root
def test_a_folder_that_nobody_can_reach_is_left_as_it_is(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    embedded = EmbeddedPostgres(closed / "postgres")
    embedded.start()
    try:
        assert closed.stat().st_mode & 0o777 == 0o700
        write_a_row(embedded)
        embedded.stop()
        embedded.start()
        assert rows(embedded) == 1
    finally:
        embedded.stop()
        shutil.rmtree(embedded.root)


@as_root
def test_a_normal_user_can_run_it(place: Path) -> None:
    words = (
        "import sys; from pathlib import Path; from marketplace.embedded_postgres import EmbeddedPostgres;"
        "s = EmbeddedPostgres(Path(sys.argv[1])); print(s.start()); s.connect().close(); print(s.stop())"
    )
    place.chmod(0o777)
    environ = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [python_for_everybody(), "-c", words, str(place / "postgres")], cwd=HOUSE, user="nobody", extra_groups=[],
        text=True, capture_output=True, env=environ,
    )  # fmt: skip
    assert done.stdout == "started\nstopped\n", done.stderr
    assert (place / "postgres" / "data").stat().st_uid != 0


def python_for_everybody() -> str:
    """A Python of the same version that another user may run, or a loud skip."""
    for candidate in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3", "/usr/bin/python3.11"):
        asked = [candidate, "-c", "import sys; print(sys.version_info[:2])"]
        try:
            said = subprocess.run(asked, user="nobody", extra_groups=[], capture_output=True, text=True, cwd="/").stdout
        except OSError:
            continue
        if said.strip() == str(sys.version_info[:2]):
            return candidate
    pytest.skip("NO PYTHON THAT ANOTHER USER MAY RUN: this test did not run.")
