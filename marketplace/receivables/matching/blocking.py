"""Where to look for a claim's look-alikes: keys that a copy keeps whatever single thing is changed on it.

A listing stores `blocking_keys` (hashed); a new one is compared with every claim that shares a key with it. So what
`near_match.compare` would hold shares at least one, and no key is so common that a look-up fetches a crowd.

Selectivity, for ten million registered claims of fifty thousand sellers and a debtor with a hundred thousand:
no key is a debtor alone, nor a debtor and an amount alone. A seller's keys bear a number's core, or a sum within two
percent and a month of issue; a debtor's keys an exact sum and a month of maturity, an order and a month, or a number's
core and a month; keys without a party a number's core with an exact sum or a day; the two parties' keys a day, or goods
and a month. Months overlap, so that a date moved by up to a fortnight stays in one of its two.
"""

from collections.abc import Iterator
from datetime import date
from math import floor, log

from marketplace.receivables.matching.claim import Claim
from marketplace.receivables.matching.goods_read import bare
from marketplace.receivables.matching.party import anchors

WINDOW_DAYS, SEASON_DAYS = 32, 128
CORE_SIGNS_MIN = 4  # numbers shorter than this are used by everybody
SUM_STEP = log(1.04)  # two overlapping grids: sums up to two percent apart always share a cell
ROUND_MINOR = 1_000  # many bills of a large debtor come to the same round sum
PENNIES = 16  # likewise two grids: sums up to eight minor units apart
LINES_MAX, REFERENCES_MAX, MENTIONS_MAX, NAMED_MAX = 2, 2, 4, 3
ORDER_SIGNS_MIN, SIGNS_MIN, MENTION_SIGNS_MIN = 4, 4, 3

Key = tuple[str, str]


def blocking_keys(claim: Claim) -> frozenset[Key]:
    """Return (kind, text) of every key the claim is stored and looked up under; thirty or forty as a rule.

    Absent facts make no key. The texts hold parts of the invoice in the clear: hash them with a secret before storing.
    """
    return frozenset(_keys(claim))


def share_a_key(one: Claim, other: Claim) -> bool:
    """Say whether one of two claims would be found when the other is looked up."""
    known = blocking_keys(one)
    return any(key in known for key in _keys(other))


def _keys(claim: Claim) -> Iterator[Key]:
    sellers = anchors(claim.seller_group or claim.seller, claim.seller_who, claim.seller_name)
    debtors = anchors(claim.debtor_group or claim.debtor, claim.debtor_who, claim.debtor_name)
    issued = _windows(claim.issued_on, WINDOW_DAYS)
    yield from _by_order(claim, sellers, debtors[-1:], issued)
    yield from _by_number(claim, sellers, debtors[-1:], issued)
    yield from _by_sum(claim, sellers, debtors, issued)
    yield from _by_goods(claim, sellers[-1:], debtors[-1:], issued)
    for kind, day in (("issued", claim.issued_on), ("due", claim.due_on)):
        if day and sellers and debtors:
            yield f"{kind}-parties", f"{day}|{sellers[-1]}|{debtors[-1]}"
    yield from _by_delivery(claim, sellers[-1:], debtors[-1:])


def _by_order(claim: Claim, sellers: list[str], debtors: list[str], months: list[str]) -> Iterator[Key]:
    goods = claim.goods
    for order in {goods.order, *sorted(goods.references, key=_longest)[:REFERENCES_MAX]}:
        if len(order) >= ORDER_SIGNS_MIN:
            for season in _windows(claim.issued_on, SEASON_DAYS) or [""]:
                for seller in sellers:
                    yield "order-seller", f"{order}|{seller}|{season}"
            for month in months or [""]:
                for debtor in debtors:
                    yield "order-debtor", f"{order}|{debtor}|{month}"


def _by_number(claim: Claim, sellers: list[str], debtors: list[str], months: list[str]) -> Iterator[Key]:
    number, issued = claim.read, [str(claim.issued_on)] if claim.issued_on else []
    for core in number.cores:
        for seller in sellers:
            yield "number-seller", f"{core}|{seller}"
        for debtor in debtors:
            for days in months if len(core) >= CORE_SIGNS_MIN else issued:
                yield "number-debtor", f"{core}|{debtor}|{days}"
        if len(core) > CORE_SIGNS_MIN:
            for day in issued:
                yield "number-day", f"{core}|{day}"
        if not _round(claim):
            for value in claim.sums[:2]:
                yield "number-sum", f"{core}|{value}"
    if len(number.alike) >= SIGNS_MIN:
        signs = "".join(sorted(number.alike.replace("0", "")))
        for seller in sellers:
            yield "signs-seller", f"{signs}|{seller}"
    named = sorted(claim.goods.references, key=_longest)[:MENTIONS_MAX]  # perhaps the invoice that this one replaces
    least = MENTION_SIGNS_MIN if claim.goods.again else SIGNS_MIN
    own = (said for said in (bare(claim.number), number.compact) if len(said) >= MENTION_SIGNS_MIN)
    for mention in {*own, *named}:
        if len(mention) >= least or mention not in named:
            yield from (("named-seller", f"{mention}|{seller}") for seller in sellers)


def _by_sum(claim: Claim, sellers: list[str], debtors: list[str], issued: list[str]) -> Iterator[Key]:
    due = [str(claim.due_on)] if _round(claim) and claim.due_on else _windows(claim.due_on, WINDOW_DAYS)
    for value in claim.sums:
        cell = log(value) / SUM_STEP
        for seller in sellers[-1:]:
            for near in (f"a{floor(cell)}", f"b{floor(cell + 0.5)}"):
                for month in issued:
                    yield "sum-seller", f"{near}|{seller}|{month}"
        for days in due:
            for debtor in debtors:
                yield "sum-debtor", f"{value}|{debtor}|{days}"
    for value in {part for face in claim.sums[:1] for part in (face, face // 2)}:
        months = issued if _round(claim) else [""]
        for near in (f"a{value // PENNIES}", f"b{(value + PENNIES // 2) // PENNIES}"):
            for month in months:
                for seller in sellers[-1:]:
                    for debtor in debtors[-1:]:
                        yield "sum-parties", f"{near}|{seller}|{debtor}|{month}"


def _by_goods(claim: Claim, sellers: list[str], debtors: list[str], months: list[str]) -> Iterator[Key]:
    if claim.document_sha256:
        yield "document", claim.document_sha256.lower()
    largest = sorted(claim.goods.lines, key=lambda line: (-abs(line.amount_minor or 0), line.words))[:LINES_MAX]
    for root in {line.root for line in largest}:
        for seller in sellers:
            for debtor in debtors:
                for month in months:
                    yield "line-parties", f"{root}|{seller}|{debtor}|{month}"


def _by_delivery(claim: Claim, sellers: list[str], debtors: list[str]) -> Iterator[Key]:
    named = claim.goods.named[:NAMED_MAX]
    for rare in sorted({rare for said in named for rare in said.rare}, key=_longest)[:NAMED_MAX]:
        yield from (("named-by", f"{rare}|{seller}") for seller in sellers)
        yield from (("named-to", f"{rare}|{debtor}") for debtor in debtors)
    for said in named:
        if not said.rare:
            figures = " ".join(sorted(said.marks))
            yield from (("named-parties", f"{figures}|{seller}|{debtor}") for seller in sellers for debtor in debtors)


def _round(claim: Claim) -> bool:
    """Say whether any sum is round: then so are, before tax or after, the others, and many claims come to them."""
    return any(value % ROUND_MINOR == 0 for value in claim.sums)


def _longest(text: str) -> tuple[int, str]:
    return -len(text), text


def _windows(day: date | None, days: int) -> list[str]:
    """Return the two windows of so many days that a day lies in; half a window apart, so that near days share one."""
    if day is None:
        return []
    ordinal = day.toordinal()
    return [f"a{days}.{ordinal // days}", f"b{days}.{(ordinal + days // 2) // days}"]
