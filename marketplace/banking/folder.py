"""A folder that the bank's files fall into: each is taken once and moved to where its fate can be seen."""

import os
import stat
from pathlib import Path

from flask import current_app

from marketplace.banking.actions import TakeBankFile, take_bank_file
from marketplace.kernel.actors import Actor
from marketplace.kernel.clock import utc_now
from marketplace.kernel.errors import Conflict, InvalidInput, MarketplaceError
from marketplace.perform import perform
from marketplace.receivables.einvoice.xml_guard import XML_BYTES_MAX

FILES_MAX = 20  # of one tick: a stop need not wait for more
RIPE_SECONDS = 3  # since its last byte: a file that is still being written is left alone
DONE, REFUSED = "done", "refused"


def place() -> Path:
    """Return the folder, `bank/in` of the installation."""
    folder: Path = current_app.extensions["duebill"].settings.home / "bank" / "in"
    return folder


def take_folder(folder: Path | None = None) -> int:
    """Take the files that lie in the folder, oldest name first; return how many were booked.

    A taken file moves to `done`, one that was refused to `refused` beside a text that says why. A file that was taken
    before and not moved, because the process died between the two, is only moved.

    Raises: what the first file raised that could be neither taken nor refused, after the others were.
    """
    folder = folder or place()
    if not folder.is_dir():
        return 0
    taken, failed = 0, []
    for path in sorted(folder.iterdir())[: FILES_MAX * 5]:
        if taken < FILES_MAX and _ripe(path):
            try:
                taken += _take(path)
            except Exception as error:  # it stays where it is; the others do not wait for it
                failed.append(error)
    if failed:
        raise failed[0]
    return taken


def _ripe(path: Path) -> bool:
    """Whether it is a plain file, no link, that nobody writes to any more."""
    try:
        facts = os.lstat(path)
    except OSError:
        return False
    plain = stat.S_ISREG(facts.st_mode) and not path.name.startswith(".")
    return plain and abs(utc_now().timestamp() - facts.st_mtime) >= RIPE_SECONDS


def _take(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            content = file.read(XML_BYTES_MAX + 1)
        perform(take_bank_file, TakeBankFile(path.name, content), Actor.system("take_bank_folder"))
    except Conflict as error:
        _move(path, DONE if error.code == "file_known" else REFUSED, error)
        return False
    except InvalidInput as error:
        _move(path, REFUSED, error)
        return False
    _move(path, DONE, None)
    return True


def _move(path: Path, where: str, error: MarketplaceError | None) -> None:
    """Put it aside under a name that nothing there has yet."""
    shelf = path.parent.parent / where
    shelf.mkdir(mode=0o700, exist_ok=True)
    number, target = 1, shelf / path.name
    while target.exists():
        number += 1
        target = shelf / f"{path.stem}.{number}{path.suffix}"
    path.rename(target)
    if error is not None:
        target.with_name(target.name + ".txt").write_text(f"{error.code}: {error.said()}\n", encoding="utf-8")
