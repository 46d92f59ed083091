"""Where to look for a claim's look-alikes: keys that a copy keeps whatever single thing is changed on it.

A listing stores `blocking_keys` (hashed); a new one is compared with every claim that shares a key with it. So what
`near_match.compare` would hold shares at least one, and no key is so common that a look-up fetches a crowd.

Selectivity, for ten million registered claims of fifty thousand sellers and a debtor with a hundred thousand:
no key is a debtor alone, nor a debtor and an amount alone. A seller's keys bear a number's core, or a sum within two
percent and a month of issue; a debtor's keys an exact sum and a month of maturity, an order and a month, or a number's
core and a month; keys without a party a number's core with an exact sum or a day. Months overlap, so that a date moved
by up to a fortnight stays in one of its two.
"""

from collections.abc import Iterator
from datetime import date
from math import floor, log

from marketplace.receivables.matching.claim import Claim
from marketplace.receivables.matching.party import anchors

WINDOW_DAYS = 32
SUM_STEP = log(1.04)  # two overlapping grids: sums up to two percent apart always share a cell
LINES_MAX = 2
ORDER_SIGNS_MIN = 4


def blocking_keys(claim: Claim) -> frozenset[tuple[str, str]]:
    """Return (kind, text) of every key the claim is stored and looked up under; thirty at the most, as a rule.

    Absent facts make no key. The texts hold parts of the invoice in the clear: hash them with a secret before storing.
    """
    sellers = anchors(claim.seller, claim.seller_who, claim.seller_name)
    debtors = anchors(claim.debtor, claim.debtor_who, claim.debtor_name)
    if claim.seller_group:
        sellers.append(f"@{claim.seller_group}")
    issued, due = list(_months(claim.issued_on)), list(_months(claim.due_on))
    return frozenset((
        *_by_number(claim, sellers, debtors, issued), *_by_sum(claim, sellers, debtors, issued, due),
        *_by_goods(claim, sellers, debtors, issued),
    ))  # fmt: skip


def _by_number(claim: Claim, sellers: list[str], debtors: list[str], months: list[str]) -> Iterator[tuple[str, str]]:
    number = claim.read
    for core in number.cores:
        for seller in sellers:
            yield "number-seller", f"{core}|{seller}"
        for debtor in debtors:
            for month in months:
                yield "number-debtor", f"{core}|{debtor}|{month}"
        if claim.issued_on:
            yield "number-day", f"{core}|{claim.issued_on}"
        for value in claim.sums[:2]:
            yield "number-sum", f"{core}|{value}"
    if len(number.alike) >= 4:
        signs = "".join(sorted(number.alike.replace("0", "")))
        for seller in sellers:
            yield "signs-seller", f"{signs}|{seller}"


def _by_sum(
    claim: Claim, sellers: list[str], debtors: list[str], issued: list[str], due: list[str]
) -> Iterator[tuple[str, str]]:
    for value in claim.sums:
        cell = log(value) / SUM_STEP
        for seller in sellers[-1:]:
            for near in (f"a{floor(cell)}", f"b{floor(cell + 0.5)}"):
                for month in issued:
                    yield "sum-seller", f"{near}|{seller}|{month}"
        for seller in sellers[:1]:
            for debtor in debtors[:1]:
                yield "sum-parties", f"{value}|{seller}|{debtor}"
        for debtor in debtors:
            for month in due:
                yield "sum-debtor", f"{value}|{debtor}|{month}"


def _by_goods(claim: Claim, sellers: list[str], debtors: list[str], months: list[str]) -> Iterator[tuple[str, str]]:
    if claim.document_sha256:
        yield "document", claim.document_sha256.lower()
    goods = claim.goods
    orders = {order for order in (goods.order, *sorted(goods.references)[:3]) if len(order) >= ORDER_SIGNS_MIN}
    for order in orders:
        for seller in sellers:
            yield "order-seller", f"{order}|{seller}"
        for debtor in debtors:
            for month in months:
                yield "order-debtor", f"{order}|{debtor}|{month}"
    largest = sorted(goods.lines, key=lambda line: (-abs(line.amount_minor or 0), line.root))[:LINES_MAX]
    for root in {line.root for line in largest}:
        for seller in sellers[-1:]:
            for debtor in debtors[-1:]:
                for month in months:
                    yield "line-parties", f"{root}|{seller}|{debtor}|{month}"


def _months(day: date | None) -> Iterator[str]:
    if day:
        ordinal = day.toordinal()
        yield f"a{ordinal // WINDOW_DAYS}"
        yield f"b{(ordinal + WINDOW_DAYS // 2) // WINDOW_DAYS}"
