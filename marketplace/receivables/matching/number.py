"""Invoice numbers in the forms that are compared, and what two of them have to do with each other."""

import re
from dataclasses import dataclass

from marketplace.receivables.fingerprint import canonical_number, number_words

# Within one alphabet these are read for each other. Only here: a seller may honestly use both in one place.
READ_ALIKE = str.maketrans({"O": "0", "Q": "0", "D": "0", "I": "1", "L": "1", "S": "5", "B": "8", "Z": "2", "G": "6"})
YEAR = re.compile(r"(?:19|20)[0-9]{2}")
YEAR_LEADING = re.compile(r"20[123][0-9](?=[0-9])")
DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class NumberRead:
    """One number: as the exact key takes it; all its letters and digits; these with look-alikes folded; its cores.

    A core is what remains when year, suffix, prefix and padding are taken away: what a renumbering tends to keep.
    """

    canonical: str
    compact: str
    alike: str
    cores: frozenset[str]


def read_number(text: str) -> NumberRead:
    """Return the forms of a number; all empty for an empty one."""
    words = number_words(text) if text else []
    compact = "".join(words).lstrip("0")
    alike = compact.translate(READ_ALIKE).lstrip("0")
    plain = [group for word in words for group in DIGITS.findall(word)]
    folded = [group for word in words for group in DIGITS.findall(_folded(word))]
    cores = {_core(plain), _core(folded), "".join(DIGITS.findall(alike)).lstrip("0")} if words else set()
    return NumberRead(canonical_number(text) if text else "", compact, alike, frozenset(cores - {""}) or
                      (frozenset((alike,)) if alike else frozenset()))  # fmt: skip


def _folded(word: str) -> str:
    return word.translate(READ_ALIKE) if any(sign.isdigit() for sign in word) else word


def _core(groups: list[str]) -> str:
    """Return the longest group that is no year, without a year in front and zeros before it."""
    counters = [group for group in groups if not YEAR.fullmatch(group)] or groups
    if not counters:
        return ""
    longest = max(counters, key=len)
    if len(longest) >= 6 and YEAR_LEADING.match(longest):
        longest = longest[4:]
    return longest.lstrip("0")
