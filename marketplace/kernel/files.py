"""Files that are whole or absent: whatever kills the writer, nobody ever reads a half of one."""

import os
import secrets
from pathlib import Path


def write_whole(path: Path, words: str, mode: int = 0o600) -> None:
    """Write a file in the place of the one that was there, and have it on disk before going on."""
    _draft(path, words, mode).replace(path)
    sync_directory(path.parent)


def write_new(path: Path, words: str, mode: int = 0o600) -> None:
    """Write a file that did not exist before, and have it on disk before going on.

    Raises: FileExistsError; what was there stays.
    """
    draft = _draft(path, words, mode)
    try:
        os.link(draft, path)  # unlike a renaming, it never takes another's place
    finally:
        draft.unlink()
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make a renaming last."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _draft(path: Path, words: str, mode: int) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(words)
        file.flush()
        os.fsync(file.fileno())
    return draft
