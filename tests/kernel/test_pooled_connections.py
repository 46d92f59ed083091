"""A pooled connection that the server has ended is noticed before it is used, without asking the server first."""

from flask import Flask
from sqlalchemy import text

from marketplace.db import db

PID = text("SELECT pg_backend_pid()")


def test_connections_that_the_server_ended_are_replaced_unnoticed(app: Flask) -> None:
    with app.app_context():
        with db.engine.connect() as first, db.engine.connect() as other:
            ended = [first.execute(PID).scalar_one(), other.execute(PID).scalar_one()]
        with db.engine.connect() as connection:
            living = connection.execute(PID).scalar_one()
            [gone] = [pid for pid in ended if pid != living]
            connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": gone})
            with db.engine.connect() as another:
                assert another.execute(PID).scalar_one() not in ended
