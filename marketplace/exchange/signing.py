"""How a peer signs what it asks of a registry, and the registry what it answers: HMAC-SHA256 under a shared secret."""

import hashlib
import hmac
import re
from dataclasses import dataclass

SCHEME = "Duebill1"
REQUEST, ANSWER = b"duebill/registry-request/1", b"duebill/registry-answer/1"
SECRET_LABEL = b"duebill/registry-secret/1"
ANSWER_HEADER = "Duebill-Signature"
NONCE_BYTES = 16
CREDENTIALS = re.compile(r"Duebill1 ([a-z0-9-]{1,40}):([0-9]{1,12}):([0-9a-f]{32}):([0-9a-f]{64})")


@dataclass(frozen=True)
class Credentials:
    """What the header Authorization says: who asks, when (seconds since 1970), once, and signed how."""

    key_id: str
    seconds: int
    nonce: bytes
    signature: bytes

    def header(self) -> str:
        """Return the value of the header."""
        return f"{SCHEME} {self.key_id}:{self.seconds}:{self.nonce.hex()}:{self.signature.hex()}"


def read_credentials(header: str) -> Credentials | None:
    """Read the header; None when it is not of this form."""
    found = CREDENTIALS.fullmatch(header)
    if found is None:
        return None
    return Credentials(found[1], int(found[2]), bytes.fromhex(found[3]), bytes.fromhex(found[4]))


def request_signature(
    secret: bytes, method: str, path: str, key_id: str, seconds: int, nonce: bytes, body: bytes
) -> bytes:
    """Sign a request: method, path, key, time, nonce and the body's hash, a line each."""
    lines = [method, path, key_id, str(seconds), nonce.hex(), hashlib.sha256(body).hexdigest()]
    return hmac.new(secret, REQUEST + b"\n" + "\n".join(lines).encode(), hashlib.sha256).digest()


def is_signed(secret: bytes, method: str, path: str, given: Credentials, body: bytes) -> bool:
    """Say, in constant time, whether the request was signed with this secret."""
    right = request_signature(secret, method, path, given.key_id, given.seconds, given.nonce, body)
    return hmac.compare_digest(right, given.signature)


def answer_signature(secret: bytes, nonce: bytes, code: int, body: bytes) -> str:
    """Sign an answer: the nonce it answers, its HTTP code and its body's hash, a line each; in hexadecimal."""
    lines = [nonce.hex(), str(code), hashlib.sha256(body).hexdigest()]
    return hmac.new(secret, ANSWER + b"\n" + "\n".join(lines).encode(), hashlib.sha256).hexdigest()


def secret_of(master: bytes, key_id: str) -> str:
    """Return the secret of a peer's key as the registry derives it from its own: nothing secret lies in the database.

    64 hexadecimal digits; the HMAC key is these digits as they are written.
    """
    return hmac.new(master, SECRET_LABEL + key_id.encode(), hashlib.sha256).hexdigest()
