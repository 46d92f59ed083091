"""Speaking to a registry: sign, send, believe only what is signed, and in oblivious mode only what is proved.

No transaction may be open while this waits.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from marketplace.exchange import oprf
from marketplace.exchange.rules import Answer, Operation
from marketplace.exchange.signing import (
    ANSWER_HEADER,
    NONCE_BYTES,
    Credentials,
    answer_signature,
    request_signature,
)
from marketplace.kernel.asking import NoReply, ReplyTooLarge, ask_once
from marketplace.kernel.clock import utc_now
from marketplace.kernel.errors import GatewayFailed, InvalidInput
from marketplace.kernel.words import N_

TIMEOUT_SECONDS = 5
ANSWER_MAX = 200_000
HELD = frozenset({"registered", "financed"})


class RegistrySilent(GatewayFailed):
    """The registry cannot be reached, or what comes back is nothing it said. Ask again later."""


class RegistryRefuses(GatewayFailed):
    """The registry understood and will not: our key, our clock or our rate is wrong."""


class RegistryMistrusted(GatewayFailed):
    """The registry is not the one we know: another mode, or another key than it is pinned to. Nothing is believed."""


@dataclass(frozen=True)
class Registry:
    """One registry as this market may ask it."""

    url: str
    key_id: str
    secret: bytes = field(repr=False)
    mode: str = "hmac"
    public_key: bytes = b""

    def about(self) -> dict[str, Any]:
        """Return what the registry says of itself, once mode and key are the ones expected.

        Raises: RegistrySilent; RegistryMistrusted("other_mode", "other_key").
        """
        code, _, body = self._send("GET", "/v1/about", {}, b"")
        told = _object(body) if code == 200 else {}
        if told.get("service") != "duebill-registry" or told.get("v") != 1:
            raise RegistrySilent("no_registry", N_("There is no registry at this address."))
        if told.get("mode") != self.mode:
            raise RegistryMistrusted("other_mode", N_("The registry serves another mode than it is asked in."))
        if self.mode == "oblivious" and told.get("public_key") != self.public_key.hex():
            raise RegistryMistrusted("other_key", N_("The registry’s key is not the one it is pinned to."))
        return told

    def ask(self, operation: Operation, claims: Sequence[bytes], reasons: Sequence[str] = ()) -> list[Answer]:
        """Ask one thing of some claims (pseudonyms, in oblivious mode) and return the answers in their order.

        Raises: RegistrySilent; RegistryRefuses.
        """
        told = self._ask(str(operation), {"claims": [one.hex() for one in claims]}
                         | ({"reasons": list(reasons)} if operation == Operation.RELEASE else {}))  # fmt: skip
        answers = told.get("answers")
        if not isinstance(answers, list) or len(answers) != len(claims):
            raise _nonsense()
        return [_answer(one) for one in answers]

    def pseudonyms(self, claims: Sequence[bytes]) -> list[bytes]:
        """Return the pseudonym of each claim, which the registry makes without seeing either.

        Raises: RegistrySilent; RegistryRefuses; RegistryMistrusted("bad_proof") when another key was used.
        """
        batch = [oprf.blind(claim) for claim in claims]
        asked = [one.element for one in batch]
        told = self._ask("evaluate", {"elements": [one.hex() for one in asked]})
        try:
            results = [bytes.fromhex(one) for one in told["elements"]]
            honest = oprf.proved(self.public_key, asked, results, bytes.fromhex(told["proof"]))
        except (KeyError, TypeError, ValueError, InvalidInput):
            honest = False
        if not honest:
            raise RegistryMistrusted("bad_proof", N_("The registry used another key than it is pinned to."))
        return [oprf.finalize(one, result) for one, result in zip(batch, results, strict=True)]

    def _ask(self, operation: str, told: dict[str, Any]) -> dict[str, Any]:
        nonce, seconds = secrets.token_bytes(NONCE_BYTES), int(utc_now().timestamp())
        body = json.dumps({"v": 1, "mode": self.mode, **told}, separators=(",", ":")).encode()
        signature = request_signature(self.secret, "POST", f"/v1/{operation}", self.key_id, seconds, nonce, body)
        given = Credentials(self.key_id, seconds, nonce, signature)
        headers = {"Authorization": given.header(), "Content-Type": "application/json"}
        code, signed, answer = self._send("POST", f"/v1/{operation}", headers, body)
        if code == 401 and not signed:
            raise RegistryRefuses("unsigned", N_("The registry does not know our key, or our secret is wrong."))
        if not secrets.compare_digest(signed, answer_signature(self.secret, nonce, code, answer)):
            raise RegistrySilent("not_signed", N_("The answer was not signed by the registry."))
        found = _object(answer)
        if code != 200:
            raise RegistryRefuses(str(found.get("error", "refused"))[:60], N_("The registry refused the request."))
        return found

    def _send(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
        """Send once, follow nothing, and return code, signature and body."""
        url = self.url.rstrip("/") + path
        try:
            told = ask_once(url, headers, body or None, method, seconds=TIMEOUT_SECONDS, most=ANSWER_MAX)
        except NoReply as error:
            raise RegistrySilent("unreachable", N_("The registry does not answer.")) from error
        except ReplyTooLarge:
            raise _nonsense() from None
        signed = told.headers.get(ANSWER_HEADER.lower(), "")
        return told.code, signed if signed.isascii() else "", told.body


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise _nonsense() from None
    if not isinstance(told, dict):
        raise _nonsense()
    return told


def _answer(told: Any) -> Answer:
    if not isinstance(told, dict):
        raise _nonsense()
    known, state, yours = told.get("known"), told.get("state"), told.get("yours")
    if not isinstance(known, bool) or not isinstance(yours, bool) or (state in HELD) != known or yours > known:
        raise _nonsense()
    return Answer(known, str(state) if known else "none", yours)


def _nonsense() -> RegistrySilent:
    return RegistrySilent("nonsense", N_("The registry’s answer cannot be read."))
