"""Lines, order, contract and notes of a claim in the forms that are compared."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from marketplace.receivables.matching.fingerprint import SEPARATORS
from marketplace.receivables.matching.identifying import Telling
from marketplace.receivables.matching.lazily import lazily
from marketplace.receivables.matching.look_alikes import folded
from marketplace.receivables.matching.named import Named, named
from marketplace.receivables.matching.number import NumberRead, read_number
from marketplace.receivables.matching.particulars import Particulars, stands_in

WORD = re.compile(r"[^\W\d_]{3,}")
FIGURE = re.compile(r"[0-9]+")
PACK, PACKS = 12, (10, 12, 25)
REFERENCE_SIGNS_MIN, WORDS_KEPT_MAX = 4, 400
REFERENCE = re.compile(r"(?:\b([A-Z]{1,4}) )?(?<![A-Z0-9])([A-Z]{0,5}[-/]?[0-9][0-9A-Z/.-]{1,20})")


class Line(NamedTuple):
    """One line: its folded words, net minor units, quantity and unit price, None where not said; words as written."""

    words: str
    amount_minor: int | None
    quantity: float | None
    price_minor: int | None
    said: str = ""

    @property
    def root(self) -> str:
        """The words without figures and short words: what was sold, not when or which."""
        return " ".join(WORD.findall(self.words)) or self.words

    @property
    def odd(self) -> bool:
        """Whether the quantity is no dozen, ten or pack of goods: nobody orders 317 of them twice by habit."""
        many = self.quantity or 0
        return many > PACK and many == int(many) and all(many % pack for pack in PACKS)


@dataclass(frozen=True)
class GoodsRead:
    """What was sold, and by which order, contract and notes it is said to be."""

    lines: tuple[Line, ...]
    order: str
    order_said: str
    contract: str
    notes: str

    @property
    def order_read(self) -> NumberRead:
        """The order in every form that is compared."""
        return read_number(self.order_said)

    @lazily
    def net_minor(self) -> int | None:
        """The sum of the lines, None without lines or where one has no amount."""
        amounts = [line.amount_minor for line in self.lines]
        return sum(amount for amount in amounts if amount is not None) if amounts and None not in amounts else None

    @lazily
    def counted(self) -> "Counter[tuple[str, int | None]]":
        """The lines as (words, amount), to compare them in any order."""
        return Counter((line.words, line.amount_minor) for line in self.lines)

    @lazily
    def amounts(self) -> "Counter[int | None]":
        """The amounts of the lines, to compare them in any order."""
        return Counter(line.amount_minor for line in self.lines)

    @lazily
    def text(self) -> str:
        """The words of all lines, in one order whatever order the lines stand in."""
        return " ".join(sorted(line.words for line in self.lines))

    @lazily
    def particulars(self) -> Particulars:
        """What lines and notes say to tell this delivery, month or instalment from others."""
        return Particulars(self.text, self.notes)

    @lazily
    def telling(self) -> Telling:
        """The words of the lines by what they can tell."""
        return Telling(line.said for line in self.lines)

    @lazily
    def named(self) -> tuple[Named, ...]:
        """What every line names that names anything."""
        return named([line.words for line in self.lines], self.notes)

    @lazily
    def priced(self) -> "Counter[tuple[float | None, int | None]]":
        """The lines as (quantity, unit price), whatever they call what is sold."""
        return Counter((line.quantity, line.price_minor) for line in self.lines)

    @lazily
    def odd(self) -> bool:
        """Whether any line is of an odd quantity at a price."""
        return any(line.odd and line.price_minor for line in self.lines)

    @lazily
    def references(self) -> frozenset[str]:
        """Numbers that the notes mention: an order or an earlier invoice may hide there."""
        return _references(self.notes)

    def mentions(self, reference: str) -> bool:
        """Say whether notes or lines mention a bare reference of four signs or more."""
        if len(reference) < REFERENCE_SIGNS_MIN:
            return False
        return reference in self.references or reference in _references(self.text)

    def may_mention(self, end: str) -> bool:
        """Say whether what a reference ends on stands anywhere in notes or lines: most papers mention nothing."""
        return end in self.notes or end in self.text

    @lazily
    def again(self) -> bool:
        """Whether notes say that this stands in another's place."""
        return stands_in(self.notes)

    @lazily
    def lumped(self) -> bool:
        """Whether every line is one of something: a sum without an account of it."""
        return bool(self.lines) and all(line.quantity in (None, 1) for line in self.lines)

    @lazily
    def figures(self) -> frozenset[str]:
        """The figures in the words of the lines: measures, types and drawings survive a rewording."""
        return frozenset(FIGURE.findall(self.text))


def _references(text: str) -> frozenset[str]:
    found = REFERENCE.findall(text) if text else ()
    return frozenset(bare(word) for before, number in found for word in (number, before + number))


@lru_cache(maxsize=65_536)
def bare(text: str) -> str:
    """Return the letters and digits of a reference: PO-77/12 and po 7712 are one."""
    return SEPARATORS.sub("", folded(text))


def read_goods(
    lines: Sequence[tuple[object, ...]], order: str | None, contract: str | None, notes: str | None
) -> GoodsRead:
    """Return the goods of a claim; `lines` are (words, net minor) or (words, net minor, quantity, price minor)."""
    return GoodsRead(
        tuple(_line(*line) for line in lines),
        bare(order or ""),
        order or "",
        bare(contract or ""),
        folded(notes or ""),
    )


def _line(words: object, amount: object = None, quantity: object = None, price: object = None) -> Line:
    said = str(words)
    kept = _words(said) if len(said) <= WORDS_KEPT_MAX else " ".join(folded(said).split())
    return Line(kept, amount, quantity, price, said)  # type: ignore[arg-type]


@lru_cache(maxsize=16_384)
def _words(text: str) -> str:
    return " ".join(folded(text).split())
