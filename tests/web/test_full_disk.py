"""A file is sent and there is no room to put it aside: that is said, and with room again it is read."""

import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from flask import Flask

from tests.people import register, sign_in

ROOM = 1 << 16
# More than is kept in memory; as bytes, for the test client would itself put a file aside.
FORM = "multipart/form-data; boundary=here"
SENT = (
    b'--here\r\nContent-Disposition: form-data; name="document"; filename="invoice.xml"\r\n\r\n'
    + b"\0" * 3_000_000 + b"\r\n--here--\r\n"
)  # fmt: skip
Cramped = Callable[[], AbstractContextManager[None]]


@contextmanager
def small_files() -> Iterator[None]:
    """Let this process write no file larger than the room, as a quota would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def small_disk(*, full: bool = False) -> Iterator[None]:
    """Put temporary files on a disk of its own that has hardly any room, or none at the first of them."""
    place, before = Path(tempfile.mkdtemp(prefix="duebill-spool-")), tempfile.tempdir
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", place]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        place.rmdir()
        pytest.skip("NO SMALL DISK: this needs the right to mount one; nothing was tried.")
    try:
        tempfile.tempdir = str(place)
        if full:
            (place / "filler").write_bytes(b"\0" * ROOM)
        yield
    finally:
        tempfile.tempdir = before
        subprocess.run(["umount", "--lazy", place], check=True)
        place.rmdir()


@contextmanager
def no_folder() -> Iterator[None]:
    """Let there be no folder that takes a temporary file, as when all of them are full at the first."""
    before, tempfile.tempdir = tempfile.tempdir, "/nowhere"
    try:
        yield
    finally:
        tempfile.tempdir = before


@pytest.mark.parametrize("cramped", [small_files, small_disk, lambda: small_disk(full=True), no_folder],
                         ids=["a limit", "a small disk", "a full disk", "no folder"])  # fmt: skip
def test_what_cannot_be_put_aside_is_refused_and_taken_with_room_again(
    make_app: Callable[..., Flask], cramped: Cramped
) -> None:
    app = make_app(testing=False)
    app.config["WTF_CSRF_ENABLED"] = False
    seller = sign_in(app.test_client(), register(app, "seller_alice")["seller_alice"])
    with cramped():
        refused = seller.post("/seller/new", data=SENT, content_type=FORM)
    assert refused.status_code == 507
    assert "There is no room for what you sent" in refused.text
    again = seller.post("/seller/new", data=SENT, content_type=FORM)
    assert again.status_code == 422
    assert "invoice.xml is neither an XML invoice nor a PDF." in again.text, "it was read this time"
