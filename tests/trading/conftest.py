"""A fresh market for every test of this room."""

from collections.abc import Iterator

import pytest
from flask import Flask

from marketplace.embedded_postgres import EmbeddedPostgres
from tests.trading.world import World


@pytest.fixture
def world(app: Flask, postgres: EmbeddedPostgres, database: str) -> Iterator[World]:
    """People, an operator, and no money yet; the application's context is pushed."""
    with app.app_context():
        yield World(postgres, database)
