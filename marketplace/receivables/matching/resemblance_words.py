"""How the words of two claims resemble each other: the part of `resemblance` that is about what was delivered."""

import re
from collections.abc import Iterator, Sequence, Set
from typing import Any

from rapidfuzz import fuzz

from marketplace.receivables.matching.identifying import identified_apart
from marketplace.receivables.matching.line_words import LineWords
from marketplace.receivables.matching.particulars import told_apart
from marketplace.receivables.matching.told import Told

Figures = Iterator[tuple[str, float]]

UNKNOWN = -1.0
DIGITS = re.compile(r"[0-9]")
PERCENT = re.compile(r"[0-9] ?%")
STEM_SIGNS = 4
LINES_COMPARED_MAX = 64  # times lines
WORDS_COMPARED_MAX = 400  # times words

# What is compared as sets, each an attribute of `Told`.
SETS = {
    "rare": "marks that number one thing only, a consignment or a time sheet",
    "small": "other figures in the text: a house, a size, a count",
    "runs": "figures of two digits and more, however they are joined: 80-83-57107 and 80 83 57107",
    "words": "words of three letters and more",
    "names": "words written with a capital",
    "days": "days that the text names",
    "months": "months that the text names, those of its days included",
    "anchors": "marks, days and months together",
    "inner": "words written with a capital within a sentence: people and places",
    "refs": "marks, order and contract together",
}


def _set(name: str, one: Set[Any], other: Set[Any]) -> Figures:
    shared = len(one & other)
    left = len(one) - shared, len(other) - shared
    yield f"{name}_shared", shared
    yield f"{name}_left", min(left)
    yield f"{name}_more", max(left)
    yield f"{name}_contained", shared / min(len(one), len(other)) if one and other else UNKNOWN


def about_words(one: Told, other: Told) -> Figures:
    """Yield (name, figure) of everything that is asked of the words of two claims; UNKNOWN where one says nothing."""
    for name in SETS:
        yield from _set(name, getattr(one, name), getattr(other, name))
    yield "rare_longest", max(map(len, one.rare & other.rare), default=0)
    mine, theirs = one.rare - other.rare, other.rare - one.rare
    shapes = ({DIGITS.sub("0", sign) for sign in signs} for signs in (mine, theirs))
    yield "rare_shape", len(set.intersection(*shapes)) if mine and theirs else 0
    sites = {name.partition("_")[2]: value for name, value in _set("", one.sites, other.sites)}
    yield "sites_contained", sites["contained"]
    yield "sites_left", sites["left"]
    said = bool(one.text and other.text)
    yield "text_alike", fuzz.token_sort_ratio(one.undated, other.undated) / 100 if said else UNKNOWN
    yield "text_contained", fuzz.token_set_ratio(one.text, other.text) / 100 if said else UNKNOWN
    yield "words_alike", fuzz.ratio(one.worded, other.worded) / 100 if one.words and other.words else UNKNOWN
    notes = one.claim.goods.notes, other.claim.goods.notes
    yield "notes_alike", fuzz.ratio(*notes) / 100 if all(notes) else UNKNOWN
    yield from _by_line(one, other)
    yield from _swapped(mine=one.words - other.words, theirs=other.words - one.words)
    yield "words_stem", max(_stems(one.words, other.words), _stems(other.words, one.words))
    yield "percents", sum(PERCENT.search(told.text) is not None for told in (one, other))
    yield "identified_apart", identified_apart(one.read, other.read)
    apart = told_apart(one.claim.goods.particulars, other.claim.goods.particulars)
    yield "apart_position", "position" in apart
    yield "apart_label", "label" in apart


def _swapped(mine: Set[str], theirs: Set[str]) -> Figures:
    """Compare the words that only one has with those that only the other has: misspelt, or other words."""
    few, many = sorted((mine, theirs), key=len)
    if not few or len(few) * len(many) > WORDS_COMPARED_MAX:
        yield from (("swapped_alike", UNKNOWN), ("swapped_least", UNKNOWN))
        return
    sides = [(few, many), (many, few)] if len(few) == len(many) else [(few, many)]
    near = [[max(fuzz.ratio(word, said) for said in there) / 100 for word in here] for here, there in sides]
    yield "swapped_alike", max(sum(side) for side in near) / len(few)
    yield "swapped_least", max(min(side) for side in near)


def _by_line(one: Told, other: Told) -> Figures:
    """Compare each line of the paper with fewer with the nearest of the other."""
    few, many = sorted((one.claim.goods.read_lines, other.claim.goods.read_lines), key=len)
    if not few or len(few) * len(many) > LINES_COMPARED_MAX:
        yield from (("lines_best", UNKNOWN), ("lines_least", UNKNOWN), ("lines_apart", UNKNOWN))
        return
    both = len(few) == len(many)
    there = [_nearest(line, many) for line in few]
    back = [_nearest(line, few) for line in many] if both else there
    yield "lines_best", max(sum(near for near, _ in side) for side in (there, back)) / len(few)
    yield "lines_least", max(min(near for near, _ in side) for side in (there, back))
    yield "lines_apart", max(sum(apart for _, apart in side) for side in (there, back))


def _nearest(line: LineWords, among: Sequence[LineWords]) -> tuple[float, bool]:
    """Return how near the nearest of other lines is, 0 to 1, and whether the two have figures that tell them apart."""
    near, apart = 0.0, True
    for other in among:
        alike = 1.0 if line.text == other.text else fuzz.ratio(line.text, other.text) / 100
        if alike >= near:
            mine, theirs = line.marks, other.marks
            differ = not (mine <= theirs or theirs <= mine)
            near, apart = alike, differ and (apart or alike > near)
    return near, apart


def _stems(one: Set[str], other: Set[str]) -> float:
    """Return what part of the words of one is, or begins as, a word of the other."""
    if not one or not other:
        return UNKNOWN
    stems = {word[:STEM_SIGNS] for word in other}
    return sum(word[:STEM_SIGNS] in stems for word in one) / len(one)
