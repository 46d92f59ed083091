"""Counting attempts in the database."""

from concurrent.futures import ThreadPoolExecutor

from flask import Flask
from sqlalchemy import text

from marketplace.db import db
from marketplace.parties.windows import give_back, hit


def test_the_limit_holds_and_tells_how_long(context: Flask) -> None:
    waits = [hit(db.engine, "door", 3, 3600) for _ in range(5)]
    assert waits[:3] == [0, 0, 0]
    assert all(0 < wait <= 3600 for wait in waits[3:])
    assert hit(db.engine, "another door", 3, 3600) == 0


def test_ten_workers_share_one_limit(context: Flask) -> None:
    engine = db.engine
    with ThreadPoolExecutor(10) as pool:
        waits = list(pool.map(lambda _: hit(engine, "door", 30, 3600), range(100)))
    assert waits.count(0) == 30


def test_what_succeeded_is_given_back(context: Flask) -> None:
    for _ in range(20):
        assert hit(db.engine, "door", 3, 3600) == 0
        give_back(db.engine, "door", 3600)


def test_only_hashes_are_kept_and_not_for_long(context: Flask) -> None:
    with db.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO rate_window VALUES (sha256('x'), clock_timestamp() - interval '2 days', 1)")
        )
    hit(db.engine, "alice@example.com", 3, 60)
    with db.engine.begin() as connection:
        keys = connection.execute(text("SELECT key FROM rate_window")).scalars().all()
    assert len(keys) == 1
    assert len(keys[0]) == 32
