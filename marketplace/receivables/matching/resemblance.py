"""How two claims resemble each other: a row of named figures, from which the learned verdict is drawn.

Every figure is the same in both orders of the pair. UNKNOWN stands where one of the two does not say; every other
value is 0 or more. Whatever stands in lines and in notes is taken together.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from datetime import date
from math import log, log10
from typing import Any

from rapidfuzz import fuzz

from marketplace.receivables.matching import number
from marketplace.receivables.matching.claim import Claim, Finding
from marketplace.receivables.matching.fingerprint import document_class
from marketplace.receivables.matching.goods_read import bare
from marketplace.receivables.matching.identifying import identified_apart
from marketplace.receivables.matching.line_words import LineWords
from marketplace.receivables.matching.money import VAT_RATES
from marketplace.receivables.matching.particulars import told_apart
from marketplace.receivables.matching.party import Kinship, NameRead, kinship, registered_apart
from marketplace.receivables.matching.pattern import rhythm
from marketplace.receivables.matching.told import Told

Figures = Iterator[tuple[str, float]]

UNKNOWN = -1.0
DIGITS = re.compile(r"[0-9]")
PERCENT = re.compile(r"[0-9] ?%")
STEM_SIGNS = 4
PARTS = (1.5, 2, 2.5, 3, 4, 1 / 0.6, 1 / 0.4, 10 / 3, 10 / 7, 4 / 3)
STEP_MAX, STEP_OF_SERIES_MAX, ZEROS_MAX = 10_000, 5_000, 9
LINES_COMPARED_MAX = 64  # times lines
FOUND = (
    "number_mentioned",
    "order_mentioned",
    "lines_merged",
    "lines_scaled",
    "part_of_order",
    "number_neighbour",
    "same_delivery",
    "other_lines",
    "lines_alike",
    "same_goods",
    "part_of_lines",
    "same_lines",
)

_SETS = {
    "rare": "marks that number one thing only, a consignment or a time sheet",
    "small": "other figures in the text: a house, a size, a count",
    "words": "words of three letters and more",
    "names": "words written with a capital",
    "days": "days that the text names",
    "months": "months that the text names, those of its days included",
    "anchors": "marks, days and months together",
    "inner": "words written with a capital within a sentence: people and places",
    "refs": "marks, order and contract together",
}
_OF_SETS = {
    "shared": "how many both have",
    "left": "how many one of the two has for itself, the lesser count",
    "more": "the same, the greater count",
    "contained": "what part of the lesser set is in the other",
}
_UNUSED = {"names_shared", "days_shared", "months_left", "months_more", "inner_more"}  # told the trees nothing
FEATURES: dict[str, str] = {
    **{f"found_{code}": f"1 where the rules found {code}" for code in FOUND},
    **{f"{of}_{how}": f"{words}: {which}" for of, words in _SETS.items() for how, which in _OF_SETS.items()
       if f"{of}_{how}" not in _UNUSED},
    "rare_longest": "signs of the longest shared mark",
    "rare_shape": "shapes in which each has a mark that the other has not: D-0000 and D-0000",
    "sites_contained": "names and other figures together: what part of the lesser set is in the other",
    "sites_left": "of these how many one has for itself, the lesser count",
    "text_alike": "likeness of the texts without their dates, words in order, 0 to 1",
    "text_contained": "how far the words of one text are those of the other, 0 to 1",
    "words_alike": "likeness of the words without their figures, in order, 0 to 1",
    "notes_alike": "likeness of the notes, 0 to 1",
    "lines_best": "likeness of the lines to the nearest of the other, of the paper with fewer lines on average, 0 to 1",
    "lines_least": "the least of these",
    "lines_apart": "how many of these have a figure that the nearest has not, and the reverse",
    "words_stem": "what part of the one's words begins as words of the other do",
    "percents": "how many of the two name a percentage",
    "identified_apart": "1 where nothing but a figure or a name tells the lines apart",
    "apart_position": "1 where they say that they are different parts of a whole",
    "apart_label": "1 where something is labelled with different figures",
    "quantities_shared": "what part of the fewer quantities is in the other",
    "amounts_shared": "what part of the fewer amounts of lines is in the other",
    "prices_shared": "what part of the fewer unit prices is in the other",
    "priced_shared": "what part of the fewer quantities with their prices is in the other",
    "quantity_odd": "the largest shared quantity",
    "quantities_fewer": "how many different quantities, the lesser count",
    "quantities_equal": "1 where all quantities are the same",
    "quantities_scaled": "by what part the ratio of quantities varies: 0 where all were multiplied alike",
    "amounts_scaled": "the same of the amounts, of two lines and more",
    "lines_fewer": "how many lines, the lesser count",
    "lines_more": "how many lines, the greater count",
    "lumped": "how many of the two give a sum without an account",
    "face_apart": "logarithm of the ratio of the faces",
    "sums_apart": "the least such of any sum that stands for the whole",
    "sums_shared": "how many such sums both have",
    "round_less": "zeros at the end of the face, the lesser count",
    "round_more": "zeros at the end of the face, the greater count",
    "magnitude": "decimal logarithm of the greater face",
    "vat_apart": "how far the ratio of the faces is from a rate of VAT",
    "part_apart": "how far the ratio of the faces is from a plain part: a half, a third, two fifths",
    "percent_round": "how far the difference is from whole percent of the greater face",
    "percent_added_round": "how far the difference is from whole percent of the lesser face",
    "gap_round": "zeros at the end of the difference",
    "other_currency": "1 where the currencies differ",
    "prepaid": "how many of the two say that something was paid before",
    "issued_apart": "days between the dates of issue",
    "issued_same_month": "1 where they were issued in one month",
    "due_apart": "days between the due dates",
    "terms_apart": "days by which the terms differ",
    "weekday_apart": "the days between the dates of issue, modulo seven",
    "month_day_apart": "how far the days of issue are apart within the month",
    "rhythm_month": "1 where whole months lie between",
    "rhythm_week": "1 where whole weeks lie between",
    "moved_together": "days by which the days named moved otherwise than the dates of issue",
    "months_moved": "months by which the last month named moved otherwise than the month of issue",
    "number_alike": "likeness of the numbers, 0 to 1",
    "number_step": "steps between the numbers of a series, 10000 where they are of none",
    "number_rate": "steps a day",
    "number_series": "1 where the numbers are of one series",
    "number_natural": "1 where the later one bears the higher number",
    "number_against": "1 where the later one bears the lower number",
    "number_unordered": "1 where neither number is the higher",
    "sellers": "kinship of the sellers, from other to the same",
    "debtors": "kinship of the debtors",
    "parties": "the lesser of the two",
    "parties_swapped": "the lesser kinship of the one's seller with the other's debtor, and the reverse",
    "sellers_registered_apart": "1 where the sellers have registrations of their own",
    "debtors_registered_apart": "1 where the debtors have registrations of their own",
    "seller_names_alike": "likeness of the sellers' names, 0 to 1",
    "debtor_names_alike": "likeness of the debtors' names, 0 to 1",
    "debtor_names_left": "words of the debtors' names that one has for itself, the lesser count",
    "same_account": "1 where both are payable to one account, 0 where to two",
    "document_class_differs": "1 where one is an invoice and the other a credit or debit note",
    "document_type_differs": "1 where the codes of the documents differ",
    "document_prepayment": "1 where one is a prepayment invoice (386)",
    "document_debit": "1 where one is a debit note (383)",
    "says_again": "how many of the two say that they stand in another's place",
    "order_same": "1 where both give one order, by its longest figure",
    "order_alike": "likeness of the orders, 0 to 1",
    "same_file": "1 where the very same file was listed",
}  # fmt: skip
NAMES = tuple(FEATURES)


def resemblance(new: Claim, old: Claim, findings: Sequence[Finding]) -> list[float]:
    """Return the figures of a pair in the order of NAMES; `findings` are what the rules found."""
    codes = {finding.code for finding in findings}
    figures: dict[str, float] = {f"found_{code}": float(code in codes) for code in FOUND}
    figures.update(_words(new.told, old.told))
    figures.update(_counts(new.told, old.told))
    figures.update(_sums(new, old))
    figures.update(_dates(new, old))
    figures.update(_numbers(new, old))
    figures.update(_who(new, old))
    figures.update(_papers(new, old))
    return [figures[name] for name in NAMES]


def _set(name: str, one: Set[Any], other: Set[Any]) -> Figures:
    shared = len(one & other)
    left = len(one) - shared, len(other) - shared
    yield f"{name}_shared", shared
    yield f"{name}_left", min(left)
    yield f"{name}_more", max(left)
    yield f"{name}_contained", shared / min(len(one), len(other)) if one and other else UNKNOWN


def _words(one: Told, other: Told) -> Figures:
    for name in _SETS:
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
    yield "words_stem", max(_stems(one.words, other.words), _stems(other.words, one.words))
    yield "percents", sum(PERCENT.search(told.text) is not None for told in (one, other))
    yield "identified_apart", identified_apart(one.read, other.read)
    apart = told_apart(one.claim.goods.particulars, other.claim.goods.particulars)
    yield "apart_position", "position" in apart
    yield "apart_label", "label" in apart


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


def _counts(one: Told, other: Told) -> Figures:
    for name in ("quantities", "amounts", "prices", "priced"):
        yield f"{name}_shared", _overlap(getattr(one, name), getattr(other, name))
    yield "quantity_odd", max(one.quantities & other.quantities, default=0)
    yield "quantities_fewer", min(len(one.quantities), len(other.quantities))
    yield "quantities_equal", bool(one.quantities) and one.quantities == other.quantities
    yield "quantities_scaled", _scaled(one.quantities, other.quantities)
    several = one.amounts.total() > 1
    yield "amounts_scaled", _scaled(one.amounts, other.amounts) if several else UNKNOWN
    lines = len(one.claim.goods.lines), len(other.claim.goods.lines)
    yield "lines_fewer", min(lines)
    yield "lines_more", max(lines)
    yield "lumped", one.claim.goods.lumped + other.claim.goods.lumped


def _overlap(one: "Counter[Any]", other: "Counter[Any]") -> float:
    return (one & other).total() / min(one.total(), other.total()) if one and other else UNKNOWN


def _scaled(one: "Counter[Any]", other: "Counter[Any]") -> float:
    """Return by what part the ratios of two lists, each in order of size, vary."""
    if not one or one.total() != other.total() or 0 in one or 0 in other:
        return UNKNOWN
    pairs = zip(sorted(one.elements()), sorted(other.elements()), strict=True)
    ratios = [abs(mine / theirs) for mine, theirs in pairs]
    return float(round(max(ratios) / min(ratios) - 1, 6))


def _sums(new: Claim, old: Claim) -> Figures:
    mine, theirs = new.sums, old.sums
    yield "sums_apart", min((log(max(a, b) / min(a, b)) for a in mine for b in theirs), default=UNKNOWN)
    yield "sums_shared", len(set(mine) & set(theirs))
    yield "other_currency", new.money != old.money
    yield "prepaid", bool(new.prepaid_minor) + bool(old.prepaid_minor)
    less, more = sorted((abs(new.amount_minor or 0), abs(old.amount_minor or 0)))
    zeros = _zeros(less), _zeros(more)
    yield "round_less", min(zeros)
    yield "round_more", max(zeros)
    yield "magnitude", log10(max(more, 1))
    if not less:
        for name in ("face_apart", "vat_apart", "part_apart", "percent_round", "percent_added_round", "gap_round"):
            yield name, UNKNOWN
        return
    ratio, gap = more / less, more - less
    yield "face_apart", log(ratio)
    yield "vat_apart", min(abs(ratio - 1 - rate / 100) for rate in VAT_RATES)
    yield "part_apart", min(abs(ratio - part) for part in PARTS)
    yield "percent_round", _from_whole(gap / more * 100)
    yield "percent_added_round", _from_whole(gap / less * 100)
    yield "gap_round", _zeros(gap) if gap else ZEROS_MAX


def _from_whole(value: float) -> float:
    return abs(value - round(value))


def _zeros(value: int) -> int:
    """Return the zeros at the end of a number, at most nine."""
    text = str(value)
    return min(len(text) - len(text.rstrip("0")), ZEROS_MAX) if value else 0


def _dates(new: Claim, old: Claim) -> Figures:
    terms = [(claim.due_on - claim.issued_on).days for claim in (new, old) if claim.due_on and claim.issued_on]
    yield "due_apart", _days(new.due_on, old.due_on)
    yield "terms_apart", abs(terms[0] - terms[1]) if len(terms) == 2 else UNKNOWN
    apart = _days(new.issued_on, old.issued_on)
    yield "issued_apart", apart
    named = _days(max(new.told.days, default=None), max(old.told.days, default=None))
    yield "moved_together", abs(named - apart) if min(named, apart) >= 0 else UNKNOWN
    one, other = new.issued_on, old.issued_on
    yield "months_moved", _months_moved(new, old)
    if one is None or other is None:
        yield from (("issued_same_month", UNKNOWN), ("weekday_apart", UNKNOWN), ("month_day_apart", UNKNOWN))
        yield from (("rhythm_month", 0), ("rhythm_week", 0))
        return
    yield "issued_same_month", (one.year, one.month) == (other.year, other.month)
    yield "weekday_apart", apart % 7
    within = abs(one.day - other.day)
    yield "month_day_apart", min(within, 31 - within)
    beat = rhythm(one, other) if apart else ""
    yield "rhythm_month", beat == "month"
    yield "rhythm_week", beat == "week"


def _months_moved(new: Claim, old: Claim) -> float:
    if not (new.issued_on and old.issued_on and new.told.months and old.told.months):
        return UNKNOWN
    named, issued = ([year * 12 + month for year, month in both] for both in (
        (max(new.told.months), max(old.told.months)),
        [(day.year, day.month) for day in (new.issued_on, old.issued_on)],
    ))  # fmt: skip
    return abs(abs(named[0] - named[1]) - abs(issued[0] - issued[1]))


def _days(one: date | None, other: date | None) -> float:
    return abs((one - other).days) if one and other else UNKNOWN


def _numbers(new: Claim, old: Claim) -> Figures:
    mine, theirs = new.read, old.read
    both = bool(mine.alike and theirs.alike)
    yield "number_alike", fuzz.ratio(mine.alike, theirs.alike) / 100 if both else UNKNOWN
    step = min(number.step(mine, theirs), STEP_MAX)
    yield "number_step", step
    apart = _days(new.issued_on, old.issued_on)
    yield "number_rate", step / (apart + 1) if step <= STEP_OF_SERIES_MAX and apart >= 0 else UNKNOWN
    yield "number_series", mine.series == theirs.series
    higher = number.order(mine, theirs)
    later = 0
    if new.issued_on and old.issued_on:
        later = (new.issued_on > old.issued_on) - (new.issued_on < old.issued_on)
    yield "number_natural", higher * later > 0
    yield "number_against", higher * later < 0
    yield "number_unordered", higher == 0


def _who(new: Claim, old: Claim) -> Figures:
    sellers = kinship(new.seller, old.seller, new.seller_who, old.seller_who, _one(new.seller_group, old.seller_group))
    debtors = kinship(new.debtor, old.debtor, new.debtor_who, old.debtor_who, _one(new.debtor_group, old.debtor_group))
    yield "sellers", sellers
    yield "debtors", debtors
    yield "parties", min(sellers, debtors)
    swapped = parties_swapped(new, old) if max(sellers, debtors) <= Kinship.LOOSE else Kinship.OTHER
    yield "parties_swapped", swapped
    yield "seller_names_alike", _named_alike(new.seller_name, old.seller_name)
    yield "debtor_names_alike", _named_alike(new.debtor_name, old.debtor_name)
    mine, theirs = set(new.debtor_name.words), set(old.debtor_name.words)
    yield "debtor_names_left", min(len(mine - theirs), len(theirs - mine))
    yield "same_account", bare(new.iban) == bare(old.iban) if new.iban and old.iban else UNKNOWN
    yield "sellers_registered_apart", registered_apart(new.seller_who, old.seller_who)
    yield "debtors_registered_apart", registered_apart(new.debtor_who, old.debtor_who)


def parties_swapped(new: Claim, old: Claim) -> Kinship:
    """Return how near the parties are when the one's seller stands where the other's debtor does, and the reverse."""
    return min(
        kinship(new.seller, old.debtor, new.seller_who, old.debtor_who, _one(new.seller_group, old.debtor_group)),
        kinship(new.debtor, old.seller, new.debtor_who, old.seller_who, _one(new.debtor_group, old.seller_group)),
    )


def _named_alike(one: NameRead, other: NameRead) -> float:
    return fuzz.token_sort_ratio(one.text, other.text) / 100 if one.words and other.words else UNKNOWN


def _one(one: str | None, other: str | None) -> bool:
    return bool(one) and one == other


def _papers(new: Claim, old: Claim) -> Figures:
    types = new.document_type, old.document_type
    yield "document_class_differs", document_class(types[0]) != document_class(types[1])
    yield "document_type_differs", types[0] != types[1]
    yield "document_prepayment", "386" in types
    yield "document_debit", "383" in types
    mine, theirs = new.goods, old.goods
    yield "says_again", mine.again + theirs.again
    both = bool(mine.order and theirs.order)
    yield "order_same", both and mine.order_read.core == theirs.order_read.core
    yield "order_alike", fuzz.ratio(mine.order, theirs.order) / 100 if both else UNKNOWN
    yield "same_file", bool(new.document_sha256) and new.document_sha256 == old.document_sha256
