"""The sealed book of one lot: its terms and its bids, judged as a whole before anything is cleared.

Source: market rules, "The auction: UPM-1", object, and "Made precise" point 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from auction.errors import BookInvalid, Fault

UNIFORM = "uniform"
PAY_AS_BID = "pay_as_bid"
PRICE_RULES = (UNIFORM, PAY_AS_BID)
BPS = 10_000

TERM_TEXTS = ("lot", "currency")
TERM_NUMBERS = {  # the least value each may take
    "face_minor": 1,
    "target_minor": 1,
    "lot_size_minor": 1,
    "minimum_minor": 1,
    "reserve_bps": 0,
    "tenor_days": 1,
    "min_share_bps": 0,
    "group_cap_bps": 0,
}
ACCEPTED = "accepted_minor"
SHARES = ("min_share_bps", "group_cap_bps")
BID_TEXTS = ("id", "investor", "group")
BID_NUMBERS = ("cash_minor", "min_fill_minor", "rate_bps", "seq")
BID_KEYS = (*BID_TEXTS, *BID_NUMBERS)
_BID_KEYS = frozenset(BID_KEYS)
_bid_values = itemgetter(*BID_KEYS)


class Bid(NamedTuple):
    """One sealed bid. Cash and least fill in minor units, rate in whole basis points a year (ACT/365F)."""

    id: str
    investor: str
    group: str
    cash_minor: int
    min_fill_minor: int
    rate_bps: int
    seq: int

    def to_json(self) -> dict[str, object]:
        """Return the bid as the transcript writes it."""
        return dict(zip(BID_KEYS, self, strict=True))


@dataclass(frozen=True, slots=True)
class Book:
    """The terms of one lot and every bid in it.

    `target_minor` is A, the cash sought; `min_share_bps` is θ, the least share of A the seller takes;
    `group_cap_bps` is κ, the largest share of A one group may fill; `related_groups` may not bid. `accepted_minor` is
    there when the seller accepts a smaller amount: that much is awarded in full or nothing is, and caps stay on A.
    """

    lot: str
    currency: str
    face_minor: int
    target_minor: int
    lot_size_minor: int
    minimum_minor: int
    reserve_bps: int
    tenor_days: int
    min_share_bps: int
    group_cap_bps: int
    price_rule: str
    related_groups: tuple[str, ...]
    bids: tuple[Bid, ...]
    accepted_minor: int | None = None

    @property
    def sought_minor(self) -> int:
        """Return how much is to be awarded: the target, or the smaller amount that the seller accepts."""
        return self.target_minor if self.accepted_minor is None else self.accepted_minor

    @classmethod
    def parse(cls, value: Any) -> Book:
        """Read a book from parsed JSON; keys that the rules do not know are left aside.

        Raises: BookInvalid with every fault, not only the first.
        """
        faults: list[Fault] = []
        if not isinstance(value, Mapping):
            raise BookInvalid([Fault("book", "not_an_object")])
        _judge_terms(value, faults)
        related = _texts_of(value, "related_groups", faults)
        if ACCEPTED in value:
            _judge_accepted(value, faults)
        rows = _rows_of(value, faults)
        if not _all_sound(rows):
            for position, row in enumerate(rows):
                _judge_bid(row, f"bids[{position}]", faults)
            _judge_repeats(rows, faults)
        if faults:
            raise BookInvalid(faults)
        return cls._made(value, related, tuple(Bid._make(_bid_values(row)) for row in rows))

    @classmethod
    def of(cls, terms: Mapping[str, Any], bids: Sequence[Bid]) -> Book:
        """Return the book of these terms and bids, judged by the same rules as one that is read from JSON.

        Raises: BookInvalid with every fault, not only the first.
        """
        faults: list[Fault] = []
        _judge_terms(terms, faults)
        related = _texts_of(terms, "related_groups", faults)
        if ACCEPTED in terms:
            _judge_accepted(terms, faults)
        sound = all(map(_holds, bids)) and len({bid.id for bid in bids}) == len(bids) == len({bid.seq for bid in bids})
        if faults or not sound:
            return cls.parse({**terms, "bids": [bid.to_json() for bid in bids]})  # which says what is wrong, and where
        return cls._made(terms, related, tuple(bids))

    @classmethod
    def _made(cls, value: Mapping[str, Any], related: list[Any], bids: tuple[Bid, ...]) -> Book:
        terms = {key: value[key] for key in (*TERM_TEXTS, *TERM_NUMBERS, "price_rule")}
        return cls(**terms, accepted_minor=value.get(ACCEPTED), related_groups=tuple(sorted(set(related))), bids=bids)

    def to_json(self) -> dict[str, object]:
        """Return the book as the transcript writes it: bids by id, groups by code point."""
        terms: dict[str, object] = {key: getattr(self, key) for key in (*TERM_TEXTS, *TERM_NUMBERS, "price_rule")}
        if self.accepted_minor is not None:
            terms[ACCEPTED] = self.accepted_minor
        terms["related_groups"] = list(self.related_groups)
        terms["bids"] = [bid.to_json() for bid in sorted(self.bids, key=lambda bid: bid.id)]
        return terms


def _judge_terms(value: Mapping[str, object], faults: list[Fault]) -> None:
    for key in TERM_TEXTS:
        _judge_text(value, key, key, faults)
    for key, least in TERM_NUMBERS.items():
        _judge_number(value, key, key, least, faults)
    for key in SHARES:
        if _is_integer(value.get(key)) and value[key] > BPS:  # type: ignore[operator]
            faults.append(Fault(key, "over_10000"))
    if _judge_text(value, "price_rule", "price_rule", faults) and value["price_rule"] not in PRICE_RULES:
        faults.append(Fault("price_rule", "unknown"))
    face, target = value.get("face_minor"), value.get("target_minor")
    if _is_integer(face) and _is_integer(target) and target > face:  # type: ignore[operator]
        faults.append(Fault("target_minor", "over_face"))


def _judge_accepted(value: Mapping[str, object], faults: list[Fault]) -> None:
    _judge_number(value, ACCEPTED, ACCEPTED, 1, faults)
    accepted, target = value[ACCEPTED], value.get("target_minor")
    if _is_integer(accepted) and _is_integer(target) and accepted > target:  # type: ignore[operator]
        faults.append(Fault(ACCEPTED, "over_target"))


def _all_sound(rows: list[Any]) -> bool:
    """Tell at one look whether nothing is wrong with any bid; what is, where it is, the others say."""
    return (
        all(map(_is_sound, rows))
        and len({row["id"] for row in rows}) == len(rows)
        and len({row["seq"] for row in rows}) == len(rows)
    )


def _is_sound(row: Any) -> bool:
    return type(row) is dict and row.keys() >= _BID_KEYS and _holds(_bid_values(row))


def _holds(values: tuple[Any, ...]) -> bool:
    """Tell whether nothing is wrong with a bid's values; what is not plain ASCII is looked at closer."""
    one, investor, group, cash, least, rate, seq = values
    if not (type(one) is type(investor) is type(group) is str and one and investor and group):
        return False
    if not (one.isascii() and investor.isascii() and group.isascii()):
        return False
    return type(cash) is type(least) is type(rate) is type(seq) is int and cash >= least >= 0 <= rate and seq >= 0


def _judge_bid(row: object, path: str, faults: list[Fault]) -> None:
    if not isinstance(row, Mapping):
        faults.append(Fault(path, "not_an_object"))
        return
    for key in BID_TEXTS:
        _judge_text(row, key, f"{path}.{key}", faults)
    for key in BID_NUMBERS:
        _judge_number(row, key, f"{path}.{key}", 0, faults)
    cash, least = row.get("cash_minor"), row.get("min_fill_minor")
    if _is_integer(cash) and _is_integer(least) and least > cash:  # type: ignore[operator]
        faults.append(Fault(f"{path}.min_fill_minor", "over_cash"))


def _judge_repeats(rows: list[Any], faults: list[Fault]) -> None:
    for key, kind in (("id", str), ("seq", int)):
        seen: set[object] = set()
        for position, row in enumerate(rows):
            value = row.get(key) if isinstance(row, Mapping) else None
            if not isinstance(value, kind) or isinstance(value, bool):
                continue
            if value in seen:
                faults.append(Fault(f"bids[{position}].{key}", "repeated"))
            seen.add(value)


def _rows_of(value: Mapping[str, object], faults: list[Fault]) -> list[Any]:
    rows = value.get("bids")
    if "bids" not in value:
        faults.append(Fault("bids", "missing"))
    elif not isinstance(rows, list):
        faults.append(Fault("bids", "not_a_list"))
    return rows if isinstance(rows, list) else []


def _texts_of(value: Mapping[str, object], key: str, faults: list[Fault]) -> list[str]:
    if key not in value:
        faults.append(Fault(key, "missing"))
        return []
    texts = value[key]
    if not isinstance(texts, list):
        faults.append(Fault(key, "not_a_list"))
        return []
    rows = {str(position): text for position, text in enumerate(texts)}
    for position in rows:
        _judge_text(rows, position, f"{key}[{position}]", faults)
    return texts


def _judge_text(row: Mapping[str, object], key: str, path: str, faults: list[Fault]) -> bool:
    text = row.get(key)
    rule = ""
    if key not in row:
        rule = "missing"
    elif not isinstance(text, str):
        rule = "not_a_text"
    elif text == "":
        rule = "empty"
    elif not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        rule = "not_unicode"  # half a surrogate pair has no UTF-8, so no hash
    if rule:
        faults.append(Fault(path, rule))
    return not rule


def _judge_number(row: Mapping[str, object], key: str, path: str, least: int, faults: list[Fault]) -> None:
    number = row.get(key)
    if key not in row:
        faults.append(Fault(path, "missing"))
    elif not _is_integer(number):
        faults.append(Fault(path, "not_an_integer"))
    elif number < least:  # type: ignore[operator]
        faults.append(Fault(path, f"under_{least}"))


def _is_integer(value: object) -> bool:
    """Tell a JSON integer from a boolean (which Python counts as one) and from 1.0."""
    return isinstance(value, int) and not isinstance(value, bool)
