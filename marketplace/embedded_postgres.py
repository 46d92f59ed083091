"""PostgreSQL out of the box: the real one from the installed package; no system service, open port or privilege.

One directory holds one server: its data, its password, its log and its locks. Who starts it second finds it running
and uses it. The server stops when its last user has gone, even when that user was killed (`stack.guardian`), and what
was committed stays.
"""

import contextlib
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, LiteralString
from urllib.parse import quote

import psycopg
from psycopg import sql

from marketplace.kernel.files import sync_directory, write_whole
from marketplace.stack import guardian
from marketplace.stack.locks import locked, make_directory, opened, try_lock
from marketplace.stack.postgres_binaries import (
    PostgresFailed,
    RunAs,
    binaries,
    can_enter,
    choose_user,
    clean_environment,
    run_as,
)

__all__ = ["EmbeddedPostgres", "PostgresFailed"]

SUPERUSER = "duebill_admin"
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_BYTES_MAX = 107
START_SECONDS_MAX = 90.0
CONNECT_SECONDS_MAX = 60
SHORT = Path("/tmp")  # noqa: S108 (a directory in it is checked to be private before it is used)
SYSTEM_HOME = Path("/var/lib/duebill")
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "96MB",
    "max_connections": "100",
    "max_wal_size": "256MB",
    "io_method": "sync",
    "jit": "off",
    "dynamic_shared_memory_type": "mmap",  # nothing is left in /dev/shm by a server that was killed
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
    "password_encryption": "scram-sha-256",
}
THROW_AWAY_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "200",
    "autovacuum": "off",
    "scram_iterations": "1",  # passwords are random, and tests connect tens of thousands of times
}


class EmbeddedPostgres:
    """A PostgreSQL server in a directory of its own.

    `throw_away` is for tests: nothing is synced to disk, and directory and server vanish with their last user.
    `settings` are PostgreSQL's own, over the usual ones: for whoever measures.
    """

    def __init__(self, directory: Path, *, throw_away: bool = False, settings: Mapping[str, str] | None = None) -> None:
        self.directory = Path(os.path.abspath(directory))
        self.root = self.directory  # where the files are, known for certain once it has started
        self.throw_away = throw_away
        self.settings = dict(settings or {})
        self._use: int | None = None

    # -- life -------------------------------------------------------------------------------------------------

    def start(self) -> Literal["started", "adopted"]:
        """Start the server, or use the one that runs here already.

        Raises: PostgresFailed, saying what to do.
        """
        try:
            make_directory(self.directory)
            with locked(self.directory / "start.lock"):
                self.root = self._choose_root()
                self._begin_use()
                try:
                    return self._start_locked()
                except BaseException:
                    self._end_use()
                    if self._alone():
                        self._end_server()
                    raise
        except PermissionError as error:
            raise PostgresFailed(
                f"{error.filename or self.directory} is not yours to use: {error.strerror}."
            ) from error

    def stop(self) -> Literal["stopped", "in use"]:
        """Stop using the server; it stops if nobody else uses it. Returns once that is decided and done."""
        if self._use is None:
            return "stopped"
        with locked(self.directory / "start.lock"):
            self._end_use()
            if not self.alive():
                return "stopped"
            if not self._alone():
                return "in use"
            self._end_server()
        until = time.monotonic() + 10
        while self.throw_away and self.root.exists() and time.monotonic() < until:
            time.sleep(0.01)
        return "stopped"

    def alive(self) -> bool:
        """Whether any PostgreSQL process of this directory lives: they hold a lock that only dies with them."""
        try:
            with opened(self.root / "server.lock") as handle:
                return not try_lock(handle, fcntl.LOCK_SH)
        except FileNotFoundError:
            return False  # a throw-away directory, already thrown away

    def _start_locked(self) -> Literal["started", "adopted"]:
        until = time.monotonic() + START_SECONDS_MAX
        while self.alive():
            if self._answers():
                return "adopted"
            if time.monotonic() > until - START_SECONDS_MAX + 20:
                self._end_server()
            time.sleep(0.02)
        user = choose_user(self._data)
        self._sweep()
        self._ensure_cluster(user)
        self._launch(user)
        while time.monotonic() < until:
            if self._answers():
                return "started"
            if not self.alive():
                raise PostgresFailed(f"PostgreSQL did not start. {self.log}:\n{self._last_words()}")
            time.sleep(0.01)
        raise PostgresFailed(
            f"PostgreSQL did not answer in {START_SECONDS_MAX:.0f} seconds. {self.log}:\n{self._last_words()}"
        )

    # -- addresses and administration -------------------------------------------------------------------------

    def url(self, database: str, user: str = SUPERUSER) -> str:
        """The SQLAlchemy address of a database, password included."""
        where = quote(str(self._socket_directory()), safe="")
        return f"postgresql+psycopg://{user}:{self.password(user)}@/{quote(database, safe='')}?host={where}"

    def password(self, user: str) -> str:
        """The password of a role: the superuser's is random, the others' follow from it."""
        key = self._secret()
        return key if user == SUPERUSER else hmac.new(key.encode(), user.encode(), hashlib.sha256).hexdigest()

    def connect(
        self, database: str = "postgres", user: str = SUPERUSER, seconds: int = CONNECT_SECONDS_MAX
    ) -> psycopg.Connection:
        """A plain connection that commits each statement. It is waited for: a machine may stand still for a while."""
        return psycopg.connect(
            host=str(self._socket_directory()), port=5432, dbname=database, user=user,
            password=self.password(user), autocommit=True, connect_timeout=seconds,
        )  # fmt: skip

    def ensure_role(self, name: str, attributes: LiteralString = "") -> None:
        """Let a role sign in, with `password(name)`; make it if there is none. `attributes`: as in CREATEROLE."""
        with self.connect() as connection:
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
            statement = sql.SQL("{} ROLE {} LOGIN {} PASSWORD {}").format(
                sql.SQL("ALTER" if known else "CREATE"), sql.Identifier(name), sql.SQL(attributes),
                sql.Literal(self.password(name)),
            )  # fmt: skip
            connection.execute(statement)

    def database_exists(self, name: str) -> bool:
        """Whether there is a database of that name."""
        with self.connect() as connection:
            return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None

    def create_database(self, name: str, template: str = "template0", owner: str = SUPERUSER) -> None:
        """Make a database, as a copy of `template` (to which nobody may be connected)."""
        strategy: LiteralString = "FILE_COPY" if self.throw_away else "WAL_LOG"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY " + strategy)
        with self.connect() as connection:
            connection.execute(statement.format(*map(sql.Identifier, (name, template, owner))))

    def drop_database(self, name: str) -> None:
        """Remove a database, if there is one, and throw out whoever is connected to it."""
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    # -- files ------------------------------------------------------------------------------------------------

    @property
    def log(self) -> Path:
        """What PostgreSQL has to say."""
        return self.root / "postgres.log"

    @property
    def _data(self) -> Path:
        return self.root / "data"

    def _choose_root(self) -> Path:
        """The directory itself; for root a place that `nobody` can enter, remembered in the file `elsewhere`."""
        pointer = self.directory / "elsewhere"
        if pointer.exists():
            return make_directory(Path(pointer.read_text().strip()))
        user = choose_user(self.directory / "data")
        if not user.switches or can_enter(user, self.directory):
            return self.directory
        place = make_directory(SYSTEM_HOME / f"postgres-{secrets.token_hex(8)}")
        write_whole(pointer, f"{place}\n")
        return place

    def _socket_directory(self) -> Path:
        near = self.root / "socket"
        if len(os.fsencode(near / SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX:
            return near
        return SHORT / f"duebill-{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:24]}"

    def _secret(self) -> str:
        try:
            return (self.root / "password").read_text().strip()
        except FileNotFoundError:
            raise PostgresFailed(
                f"{self.root / 'password'} is missing: without it the data cannot be opened."
            ) from None

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
        return ""

    # -- starting ---------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Remove what a killed server or a killed initdb left. Called only when no server is alive."""
        for half in self.root.glob("data.new-*"):
            shutil.rmtree(half, ignore_errors=True)
        sockets = self._socket_directory()
        for stale in (self._data / "postmaster.pid", sockets / SOCKET_NAME, sockets / f"{SOCKET_NAME}.lock"):
            stale.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > 10_000_000:
                self.log.replace(self.log.with_suffix(".log.1"))

    def _ensure_cluster(self, user: RunAs) -> None:
        """Make the data directory, whole or not at all."""
        if self._data.exists():
            return
        if not (self.root / "password").exists():
            write_whole(self.root / "password", secrets.token_urlsafe(32) + "\n")
        fresh = self.root / f"data.new-{secrets.token_hex(6)}"
        fresh.mkdir(mode=0o700)
        pwfile = fresh.with_name(fresh.name.replace("data", "data.new-pw"))
        write_whole(pwfile, self._secret() + "\n")
        if user.switches:
            for path in (fresh, pwfile):
                os.chown(path, user.uid, user.gid)
        command = [
            str(binaries() / "initdb"), "--pgdata", str(fresh), "--username", SUPERUSER, "--pwfile", str(pwfile),
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8",
            *(["--no-sync", "--set", "scram_iterations=1"] if self.throw_away else []),
        ]  # fmt: skip
        done = run_as(user, command)
        pwfile.unlink()
        if done.returncode:
            shutil.rmtree(fresh, ignore_errors=True)
            raise PostgresFailed(f"initdb failed: {done.stderr.strip() or done.returncode}")
        fresh.rename(self._data)
        sync_directory(self.root)

    def _launch(self, user: RunAs) -> None:
        sockets = self._prepare_sockets(user)
        settings = (
            SETTINGS | {"unix_socket_directories": str(sockets)} | (THROW_AWAY_SETTINGS if self.throw_away else {})
        )
        settings |= self.settings
        command = [sys.executable, "-I", "-S", guardian.__file__, "--uid", str(user.uid), "--gid", str(user.gid)]
        command += ["--users", str(self.root / "users.lock"), "--server", str(self.root / "server.lock")]
        command += ["--throw-away", str(self.root)] if self.throw_away else []
        command += ["--", str(binaries() / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            # Returns once the server's lock is held; the guardian itself goes on as a process of its own.
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=clean_environment())

    def _prepare_sockets(self, user: RunAs) -> Path:
        place = self._socket_directory()
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=0o700)
            if user.switches:
                os.chown(place, user.uid, user.gid)
        found = place.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != user.uid or found.st_mode & 0o077:
            raise PostgresFailed(f"{place} is not a private directory of PostgreSQL's user. Remove it and start again.")
        return place

    def _answers(self) -> bool:
        """Whether the server takes connections and serves this very directory."""
        try:
            with self.connect(seconds=5) as connection:  # else it is looked after whether the server lives
                row = connection.execute("SHOW data_directory").fetchone()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise PostgresFailed(f"{self.root / 'password'} does not open the data in {self._data}.") from error
            return False
        return row is not None and os.path.realpath(row[0]) == os.path.realpath(self._data)

    # -- use and end ------------------------------------------------------------------------------------------

    def _begin_use(self) -> None:
        """Say that we use the server. A guardian about to stop it holds the lock until it has."""
        if self._use is not None:
            return
        handle = os.open(self.root / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(handle, fcntl.LOCK_SH)
        self._use = handle

    def _end_use(self) -> None:
        if self._use is not None:
            os.close(self._use)
            self._use = None

    def _alone(self) -> bool:
        """Whether nobody else uses the server. A guardian that is stopping it counts as nobody."""
        with contextlib.suppress(FileNotFoundError), opened(self.root / "users.lock") as handle:
            for _ in range(5):
                if not try_lock(handle, fcntl.LOCK_SH):
                    return True  # the guardian has it
                if try_lock(handle, fcntl.LOCK_EX):
                    return True
                time.sleep(0.02)
            return False
        return True

    def _end_server(self) -> None:
        """Wait for the server's end; help when its guardian does not (it was killed, or the server hangs)."""
        for wish, patience in ((None, 2.0), (signal.SIGINT, 15.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0)):
            if wish is not None:
                self._signal_server(wish)
            until = time.monotonic() + patience
            while time.monotonic() < until:
                if not self.alive():
                    return
                time.sleep(0.01)
        raise PostgresFailed(f"A PostgreSQL that uses {self._data} neither answers nor ends.")

    def _signal_server(self, wish: signal.Signals) -> None:
        """Signal the process that its own file names, if that is a PostgreSQL. Called only while one holds the lock."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int((self._data / "postmaster.pid").read_text().splitlines()[0])
            name = subprocess.run(["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True).stdout
            if re.search(r"\bpostgres\b", name):
                os.kill(pid, wish)
