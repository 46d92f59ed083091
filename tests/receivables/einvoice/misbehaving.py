"""Functions that a guarded process must survive: for the tests of `marketplace.sandboxed` only."""

import os


def loop_for_ever(payload: bytes) -> None:
    """Never return."""
    while True:
        pass


def eat_memory(payload: bytes) -> int:
    """Ask for a gigabyte."""
    return len(bytearray(2**30))


def environment(payload: bytes) -> list[str]:
    """Name what the process was told."""
    return sorted(os.environ)
