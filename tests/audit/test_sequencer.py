"""Every committed event gets one place, whoever commits when."""

import random
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from marketplace.audit.events import write_event
from marketplace.audit.merkle import Frontier, leaf_hash
from marketplace.audit.sequencer import sequence_events, stored_frontier, stored_size
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import IntegrityBreach
from marketplace.kernel.ids import new_id

ROUNDS = 120


def one(session: Session) -> None:
    write_event(session, verb="note_action", actor=Actor.system("test"), subject_kind="test", subject_id=new_id(),
                changes={"after": {"what": "x" * random.randint(1, 40)}}, policy_version="t")  # fmt: skip


def all_placed(engine: Engine) -> None:
    while sequence_events(100, engine):
        pass


def test_eight_writers_and_two_sequencers_lose_nothing(worker: Engine) -> None:
    def writes(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(ROUNDS):
            with Session(worker) as session:
                for _ in range(chance.randint(1, 3)):
                    one(session)
                    if chance.random() < 0.05:
                        threading.Event().wait(0.01)
                session.rollback() if chance.random() < 0.1 else session.commit()

    done = threading.Event()

    def sequences() -> None:
        while not done.is_set():
            sequence_events(37, worker)

    writers = [threading.Thread(target=writes, args=(seed,)) for seed in range(8)]
    sequencers = [threading.Thread(target=sequences) for _ in range(2)]
    for thread in writers + sequencers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in sequencers:
        thread.join()
    all_placed(worker)
    with worker.connect() as connection:
        events = connection.execute(text("SELECT count(*) FROM event")).scalar_one()
        order = connection.execute(text("SELECT count(*), min(seq), max(seq) FROM event_order")).one()
        assert tuple(order) == (events, 0, events - 1)
        bodies = connection.execute(text("SELECT body FROM event JOIN event_order ON event_id = id ORDER BY seq"))
        oracle = Frontier()
        oracle.extend(leaf_hash(bytes(body)) for body in bodies.scalars())
        assert stored_frontier(connection).root() == oracle.root()


def test_a_transaction_that_commits_late_is_placed_late_not_lost(worker: Engine) -> None:
    with Session(worker) as slow:
        one(slow)
        for _ in range(3):
            with Session(worker) as quick, quick.begin():
                one(quick)
        assert sequence_events(100, worker) == 3
        assert sequence_events(100, worker) == 0
        slow.commit()
    assert sequence_events(100, worker) == 1
    with worker.connect() as connection:
        assert stored_size(connection) == 4


def test_what_depends_on_another_event_comes_after_it(worker: Engine) -> None:
    with Session(worker) as early_number, Session(worker) as first:
        early_number.execute(text("SELECT pg_current_xact_id()"))
        one(first)
        first.commit()
        one(early_number)
        early_number.commit()
    all_placed(worker)
    with worker.connect() as connection:
        lines = connection.execute(text("SELECT line FROM event JOIN event_order ON event_id = id ORDER BY seq"))
        placed = list(lines.scalars())
    assert placed == sorted(placed)


def test_nothing_to_do_is_nothing_done(worker: Engine) -> None:
    assert sequence_events(10, worker) == 0


def test_a_second_sequencer_steps_back(worker: Engine, write: Callable[[int], None]) -> None:
    write(2)
    with worker.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(4205139162)"))
        assert sequence_events(10, worker) == 0
    assert sequence_events(10, worker) == 2


def test_a_hole_in_the_stored_tree_stops_the_sequencer(
    worker: Engine, write: Callable[[int], None], superuser: Callable[..., None]
) -> None:
    write(4)
    all_placed(worker)
    superuser("DELETE FROM tree_node WHERE level = 2")
    write(1)
    with pytest.raises(IntegrityBreach, match="node_missing"):
        sequence_events(10, worker)
