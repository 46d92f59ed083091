"""A file of claims for another market: JSON lines between a head and a signature. Pure.

Head: `{"duebill_claims":1,"issuer":…,"key_mark":…,"made_at":…,"count":…}`; then a line a claim, sorted, `{"claim":hex,
"state":…}` with a `reason` where it was released; last `{"key":id,"signature":base64}`, Ed25519 over every byte before.
"""

import base64
import binascii
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from marketplace.audit.keys import SignerKey, VerifierKey
from marketplace.exchange.rules import REASONS, RELEASED
from marketplace.kernel.canonical import canonical_bytes
from marketplace.kernel.errors import InvalidInput
from marketplace.kernel.words import N_

VERSION = 1
STATES = frozenset({"registered", "financed", "released"})
BYTES_MAX, LINES_MAX, LINE_MAX = 200_000_000, 1_000_000, 1_000
HEX_CLAIM = re.compile(r"[0-9a-f]{64}")
CONTEXT = b"duebill/claims-file/1\n"


@dataclass(frozen=True)
class Entry:
    """One claim and how its market holds it."""

    claim: bytes
    state: str
    reason: str | None = None


@dataclass(frozen=True)
class ClaimsFile:
    """A file that was read and whose signature is right."""

    issuer: str
    key_mark: str
    made_at: datetime
    entries: tuple[Entry, ...]


def write_file(signer: SignerKey, key_mark: str, made_at: datetime, entries: Sequence[Entry]) -> bytes:
    """Return the bytes of a file."""
    head = {"duebill_claims": VERSION, "issuer": signer.name, "key_mark": key_mark, "made_at": made_at,
            "count": len(entries)}  # fmt: skip
    lines = [canonical_bytes(head)]
    for entry in sorted(entries, key=lambda one: one.claim):
        told = {"claim": entry.claim.hex(), "state": entry.state}
        lines.append(canonical_bytes(told | ({"reason": entry.reason} if entry.reason else {})))
    signed = b"\n".join(lines) + b"\n"
    signature = Ed25519PrivateKey.from_private_bytes(signer.seed).sign(CONTEXT + signed)
    last = {"key": signer.verifier.key_id, "signature": base64.b64encode(signature).decode()}
    return signed + canonical_bytes(last) + b"\n"


def issuer_of(raw: bytes) -> str:
    """Return who a file says it is from, before anything in it is believed.

    Raises: InvalidInput("bad_file").
    """
    if len(raw) > BYTES_MAX:
        raise bad(N_("The file is too large."))
    head = _object(raw[: LINE_MAX + 1].partition(b"\n")[0], 1)
    if head.get("duebill_claims") != VERSION:
        raise bad(N_("This is not a file of claims of version 1."))
    return _text(head, "issuer", 1)


def read_file(raw: bytes, key: VerifierKey, key_mark: str) -> ClaimsFile:
    """Read a file of one issuer: signature first, then every line.

    Raises: InvalidInput("bad_file", "bad_signature", "other_consortium").
    """
    issuer = issuer_of(raw)
    body, _, last = raw.removesuffix(b"\n").rpartition(b"\n")
    body += b"\n"
    _check_signature(body, last, key, issuer)
    lines = body.split(b"\n")[:-1]
    if len(lines) > LINES_MAX + 1:
        raise bad(N_("The file has too many lines."))
    head = _object(lines[0], 1)
    if _text(head, "key_mark", 1) != key_mark:
        raise InvalidInput("other_consortium", N_("These claims were made with another consortium’s key."))
    if head.get("count") != len(lines) - 1:
        raise bad(N_("The file does not have as many claims as it says."))
    entries = [_entry(line, number) for number, line in enumerate(lines[1:], 2)]
    if any(one.claim >= other.claim for one, other in pairwise(entries)):
        raise bad(N_("The claims are not in order, or one comes twice."))
    return ClaimsFile(issuer, key_mark, _instant(head), tuple(entries))


def _check_signature(body: bytes, last: bytes, key: VerifierKey, issuer: str) -> None:
    told = _object(last, 0)
    try:
        signature = base64.b64decode(_text(told, "signature", 0), validate=True)
    except (binascii.Error, ValueError):
        signature = b""
    if told.get("key") != key.key_id or key.name != issuer or not key.check(CONTEXT + body, signature):
        raise InvalidInput("bad_signature", N_("The file is not signed with the key that is known of %(issuer)s."),
                           {"issuer": key.name})  # fmt: skip


def _entry(line: bytes, number: int) -> Entry:
    told = _object(line, number)
    claim, state, reason = told.get("claim"), told.get("state"), told.get("reason")
    plain = isinstance(claim, str) and isinstance(state, str) and isinstance(reason, str | None)
    right = plain and HEX_CLAIM.fullmatch(str(claim)) and state in STATES and (reason in REASONS) == (state == RELEASED)
    if not right or told.keys() - {"claim", "state", "reason"}:
        raise bad(N_("Line %(line)s is not a claim with a known state."), number)
    return Entry(bytes.fromhex(str(claim)), str(state), reason)


def _object(line: bytes, number: int) -> dict[str, Any]:
    try:
        if len(line) > LINE_MAX:
            raise ValueError
        made = json.loads(line.decode())
    except (ValueError, RecursionError):
        made = None
    if not isinstance(made, dict):
        raise bad(N_("Line %(line)s cannot be read."), number)
    return made


def _text(told: dict[str, Any], name: str, number: int) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or not value.isprintable():
        raise bad(N_("Line %(line)s lacks “%(name)s”."), number, name)
    return value


def _instant(head: dict[str, Any]) -> datetime:
    try:
        return datetime.strptime(_text(head, "made_at", 1), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        raise bad(N_("Line %(line)s lacks “%(name)s”."), 1, "made_at") from None


def bad(words: str, line: int = 0, name: str = "") -> InvalidInput:
    """Return the refusal of a file, naming the line; 0 is the last."""
    return InvalidInput("bad_file", words, {"line": line or "–", "name": name})
