"""One request of the API: key, account, idempotency, planned misfortune, and the call itself."""

import hashlib
import json
import re
import secrets
import threading
from dataclasses import dataclass, field
from typing import Any

from marketplace.payments.sandbox.desk import PLATFORM, Desk
from marketplace.payments.sandbox.faults import Refused
from marketplace.payments.sandbox.forms import decode
from marketplace.payments.sandbox.routes import find_route, read_params, run
from marketplace.payments.sandbox.store import Store, now

KEY_LIFE_SECONDS = 24 * 3600
# What a test may order for a request: before it is done, and after.
BEFORE = {"slow", "error_500", "conflict_409", "rate_429", "reset_before", "refuse"}
AFTER = {"error_500_after", "timeout_after", "reset_mid_body"}


@dataclass(frozen=True)
class Request:
    """What came over the wire."""

    method: str
    path: str
    query: str
    body: str
    secret: str
    account: str
    key: str | None


@dataclass
class Reply:
    """What goes back, and whether the connection should suffer first."""

    status: int
    body: bytes
    replayed: bool = False
    suffer: str = ""
    seconds: float = 0
    headers: dict[str, str] = field(default_factory=dict)


def reply_json(status: int, value: Any) -> Reply:
    """Return a JSON reply, pretty as Stripe's."""
    return Reply(status, json.dumps(value, indent=2).encode())


class Api:
    """Stripe's side of the conversation."""

    def __init__(self, store: Store, base_url: str) -> None:
        self.store = store
        self.base_url = base_url
        self._busy: set[tuple[str, str]] = set()
        self._busy_lock = threading.Lock()

    def answer(self, request: Request) -> Reply:
        """Answer one request; never raises for what a client did."""
        try:
            reply = self._answer(request)
        except Refused as refused:
            reply = reply_json(refused.status, refused.body())
        self.store.rows(
            "INSERT INTO request (at, method, path, key, status, replayed) VALUES (?, ?, ?, ?, ?, ?)",
            now(), request.method, request.path, request.key, reply.status, reply.replayed,
        )  # fmt: skip
        reply.headers |= {"Request-Id": f"req_{secrets.token_hex(7)}"}
        if request.key:
            reply.headers["Idempotency-Key"] = request.key
        if reply.replayed:
            reply.headers["Idempotent-Replayed"] = "true"
        return reply

    def _answer(self, request: Request) -> Reply:
        _check_secret(request.secret)
        if request.account != PLATFORM and self.store.get("account", request.account, PLATFORM) is None:
            raise Refused(403, f"The provided key does not have access to account '{request.account}'.",
                          code="account_invalid")  # fmt: skip
        if request.method != "POST" or not request.key:
            return self._do(request, remember=False)
        if len(request.key) > 255:
            raise Refused(400, "Idempotency keys are at most 255 characters.", type_="idempotency_error")
        mine = (request.account, request.key)
        with self._busy_lock:
            if mine in self._busy:
                raise Refused(409, "There is currently another in-progress request using this Idempotent Key.",
                              code="idempotency_key_in_use", type_="idempotency_error")  # fmt: skip
            self._busy.add(mine)
        try:
            return self._remembered(request) or self._do(request, remember=True)
        finally:
            with self._busy_lock:
                self._busy.discard(mine)

    def _remembered(self, request: Request) -> Reply | None:
        """Return what was answered to this key before.

        Raises: Refused, 400 idempotency_error, when the key came with another request.
        """
        found = self.store.rows(
            "SELECT * FROM reply WHERE account = ? AND key = ? AND at > ?",
            request.account, request.key, now() - KEY_LIFE_SECONDS,
        )  # fmt: skip
        if not found:
            return None
        if found[0]["fingerprint"] != _fingerprint(request):
            raise Refused(400, "Keys for idempotent requests can only be used with the same parameters they were "
                          "first used with.", type_="idempotency_error")  # fmt: skip
        return Reply(found[0]["status"], bytes(found[0]["body"]), replayed=True)

    def _do(self, request: Request, *, remember: bool) -> Reply:
        route, ids = find_route(request.method, request.path)
        given = decode(request.body if request.method == "POST" else request.query)
        params = read_params(route, given)
        fate = self._fate(request)
        early = self._before(request, fate) if fate.suffer in BEFORE else None
        if early is not None:
            if remember and early.status == 500:
                self._remember(request, early)
            return early
        try:
            with self.store.transaction():
                desk = Desk(self.store, request.account, base_url=self.base_url, key=request.key)
                reply = reply_json(200, run(route, desk, params, ids))
                if fate.suffer == "error_500_after":
                    reply = _broken()
                if remember:
                    self._remember(request, reply)
        except Refused as refused:
            reply = reply_json(refused.status, refused.body())
            if remember:
                self._remember(request, reply)
        reply.suffer, reply.seconds = fate.suffer, fate.seconds
        return reply

    def _remember(self, request: Request, reply: Reply) -> None:
        self.store.rows(
            "INSERT OR REPLACE INTO reply (account, key, fingerprint, status, body, at) VALUES (?, ?, ?, ?, ?, ?)",
            request.account, request.key, _fingerprint(request), reply.status, reply.body, now(),
        )  # fmt: skip

    def _fate(self, request: Request) -> Reply:
        """Take the first planned misfortune that fits this request."""
        with self.store.transaction():
            plans = self.store.rows("SELECT * FROM fault WHERE left > 0 AND method = ? ORDER BY seq", request.method)
            for row in plans:
                if re.fullmatch(row["path"], request.path):
                    self.store.rows("UPDATE fault SET left = left - 1 WHERE seq = ?", row["seq"])
                    return Reply(0, b"", suffer=row["action"], seconds=row["seconds"])
        return Reply(0, b"")

    @staticmethod
    def _before(request: Request, fate: Reply) -> Reply | None:
        if fate.suffer == "slow":
            threading.Event().wait(fate.seconds)
            return None
        if fate.suffer == "reset_before":
            return Reply(0, b"", suffer="reset_before")
        if fate.suffer == "conflict_409":
            raise Refused(409, "This object cannot be accessed right now.", code="lock_timeout")
        if fate.suffer == "rate_429":
            raise Refused(429, "Request rate limit exceeded.", code="rate_limit")
        if fate.suffer == "refuse":
            raise Refused(400, "The sandbox was told to refuse this.", code="parameter_invalid")
        return _broken()


def _broken() -> Reply:
    return reply_json(500, {"error": {"type": "api_error", "message": "An unknown error occurred."}})


def _check_secret(secret: str) -> None:
    if not secret:
        raise Refused(401, "You did not provide an API key.")
    if secret.startswith(("sk_live_", "rk_live_")):
        raise Refused(401, "This is a sandbox: never send it a live key. Roll that key now.", code="api_key_expired")
    if not secret.startswith("sk_test_"):
        raise Refused(401, "Invalid API Key provided.")


def _fingerprint(request: Request) -> str:
    return hashlib.sha256("\n".join((request.method, request.path, request.body)).encode()).hexdigest()
