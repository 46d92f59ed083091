"""Identifiers: UUID version 7, made here and nowhere else. Nothing is ever ordered by id."""

import os
import time
from collections import deque
from uuid import UUID

RANDOM_BYTES, AT_ONCE = 10, 64
_RANDOM: deque[bytes] = deque()  # read ahead: to ask the system makes a thread step back from the others each time
os.register_at_fork(after_in_child=_RANDOM.clear)  # or parent and child would draw the same
VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


def new_id() -> UUID:
    """Return a fresh UUIDv7: 48 bits of milliseconds, 74 random bits.

    Source: RFC 9562 §5.7.
    """
    milliseconds = time.time_ns() // 1_000_000
    raw = bytearray(milliseconds.to_bytes(6, "big") + _random())
    raw[6] = 0x70 | (raw[6] & 0x0F)
    raw[8] = 0x80 | (raw[8] & 0x3F)
    return UUID(bytes=bytes(raw))


def _random() -> bytes:
    """Return random bytes of the system that nobody was given before."""
    while True:
        try:
            return _RANDOM.pop()
        except IndexError:
            read = os.urandom(RANDOM_BYTES * AT_ONCE)
            _RANDOM.extend(read[at : at + RANDOM_BYTES] for at in range(0, len(read), RANDOM_BYTES))


def new_texts(count: int) -> list[str]:
    """Return so many fresh UUIDv7 of one millisecond as 32 hexadecimal digits each, for rows written as a set."""
    stamp = f"{time.time_ns() // 1_000_000:012x}7"
    digits = os.urandom(10 * count).hex()
    return [
        f"{stamp}{digits[at : at + 3]}{VARIANT[digits[at + 3]]}{digits[at + 4 : at + 19]}"
        for at in range(0, 20 * count, 20)
    ]


def new_id_texts(count: int) -> list[str]:
    """Return so many fresh UUIDv7 of one millisecond as they are told."""
    return [f"{one[:8]}-{one[8:12]}-{one[12:16]}-{one[16:20]}-{one[20:]}" for one in new_texts(count)]
