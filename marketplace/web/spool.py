"""What is sent is put aside while it is read, large files on disk: where that has no room, it is said as that."""

import contextlib
import errno
from typing import IO, TYPE_CHECKING, Any

import structlog
from flask import Flask, Request
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser

if TYPE_CHECKING:
    from werkzeug.formparser import t_parse_result

# To whoever writes, a limit of the file or of its owner is a full disk, and so is that no folder takes a first file.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOENT}

log = structlog.get_logger("duebill")


class NoRoom(HTTPException):
    """The disk on which what is sent is put aside is full. Source: RFC 4918 §11.5."""

    code = 507
    description = "There is no room to put aside what was sent."


class Parser(FormDataParser):
    """Reads a form as ever. Nothing has been done with it yet when it cannot be read to its end."""

    def parse(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str] | None = None
    ) -> "t_parse_result":
        """Read a form.

        Raises: NoRoom.
        """
        make, made = self.stream_factory, list[IO[bytes]]()

        def noted(*given: Any, **named: Any) -> IO[bytes]:
            made.append(make(*given, **named))
            return made[-1]

        self.stream_factory = noted
        try:
            return super().parse(stream, mimetype, content_length, options)
        except OSError as error:
            for file in made:
                with contextlib.suppress(OSError):  # what could not be written cannot be written at the end either
                    file.close()
            if error.errno not in FULL:
                raise
            log.error("no_room_for_what_was_sent", errno=error.errno)
            raise NoRoom from error


class SpooledRequest(Request):
    """A request whose form is read by our parser."""

    form_data_parser_class = Parser


def install(app: Flask) -> None:
    """Read every form so."""
    app.request_class = SpooledRequest
