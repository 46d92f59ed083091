"""The supervisor's children: started, started again when one dies (more and more slowly), ended in order."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from marketplace.stack import launch

Say = Callable[[str], None]
BACKOFF_SECONDS = (0.2, 1.0, 2.0, 5.0, 15.0, 30.0)
STEADY_SECONDS = 60.0
LOG_BYTES_MAX = 10_000_000


@dataclass(frozen=True)
class Program:
    """What a child is: its name for people, its command, its own environment, the files it inherits."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    handles: Sequence[int] = ()
    end_seconds: float = 6.0


class Child:
    """One program and its present process."""

    def __init__(self, program: Program, log: Path, say: Say) -> None:
        self.program = program
        self.log = log
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._failures = 0
        self._again_at = 0.0

    @property
    def pid(self) -> int | None:
        """The process number while it lives."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start the program. It dies with the calling process (and with the calling thread: call from the main one)."""
        shorten(self.log)
        command = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), "--", *self.program.command]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(self.program.environment),
                start_new_session=True, pass_fds=tuple(self.program.handles),
            )  # fmt: skip
        self._started = time.monotonic()

    def look_after(self) -> None:
        """Start the program again if it died, at once the first time, later the more often it dies."""
        if self._process is None or self._process.poll() is None:
            return
        now = time.monotonic()
        if self._again_at == 0.0:
            if now - self._started > STEADY_SECONDS:
                self._failures = 0
            pause = BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)]
            self._failures += 1
            self._again_at = now + pause
            self._say(
                f"{self.program.name} ended ({describe(self._process.returncode)}); again in {pause:g} s. {self.log}"
            )
            self._end_group()
        elif now >= self._again_at:
            self._again_at = 0.0
            self.start()

    def stop(self) -> None:
        """Ask the program to end; end it by force when it takes too long."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(self.program.end_seconds)
        except subprocess.TimeoutExpired:
            self._say(f"{self.program.name} did not end in {self.program.end_seconds:g} s and was killed.")
        self._end_group()
        self._process.wait()
        self._process = None

    def last_words(self) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])
        return ""

    def _end_group(self) -> None:
        """Kill what the program may have left behind: it has a process group of its own."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def describe(code: int) -> str:
    """How a process ended, in words."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit {code}"


def shorten(log: Path) -> None:
    """Keep one old log when the present one has grown long."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_name(log.name + ".1"))
