"""A directory that others cannot list, and locks that die with whoever holds them."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def make_directory(directory: Path) -> Path:
    """Make a directory that others cannot list; as root, `nobody` can pass through it."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
    return directory


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """A lock file's handle."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file; wait for it."""
    with opened(path) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def try_lock(handle: int, kind: int) -> bool:
    """Take a lock if it is free now."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
