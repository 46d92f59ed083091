"""Many threads that want the same thing done at once, and one of them that does it for all.

Who comes while nobody is at work works at once, for himself alone; who comes meanwhile waits, and when the one at work
is done one of those waiting works for all of them. After a turn of several, those that it answered are likely to be
back in no time: the next turn waits for as many, for a fraction of a millisecond at most. A lone one never waits.
Source: Hendler, Incze, Shavit, Tzafrir, Flat Combining and the Synchronization-Parallelism Tradeoff, SPAA 2010.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Ask = TypeVar("Ask")
Told = TypeVar("Told")

BACK_SECONDS = 0.0005  # how long a turn waits for those that the turn before it answered
LULL_SECONDS = 0.002  # after which nobody is expected back


@dataclass
class _Seat(Generic[Ask, Told]):
    """One that waits: what it asks, and what it was told."""

    ask: Ask
    woken: threading.Lock = field(default_factory=threading.Lock)
    told: Told | None = None
    failure: BaseException | None = None
    done: bool = False

    def __post_init__(self) -> None:
        self.woken.acquire()


class Meeting(Generic[Ask, Told]):
    """Where threads of one process meet. `work` is given what up to `most` of them ask and tells each, in order."""

    def __init__(self, work: Callable[[Sequence[Ask]], Sequence[Told]], most: int) -> None:
        self._work, self._most = work, most
        self._door = threading.Lock()
        self._arrival = threading.Condition(self._door)
        self._waiting: deque[_Seat[Ask, Told]] = deque()
        self._at_work = False
        self._expected, self._ended = 0, 0.0

    def ask(self, ask: Ask) -> Told:
        """Return what one is told, when the turn that it was in is over.

        Raises: whatever the turn of its asking raised.
        """
        seat: _Seat[Ask, Told] = _Seat(ask)
        with self._door:
            self._waiting.append(seat)
            leads, self._at_work = not self._at_work, True
            if len(self._waiting) >= self._expected:  # a turn that waits is not woken for less
                self._arrival.notify()
        if not leads:
            seat.woken.acquire()
        if not seat.done:
            self._lead()
        if seat.failure is not None:
            raise seat.failure
        return seat.told  # type: ignore[return-value]

    def _lead(self) -> None:
        """Work one turn for all that wait, then hand on to one of those that came meanwhile."""
        turn = self._gather()
        try:
            told = self._work([seat.ask for seat in turn])
            for seat, one in zip(turn, told, strict=True):
                seat.told = one
        except BaseException as error:
            for seat in turn:
                seat.failure = error
        with self._door:
            self._expected, self._ended = len(turn), time.monotonic()
            self._at_work = bool(self._waiting)
            next_ = self._waiting[0] if self._waiting else None
        for seat in turn:
            seat.done = True
            seat.woken.release()
        if next_ is not None:
            next_.woken.release()

    def _gather(self) -> list[_Seat[Ask, Told]]:
        """Return those that this turn is for."""
        with self._door:
            if self._expected > 1 and time.monotonic() - self._ended < LULL_SECONDS:
                until = time.monotonic() + BACK_SECONDS
                while len(self._waiting) < self._expected and (left := until - time.monotonic()) > 0:
                    self._arrival.wait(left)
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
