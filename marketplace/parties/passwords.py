"""Passwords: argon2id, and the same work for an unknown user as for a known one."""

from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask import current_app

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.words import N_

LEAST, MOST = 12, 200


@lru_cache(maxsize=2)
def _hasher(cheap: bool) -> PasswordHasher:
    """Return the hasher: argon2-cffi's defaults (RFC 9106, low-memory profile); `cheap` for tests only."""
    return PasswordHasher(time_cost=1, memory_cost=64, parallelism=1) if cheap else PasswordHasher()


@lru_cache(maxsize=2)
def _decoy(cheap: bool) -> str:
    """Return a hash nobody's password has, to verify against when there is no such user."""
    return _hasher(cheap).hash("nobody signs in with this decoy")


def check_new(password: str, field: str = "password") -> None:
    """Let a new password pass: 12 to 200 characters, not one character over and over.

    Raises: InvalidInput.
    """
    if LEAST <= len(password) <= MOST and len(set(password)) > 3:
        return
    words = N_("Use %(least)s to %(most)s characters, and not the same ones over and over.")
    raise InvalidInput(
        "weak_password", words, {"least": LEAST, "most": MOST},
        problems=[Problem(field, "password", words, {"least": LEAST, "most": MOST})],
    )  # fmt: skip


def hashed(password: str) -> str:
    """Return the argon2id hash of a password."""
    return _hasher(current_app.testing).hash(password)


def matches(stored: str | None, password: str) -> bool:
    """Say whether a password is the stored one. Takes as long for None (no such user), and answers False."""
    cheap = current_app.testing
    right = False
    try:
        right = _hasher(cheap).verify(stored or _decoy(cheap), password[: MOST + 1])
    except (VerificationError, InvalidHashError):
        return False
    return right and stored is not None


def outdated(stored: str) -> bool:
    """Say whether a hash was made with older parameters and should be made anew at the next sign-in."""
    return _hasher(current_app.testing).check_needs_rehash(stored)
