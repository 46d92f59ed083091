"""Invoice numbers in the forms that are compared, and what two of them have to do with each other."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz.distance import OSA

from marketplace.kernel.words import N_
from marketplace.receivables.matching.fingerprint import joined_words, number_words
from marketplace.receivables.matching.lazily import lazily
from marketplace.receivables.matching.look_alikes import folded

# Within one alphabet these are read for each other. Only here: a seller may honestly use both in one place.
READ_ALIKE = str.maketrans({"O": "0", "Q": "0", "D": "0", "I": "1", "L": "1", "S": "5", "B": "8", "Z": "2", "G": "6"})
# What poor scans take for each other, as it is drawn: the case matters, and a bar is a one here.
DRAWN_ALIKE = frozenset(
    frozenset((one, other))
    for signs in ("0OoQD", "1lIi|", "5Ss", "8B", "2Zz", "6Gb", "9gq")
    for one in signs
    for other in signs
    if one != other
)
YEAR = re.compile(r"(?:19|20)[0-9]{2}")
YEAR_LEADING = re.compile(r"20[123][0-9](?=[0-9])")
DIGITS = re.compile(r"[0-9]+")
ADDED_SIGNS_MAX = 5
NEIGHBOURS_MAX = 60  # numbers of one series this near each other are honest neighbours


@dataclass(frozen=True)
class NumberRead:
    """One number: as the exact key takes it, and the groups of it between separators, look-alikes folded or not."""

    canonical: str
    words: tuple[str, ...]
    signs: str = ""  # letters, digits and bars as they were written, the case kept

    @lazily
    def compact(self) -> str:
        """Letters and digits alone."""
        return self.canonical.replace(".", "")

    @lazily
    def bare(self) -> str:
        """Letters and digits alone, every group without its leading zeros: A-0017 as A17."""
        return "".join(DIGITS.sub(lambda found: found[0].lstrip("0"), word) for word in self.words)

    @lazily
    def alike(self) -> str:
        """Letters and digits alone, look-alikes folded."""
        return self.compact.translate(READ_ALIKE).lstrip("0")

    @lazily
    def cuts(self) -> frozenset[int]:
        """Where separators stand between two digits, counted in signs from the right."""
        found, behind = set(), 0
        for word, before in zip(self.words[:0:-1], self.words[-2::-1], strict=True):
            behind += len(word)
            if word[0].isdecimal() and before[-1].isdecimal():
                found.add(behind)
        return frozenset(found)

    @lazily
    def core(self) -> str:
        """What remains when year, suffix, prefix and padding are taken away: what a renumbering tends to keep."""
        return _core([group for word in self.words for group in DIGITS.findall(_folded(word))]) or self.alike

    @lazily
    def cores(self) -> frozenset[str]:
        """The core, with look-alikes folded and not, and all digits together."""
        plain = _core([group for word in self.words for group in DIGITS.findall(word)])
        whole = "".join(DIGITS.findall(self.alike)).lstrip("0")
        return frozenset((self.core, plain, whole)) - {""}

    @lazily
    def series(self) -> str:
        """The number with every digit as 0: numbers of one series look the same."""
        return "-".join(DIGITS.sub(lambda found: "0" * len(found[0]), word) for word in self.words)

    @lazily
    def years(self) -> frozenset[str]:
        """Groups of the number that are years."""
        return frozenset(group for word in self.words for group in DIGITS.findall(word) if YEAR.fullmatch(group))


@lru_cache(maxsize=8_192)
def read_number(text: str) -> NumberRead:
    """Return the forms of a number; all empty for an empty one."""
    words = number_words(text) if text else []
    signs = "".join(sign for sign in text if sign.isalnum() or sign == "|")
    return NumberRead(joined_words(words) or folded(text).strip(), tuple(words), signs)


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


SAID = {
    "same_number": N_("The numbers %(new)s and %(old)s are the same."),
    "number_respelt": N_("The numbers %(new)s and %(old)s differ in separators or zeros only."),
    "number_reads_alike": N_("The numbers %(new)s and %(old)s read alike."),
    "number_extended": N_("One of %(new)s and %(old)s is the other with something added."),
    "number_rearranged": N_("The numbers %(new)s and %(old)s have the same signs in another order."),
    "number_close": N_("The numbers %(new)s and %(old)s differ in one or two signs."),
    "number_partner": N_("The numbers %(new)s and %(old)s have one stem and different endings."),
    "number_neighbour": N_("The numbers %(new)s and %(old)s are near each other in one series."),
    "other_number": N_("The numbers %(new)s and %(old)s differ."),
    "no_number": N_("One of the two bears no number."),
}
WEIGHTS = {
    "same_number": 60, "number_respelt": 60, "number_reads_alike": 55, "number_extended": 45, "number_rearranged": 35,
    "number_close": 25, "number_partner": 10, "number_neighbour": 0, "other_number": 0, "no_number": 10,
}  # fmt: skip
EDITED = frozenset(code for code, weight in WEIGHTS.items() if weight >= 35)


def relation(one: NumberRead, other: NumberRead) -> str:
    """Return what two numbers have to do with each other: a code of `WEIGHTS`. Symmetric."""
    if not one.compact or not other.compact:
        return "no_number"
    if one.canonical == other.canonical:
        return "same_number"
    if respelt(one, other):
        return "number_respelt"
    if one.compact == other.compact:
        return "number_partner"  # cut differently: 1-11 and 11-1
    if one.alike == other.alike or _misread(one.signs, other.signs):
        return "number_reads_alike"
    if _extended(one, other):
        return "number_extended"
    if one.series == other.series and 0 < step(one, other) <= NEIGHBOURS_MAX:
        return "number_neighbour"
    if _rearranged(one.alike, other.alike) or _rearranged(one.core, other.core):
        return "number_rearranged"
    return _closeness(one, other)


def respelt(one: NumberRead, other: NumberRead) -> bool:
    """Say whether two numbers are one but for dropped separators or padding: never 1-11 and 11-1."""
    if one.compact == other.compact:
        return one.cuts <= other.cuts or other.cuts <= one.cuts
    if one.signs.upper() == other.signs.upper():
        return True  # FT MV2023/7014 and FTMV20237014: what begins the one was taken for a word
    return one.bare == other.bare and len(one.words) == len(other.words)


def _misread(one: str, other: str) -> bool:
    """Say whether two numbers differ only in signs drawn alike, as they were written: never in a digit for a digit."""
    if len(one) != len(other) or (one.isdecimal() and other.isdecimal()):
        return False
    return all(a == b or frozenset((a, b)) in DRAWN_ALIKE for a, b in zip(one, other, strict=True))


def _extended(one: NumberRead, other: NumberRead) -> bool:
    short, long = sorted((one.alike, other.alike), key=lambda text: (len(text), text))
    added = len(long) - len(short)
    if len(short) >= 3 and 0 < added <= ADDED_SIGNS_MAX and (long.startswith(short) or long.endswith(short)):
        # A counter that has grown a digit in front or behind is another counter: 418 and 20418, 2041 and 20418.
        return one.core == other.core or not (one.compact.isdecimal() and other.compact.isdecimal())
    if one.core != other.core or len(one.core) < 2:
        return False
    if one.years != other.years:
        return not one.years or not other.years
    fewer, more = sorted((Counter(one.words), Counter(other.words)), key=lambda words: sum(words.values()))
    return fewer != more and fewer <= more


def step(one: NumberRead, other: NumberRead) -> int:
    """Return how far apart two numbers are in their series; very far where that cannot be said.

    Where one group of digits differs it is by that one, else by the core.
    """
    mine, theirs = ([int(group) for word in read.words for group in DIGITS.findall(word)] for read in (one, other))
    if len(mine) == len(theirs):
        gaps = [abs(a - b) for a, b in zip(mine, theirs, strict=True) if a != b]
        if len(gaps) == 1:
            return gaps[0]
    if not one.core.isdecimal() or not other.core.isdecimal():
        return NEIGHBOURS_MAX + 1
    return abs(int(one.core) - int(other.core))


def _rearranged(one: str, other: str) -> bool:
    if len(one) < 4 or len(one) != len(other) or one == other or sorted(one) != sorted(other):
        return False
    return sum(a != b for a, b in zip(one, other, strict=True)) == 2 or len(one) >= 6


def _closeness(one: NumberRead, other: NumberRead) -> str:
    if one.core == other.core and len(one.core) >= 2:
        return "number_partner"
    least = min(len(one.alike), len(other.alike))
    if least >= 4 and OSA.distance(one.alike, other.alike, score_cutoff=2) <= (1 if least < 7 else 2):
        return "number_close"
    return "other_number"


def order(one: NumberRead, other: NumberRead) -> int:
    """Return 1 where `one` comes later in the series that both belong to, -1 earlier, 0 where that cannot be said."""
    if len(one.words) != len(other.words) or not one.words:
        return 0
    for left, right in zip(one.words, other.words, strict=True):
        if left != right:
            if left.isdecimal() and right.isdecimal():
                return (int(left) > int(right)) - (int(left) < int(right))
            mine, theirs = DIGITS.findall(left), DIGITS.findall(right)
            if not mine or len(mine) != len(theirs):
                return 0
            numbers = [(int(a), int(b)) for a, b in zip(mine, theirs, strict=True)]
            return next(((a > b) - (a < b) for a, b in numbers if a != b), 0)
    return 0
