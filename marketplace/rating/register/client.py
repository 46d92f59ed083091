"""Asking the companies register: one company's profile, newest accounts, charges and insolvency; and a document.

HTTP basic authentication with the key as user name and no password. No transaction may be open while this waits, and
every request first asks leave, which keeps all workers together under the register's limit.
Source: Companies House developer guidelines (600 requests in five minutes, 429); public data API; document API.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from marketplace.kernel.asking import NoReply, ReplyTooLarge, ask_once
from marketplace.kernel.clock import utc_now
from marketplace.kernel.errors import GatewayFailed
from marketplace.kernel.words import N_
from marketplace.rating.ixbrl import BYTES_MAX
from marketplace.rating.register import answers
from marketplace.rating.register.answers import CompanyAnswer, Nonsense

TIMEOUT_SECONDS = 15
ANSWER_MAX = 4_000_000
# Where the document API may send us on to, beside itself.
STORES = (".amazonaws.com", ".company-information.service.gov.uk", ".companieshouse.gov.uk")
WAIT_SECONDS, WAIT_SECONDS_MAX = 300, 900
FOUND = frozenset({301, 302, 303, 307, 308})


class RegisterSilent(GatewayFailed):
    """The register cannot be reached, or fails, or says what cannot be read. Ask again later."""


class RegisterRefuses(GatewayFailed):
    """The register does not accept the key."""


class RegisterBusy(GatewayFailed):
    """No more may be asked for now. `seconds` says for how long."""

    def __init__(self, seconds: int) -> None:
        super().__init__("too_many_requests", N_("The companies register is asked as often as it allows."))
        self.seconds = seconds


@dataclass(frozen=True)
class CompaniesRegister:
    """The register as this market may ask it. `leave` returns the seconds to wait before a request, or 0."""

    key: str = field(repr=False)
    base: str
    document_base: str
    leave: Callable[[], int]

    def look_up(self, number: str) -> CompanyAnswer:
        """Return what the register says of a company number of eight characters.

        Raises: RegisterSilent; RegisterRefuses; RegisterBusy.
        """
        about = self._json(f"/company/{number}")
        if about is None:
            return CompanyAnswer(number, None)
        try:
            profile = answers.profile(about)
            history = self._json(f"/company/{number}/filing-history?category=accounts&items_per_page=100") or {}
            charges = self._json(f"/company/{number}/charges") if profile.has_charges else None
            cases = self._json(f"/company/{number}/insolvency") if profile.has_insolvency_history else None
            return CompanyAnswer(number, profile, answers.newest_accounts(history), answers.charges(charges or {}),
                                 answers.cases(cases or {}))  # fmt: skip
        except Nonsense:
            raise _nonsense() from None

    def document(self, document_id: str) -> bytes | None:
        """Return accounts as they were filed, in iXBRL or XML; None when they were filed on paper or as a picture.

        Raises: RegisterSilent; RegisterRefuses; RegisterBusy.
        """
        told = self._json(f"/document/{document_id}", self.document_base)
        try:
            kind = answers.readable_kind(told) if told is not None else None
        except Nonsense:
            raise _nonsense() from None
        if kind is None:
            return None
        code, headers, body = self._ask(self.document_base + f"/document/{document_id}/content", kind)
        if code in FOUND:
            # The store has a signed address of its own and must not see the key.
            code, headers, body = _send(self._store(headers.get("location", "")), {"Accept": kind}, BYTES_MAX)
        if code == 404 or code == 406:
            return None
        if code != 200:
            raise _failing(code)
        return body

    def _json(self, path: str, base: str | None = None) -> dict[str, Any] | None:
        code, _, body = self._ask((base or self.base) + path, "application/json")
        if code == 404:
            return None
        if code != 200:
            raise _failing(code)
        try:
            told = json.loads(body.decode())
        except (ValueError, RecursionError):
            raise _nonsense() from None
        if not isinstance(told, dict):
            raise _nonsense()
        return told

    def _ask(self, url: str, kind: str) -> tuple[int, dict[str, str], bytes]:
        wait = self.leave()
        if wait:
            raise RegisterBusy(wait)
        user = base64.b64encode(f"{self.key}:".encode()).decode()
        code, headers, body = _send(url, {"Accept": kind, "Authorization": f"Basic {user}"}, ANSWER_MAX)
        if code in (401, 403):
            raise RegisterRefuses("key_refused", N_("The companies register does not accept REGISTRY_API_KEY."))
        if code == 429:
            raise RegisterBusy(_until(headers.get("x-ratelimit-reset", "")))
        return code, headers, body

    def _store(self, location: str) -> str:
        parts, own = urlsplit(location), urlsplit(self.document_base)
        known = parts.scheme == "https" and (parts.hostname or "").endswith(STORES)
        if not known and (parts.scheme, parts.netloc) != (own.scheme, own.netloc):
            raise RegisterSilent("strange_store", N_("The companies register points to a place that is not its own."))
        return location


def _send(url: str, headers: dict[str, str], most: int) -> tuple[int, dict[str, str], bytes]:
    """Send once, follow nothing, and return code, headers and body."""
    try:
        told = ask_once(url, headers, seconds=TIMEOUT_SECONDS, most=most)
    except NoReply as error:
        raise RegisterSilent("unreachable", N_("The companies register does not answer.")) from error
    except ReplyTooLarge:
        raise _nonsense() from None
    return told.code, told.headers, told.body


def _until(reset: str) -> int:
    """Return the seconds until the moment that the register names, within reason."""
    seconds = int(reset) - int(utc_now().timestamp()) if reset.isascii() and reset.isdigit() else WAIT_SECONDS
    return max(1, min(seconds, WAIT_SECONDS_MAX))


def _failing(code: int) -> RegisterSilent:
    return RegisterSilent("failing", N_("The companies register answers with an error (%(code)s)."), {"code": code})


def _nonsense() -> RegisterSilent:
    return RegisterSilent("nonsense", N_("The answer of the companies register cannot be read."))
