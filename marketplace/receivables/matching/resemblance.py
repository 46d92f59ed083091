"""How two claims resemble each other: a row of named figures, from which the learned verdict is drawn.

Every figure is the same in both orders of the pair. UNKNOWN stands where one of the two does not say; every other
value is 0 or more. Whatever stands in lines and in notes is taken together.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from math import log, log10
from typing import Any

from rapidfuzz import fuzz

from marketplace.receivables.matching import number
from marketplace.receivables.matching.claim import Claim, Finding
from marketplace.receivables.matching.fingerprint import document_class
from marketplace.receivables.matching.goods_read import bare
from marketplace.receivables.matching.money import VAT_RATES
from marketplace.receivables.matching.party import Kinship, NameRead, kinship, registered_apart
from marketplace.receivables.matching.pattern import rhythm
from marketplace.receivables.matching.resemblance_words import SETS, UNKNOWN, Figures, about_words
from marketplace.receivables.matching.told import Told

PARTS = (1.5, 2, 2.5, 3, 4, 1 / 0.6, 1 / 0.4, 10 / 3, 10 / 7, 4 / 3)
STEP_MAX, STEP_OF_SERIES_MAX, ZEROS_MAX = 10_000, 5_000, 9
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

_OF_SETS = {
    "shared": "how many both have",
    "left": "how many one of the two has for itself, the lesser count",
    "more": "the same, the greater count",
    "contained": "what part of the lesser set is in the other",
}
_UNUSED = {"names_shared", "days_shared", "months_left", "months_more", "inner_more"}  # told the trees nothing
FEATURES: dict[str, str] = {
    **{f"found_{code}": f"1 where the rules found {code}" for code in FOUND},
    **{f"{of}_{how}": f"{words}: {which}" for of, words in SETS.items() for how, which in _OF_SETS.items()
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
    "swapped_alike": "how near the words that only one has are to those that only the other has, on average, 0 to 1",
    "swapped_least": "the least of these",
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
    figures.update(about_words(new.told, old.told))
    figures.update(_counts(new.told, old.told))
    figures.update(_sums(new, old))
    figures.update(_dates(new, old))
    figures.update(_numbers(new, old))
    figures.update(_who(new, old))
    figures.update(_papers(new, old))
    return [figures[name] for name in NAMES]


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
