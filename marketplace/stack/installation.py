"""One installation: its folder, its lock, its ports, and what each of its processes is told."""

import contextlib
import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config.settings import HOUSE, home_dir, kept_secret, sqlalchemy_url
from marketplace.embedded_postgres import EmbeddedPostgres

OWNER, APPLICATION = "duebill_owner", "duebill_application"
DATABASE, UNFINISHED = "duebill", "duebill_unfinished"
ROLES = ("duebill_web", "duebill_worker", "duebill_signer", "duebill_reader")
# Never handed on to a child as it stands: each is told its own.
PRIVATE = re.compile(
    r"^(DATABASE_URL|DUEBILL_\w+_DATABASE_URL|PG[A-Z]+|STRIPE_\w+|DUEBILL_SIGNER_\w+|EXCHANGE_\w+|REGISTRY_\w+)$"
)


class StackFailed(Exception):
    """The market could not be opened; the message says why and what to do."""


@dataclass(frozen=True)
class Installation:
    """Where it lies and where it listens."""

    home: Path
    port: int
    sandbox_port: int
    demo: bool
    environ: Mapping[str, str]

    @property
    def base_url(self) -> str:
        """The address for people."""
        return self.environ.get("DUEBILL_BASE_URL") or f"http://127.0.0.1:{self.port}"

    @property
    def sandbox_url(self) -> str:
        """The address of the payment sandbox."""
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def signer_folder(self) -> Path:
        """Where the signer keeps its key and what it signed last."""
        return self.home / "signer"

    def postgres(self) -> EmbeddedPostgres | None:
        """The server in this installation's folder; None when DATABASE_URL names another one."""
        return None if self.environ.get("DATABASE_URL") else EmbeddedPostgres(self.home / "postgres")

    def database_url(self, role: str, database: str = DATABASE, postgres: EmbeddedPostgres | None = None) -> str:
        """A role's address: beside DATABASE_URL there may be DUEBILL_WEB_DATABASE_URL and so on; else it is for all."""
        if postgres is not None:
            return postgres.url(database, role)
        name = role.removeprefix("duebill_").upper()
        return sqlalchemy_url(self.environ.get(f"DUEBILL_{name}_DATABASE_URL") or self.environ["DATABASE_URL"])

    def environment(self, database_url: str | None = None, **more: str) -> dict[str, str]:
        """What a process of this installation is told: its own database address and nothing of the others'."""
        told = {name: value for name, value in self.environ.items() if not PRIVATE.match(name)}
        told |= {
            "DUEBILL_HOME": str(self.home), "DUEBILL_BASE_URL": self.base_url,
            "DUEBILL_DEMO": "1" if self.demo else "0", "MALLOC_ARENA_MAX": "2", "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": self.environ.get("PYTHONPATH") or str(HOUSE), "PYTHONSAFEPATH": "1",
        }  # fmt: skip
        if database_url is not None:
            told["DATABASE_URL"] = database_url
            told |= self.stripe() | self.exchange()
        return told | more

    def stripe(self) -> dict[str, str]:
        """How to reach Stripe: the account in the environment, else the sandbox."""
        if self.uses_sandbox:
            secret = kept_secret(self.home, "stripe-webhook")
            return {
                "STRIPE_API_BASE": self.sandbox_url,
                "STRIPE_API_KEY": "sk_test_sandbox",
                "STRIPE_WEBHOOK_SECRET": secret,
            }
        return {name: value for name, value in self.environ.items() if name.startswith("STRIPE_")}

    def exchange(self) -> dict[str, str]:
        """How claims are exchanged with other markets: what the environment says of it."""
        return {name: value for name, value in self.environ.items() if name.startswith(("EXCHANGE_", "REGISTRY_"))}

    @property
    def uses_sandbox(self) -> bool:
        """Whether payments go to the sandbox: as long as no key of a real account is given."""
        return "STRIPE_API_KEY" not in self.environ


@contextmanager
def only_one(home: Path, address: str) -> Iterator[None]:
    """Hold the installation's lock while the market is open.

    Raises: StackFailed, saying where the open one is.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
        handle = os.open(home / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StackFailed(
            f"{home} cannot be used for the market's data: {error.strerror}. Set DUEBILL_HOME to a folder of your own."
        ) from error
    try:
        until = time.monotonic() + 2  # one that was just killed needs a moment to let go
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    said = os.pread(handle, 500, 0).decode(errors="replace").strip() or "another process"
                    raise StackFailed(f"The market in {home} is already open: {said}.") from None
                time.sleep(0.05)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{address}, process {os.getpid()}\n".encode(), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def listen(port: int, option: str, patience: float = 3.0) -> socket.socket:
    """Take a port on loopback and keep it. A predecessor that was just killed gets a moment to let go.

    Raises: StackFailed when another program has it.
    """
    until = time.monotonic() + patience
    while True:
        taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", port))
            return taken
        except PermissionError:
            taken.close()
            raise StackFailed(
                f"Port {port} is not yours to use. Choose one above 1023: bin/run {option} 8080"
            ) from None
        except OSError:
            taken.close()
            if time.monotonic() > until:
                raise StackFailed(
                    f"Port {port} is in use by another program. Choose another one: bin/run {option} {port + 80}"
                ) from None
            time.sleep(0.1)


def free_port(wanted: int) -> int:
    """The wanted port if it is free, else any."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise StackFailed("No port is free on 127.0.0.1.")


def installation(environ: Mapping[str, str], *, port: int = 8000, demo: bool = True) -> Installation:
    """Describe the installation that the environment names."""
    return Installation(home_dir(environ), port, port + 1, demo, environ)
