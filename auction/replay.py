"""The transcript: a book and its result in one canonical text that anyone can compute again.

Canonical text is JSON as RFC 8785 writes it, for the values that occur here (texts, integers, lists,
objects with ASCII keys): keys sorted, no spaces, UTF-8. The SHA-256 is taken over these bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from auction import joint_replay
from auction.book import Book
from auction.clearing import Clearing, clear
from auction.columns import clear_fast
from auction.errors import TooLarge, TranscriptUnreadable
from auction.pricing import Fill, price

RULE = "UPM-1"
RULE_VERSION = "1.0"
REDUCED_VERSION = "1.1"  # the same rules for books of which the seller accepts a smaller amount
HASH_KEY = "sha256"
_told = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False).encode
PLAIN_MOST = 256  # up to so many bids the plain engine is the quicker one
PLAIN_REPLAYS_MOST = 1_000  # up to so many bids an award is computed again by the plain engine


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a replay found: `difference` is None when the transcript reproduces to the byte."""

    reproduces: bool
    stated_sha256: str | None
    computed_sha256: str
    difference: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A cleared and priced lot: the clearing, the fills sorted by id, and the transcript of both."""

    clearing: Clearing
    fills: tuple[Fill, ...]
    transcript: dict[str, object]

    @property
    def discount_minor(self) -> int:
        """Return D, the sum of the legs' discounts."""
        return sum(fill.discount_minor for fill in self.fills)

    @property
    def groups(self) -> int:
        """Return how many independent groups have a leg."""
        return len({fill.bid.group for fill in self.fills})


def clear_quickly(book: Book, plain_most: int = PLAIN_MOST) -> Clearing:
    """Clear a book with the engine that suits its size; both give the same result."""
    if len(book.bids) <= plain_most:
        return clear(book)
    try:
        return clear_fast(book)
    except TooLarge:
        return clear(book)


def run(book: Book, engine: Callable[[Book], Clearing] = clear_quickly) -> Outcome:
    """Clear, price and write down one lot."""
    clearing = engine(book)
    fills = price(clearing.takes, clearing.stop_out_bps, book.price_rule, book.tenor_days)
    fills.sort(key=lambda fill: fill.bid.id)
    result: dict[str, object] = {
        "outcome": clearing.outcome,
        "stop_out_bps": clearing.stop_out_bps,
        "awarded_minor": clearing.awarded_minor,
        "discount_minor": sum(fill.discount_minor for fill in fills),
        "standing_minor": clearing.standing_minor,
        "fills": [
            {
                "id": fill.bid.id,
                "cash_minor": fill.cash_minor,
                "discount_minor": fill.discount_minor,
                "rate_bps": fill.rate_bps,
            }
            for fill in fills
        ],
        "cuts": [
            {"id": one.bid.id, "cash_minor": one.cash_minor}
            for one in sorted(clearing.standing, key=lambda one: one.bid.id)
            if one.cash_minor != one.bid.cash_minor
        ],
        "refusals": [
            {"id": refusal.bid.id, "reasons": list(refusal.reasons)}
            for refusal in sorted(clearing.refusals, key=lambda refusal: refusal.bid.id)
        ],
        "passed_over": [bid.id for bid in clearing.passed_over],
    }
    transcript: dict[str, object] = {
        "rule": RULE,
        "rule_version": version_of(book),
        "book": book.to_json(),
        "result": result,
    }
    return Outcome(clearing, tuple(fills), transcript)


def version_of(book: Book) -> str:
    """Return the version of the rules a book is cleared under."""
    return RULE_VERSION if book.accepted_minor is None else REDUCED_VERSION


def canonical(value: object) -> bytes:
    """Return the canonical bytes of a transcript or a part of it."""
    return _told(value).encode()


def sha256(transcript: Mapping[str, object]) -> str:
    """Return the SHA-256 of a transcript in hexadecimal, its own hash key left out."""
    bare = {key: value for key, value in transcript.items() if key != HASH_KEY}
    return hashlib.sha256(canonical(bare)).hexdigest()


def read(raw: bytes) -> dict[str, object]:
    """Read the bytes of a transcript or a book.

    Raises: TranscriptUnreadable when they are not one JSON object, or a key comes twice.
    """
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_repeats, parse_constant=_no_constant)
    except (ValueError, RecursionError) as fault:
        raise TranscriptUnreadable(f"not a transcript: {fault}") from None
    if not isinstance(value, dict):
        raise TranscriptUnreadable("not a transcript: the top of the file is not an object")
    return value


def replay(raw: bytes) -> Verdict:
    """Clear the stored book again and compare the result, key by key, with what the transcript states.

    The plain engine computes it, whichever one closed the lot, unless the book is so large that it would take minutes.

    A transcript of a session, or of a lot that cleared in one, holds the whole session, which is cleared again.

    Raises: TranscriptUnreadable, BookInvalid, TooLarge.
    """
    stated = read(raw)
    if stated.get("rule") == joint_replay.RULE:
        return _judged(stated, joint_replay.again(stated))
    for key, ours in (("rule", (RULE,)), ("rule_version", (RULE_VERSION, REDUCED_VERSION))):
        if stated.get(key) not in ours:
            raise TranscriptUnreadable(f"{key} is {stated.get(key)!r}; this engine speaks {' and '.join(ours)}")
    computed = run(Book.parse(stated.get("book")), lambda book: clear_quickly(book, PLAIN_REPLAYS_MOST)).transcript
    return _judged(stated, computed)


def _judged(stated: Mapping[str, object], computed: dict[str, object]) -> Verdict:
    computed_hash = sha256(computed)
    stated_hash = stated.get(HASH_KEY)
    bare = {key: value for key, value in stated.items() if key != HASH_KEY}
    difference = first_difference(bare, computed)
    if difference is None and stated_hash is not None and stated_hash != computed_hash:
        difference = f"{HASH_KEY}: states {stated_hash!r}, computed {computed_hash!r}"
    return Verdict(
        reproduces=difference is None,
        stated_sha256=stated_hash if isinstance(stated_hash, str) else None,
        computed_sha256=computed_hash,
        difference=difference,
    )


def first_difference(stated: object, computed: object, path: str = "") -> str | None:
    """Name the first place where two JSON values differ, in key order; None when they are the same."""
    if isinstance(stated, dict) and isinstance(computed, dict):
        for key in sorted({*stated, *computed}):
            where = f"{path}.{key}" if path else str(key)
            if key not in stated:
                return f"{where}: missing, computed {computed[key]!r}"
            if key not in computed:
                return f"{where}: states {stated[key]!r}, which the rules do not know"
            found = first_difference(stated[key], computed[key], where)
            if found:
                return found
        return None
    if isinstance(stated, list) and isinstance(computed, list):
        for position, (one, other) in enumerate(zip(stated, computed, strict=False)):
            found = first_difference(one, other, f"{path}[{position}]")
            if found:
                return found
        if len(stated) != len(computed):
            return f"{path}: states {len(stated)} entries, computed {len(computed)}"
        return None
    if type(stated) is not type(computed) or stated != computed:
        return f"{path}: states {stated!r}, computed {computed!r}"
    return None


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key comes twice")
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
