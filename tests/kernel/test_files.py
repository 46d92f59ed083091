"""Files that are whole or absent, whatever kills their writer."""

import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from marketplace.kernel.files import write_new, write_whole

# Writes a file and is killed, as if the power had gone, at the n-th call of anything that is not Python's own.
KILLED = """
import os, signal, sys
from collections.abc import Callable
from pathlib import Path
from marketplace.kernel import files
write, path, left = getattr(files, sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
def watch(frame, event, called):
    global left
    left -= event == "c_call"
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
sys.setprofile(watch)
write(path, "the new words")
sys.setprofile(None)
"""


def killed_at(step: int, write: str, path: Path) -> bool:
    done = subprocess.run([sys.executable, "-c", KILLED, write, str(path), str(step)], check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else "absent"


@pytest.mark.parametrize(("write", "before"), [("write_new", "absent"), ("write_whole", "the old words")])
def test_at_whatever_step_the_writer_is_killed_nobody_reads_a_half(tmp_path: Path, write: str, before: str) -> None:
    found = []
    for step in count(1):
        path = tmp_path / str(step) / "key"
        path.parent.mkdir()
        if before != "absent":
            path.write_text(before, encoding="utf-8")
        killed = killed_at(step, write, path)
        found.append(read(path))
        if not killed:
            break
    assert set(found) == {before, "the new words"}
    assert found == sorted(found, key=(before, "the new words").index), "once written it stays"


def test_what_was_killed_does_not_hinder_the_next(tmp_path: Path) -> None:
    path = tmp_path / "key"
    step = 1
    while read(path) == "absent" and killed_at(step, "write_new", path):
        step += 1
    assert step > 1
    with pytest.raises(FileExistsError):
        write_new(path, "other words")
    assert read(path) == "the new words"
    write_whole(path, "other words")
    assert read(path) == "other words"


@pytest.mark.parametrize("write", [write_new, write_whole])
def test_it_is_its_owners_alone_and_stands_alone(tmp_path: Path, write: Callable[[Path, str], None]) -> None:
    write(tmp_path / "key", "words")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["key"]
