"""Signing keys and signed notes: Ed25519 in the C2SP note format, keys in files only their owner may read.

Source: C2SP signed-note (key id, verifier key, signature line), RFC 8032 (Ed25519).
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from marketplace.kernel.errors import Conflict, IntegrityBreach, InvalidInput
from marketplace.kernel.files import write_new
from marketplace.kernel.words import N_

ED25519 = b"\x01"
PRIVATE = "PRIVATE+KEY+"


@dataclass(frozen=True)
class VerifierKey:
    """A public key with the name it signs under."""

    name: str
    public: bytes

    @property
    def key_id(self) -> str:
        """Eight hex digits. Source: C2SP signed-note, "Signatures"."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4].hex()

    def text(self) -> str:
        """Return `name+id+base64`, the form in which a public key is handed over."""
        return f"{self.name}+{self.key_id}+{base64.b64encode(ED25519 + self.public).decode()}"

    def check(self, message: bytes, signature: bytes) -> bool:
        """Return whether the signature is this key's over the message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class SignerKey:
    """A private key with its name. The seed never shows."""

    name: str
    seed: bytes = field(repr=False)

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(self.name, Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    def text(self) -> str:
        """Return the form in which the key is kept in its file."""
        return f"{PRIVATE}{self.name}+{self.verifier.key_id}+{base64.b64encode(ED25519 + self.seed).decode()}"

    def line(self, message: bytes) -> str:
        """Return the signature line of a note, without its newline."""
        signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)
        packed = base64.b64encode(bytes.fromhex(self.verifier.key_id) + signature).decode()
        return f"— {self.name} {packed}"


def parse_verifier_key(words: str) -> VerifierKey:
    """Read `name+id+base64`.

    Raises: InvalidInput("bad_key").
    """
    name, _, rest = words.strip().partition("+")
    key_id, _, packed = rest.partition("+")
    try:
        raw = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    key = VerifierKey(name, raw[1:])
    if not name or len(raw) != 33 or raw[:1] != ED25519 or key.key_id != key_id:
        raise InvalidInput("bad_key", N_("This is not a verifier key: name+id+base64 is what one looks like."))
    return key


def sign_note(message: str, signers: Sequence[SignerKey]) -> str:
    """Return the note: the text, an empty line, one signature line for each signer."""
    if not message.endswith("\n"):
        raise ValueError("the text of a note ends in a newline")
    return message + "\n" + "".join(signer.line(message.encode()) + "\n" for signer in signers)


def open_note(note: str, keys: Sequence[VerifierKey]) -> tuple[str, list[VerifierKey]]:
    """Return the note's text and the known keys that signed it; unknown signatures are passed over.

    Raises: IntegrityBreach("bad_note") when a known key's signature is wrong or no known key signed.
    """
    message, gap, signatures = note.rpartition("\n\n")
    signed: list[VerifierKey] = []
    for line in signatures.splitlines():
        dash, name, packed = [*line.split(" "), "", ""][:3]
        raw = base64.b64decode(packed)
        for key in keys:
            if dash == "—" and key.name == name and raw[:4].hex() == key.key_id:
                if not key.check(f"{message}\n".encode(), raw[4:]):
                    raise IntegrityBreach("bad_note", "A signature of key %(key)s is wrong.", {"key": key.key_id})
                signed.append(key)
    if not gap or not signed:
        raise IntegrityBreach("bad_note", "No known key signed this note.")
    return message + "\n", signed


def generate_key(path: Path, name: str) -> SignerKey:
    """Make a new key and keep it in a file of mode 0600 that did not exist before.

    Raises: Conflict("key_exists"); InvalidInput("bad_key_name").
    """
    if not name or "+" in name or any(letter.isspace() for letter in name):
        raise InvalidInput("bad_key_name", N_("A key's name has no spaces and no plus sign."))
    key = SignerKey(name, os.urandom(32))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        write_new(path, key.text() + "\n")
    except FileExistsError as error:
        raise Conflict("key_exists", N_("There is a key in %(path)s already."), {"path": str(path)}) from error
    return key


def read_key(path: Path) -> SignerKey:
    """Read a private key from its file.

    Raises: IntegrityBreach when others may read the file; InvalidInput("bad_key").
    """
    if path.stat().st_mode & 0o077:
        raise IntegrityBreach("key_exposed", "Others may read %(path)s; make it 0600 and change the key.",
                              {"path": str(path)})  # fmt: skip
    words = path.read_text(encoding="utf-8").strip()
    name, _, rest = words.removeprefix(PRIVATE).partition("+")
    key_id, _, packed = rest.partition("+")
    try:
        raw = base64.b64decode(packed, validate=True)
        key = SignerKey(name, raw[1:])
        if not words.startswith(PRIVATE) or raw[:1] != ED25519 or key.verifier.key_id != key_id:
            raise ValueError
    except ValueError as error:
        raise InvalidInput("bad_key", N_("%(path)s holds no signing key."), {"path": str(path)}) from error
    return key


def rotation_note(old: SignerKey, new: SignerKey, size: int) -> str:
    """Return the statement, signed by both keys, that the new key signs every checkpoint larger than `size`."""
    lines = ["duebill key rotation", str(size), old.verifier.text(), new.verifier.text()]
    return sign_note("\n".join(lines) + "\n", [old, new])
