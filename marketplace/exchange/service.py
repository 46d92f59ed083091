"""A registry's HTTP service: few addresses, every request signed, every answer signed, padded and short.

docs/exchange.md describes the protocol exactly.
"""

import json
import logging
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException

from marketplace.db import db
from marketplace.exchange import desk, oprf, ristretto
from marketplace.exchange.registry import EVALUATE, answer_peer
from marketplace.exchange.rules import ASKING, REASONS, Operation
from marketplace.exchange.schemas import AnswerPeer
from marketplace.exchange.signing import (
    ANSWER_HEADER,
    Credentials,
    answer_signature,
    is_signed,
    read_credentials,
    secret_of,
)
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import InvalidInput, MarketplaceError
from marketplace.kernel.policy import Policy
from marketplace.kernel.words import N_
from marketplace.parties import windows
from marketplace.perform import perform

log = logging.getLogger(__name__)
VERSION = 1
BODY_MAX = 65_536
HEAD_BYTES, ANSWER_BYTES = 128, 64  # an answer is as long as what was asked makes it, whatever it says
CLAIM_DIGITS = {"hmac": 64, "oblivious": 128}
CODES = {"expired": 401, "replayed": 409}


@dataclass(frozen=True)
class Serving:
    """What the service carries: `current_app.extensions["duebill"]`, as `perform` expects it."""

    policy: Policy
    mode: str
    master: bytes = field(repr=False)
    key: oprf.Key | None = field(default=None, repr=False)


class Refused(Exception):
    """A request that is not worked on: an HTTP code, a stable code, and seconds to wait."""

    def __init__(self, http: int, code: str, wait: int = 0) -> None:
        super().__init__(code)
        self.http, self.code, self.wait = http, code, wait


def create_registry(database_url: str, serving: Serving) -> Flask:
    """Return the service over a database."""
    app = Flask("registry", static_folder=None)
    app.config.update(
        SQLALCHEMY_DATABASE_URI=database_url, MAX_CONTENT_LENGTH=BODY_MAX,
        SQLALCHEMY_ENGINE_OPTIONS={"pool_pre_ping": True, "hide_parameters": True},
    )  # fmt: skip
    app.extensions["duebill"] = serving
    db.init_app(app)
    app.add_url_rule("/v1/about", view_func=about, methods=["GET"])
    app.add_url_rule("/v1/<operation>", view_func=ask, methods=["POST"])
    app.register_error_handler(HTTPException, lambda error: _padded({"error": "http"}, error.code or 500))
    app.register_error_handler(Exception, _failed)
    return app


def _failed(error: Exception) -> Response:
    log.error("failed: %s", type(error).__name__, exc_info=error)
    return _padded({"error": "failed"}, 500)


def _serving() -> Serving:
    found: Serving = current_app.extensions["duebill"]
    return found


def about() -> Response:
    """Say what this registry is: nothing of it is secret."""
    serving = _serving()
    return _padded({
        "v": VERSION, "service": "duebill-registry", "mode": serving.mode,
        "suite": oprf.SUITE if serving.key else None, "public_key": serving.key.public.hex() if serving.key else None,
        "lease_days": serving.policy.exchange.lease_days, "batch_max": serving.policy.exchange.batch_max,
    }, 200, 512)  # fmt: skip


def ask(operation: str) -> Response:
    """Answer one request about claims, or evaluate blinded elements."""
    given = read_credentials(request.headers.get("Authorization", ""))
    if given is None:
        return _padded({"error": "unsigned"}, 401)
    secret = secret_of(_serving().master, given.key_id).encode()
    body = request.get_data()
    key = desk.key(db.session(), given.key_id)
    db.session.remove()
    signed = is_signed(secret, request.method, request.path, given, body)
    if key is None or not signed:  # worked out alike, so that nobody learns which keys exist
        return _padded({"error": "unsigned"}, 401)
    try:
        command, told = _command(operation, given, key.peer_id, body)
        answer = _answer(command, told)
    except Refused as refused:
        answer = _padded({"error": refused.code}, refused.http)
        if refused.wait:
            answer.headers["Retry-After"] = str(refused.wait)
    except MarketplaceError as error:
        answer = _padded({"error": error.code, "words": error.said()}, 400, 512)
    answer.headers[ANSWER_HEADER] = answer_signature(secret, given.nonce, answer.status_code, answer.get_data())
    return answer


def _command(operation: str, given: Credentials, peer_id: Any, body: bytes) -> tuple[AnswerPeer, list[bytes]]:
    """Read what is asked and see that it stays within the peer's limits; return it with the blinded elements.

    Raises: Refused; InvalidInput naming what is wrong.
    """
    limits = _serving().policy.exchange
    if operation not in {str(one) for one in Operation} | {EVALUATE}:
        raise Refused(404, "unknown_operation")
    wait = windows.hit(db.engine, f"registry request {peer_id}", limits.requests_per_minute_max, 60)
    if wait:
        raise Refused(429, "too_many_requests", wait)
    told = _read(body)
    named = "elements" if operation == EVALUATE else "claims"
    digits = 64 if operation == EVALUATE else CLAIM_DIGITS[_serving().mode]
    items = _hexes(told.get(named), named, digits, limits.batch_max)
    if operation == EVALUATE or operation in ASKING:
        wait = windows.hit(db.engine, f"registry claims {peer_id}", limits.claims_per_hour_max, 3_600, len(items))
        if wait:
            raise Refused(429, "too_many_claims", wait)
    if operation == EVALUATE:
        if _serving().key is None:
            raise _wrong("mode", N_("This registry does not work obliviously."))
        return AnswerPeer(given.key_id, peer_id, given.seconds, given.nonce, EVALUATE, elements=len(items)), items
    if len(set(items)) != len(items):
        raise _wrong("claims", N_("A claim comes twice."))
    reasons = _reasons(told.get("reasons"), len(items)) if operation == Operation.RELEASE else []
    return AnswerPeer(given.key_id, peer_id, given.seconds, given.nonce, operation, items, reasons), []


def _read(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body.decode())
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or told.get("v") != VERSION:
        raise _wrong("v", N_("The body must be a JSON object of version 1."))
    if told.get("mode") != _serving().mode:
        raise _wrong("mode", N_("This registry serves another mode."))
    return told


def _hexes(value: Any, name: str, digits: int, most: int) -> list[bytes]:
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise _wrong(name, N_("Too few or too many at once."))
    try:
        items = [bytes.fromhex(one) for one in value if isinstance(one, str) and len(one) == digits]
    except ValueError:
        items = []
    if len(items) != len(value) or any(len(item) * 2 != digits for item in items):
        raise _wrong(name, N_("Not of the right form: hexadecimal digits, as many as the mode says."))
    return items


def _reasons(value: Any, count: int) -> list[str]:
    if not isinstance(value, list) or len(value) != count or not all(isinstance(one, str) for one in value):
        raise _wrong("reasons", N_("A release needs one reason for each claim."))
    if not set(value) <= REASONS:
        raise _wrong("reasons", N_("This reason is not known."))
    return value


def _wrong(name: str, words: str) -> InvalidInput:
    return InvalidInput(f"bad_{name}", words)


def _answer(command: AnswerPeer, elements: list[bytes]) -> Response:
    for element in elements:  # a crooked one must not cost the peer its nonce and the log a line
        ristretto.element(element)
    result = perform(answer_peer, command, Actor.system("registry"))
    if "refused" in result:
        raise Refused(CODES[result["refused"]], result["refused"])
    if command.operation != EVALUATE:
        return _padded(
            {"v": VERSION, "answers": result["answers"]}, 200, HEAD_BYTES + ANSWER_BYTES * len(command.claims)
        )
    key = _serving().key
    assert key is not None
    results, proof = oprf.evaluate_proved(key, elements)
    return _padded({"v": VERSION, "elements": [one.hex() for one in results], "proof": proof.hex()}, 200,
                   HEAD_BYTES + 256 + 80 * len(results))  # fmt: skip


def _padded(told: dict[str, Any], code: int, size: int = HEAD_BYTES) -> Response:
    """Return JSON filled up with blanks to a size that what it says does not change."""
    body = json.dumps(told, separators=(",", ":"), sort_keys=True).encode()
    assert len(body) <= size, "an answer is longer than its place"
    return Response(body.ljust(size), code, {"Cache-Control": "no-store"}, mimetype="application/json")
