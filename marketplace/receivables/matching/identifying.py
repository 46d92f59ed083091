"""Particulars that tell one thing sold from the next: a plate, a consignment, a flat, a worker's name.

Who bills the same thing twice changes common words, not these; two honest invoices of one day differ in nothing else.
"""

import re
from collections import Counter
from collections.abc import Iterable

from rapidfuzz import fuzz

from marketplace.receivables.matching.lazily import lazily
from marketplace.receivables.matching.look_alikes import folded
from marketplace.receivables.matching.number import READ_ALIKE

TOKEN = re.compile(r"[^\W_]+(?:[-/.][^\W_]+)*")
NAMES_MAX = 3  # a name is of so many words a line at most
NAMES_ALIKE_AT = 70.0


class Telling:
    """The words of all lines, by what they can tell: figures, capitalised words, and the rest."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = tuple(texts)

    @lazily
    def written(self) -> tuple[str, ...]:
        """Every word as it was written."""
        return tuple(word for text in self.texts for word in TOKEN.findall(text))

    @lazily
    def figures(self) -> "Counter[str]":
        """Words with a digit, signs that read alike folded."""
        return Counter(folded(word).translate(READ_ALIKE) for word in self.written if _figured(word))

    @lazily
    def words(self) -> "Counter[str]":
        """Words without a digit."""
        return Counter(folded(word) for word in self.written if not _figured(word))

    @lazily
    def capitals(self) -> frozenset[str]:
        """Words that begin with a capital; none where everything is in capitals."""
        if any(text.isupper() for text in self.texts):
            return frozenset()
        return frozenset(folded(word) for word in self.written if word[0].isupper())


def _figured(word: str) -> bool:
    return any(sign.isdecimal() for sign in word)


def identified_apart(one: Telling, other: Telling) -> bool:
    """Say whether two sets of lines are the same but for figures, or for capitalised names, that both give.

    A common word in another's place is a rewording: then differing figures still tell, but names do not.
    """
    kept = (one.figures & other.figures).total() + (one.words & other.words).total()
    if not kept or 2 * kept < min(len(one.written), len(other.written)):
        return False
    mine, theirs = one.words - other.words, other.words - one.words
    figures = bool(one.figures - other.figures), bool(other.figures - one.figures)
    if all(figures):
        return not (_common(mine, one) and _common(theirs, other))
    if any(figures) or not mine or mine.total() != theirs.total() or kept < 2:
        return False
    if mine.total() > NAMES_MAX * len(one.texts) or _common(mine, one) or _common(theirs, other):
        return False
    return not any(_alike(left, right) for left in mine for right in theirs)


def _common(words: "Counter[str]", of: Telling) -> bool:
    return not of.capitals.issuperset(words)


def _alike(one: str, other: str) -> bool:
    """Say whether one word may be the other shortened or misread."""
    if len(one) == 1 or len(other) == 1:
        return False
    return one.startswith(other) or other.startswith(one) or fuzz.ratio(one, other) >= NAMES_ALIKE_AT
