"""How far a long reading has come, so that an interrupted one goes on without a double and without a gap.

Lines come out in the order of the sources, so the place is one number. It is written down after the lines are: where
standard output is a file, what was written after the last note is cut off again before the reading goes on.
"""

import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

VERSION = 1


class CannotResume(Exception):
    """The journal does not belong to these sources or to this output. The message says why."""


@dataclass
class Place:
    """The lines done and, of an output that is a file, which file it is and how long it was by then."""

    digest: str
    done: int = 0
    unreadable: int = 0
    output: tuple[int, int] | None = None
    output_bytes: int = 0
    version: int = VERSION


class Journal:
    """A small file beside the output, replaced whole at every note."""

    def __init__(self, path: Path, digest: str, output: int) -> None:
        """Take up the journal at `path`, or begin it. `output` is the file descriptor that lines go to.

        Raises: CannotResume.
        """
        self._path, self._output = path, output
        self.place = self._kept() or Place(digest)
        if self.place.digest != digest:
            raise CannotResume("the files to be read are not those that the journal began with")
        if self.place.done:
            self._cut_off()
        self._mark()

    def note(self, done: int, unreadable: int) -> None:
        """Write down that so many lines are out. They must be flushed."""
        self.place.done, self.place.unreadable = done, unreadable
        self._mark()
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(asdict(self.place), file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)

    def _kept(self) -> Place | None:
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            if kept["version"] != VERSION:
                raise ValueError
            place = Place(**kept)
            place.output = (place.output[0], place.output[1]) if place.output else None
            sound = all(isinstance(n, int) and n >= 0 for n in (place.done, place.unreadable, place.output_bytes))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CannotResume(f"the journal cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, KeyError, IndexError):
            raise CannotResume("the journal is not one that this command wrote") from None
        if not sound:
            raise CannotResume("the journal is not one that this command wrote")
        return place

    def _cut_off(self) -> None:
        """Shorten the output to what is noted: the lines after it are read again."""
        known = os.fstat(self._output)
        is_file = stat.S_ISREG(known.st_mode)
        if not is_file and self.place.output is None:
            return
        if not is_file or self.place.output != (known.st_dev, known.st_ino):
            raise CannotResume("the lines before went to another output than this: append to the same file with >>")
        if known.st_size < self.place.output_bytes:
            raise CannotResume("the output is shorter than it was: append to it with >> rather than >")
        os.ftruncate(self._output, self.place.output_bytes)
        os.lseek(self._output, 0, os.SEEK_END)

    def _mark(self) -> None:
        known = os.fstat(self._output)
        if stat.S_ISREG(known.st_mode):
            os.fsync(self._output)
            self.place.output, self.place.output_bytes = (known.st_dev, known.st_ino), known.st_size
