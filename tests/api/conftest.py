"""A fresh market for every test of this room that wants one."""

from tests.trading.conftest import world

__all__ = ["world"]
