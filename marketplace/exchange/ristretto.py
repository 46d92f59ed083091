"""The group ristretto255 as libsodium computes it: bytes in, bytes out. The only importer of rbcl.

An element is 32 bytes and never the identity, a scalar 32 bytes little-endian below the group's order.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any, cast

from marketplace.kernel.errors import IntegrityBreach, InvalidInput
from marketplace.kernel.words import N_

ELEMENT_BYTES = SCALAR_BYTES = 32
ORDER = 2**252 + 27742317777372353535851937790883648493
IDENTITY = bytes(ELEMENT_BYTES)


@lru_cache(maxsize=1)
def _sodium() -> Any:
    """Load the library where it is first needed: it unpacks itself into a file of the temporary folder.

    The file may go as soon as it is loaded; left alone, every process would leave one behind.

    Raises: IntegrityBreach("no_oblivious_mode") where the temporary folder lets nothing be loaded from it.
    """
    try:
        import rbcl
    except OSError as error:
        raise IntegrityBreach(
            "no_oblivious_mode", "libsodium cannot be loaded from the temporary folder; set TMPDIR to one that may run "
            "programs."
        ) from error  # fmt: skip
    unpacked = getattr(sys.modules.get("rbcl._sodium"), "lib_path", None)
    if unpacked:
        with suppress(OSError):
            os.unlink(unpacked)
    return rbcl


def _call(name: str, *arguments: bytes) -> bytes:
    function = cast(Callable[..., bytes], getattr(_sodium(), name))
    return bytes(function(*arguments))


def element(raw: bytes) -> bytes:
    """Return the bytes of an element that came from outside.

    Raises: InvalidInput("bad_element") for what is no canonical element, or the identity.
    """
    if len(raw) != ELEMENT_BYTES or raw == IDENTITY or not _sodium().crypto_core_ristretto255_is_valid_point(raw):
        raise InvalidInput("bad_element", N_("This is not an element of the group."))
    return raw


def scalar(raw: bytes) -> bytes:
    """Return the bytes of a scalar that came from outside.

    Raises: InvalidInput("bad_scalar") for anything but 32 bytes below the group's order.
    """
    if len(raw) != SCALAR_BYTES or int.from_bytes(raw, "little") >= ORDER:
        raise InvalidInput("bad_scalar", N_("This is not a scalar of the group."))
    return raw


def random_scalar() -> bytes:
    """Return a scalar that is not zero, from libsodium's random source."""
    return _call("crypto_core_ristretto255_scalar_random")


def element_of(uniform: bytes) -> bytes:
    """Map 64 uniform bytes to an element. Source: RFC 9496 §4.3.4."""
    return _call("crypto_core_ristretto255_from_hash", uniform)


def scalar_of(uniform: bytes) -> bytes:
    """Reduce 64 uniform bytes, little-endian, modulo the group's order."""
    return _call("crypto_core_ristretto255_scalar_reduce", uniform)


def base_times(factor: bytes) -> bytes:
    """Multiply the generator."""
    return _call("crypto_scalarmult_ristretto255_base_allow_scalar_zero", factor)


def times(factor: bytes, point: bytes) -> bytes:
    """Multiply an element."""
    return _call("crypto_scalarmult_ristretto255_allow_scalar_zero", factor, point)


def plus(one: bytes, other: bytes) -> bytes:
    """Add two elements."""
    return _call("crypto_core_ristretto255_add", one, other)


def inverse(factor: bytes) -> bytes:
    """Invert a scalar that is not zero."""
    return _call("crypto_core_ristretto255_scalar_invert", factor)


def minus_product(start: bytes, one: bytes, other: bytes) -> bytes:
    """Return `start − one·other`, scalars all."""
    product = _call("crypto_core_ristretto255_scalar_mul", one, other)
    return _call("crypto_core_ristretto255_scalar_sub", start, product)
