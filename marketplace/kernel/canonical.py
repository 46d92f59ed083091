"""Canonical JSON: the bytes that are hashed and signed. Only texts, whole numbers, true, false and null."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from marketplace.kernel.words import N_

EXACT_BELOW = 2**53
UNREADABLE = N_("This text holds characters that cannot be kept. Type it anew.")
_AS_THEY_ARE = frozenset({str, bool, type(None)})


def jsonable(value: Any) -> Any:
    """Turn ids, dates and instants into texts; refuse fractions.

    Instants become UTC with microseconds (`2026-10-02T14:32:07.000000Z`), dates ISO 8601.

    Raises: TypeError for floats and anything else without one exact form.
    """
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [jsonable(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no canonical form")


def canonical_bytes(value: Any) -> bytes:
    """Return the canonical JSON bytes of a value.

    Whole numbers beyond 2⁵³ are written as texts, because other readers of JSON would round them. Without fractions
    what RFC 8785 asks is what the standard encoder writes, once the keys are in order.
    Source: RFC 8785.

    Raises: TypeError for what has no exact form; ValueError for a text that is not Unicode.
    """
    return json.dumps(_exact(value), separators=(",", ":"), ensure_ascii=False).encode()


def _exact(value: Any) -> Any:
    """Return what `jsonable` does, keys in order and whole numbers beyond 2⁵³ as texts, in one walk."""
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is UUID:
        return str(value)
    if kind is int:
        return value if -EXACT_BELOW < value < EXACT_BELOW else str(value)
    if kind is list or kind is tuple:  # of ten thousand things most are plain: no call for those
        return [
            item
            if (of := type(item)) in _AS_THEY_ARE or (of is int and -EXACT_BELOW < item < EXACT_BELOW)
            else _exact(item)
            for item in value
        ]
    if kind is dict and (ordered := _in_order(tuple(value))) is not None:
        return {key: item if type(item := value[key]) is str else _exact(item) for key in ordered}
    if isinstance(value, Mapping):
        told = {str(key): item for key, item in value.items()}
        return {key: _exact(told[key]) for key in (sorted(told) if "".join(told).isascii() else _in_utf16(told))}
    plain = jsonable(value)
    return _exact(plain) if isinstance(plain, (int, list)) else plain


@lru_cache(maxsize=512)
def _in_order(keys: tuple[Any, ...]) -> tuple[str, ...] | None:
    """Return plain ASCII keys as they are sorted; None for any others. Of many alike the order is found once."""
    if all(type(key) is str and key.isascii() for key in keys):
        return tuple(sorted(keys))
    return None


def _in_utf16(keys: Iterable[str]) -> list[str]:
    """Return keys as RFC 8785 §3.2.3 sorts them: by their UTF-16 units, which is not the order of code points."""
    return sorted(keys, key=lambda key: key.encode("utf-16-be"))
