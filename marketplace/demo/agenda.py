"""What happens when: a queue of moments, each with something to do. The clock goes from one to the next."""

import heapq
from collections.abc import Callable
from datetime import datetime
from itertools import count

from marketplace.demo.market_clock import MarketClock


class Agenda:
    """Moments in order of time; those of the same instant in the order they were put down."""

    def __init__(self, clock: MarketClock) -> None:
        self._clock = clock
        self._moments: list[tuple[datetime, int, Callable[[], object]]] = []
        self._order = count()

    def at(self, instant: datetime, act: Callable[[], object]) -> None:
        """Put something down for an instant. What lies in the past happens next."""
        heapq.heappush(self._moments, (instant, next(self._order), act))

    def __len__(self) -> int:
        return len(self._moments)

    def run(self, until: datetime | None = None, after_each: Callable[[], object] = lambda: None) -> None:
        """Move the clock from moment to moment and act, up to and including `until`."""
        while self._moments and (until is None or self._moments[0][0] <= until):
            instant, _, act = heapq.heappop(self._moments)
            if instant > self._clock.now():
                self._clock.move_to(instant)
            act()
            after_each()
