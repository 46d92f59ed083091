"""What a claim's words tell, lines and notes together: marks, figures, names, days and months, and its accounts.

Where the telling text stands does not matter to a forger, nor here; what is read of every line is `line_words`.
"""

import re
from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from marketplace.receivables.matching.lazily import lazily
from marketplace.receivables.matching.line_words import MONTH_WORDS, LineWords, bare, line_words

if TYPE_CHECKING:
    from marketplace.receivables.matching.claim import Claim

TOKEN = re.compile(r"[^\W_]+(?:[-/.][^\W_]+)*")
ISO_DAY = re.compile(r"\b(20[0-9]{2})[-/.]([01]?[0-9])[-/.]([0-3]?[0-9])\b")
DAY = re.compile(r"\b([0-3]?[0-9])[-/.] ?([01]?[0-9])[-/.] ?((?:20)?[0-9]{2})\b")
DAY_WORDED = re.compile(r"\b([0-3]?[0-9])\.?(?:ST|ND|RD|TH)? (?:DE |OF )?([A-Z]{3,12})\.?(?:,? (?:DE )?(20[0-9]{2}))\b")
WORDED_DAY = re.compile(r"\b([A-Z]{3,12}) ([0-3]?[0-9]),? (20[0-9]{2})\b")
MONTH_YEAR = re.compile(r"\b([A-Z]{3,12})\.?(?: DE)?[ /'-]*(20[0-9]{2})\b")
YEAR_MONTH = re.compile(r"\b(20[0-9]{2})[-/.]([01][0-9])\b|\b([01]?[0-9])[-/.](20[0-9]{2})\b")
YEAR = re.compile(r"(?:19|20)[0-9]{2}")
DIGIT = re.compile(r"[0-9]")
LONG_RUN = re.compile(r"[0-9]{2,}")
RARE_SIGNS_MIN, RARE_DIGITS_MIN, WORD_SIGNS_MIN, TEXT_SIGNS_MAX = 4, 3, 3, 4_000


@dataclass(frozen=True)
class Told:
    """A claim's own account of itself. Built once a claim: see `told`."""

    claim: "Claim"

    @lazily
    def read(self) -> tuple[LineWords, ...]:
        """Every line and the notes, in words and figures."""
        notes = self.claim.notes
        return (*self.claim.goods.read_lines, line_words(notes)) if notes else self.claim.goods.read_lines

    @lazily
    def text(self) -> str:
        """All that is said, folded, cut where it is very long."""
        return " | ".join(said.text for said in self.read)[:TEXT_SIGNS_MAX]

    @lazily
    def dated(self) -> tuple[frozenset[date], frozenset[tuple[int, int]], str]:
        """The days named, the months named (those of the days included), and the text without them."""
        days: set[date] = set()
        months: set[tuple[int, int]] = set()
        rest = self.text
        if not DIGIT.search(rest):
            return frozenset(), frozenset(), rest

        def day(year: str, month: str | int, of_month: str) -> str | None:
            try:
                days.add(date(int(year) + (2_000 if len(year) < 4 else 0), int(month), int(of_month)))
            except ValueError:
                return None
            return " ; "

        def month(year: str, at: str | int) -> str | None:
            if not 1 <= int(at) <= 12:
                return None
            months.add((int(year), int(at)))
            return " ; "

        if "-" in rest or "/" in rest or "." in rest:
            rest = ISO_DAY.sub(lambda it: day(it[1], it[2], it[3]) or it[0], rest)
            rest = DAY.sub(lambda it: day(it[3], it[2], it[1]) or it[0], rest)
        if "20" in rest:
            named = MONTH_WORDS
            rest = DAY_WORDED.sub(lambda it: (it[2] in named and day(it[3], named[it[2]], it[1])) or it[0], rest)
            rest = WORDED_DAY.sub(lambda it: (it[1] in named and day(it[3], named[it[1]], it[2])) or it[0], rest)
            rest = MONTH_YEAR.sub(lambda it: (it[1] in named and month(it[2], named[it[1]])) or it[0], rest)
            rest = YEAR_MONTH.sub(lambda it: month(it[1] or it[4], it[2] or it[3]) or it[0], rest)
        return frozenset(days), frozenset(months | {(it.year, it.month) for it in days}), rest

    @lazily
    def days(self) -> frozenset[date]:
        """The days that the text names."""
        return self.dated[0]

    @lazily
    def months(self) -> frozenset[tuple[int, int]]:
        """The months that the text names, as (year, month)."""
        return self.dated[1]

    @lazily
    def tokens(self) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
        """Rare figures (a consignment), small ones (a house), and words, of the text without its dates."""
        rare, small, words = set(), set(), set()
        own = bare(self.claim.read.compact)
        for token in TOKEN.findall(self.dated[2]):
            if not DIGIT.search(token):
                if (len(token) >= WORD_SIGNS_MIN or not token.isascii()) and token not in MONTH_WORDS:
                    words.add(token)
                continue
            sign = bare(token)
            if sign == own or YEAR.fullmatch(token):
                continue
            digits = len(DIGIT.findall(token))
            if (digits > RARE_DIGITS_MIN and len(sign) > RARE_SIGNS_MIN) or (
                digits == RARE_DIGITS_MIN and len(sign) >= RARE_SIGNS_MIN and not token.isdecimal()
            ):
                rare.add(sign)
            else:
                small.add(sign.lstrip("0"))
        return frozenset(rare), frozenset(small), frozenset(words)

    @lazily
    def rare(self) -> frozenset[str]:
        """Figures that number one thing only."""
        return self.tokens[0]

    @lazily
    def small(self) -> frozenset[str]:
        """The other figures."""
        return self.tokens[1]

    @lazily
    def runs(self) -> frozenset[str]:
        """Figures of two digits and more, whatever joins or parts them, without the dates."""
        return frozenset(LONG_RUN.findall(self.dated[2])) - set(LONG_RUN.findall(self.claim.read.compact))

    @lazily
    def words(self) -> frozenset[str]:
        """Words of three letters and more; of fewer in an alphabet of its own."""
        return self.tokens[2]

    @lazily
    def anchors(self) -> frozenset[object]:
        """Rare figures, days and months: what a bill names its delivery by."""
        return frozenset((*self.rare, *self.days, *self.months))

    @lazily
    def names(self) -> frozenset[str]:
        """Words that were written with a capital, without figures and months."""
        return frozenset(
            word
            for said in self.read
            for word in said.capitals
            if len(word) >= 2 and word not in MONTH_WORDS and not DIGIT.search(word)
        )

    @lazily
    def inner(self) -> frozenset[str]:
        """Those of the names that begin no sentence: people and places."""
        return frozenset(word for said in self.read for word in said.inner_capitals) & self.names

    @lazily
    def refs(self) -> frozenset[str]:
        """Marks, wherever they stand: the order and the contract among them."""
        goods = self.claim.goods
        return self.rare | {bare(said) for said in (goods.order, goods.contract) if len(said) >= RARE_SIGNS_MIN}

    @lazily
    def sites(self) -> frozenset[str]:
        """Names and small figures: a street and its house."""
        return self.names | self.small

    @lazily
    def undated(self) -> str:
        """The text without its dates, its words in order."""
        return " ".join(sorted(TOKEN.findall(self.dated[2])))

    @lazily
    def worded(self) -> str:
        """The words alone, in order."""
        return " ".join(sorted(self.words))

    @lazily
    def prices(self) -> "Counter[int]":
        """Unit prices, minor units."""
        return Counter(line.price_minor for line in self.claim.goods.lines if line.price_minor)

    @lazily
    def quantities(self) -> "Counter[float]":
        """Quantities that are more than one of something."""
        return Counter(line.quantity for line in self.claim.goods.lines if line.quantity not in (None, 1))

    @lazily
    def amounts(self) -> "Counter[int]":
        """Amounts of lines, minor units."""
        return Counter(line.amount_minor for line in self.claim.goods.lines if line.amount_minor)

    @lazily
    def priced(self) -> "Counter[tuple[float | None, int]]":
        """Quantities with their unit prices."""
        return Counter((line.quantity, line.price_minor) for line in self.claim.goods.lines if line.price_minor)
