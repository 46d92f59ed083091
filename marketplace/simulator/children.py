"""Processes that may be killed at any moment: forked from this one, asked through a pipe, never trusted to answer."""

import ctypes
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from marketplace.kernel import failpoints

Handle = Callable[[tuple[Any, ...]], Any]
ANSWER_SECONDS = 120.0
LAST_WORDS_BYTES = 8_192
PR_SET_PDEATHSIG = 1


class Died(Exception):
    """A process ended before it answered."""


class Stuck(Exception):
    """A process did not answer at all."""


class Child:
    """One forked process. `body` runs once in it and returns what answers questions; `plan` arms its failpoints."""

    def __init__(self, name: str, body: Callable[[], Handle], log: Path, plan: str = "") -> None:
        self.name, self._log = name, log
        here, there = Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            here.close()
            _live(body, there, log, plan)
        there.close()
        self._pipe: Connection = here
        self.dead = False

    def send(self, *words: Any) -> None:
        """Ask something. Raises: Died."""
        try:
            self._pipe.send(words)
        except OSError as error:
            self._reap()
            raise Died(self.name) from error

    def answer(self, seconds: float = ANSWER_SECONDS) -> Any:
        """Return the answer. Raises: Died; Stuck; RuntimeError with what went wrong inside."""
        try:
            if not self._pipe.poll(seconds):
                raise Stuck(f"{self.name} did not answer in {seconds:.0f} s")
            kind, value = self._pipe.recv()
        except (EOFError, ConnectionError) as error:
            self._reap()
            raise Died(self.name) from error
        if kind == "error":
            raise RuntimeError(f"{self.name}: {value}")
        return value

    def ask(self, *words: Any) -> Any:
        """Ask and return the answer. Raises: as `answer`."""
        self.send(*words)
        return self.answer()

    def ended(self) -> bool:
        """Say whether the process has ended, by whatever hand."""
        if not self.dead and os.waitpid(self.pid, os.WNOHANG)[0]:
            self.dead = True
            self._pipe.close()
        return self.dead

    def died_at(self) -> str:
        """Return the place in the code where it died; empty when it was killed from outside."""
        told = f"failpoint {self.pid} "
        with self._log.open("rb") as log:
            log.seek(max(log.seek(0, os.SEEK_END) - LAST_WORDS_BYTES, 0))
            lines = log.read().decode(errors="replace").splitlines()
        return next((line.removeprefix(told) for line in reversed(lines) if line.startswith(told)), "")

    def kill(self) -> bool:
        """Kill the process; return whether it still lived."""
        if self.dead:
            return False
        os.kill(self.pid, signal.SIGKILL)
        self._reap()
        return True

    def _reap(self) -> None:
        if not self.dead:
            os.waitpid(self.pid, 0)
            self.dead = True
            self._pipe.close()


def _live(body: Callable[[], Handle], pipe: Connection, log: Path, plan: str) -> None:
    """Be the child, and never return."""
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ[failpoints.VARIABLE] = plan
        importlib.reload(failpoints)  # as in a process that was started with this environment
        handle = body()
        while True:
            words = pipe.recv()
            try:
                reply = ("done", handle(words))
            except Exception:
                reply = ("error", traceback.format_exc())
            pipe.send(reply)
    except (EOFError, KeyboardInterrupt, BrokenPipeError):
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
