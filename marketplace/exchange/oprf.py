"""An oblivious pseudo-random function, verifiable: OPRF(ristretto255, SHA-512), modes OPRF and VOPRF.

The client blinds an input, the server multiplies by its key without seeing it, the client unblinds. In the verifiable
mode a proof shows that the key is the one committed to. Source: RFC 9497; the tests hold it to the RFC's own vectors.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from marketplace.exchange import ristretto
from marketplace.kernel.errors import IntegrityBreach, InvalidInput
from marketplace.kernel.words import N_

SUITE = "ristretto255-SHA512"
OPRF, VOPRF = 0, 1
OUTPUT_BYTES, PROOF_BYTES, SEED_BYTES = 64, 64, 32
INPUT_BYTES_MAX = BATCH_MAX = 2**16 - 1
BLOCK_BYTES = 128  # of SHA-512


@dataclass(frozen=True)
class Key:
    """A server's key pair."""

    secret: bytes = field(repr=False)
    public: bytes = b""


@dataclass(frozen=True)
class Blinded:
    """One input as the client keeps it while the server works on `element`."""

    text: bytes = field(repr=False)
    blind: bytes = field(repr=False)
    element: bytes = b""


def _context(mode: int) -> bytes:
    """Source: RFC 9497 §3.1, CreateContextString."""
    return b"OPRFV1-" + bytes([mode]) + b"-" + SUITE.encode()


def _two(raw: bytes) -> bytes:
    """Return bytes behind their length in two octets."""
    return len(raw).to_bytes(2, "big") + raw


def expanded(message: bytes, tag: bytes) -> bytes:
    """Return 64 uniform bytes. Source: RFC 9380 §5.3.1, expand_message_xmd with SHA-512, one block long."""
    tagged = tag + bytes([len(tag)])
    first = hashlib.sha512(bytes(BLOCK_BYTES) + message + OUTPUT_BYTES.to_bytes(2, "big") + b"\0" + tagged).digest()
    return hashlib.sha512(first + b"\1" + tagged).digest()


def _to_scalar(message: bytes, mode: int, tag: bytes = b"HashToScalar-") -> bytes:
    """Source: RFC 9497 §4.1, HashToScalar."""
    return ristretto.scalar_of(expanded(message, tag + _context(mode)))


def _to_element(message: bytes, mode: int) -> bytes:
    """Source: RFC 9497 §4.1, HashToGroup. Raises: InvalidInput("bad_input")."""
    if len(message) > INPUT_BYTES_MAX:
        raise InvalidInput("bad_input", N_("The input is too long."))
    made = ristretto.element_of(expanded(message, b"HashToGroup-" + _context(mode)))
    if made == ristretto.IDENTITY:
        raise InvalidInput("bad_input", N_("This input cannot be blinded."))
    return made


def derived_key(seed: bytes, info: bytes, mode: int = VOPRF) -> Key:
    """Return the key pair of a seed of 32 bytes. Source: RFC 9497 §3.2.1, DeriveKeyPair."""
    if len(seed) != SEED_BYTES:
        raise IntegrityBreach("bad_seed", "The registry's seed must have 32 bytes.")
    for counter in range(256):
        secret = _to_scalar(seed + _two(info) + bytes([counter]), mode, b"DeriveKeyPair")
        if any(secret):
            return Key(secret, ristretto.base_times(secret))
    raise IntegrityBreach("bad_seed", "No key can be derived from this seed.")


def blind(text: bytes, mode: int = VOPRF, with_scalar: bytes | None = None) -> Blinded:
    """Hide an input behind a random scalar. Source: RFC 9497 §3.3.1, Blind.

    Raises: InvalidInput("bad_input").
    """
    scalar = with_scalar or ristretto.random_scalar()
    return Blinded(text, scalar, ristretto.times(scalar, _to_element(text, mode)))


def evaluate(key: Key, elements: Sequence[bytes]) -> list[bytes]:
    """Multiply blinded elements by the key. Source: RFC 9497 §3.3.1, BlindEvaluate.

    Raises: InvalidInput("bad_element").
    """
    return [ristretto.times(key.secret, ristretto.element(one)) for one in elements]


def evaluate_proved(key: Key, elements: Sequence[bytes], with_scalar: bytes | None = None) -> tuple[list[bytes], bytes]:
    """Multiply blinded elements by the key and prove it, once for them all. Source: RFC 9497 §3.3.2 and §2.2.1.

    Raises: InvalidInput("bad_element", "bad_batch").
    """
    _sized(elements)
    results = evaluate(key, elements)
    mixed, _ = _composites(key.public, elements, results, key.secret)
    random = with_scalar or ristretto.random_scalar()
    weighed = ristretto.times(key.secret, mixed)
    challenge = _challenge(key.public, mixed, weighed, ristretto.base_times(random), ristretto.times(random, mixed))
    return results, challenge + ristretto.minus_product(random, challenge, key.secret)


def proved(public: bytes, elements: Sequence[bytes], results: Sequence[bytes], proof: bytes) -> bool:
    """Say whether all results were made with the key that `public` commits to. Source: RFC 9497 §2.2.2, VerifyProof.

    Raises: InvalidInput("bad_element", "bad_scalar", "bad_batch") for what is no proof at all.
    """
    _sized(elements)
    if len(elements) != len(results) or len(proof) != PROOF_BYTES:
        raise InvalidInput("bad_batch", N_("The answer does not fit what was asked."))
    for one in (public, *elements, *results):
        ristretto.element(one)
    challenge, response = ristretto.scalar(proof[:32]), ristretto.scalar(proof[32:])
    mixed, weighed = _composites(public, elements, results, None)
    second = ristretto.plus(ristretto.base_times(response), ristretto.times(challenge, public))
    third = ristretto.plus(ristretto.times(response, mixed), ristretto.times(challenge, weighed))
    return hmac.compare_digest(_challenge(public, mixed, weighed, second, third), challenge)


def finalize(blinded: Blinded, result: bytes) -> bytes:
    """Unblind a result and return the function's output, 64 bytes. Source: RFC 9497 §3.3.1, Finalize.

    In the verifiable mode the proof must have been checked before.

    Raises: InvalidInput("bad_element").
    """
    unblinded = ristretto.times(ristretto.inverse(blinded.blind), ristretto.element(result))
    return _output(blinded.text, unblinded)


def output_of(key: Key, text: bytes, mode: int = VOPRF) -> bytes:
    """Return the output as whoever has the key computes it alone. Source: RFC 9497 §3.3.1, Evaluate."""
    return _output(text, ristretto.times(key.secret, _to_element(text, mode)))


def _output(text: bytes, unblinded: bytes) -> bytes:
    return hashlib.sha512(_two(text) + _two(unblinded) + b"Finalize").digest()


def _sized(elements: Sequence[bytes]) -> None:
    if not 1 <= len(elements) <= BATCH_MAX:
        raise InvalidInput("bad_batch", N_("A batch holds at least one element."))


def _composites(
    public: bytes, elements: Sequence[bytes], results: Sequence[bytes], secret: bytes | None
) -> tuple[bytes, bytes]:
    """Mix a batch into one pair. Source: RFC 9497 §2.2.1, ComputeComposites and ComputeCompositesFast."""
    seed = hashlib.sha512(_two(public) + _two(b"Seed-" + _context(VOPRF))).digest()
    mixed = weighed = ristretto.IDENTITY
    for index, (asked, given) in enumerate(zip(elements, results, strict=True)):
        transcript = _two(seed) + index.to_bytes(2, "big") + _two(asked) + _two(given) + b"Composite"
        weight = _to_scalar(transcript, VOPRF)
        mixed = ristretto.plus(mixed, ristretto.times(weight, asked))
        if secret is None:
            weighed = ristretto.plus(weighed, ristretto.times(weight, given))
    return mixed, ristretto.times(secret, mixed) if secret is not None else weighed


def _challenge(public: bytes, *parts: bytes) -> bytes:
    transcript = b"".join(_two(one) for one in (public, *parts)) + b"Challenge"
    return _to_scalar(transcript, VOPRF)
