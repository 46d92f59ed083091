"""Canonical JSON: the bytes that are hashed and signed. Only texts, whole numbers, true, false and null."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import rfc8785


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

    Whole numbers beyond 2⁵³ are written as texts, because other readers of JSON would round them.
    Source: RFC 8785.
    """
    return rfc8785.dumps(_safe(jsonable(value)))


def _safe(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        return str(value)
    if isinstance(value, dict):
        return {key: _safe(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_safe(item) for item in value]
    return value
