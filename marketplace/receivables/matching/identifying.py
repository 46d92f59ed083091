"""Particulars that tell one thing sold from the next: a plate, a consignment, a flat, a worker's name.

Who bills the same thing twice changes common words, not these; two honest invoices of one day differ in nothing else.
"""

from collections import Counter
from collections.abc import Sequence

from rapidfuzz import fuzz
from rapidfuzz.distance import OSA

from marketplace.receivables.matching.line_words import LineWords
from marketplace.receivables.matching.number import DIGITS

NAMES_MAX = 3  # a name is of so many words a line at most
NAMES_ALIKE_AT = 70.0
LONG_SIGNS_MIN, LAST_SIGNS = 5, 2  # numbers of one series differ at their end, misread ones anywhere


def identified_apart(one: Sequence[LineWords], other: Sequence[LineWords]) -> bool:
    """Say whether two sets of lines are the same but for figures, or for capitalised names, that both give.

    A common word in another's place is a rewording: then differing figures still tell, but names do not.
    """
    one, other = _without_cut(one, other), _without_cut(other, one)
    figures = _counted(one, "figures"), _counted(other, "figures")
    words = _counted(one, "words"), _counted(other, "words")
    mine, theirs = figures[0] - figures[1], figures[1] - figures[0]
    if mine and theirs and _runs(one) == _runs(other):
        return False  # 80-83-57107 and 80 83 57107
    kept = (figures[0] & figures[1]).total() + (words[0] & words[1]).total()
    fewest = min(figures[0].total() + words[0].total(), figures[1].total() + words[1].total())
    if mine and theirs:
        return kept * 3 >= fewest and kept > 0 and not _misread(mine, theirs)
    if mine or theirs or kept * 2 < fewest or kept < 2:
        return False
    mine, theirs = words[0] - words[1], words[1] - words[0]
    if not mine or mine.total() != theirs.total() or mine.total() > NAMES_MAX * len(one):
        return False
    if not (_capital(mine, one) and _capital(theirs, other)):
        return False
    return not any(_alike(left, right) for left in mine for right in theirs)


def _without_cut(lines: Sequence[LineWords], others: Sequence[LineWords]) -> list[LineWords]:
    """Return the lines without those that are one of the others cut off short, or the reverse."""
    texts = [other.text for other in others]
    return [line for line in lines if not any(line.text.startswith(it) or it.startswith(line.text) for it in texts)]


def _counted(lines: Sequence[LineWords], what: str) -> "Counter[str]":
    return Counter(word for line in lines for word in getattr(line, what))


def _runs(lines: Sequence[LineWords]) -> "Counter[str]":
    return Counter(run for line in lines for run in DIGITS.findall(line.text))


def _capital(words: "Counter[str]", lines: Sequence[LineWords]) -> bool:
    """Say whether all these words begin with a capital; none does where everything is in capitals."""
    return frozenset[str]().union(*(line.capitals for line in lines)).issuperset(words)


def _misread(mine: "Counter[str]", theirs: "Counter[str]") -> bool:
    """Say whether every figure of the fewer is one of the others with a sign wrong, and not at its end."""
    fewer, more = sorted((set(mine), set(theirs)), key=len)
    return all(any(_slipped(figure, said) for said in more) for figure in fewer)


def _slipped(one: str, other: str) -> bool:
    if min(len(one), len(other)) < LONG_SIGNS_MIN or one[-LAST_SIGNS:] != other[-LAST_SIGNS:]:
        return False
    return OSA.distance(one, other, score_cutoff=1) <= 1


def _alike(one: str, other: str) -> bool:
    """Say whether one word may be the other shortened or misread."""
    if len(one) == 1 or len(other) == 1:
        return False
    return one.startswith(other) or other.startswith(one) or fuzz.ratio(one, other) >= NAMES_ALIKE_AT
