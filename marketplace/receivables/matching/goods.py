"""Orders, contracts and lines of two claims."""

from collections import Counter
from collections.abc import Iterator

from rapidfuzz import fuzz

from marketplace.kernel.words import N_
from marketplace.receivables.matching import number
from marketplace.receivables.matching.claim import Claim, Finding
from marketplace.receivables.matching.goods_read import GoodsRead, Line, bare

ORDER_EDITED = frozenset(
    ("same_number", "number_respelt", "number_reads_alike", "number_extended", "number_rearranged")
)
LAST_SIGNS = 2
ORDER_MISTYPED, ORDER_OF_SAME, ORDER_OTHER = -12, -38, -45
SAME_LINES = (28, 30, 36, 44, 56)  # by how many they are
REWRITTEN_AT, UNLIKE_BELOW = 60.0, 45.0


def about_orders(new: Claim, old: Claim) -> Iterator[Finding]:
    """Yield what order, contract and the numbers mentioned in notes say."""
    mine, theirs = new.goods, old.goods
    said: dict[str, object] = {"new": new.purchase_order or "-", "old": old.purchase_order or "-"}
    if mine.order and theirs.order:
        if mine.order == theirs.order:
            yield Finding("same_order", 18, N_("They bill the same purchase order, %(new)s."), said)
        elif (how := number.relation(mine.order_read, theirs.order_read)) in ORDER_EDITED:
            yield Finding("order_edited", 14, N_("The purchase orders %(new)s and %(old)s differ in little."), said)
        elif how == "number_close" or _mistyped(mine.order, theirs.order):
            yield Finding(
                "order_close", 0, N_("The purchase orders %(new)s and %(old)s differ in a sign or two."), said
            )
        else:
            weight = _other_order(mine, theirs)
            yield Finding("other_order", weight, N_("They bill different purchase orders, %(new)s and %(old)s."), said)
    elif _orders(theirs, mine) or _orders(mine, theirs):
        yield Finding("order_mentioned", 18, N_("The purchase order of one is mentioned in the other."), said)
    if mine.contract and theirs.contract and mine.contract != theirs.contract:
        said = {"new": new.contract, "old": old.contract}
        yield Finding("other_contract", -20, N_("They rest on different contracts, %(new)s and %(old)s."), said)
    if _names(mine, old) or _names(theirs, new):
        said = {"new": new.number, "old": old.number}
        yield Finding("number_mentioned", 50, N_("One of %(new)s and %(old)s is mentioned in the other."), said)

    elif mine.notes and theirs.notes and mine.delivery_notes & theirs.delivery_notes:
        yield Finding("same_delivery_note", 35, N_("They name the same delivery note."))
    elif mine.again != theirs.again:
        yield Finding("says_again", 30, N_("One of them says that it stands in another's place."))


def _mistyped(one: str, other: str) -> bool:
    """Say whether one sign differs, and not among the last two, where the orders of one day differ."""
    if len(one) != len(other):
        return False
    wrong = [place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    return len(wrong) == 1 and wrong[0] < len(one) - LAST_SIGNS


def _other_order(mine: GoodsRead, theirs: GoodsRead) -> int:
    """Return what another order weighs: less where the same odd quantities are billed, least if one digit differs."""
    if not (mine.odd or len(mine.lines) > 1) or mine.priced != theirs.priced:
        return ORDER_OTHER
    one, other = mine.order, theirs.order
    typed = len(one) == len(other) and sum(a != b for a, b in zip(one, other, strict=True)) == 1
    if typed:
        return ORDER_MISTYPED
    return ORDER_OF_SAME if mine.odd else ORDER_OTHER


def _names(goods: GoodsRead, claim: Claim) -> bool:
    read = claim.read
    if not read.words or not goods.may_mention(read.words[-1]):
        return False
    return goods.mentions(bare(claim.number)) or goods.mentions(read.compact)


def one_order(mine: GoodsRead, theirs: GoodsRead) -> bool:
    """Say whether both bill one order, or one mentions the other's and gives none."""
    if mine.order and theirs.order:
        return mine.order == theirs.order
    return _orders(theirs, mine) or _orders(mine, theirs)


def _orders(goods: GoodsRead, other: GoodsRead) -> bool:
    if not other.order or not (goods.notes or goods.lines):
        return False
    words = other.order_read.words
    return bool(words) and goods.may_mention(words[-1]) and goods.mentions(other.order)


PARTS = frozenset(("part_of_lines", "lines_scaled", "same_goods", "same_quantities", "goods_split", "lines_alike"))
EXPLAINS = frozenset(
    ("part_of_lines", "lines_scaled", "same_quantities", "goods_split", "part_of_order")
)  # why the sums differ
USUAL_PARTS, PIECES_MIN, PIECE_SLACK = ((1, 2), (1, 3), (2, 5), (3, 5)), 20, 0.0151
PART_DAYS, PART_SAME_DAY, PART_NEAR = 5, 32, 18
SAID = {
    "same_lines": N_("Line by line the same goods at the same prices."),
    "same_line_amounts": N_("Line by line the same amounts; the words differ."),
    "lines_merged": N_("More lines and fewer add up to the same sum."),
    "lines_scaled": N_("Every line is the same part of the other's."),
    "part_of_lines": N_("The lines of one are among the lines of the other."),
    "lines_shared": N_("Some lines are the same."),
    "same_quantities": N_("The same goods in the same quantities at other prices."),
    "goods_split": N_("The same goods, in a half, a third or another usual part of the quantity."),
    "same_goods": N_("The same goods in other quantities or at other prices."),
    "lines_generic": N_("One does not say what was sold."),
    "lines_alike": N_("The lines read alike."),
    "lines_differ": N_("The lines differ."),
    "other_lines": N_("The lines have nothing in common."),
}


def about_lines(new: Claim, old: Claim) -> Iterator[Finding]:
    """Yield what the lines say: the same, rewritten, merged, a part of the others, or other goods.

    The same goods of one order in two quantities on one day are parts of one invoice; deliveries are days apart.
    """
    mine, theirs = new.goods, old.goods
    if mine.lines and theirs.lines:
        code, weight = lines(mine, theirs)
        if code:
            yield Finding(code, weight, SAID[code])
        if code not in ("same_lines", "other_lines") and _one_serial(mine, theirs):
            yield Finding("same_serial", 30, N_("Lines of both name the same job, machine or consignment."))
        if code in PARTS and new.issued_on and old.issued_on and one_order(mine, theirs):
            apart = abs((new.issued_on - old.issued_on).days)
            if apart <= PART_DAYS:
                weight = PART_NEAR if apart else PART_SAME_DAY
                yield Finding("part_of_order", weight, N_("Parts of one order, billed within days."))


def _one_serial(mine: GoodsRead, theirs: GoodsRead) -> bool:
    """Say whether lines of both name a thing there is only one of, and only one of them says more of it."""
    return any(
        one.rare & other.rare and (one.marks <= other.marks or other.marks <= one.marks)
        for one in mine.read_lines if one.rare for other in theirs.read_lines
    )  # fmt: skip


def lines(mine: GoodsRead, theirs: GoodsRead) -> tuple[str, int]:
    """Return the code of what two sets of lines have to do with each other and its weight. Symmetric."""
    fewest, most = sorted((len(mine.lines), len(theirs.lines)))
    if mine.counted == theirs.counted:
        return "same_lines", SAME_LINES[min(most, len(SAME_LINES)) - 1]
    likeness = fuzz.token_sort_ratio(mine.text, theirs.text) if mine.text != theirs.text else 100.0
    alike = likeness >= REWRITTEN_AT or (bool(mine.figures) and mine.figures == theirs.figures)
    shared = (mine.counted & theirs.counted).total()
    if alike and not shared:
        shared = (mine.accounted & theirs.accounted).total()
    if mine.amounts == theirs.amounts and None not in mine.amounts:
        if fewest >= 2:
            return "same_line_amounts", 30 if alike else 24
        if mine.priced == theirs.priced and not mine.lumped:
            return "same_line_amounts", 24 if mine.odd else 14 if alike else 8
        if alike:
            return "lines_alike", 14
    elif most > fewest and mine.net_minor is not None and mine.net_minor == theirs.net_minor:
        return "lines_merged", 18 if alike else 10
    elif shared == fewest:
        return "part_of_lines", 30 + 5 * min(shared, 4)
    elif shared:
        return "lines_shared", 20 if 2 * shared >= most else 8
    elif (scaled := _scaled(mine, theirs)) is not None:
        return scaled
    elif alike:
        return "lines_alike", 8
    if mine.generic != theirs.generic:
        return "lines_generic", 0
    return ("other_lines", -25) if likeness < UNLIKE_BELOW else ("lines_differ", 0)


def _scaled(mine: GoodsRead, theirs: GoodsRead) -> tuple[str, int] | None:
    """Return what lines of other amounts say: every one the same part of the other's, or only the same goods."""
    worded = Counter(line.words for line in mine.lines) == Counter(line.words for line in theirs.lines)
    place = _place if worded else _size
    pairs = list(zip(sorted(mine.lines, key=place), sorted(theirs.lines, key=place), strict=False))
    if len(mine.lines) != len(theirs.lines):
        return None
    known = [(a.amount_minor, b.amount_minor) for a, b in pairs if a.amount_minor and b.amount_minor]
    known = _greater_last(known)
    if len(known) == len(pairs) >= 2:
        parts = [a / b for a, b in known]
        middle = sorted(parts)[len(parts) // 2]
        if all(abs(part - middle) <= 0.01 * middle + 1 / abs(b) for part, (_, b) in zip(parts, known, strict=True)):
            return "lines_scaled", 30 + 6 * min(len(pairs) - 2, 3) + 8 * _as_many(pairs)
    if not worded:
        return None
    if _as_many(pairs):
        return "same_quantities", 28 if any(a.quantity != 1 for a, _ in pairs) else 5
    return ("goods_split", 34) if all(_split(a.quantity, b.quantity) for a, b in pairs) else ("same_goods", 5)


def _greater_last(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the pairs with the greater side last, so that what rounding allows is the same from both sides."""
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    swapped = (sum(map(abs, one)), one) > (sum(map(abs, other)), other)
    return list(zip(other, one, strict=True)) if swapped else pairs


def _split(one: float | None, other: float | None) -> bool:
    """Say whether one quantity is a usual part of the other, but for rounding to whole pieces."""
    if one is None or other is None:
        return False
    less, more = sorted((abs(one), abs(other)))
    if more == 1 > less:
        return any(abs(less * whole - part) < PIECE_SLACK for part, whole in USUAL_PARTS)
    return more >= PIECES_MIN and any(abs(less * whole - more * part) <= whole for part, whole in USUAL_PARTS)


def _as_many(pairs: list[tuple[Line, Line]]) -> bool:
    return all(a.quantity is not None and a.quantity == b.quantity for a, b in pairs)


def _size(line: Line) -> tuple[int, str]:
    return line.amount_minor or 0, line.words


def _place(line: Line) -> tuple[str, int]:
    return line.words, line.amount_minor or 0
