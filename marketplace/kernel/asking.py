"""Ask another server once over HTTP: nothing is followed, and no more is read than the caller bears.

No transaction may be open while this waits.
"""

from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import urlsplit


class NoReply(Exception):
    """The server cannot be reached, or broke off."""


class ReplyTooLarge(Exception):
    """The server says more than anybody wants to hear."""


@dataclass(frozen=True)
class Reply:
    """What came back: the status, the headers by their name in small letters, and the body."""

    code: int
    headers: dict[str, str]
    body: bytes


def ask_once(
    url: str, headers: dict[str, str], body: bytes | None = None, method: str = "GET", *, seconds: float, most: int
) -> Reply:
    """Send one request and return its reply of at most `most` bytes; every wait for the server ends after `seconds`.

    Raises: NoReply; ReplyTooLarge.
    """
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=seconds)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, headers)
        return _received(connection.getresponse(), most)
    except (OSError, HTTPException) as error:
        raise NoReply from error
    finally:
        connection.close()


def _received(response: HTTPResponse, most: int) -> Reply:
    body = response.read(most + 1)
    if len(body) > most:
        raise ReplyTooLarge
    return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, body)
