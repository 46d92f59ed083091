"""Threads that meet: one works for all that wait, everybody is told once, nobody who is alone waits."""

import threading
import time
from collections.abc import Sequence

import pytest

from marketplace.kernel import meeting
from marketplace.kernel.meeting import Meeting


class Work:
    """Doubles what is asked, keeps the turns, and can be held up."""

    def __init__(self) -> None:
        self.turns: list[list[int]] = []
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.gate.set()

    def __call__(self, asks: Sequence[int]) -> list[int]:
        self.begun.set()
        self.gate.wait(10)
        self.turns.append(list(asks))
        if -1 in asks:
            raise ValueError("nobody's turn")
        return [2 * one for one in asks]


def start(place: Meeting[int, int], asks: Sequence[int], told: dict[int, object]) -> list[threading.Thread]:
    def ask(one: int) -> None:
        try:
            told[one] = place.ask(one)
        except ValueError as error:
            told[one] = str(error)

    threads = [threading.Thread(target=ask, args=(one,)) for one in asks]
    for thread in threads:
        thread.start()
    return threads


def held_up(most: int, told: dict[int, object]) -> tuple[Work, Meeting[int, int], list[threading.Thread]]:
    """Return a meeting whose first turn, for 0, has begun and lasts until the gate is opened."""
    work = Work()
    work.gate.clear()
    place = Meeting(work, most)
    threads = start(place, [0], told)
    assert work.begun.wait(10)
    return work, place, threads


def wait_for(place: Meeting[int, int], number: int) -> None:
    until = time.monotonic() + 60
    while len(place._waiting) < number and time.monotonic() < until:
        time.sleep(0.001)
    assert len(place._waiting) == number


def test_one_after_another_each_has_a_turn_of_its_own() -> None:
    work = Work()
    place = Meeting(work, 8)
    assert [place.ask(one) for one in (1, 2, 3)] == [2, 4, 6]
    assert work.turns == [[1], [2], [3]]


def test_those_that_come_meanwhile_are_one_turn_up_to_the_most() -> None:
    told: dict[int, object] = {}
    work, place, threads = held_up(4, told)
    threads += start(place, range(1, 7), told)
    wait_for(place, 6)
    work.gate.set()
    for thread in threads:
        thread.join(10)
    assert [len(one) for one in work.turns] == [1, 4, 2]
    assert told == {one: 2 * one for one in range(7)}


def test_a_turn_that_fails_fails_for_its_own_and_the_next_goes_on() -> None:
    told: dict[int, object] = {}
    work, place, threads = held_up(2, told)
    for number, one in enumerate((-1, 5, 6), 1):
        threads += start(place, [one], told)
        wait_for(place, number)
    work.gate.set()
    for thread in threads:
        thread.join(10)
    assert told == {0: 0, -1: "nobody's turn", 5: "nobody's turn", 6: 12}
    assert place.ask(7) == 14


def test_who_comes_after_a_lull_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "BACK_SECONDS", 30.0)
    place = Meeting(Work(), 8)
    place._expected, place._ended = 5, time.monotonic() - meeting.LULL_SECONDS
    began = time.monotonic()
    assert place.ask(1) == 2
    place._expected, place._ended = 1, time.monotonic()
    assert place.ask(2) == 4
    assert time.monotonic() - began < 10


def test_many_threads_and_rounds_answer_everybody_once() -> None:
    work, told = Work(), {}  # type: tuple[Work, dict[int, object]]
    place = Meeting(work, 8)

    def many(first: int) -> None:
        for one in range(first, first + 200):
            told[one] = place.ask(one)

    threads = [threading.Thread(target=many, args=(1000 * nth,)) for nth in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(told) == 2400
    assert all(two == 2 * one for one, two in told.items())
    assert sorted(one for found in work.turns for one in found) == sorted(told)
