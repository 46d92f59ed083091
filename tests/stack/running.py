"""A market opened as a person opens it, in a process of its own."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 120.0


def free_port() -> int:
    """A port whose successor is free too: the sandbox takes that one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(what: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> bool:
    """Wait for something to come true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return False


def read(path: Path) -> str:
    """What /proc says, or nothing when the process is gone or not ours."""
    with contextlib.suppress(OSError):
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


class RunningMarket:
    """`python -m marketplace run` on a folder and a port."""

    def __init__(self, home: Path, port: int, *options: str, python: str = sys.executable, **popen: Any) -> None:
        self.home, self.port = home, port
        handle, path = tempfile.mkstemp(prefix="duebill-said-")
        self.said_path = Path(path)
        environ = {
            key: value for key, value in os.environ.items() if not key.startswith(("DUEBILL_", "DATABASE_", "STRIPE_"))
        }
        environ |= popen.pop("environ", {})
        environ |= {"DUEBILL_HOME": str(home), "PYTHONPATH": os.pathsep.join([str(HOUSE), *popen.pop("paths", [])])}
        with os.fdopen(handle, "wb") as said:
            self.process = subprocess.Popen(
                [python, "-P", "-m", "marketplace", "run", "--port", str(port), "--json", *options],
                env=environ, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd="/", **popen,
            )  # fmt: skip

    @property
    def said(self) -> str:
        """Everything it said so far."""
        return self.said_path.read_text()

    def opened(self, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Wait until it says that it is open; what it says as JSON."""
        assert until(lambda: '{"url"' in self.said or self.process.poll() is not None, seconds), self.said
        assert self.process.poll() is None, self.said
        line = next(line for line in self.said.splitlines() if line.startswith('{"url"'))
        found: dict[str, Any] = json.loads(line)
        return found

    def status(self, path: str = "/") -> int:
        """The status of a page; 0 when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def processes(self, word: str = "") -> list[int]:
        """The processes of this installation (they carry its folder in their command or environment)."""
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit() or int(folder.name) == os.getpid():
                continue
            command, environ = read(folder / "cmdline"), read(folder / "environ")
            if (
                f"{self.home}/" in f"{command} {environ} ".replace(f"{self.home} ", f"{self.home}/ ")
                and word in command
            ):
                found.append(int(folder.name))
        return found

    def postmaster(self) -> int:
        """PostgreSQL's first process."""
        return int((self.home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])

    def close(self) -> int:
        """Close it as Ctrl-C does and return its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def kill_everything(self) -> None:
        """kill -9 of every process it has."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(20)
