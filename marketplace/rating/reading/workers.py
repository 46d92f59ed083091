"""Read many accounts with all processors, in order, in constant memory; one that kills its reader costs one line."""

import json
import os
import select
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import LifoQueue
from typing import Any

from marketplace.rating.reading.record import TOO_COSTLY, refused_record
from marketplace.rating.reading.sources import Item
from marketplace.rating.reading.worker import LENGTH, LINES

ROOT = Path(__file__).resolve().parents[3]
BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from marketplace.rating.reading.worker import serve; serve()"
CHUNK_ITEMS, CHUNK_BYTES = 32, 4 * 1024 * 1024
# A document has two seconds of a processor; a busy machine may take longer to give them.
WALL_SECONDS = 30.0
ANSWER_MAX = 1 << 20


class _Died(Exception):
    """The worker ended, or had to be ended, before it answered."""


class Worker:
    """One limited process, started when it is first needed and again whenever a document ended it."""

    def __init__(self, want: str = LINES) -> None:
        self._want = want
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = bytearray()

    def answers(self, items: Sequence[Item]) -> list[bytes]:
        """Return a line of JSON for each item, in order."""
        found: list[bytes] = []
        # When a process ends, answers may be lost with it. What is left is sent again and answered one by one: then
        # the first without an answer is the one that ended it.
        one_by_one = len(items) == 1
        while len(found) < len(items):
            try:
                self._send(items[len(found) :], one_by_one)
                while len(found) < len(items):
                    found.append(self._receive())
            except _Died:
                self.end()
                if one_by_one:
                    found.append(_line(refused_record(items[len(found)].label, [TOO_COSTLY])))
                one_by_one = True
        return found

    def end(self) -> None:
        """Let the process go."""
        process, self._process = self._process, None
        self._unread.clear()
        if process is not None:
            process.kill()
            process.communicate()

    @property
    def pid(self) -> int | None:
        """The process as the machine knows it, while there is one."""
        return self._process.pid if self._process else None

    def _send(self, items: Sequence[Item], one_by_one: bool) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", BOOT, str(ROOT)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}, start_new_session=True, close_fds=True,
            )  # fmt: skip
        orders = json.dumps([item.order() | {"want": self._want, "at_once": one_by_one} for item in items]).encode()
        source = self._process.stdin
        assert source is not None
        try:
            source.write(LENGTH.pack(len(orders)) + orders)
            for item in items:
                source.write(item.content)
            source.flush()
        except OSError:
            raise _Died from None

    def _receive(self) -> bytes:
        self._wait_for(LENGTH.size)
        end = LENGTH.size + LENGTH.unpack_from(self._unread)[0]
        if end > ANSWER_MAX:
            raise _Died
        self._wait_for(end)
        answer = bytes(self._unread[LENGTH.size : end])
        del self._unread[:end]
        return answer

    def _wait_for(self, count: int) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        while len(self._unread) < count:
            ready, _, _ = select.select([handle], [], [], WALL_SECONDS)
            piece = os.read(handle, 1 << 16) if ready else b""
            if not piece:
                raise _Died
            self._unread += piece


class Readers:
    """So many workers at once, all asked for the same. A context manager: leaving it ends their processes."""

    def __init__(self, count: int | None = None, want: str = LINES) -> None:
        self._count = count or len(os.sched_getaffinity(0))
        self._all = [Worker(want) for _ in range(self._count)]
        # The last one used comes first: a few small files start one process, not all.
        self._free: LifoQueue[Worker] = LifoQueue()
        for worker in self._all:
            self._free.put(worker)

    def __enter__(self) -> "Readers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._all:
            worker.end()

    @property
    def pids(self) -> list[int]:
        """The processes at work."""
        return [worker.pid for worker in self._all if worker.pid is not None]

    def read(self, items: Iterable[Item]) -> Generator[list[bytes], None, None]:
        """Yield the lines of chunk after chunk of items, all in the order of the items."""
        waiting: deque[Future[list[bytes]]] = deque()
        with ThreadPoolExecutor(self._count) as threads:
            try:
                for chunk in _chunks(items):
                    waiting.append(threads.submit(self._lines, chunk))
                    if len(waiting) > 2 * self._count:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for left in waiting:
                    left.cancel()

    def _lines(self, chunk: Sequence[Item]) -> list[bytes]:
        open_ones = [item for item in chunk if item.problem is None]
        worker = self._free.get()
        try:
            answers = iter(worker.answers(open_ones))
        finally:
            self._free.put(worker)
        return [_line(refused_record(item.label, [item.problem])) if item.problem else next(answers) for item in chunk]


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    chunk: list[Item] = []
    size = 0
    for item in items:
        chunk.append(item)
        size += len(item.content)
        if len(chunk) >= CHUNK_ITEMS or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "replace")
