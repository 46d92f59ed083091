"""Judge the sums of an invoice by EN 16931: every total is what it is the total of, with at most two decimals.

Source: EN 16931-1:2017 §6.4 (BR-CO-10 to BR-CO-16, BR-DEC); rounding as in the CEN validation artefacts 1.3.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction

from marketplace.kernel.errors import Problem
from marketplace.kernel.words import N_
from marketplace.receivables.einvoice.exact_numbers import decimals, exact, rounded
from marketplace.receivables.einvoice.neutral import Invoice

NO_NUMBER = N_("“%(text)s” is not an amount.")
UNEQUAL = N_("The file says %(said)s, but the sum is %(sum)s.")
NOTHING_TO_COMPARE = N_("A total is missing, so the sums cannot be followed.")
DECIMALS = N_("An amount has at most two decimals; this one is %(text)s.")
ZERO = Fraction(0)
TOTALS = {
    "BT-106": "BR-DEC-09",
    "BT-107": "BR-DEC-10",
    "BT-108": "BR-DEC-11",
    "BT-109": "BR-DEC-12",
    "BT-112": "BR-DEC-14",
    "BT-113": "BR-DEC-16",
    "BT-114": "BR-DEC-17",
    "BT-115": "BR-DEC-18",
}


def sum_faults(invoice: Invoice) -> Iterator[Problem]:
    """Yield every amount that is no number, has too many decimals, or is not the sum it should be."""
    yield from _no_numbers(invoice)
    yield from _sums(invoice)
    yield from _vat_total(invoice)
    for rule, field, text in _amounts(invoice):
        if text and decimals(text) > 2:
            yield Problem(field, rule, DECIMALS, {"text": text[:40]})


def _no_numbers(invoice: Invoice) -> Iterator[Problem]:
    texts: list[tuple[str, str | None]] = [(field, invoice.terms.get(field)) for field in TOTALS]
    texts += [("BT-110", total.amount) for total in invoice.vat_totals]
    for row in invoice.vat_rows:
        texts += [("BT-116", row.basis), ("BT-117", row.tax), ("BT-119", row.rate)]
    for line in invoice.lines:
        texts += [("BT-131", line.net), ("BT-146", line.price)]
        texts += [("BT-136/BT-141", charge.amount) for charge in line.charges]
    texts += [("BT-92/BT-99", charge.amount) for charge in invoice.charges]
    for field, text in texts:
        if text is not None and exact(text) is None:
            yield Problem(field, "not_a_number", NO_NUMBER, {"text": text[:40]})


def _sum(texts: Iterable[str | None]) -> Fraction:
    return sum((exact(text) or ZERO for text in texts), ZERO)


def _said(number: Fraction) -> str:
    """Write an exact number for a person: as many decimals as it needs, at most six."""
    scaled = rounded(number, 6)
    digits = f"{abs(scaled.numerator) * 10**6 // scaled.denominator:07d}"
    return f"{'-' if scaled < 0 else ''}{digits[:-6]}.{digits[-6:].rstrip('0').ljust(2, '0')}"


def _equal(rule: str, field: str, said: Fraction | None, expected: Fraction | None) -> Iterator[Problem]:
    if said is None or expected is None:
        yield Problem(field, rule, NOTHING_TO_COMPARE)
    elif said != expected:
        yield Problem(field, rule, UNEQUAL, {"said": _said(said), "sum": _said(expected)})


def _sums(invoice: Invoice) -> Iterator[Problem]:
    number = {field: exact(invoice.terms.get(field)) for field in TOTALS}
    lines, total, due = number["BT-106"], number["BT-112"], number["BT-115"]
    yield from _equal("BR-CO-10", "BT-106", lines, rounded(_sum(line.net for line in invoice.lines)))
    for rule, field, is_charge in (("BR-CO-11", "BT-107", False), ("BR-CO-12", "BT-108", True)):
        own = [charge.amount for charge in invoice.charges if charge.is_charge is is_charge]
        if own or field in invoice.terms:
            yield from _equal(rule, field, number[field], rounded(_sum(own)))
    without = None if lines is None else rounded(lines - (number["BT-107"] or ZERO) + (number["BT-108"] or ZERO))
    yield from _equal("BR-CO-13", "BT-109", number["BT-109"], without)
    left = None if total is None else total - (number["BT-113"] or ZERO) + (number["BT-114"] or ZERO)
    yield from _equal("BR-CO-16", "BT-115", due, left)


def _vat_total(invoice: Invoice) -> Iterator[Problem]:
    currency, without = invoice.terms.get("BT-5"), exact(invoice.terms.get("BT-109"))
    for total in invoice.vat_totals:
        if total.taxes is not None:
            yield from _equal("BR-CO-14", "BT-110", exact(total.amount), rounded(_sum(total.taxes)))
    own = [exact(total.amount) for total in invoice.vat_totals if total.currency == currency]
    if len(own) > 1:
        yield Problem("BT-110", "BR-CO-15", N_("The VAT total stands more than once in the invoice's currency."))
        return
    if not own and invoice.syntax != "cii":
        yield Problem("BT-110", "BR-CO-15", N_("The VAT total in the invoice's currency is missing."))
        return
    vat = own[0] if own else ZERO
    expected = None if without is None or vat is None else rounded(without + vat)
    yield from _equal("BR-CO-15", "BT-112", exact(invoice.terms.get("BT-112")), expected)


def _amounts(invoice: Invoice) -> Iterator[tuple[str, str, str | None]]:
    for field, rule in TOTALS.items():
        yield rule, field, invoice.terms.get(field)
    for total in invoice.vat_totals:
        own = total.currency == invoice.terms.get("BT-5")
        yield "BR-DEC-13" if own else "BR-DEC-15", "BT-110" if own else "BT-111", total.amount
    for charge in invoice.charges:
        yield "BR-DEC-05" if charge.is_charge else "BR-DEC-01", "BT-92/BT-99", charge.amount
        yield "BR-DEC-06" if charge.is_charge else "BR-DEC-02", "BT-93/BT-100", charge.base
    for row in invoice.vat_rows:
        yield "BR-DEC-19", "BT-116", row.basis
        yield "BR-DEC-20", "BT-117", row.tax
    for line in invoice.lines:
        yield "BR-DEC-23", "BT-131", line.net
        for charge in line.charges:
            yield "BR-DEC-27" if charge.is_charge else "BR-DEC-24", "BT-136/BT-141", charge.amount
            yield "BR-DEC-28" if charge.is_charge else "BR-DEC-25", "BT-137/BT-142", charge.base
