"""Judge a neutral invoice by the EN 16931 business rules: what must be there, and that the sums are right.

Every rule is its own plain check and answers with its official id. VAT rules by category are in
`en16931_vat`.
Source: EN 16931-1:2017 §6.4 (BR-, BR-CO-, BR-DEC-); rounding as in the CEN validation artefacts.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from marketplace.kernel.errors import Problem
from marketplace.kernel.words import N_
from marketplace.receivables.en16931_vat import vat_faults
from marketplace.receivables.exact_numbers import decimals, exact, rounded
from marketplace.receivables.invoice_model import Charge, Invoice, Line, Party

MISSING = N_("%(what)s is missing.")
NO_NUMBER = N_("“%(text)s” is not an amount.")
UNEQUAL = N_("The file says %(said)s, but the sum is %(sum)s.")
NO_CODE = N_("“%(text)s” is not in the code list for this field.")
CODE_LISTS = Path(__file__).with_name("code_lists.toml")
VAT_PREFIX = re.compile(r"[0-9A-Z]{2}")
DUE_MEANS = {"30", "57"}
# Faults of form that leave it open what is claimed: they refuse like a broken rule of content.
DECISIVE = frozenset(("repeated", "currency_differs"))


@cache
def codes_of(rule: str) -> frozenset[str] | None:
    """Return the values a code-list rule accepts, or None for a rule we keep no list of."""
    for entry in _lists().values():
        if rule in entry["rules"]:
            return frozenset(str(entry["codes"]).split())
    return None


@cache
def _lists() -> dict[str, dict[str, Any]]:
    return tomllib.loads(CODE_LISTS.read_text("utf-8"))


def content_faults(invoice: Invoice) -> list[Problem]:
    """Return every broken rule of presence, calculation, decimals and VAT: those that refuse a listing."""
    judges = (
        _header,
        _parties,
        _lines,
        _charges,
        _vat_presence,
        _payment,
        _periods,
        _totals,
        _decimals,
        vat_faults,
    )
    return [fault for judge in judges for fault in judge(invoice)]


def form_faults(invoice: Invoice) -> list[Problem]:
    """Return broken code-list and data-type rules: those that send a listing to a person."""
    found = []
    for use in invoice.codes:
        accepted = codes_of(use.rule)
        if accepted is not None and use.text not in accepted:
            found.append(Problem(use.field, use.rule.removesuffix("-UBL"), NO_CODE, {"text": use.text[:40]}))
    return list(_distinct(found + [fault for fault in invoice.syntax_faults if fault.rule not in DECISIVE]))


def _distinct(faults: Iterable[Problem]) -> Iterator[Problem]:
    seen = set()
    for fault in faults:
        key = (fault.rule, fault.field)
        if key not in seen:
            seen.add(key)
            yield fault


def _missing(rule: str, field: str, what: str) -> Problem:
    return Problem(field, rule, MISSING, {"what": what})


def _header(invoice: Invoice) -> Iterator[Problem]:
    yield from (fault for fault in invoice.syntax_faults if fault.rule in DECISIVE)
    needed = (
        ("BR-01", "BT-24", N_("The specification identifier")),
        ("BR-02", "BT-1", N_("The invoice number")),
        ("BR-03", "BT-2", N_("The issue date")),
        ("BR-04", "BT-3", N_("The invoice type code")),
        ("BR-05", "BT-5", N_("The currency")),
        ("BR-06", "BT-27", N_("The seller's name")),
        ("BR-07", "BT-44", N_("The buyer's name")),
        ("BR-12", "BT-106", N_("The sum of line amounts")),
        ("BR-13", "BT-109", N_("The total without VAT")),
        ("BR-14", "BT-112", N_("The total with VAT")),
        ("BR-15", "BT-115", N_("The amount due")),
    )
    for rule, field, what in needed:
        if field not in invoice.terms:
            yield _missing(rule, field, what)
    if not invoice.lines:
        yield _missing("BR-16", "BG-25", N_("An invoice line"))
    tax_currency = invoice.terms.get("BT-6")
    if tax_currency and tax_currency not in {currency for currency, _ in invoice.totals.vat}:
        yield _missing("BR-53", "BT-111", N_("The VAT total in the accounting currency"))
    if "BT-7" in invoice.terms and "BT-8" in invoice.terms:
        yield Problem("BT-7", "BR-CO-03", N_("A tax point date and a tax point code exclude each other."))


def _parties(invoice: Invoice) -> Iterator[Problem]:
    for rule, country_rule, field, party in (
        ("BR-08", "BR-09", "BG-5", invoice.seller),
        ("BR-10", "BR-11", "BG-8", invoice.buyer),
    ):
        if not party.has_address:
            yield _missing(rule, field, N_("The postal address"))
        elif not party.country:
            yield _missing(country_rule, "BT-40" if field == "BG-5" else "BT-55", N_("The country of the address"))
    seller = invoice.seller
    if not (seller.identifiers or seller.legal_id or seller.vat_id):
        yield _missing("BR-CO-26", "BT-29", N_("An identifier, legal registration or VAT number of the seller"))
    if invoice.payee is not None and not invoice.payee.name:
        yield _missing("BR-17", "BT-59", N_("The payee's name"))
    representative = invoice.tax_representative
    if representative is not None:
        yield from _tax_representative(representative)
    for field, number in (
        ("BT-31", seller.vat_id),
        ("BT-48", invoice.buyer.vat_id),
        ("BT-63", representative.vat_id if representative else None),
    ):
        countries = (codes_of("BR-CL-14") or frozenset()) | {"EL", "XI"}
        if number and number[:2] not in countries:
            yield Problem(field, "BR-CO-09", N_("A VAT number begins with the code of its country."))
    for rule, field, party in (("BR-62", "BT-34", seller), ("BR-63", "BT-49", invoice.buyer)):
        if party.endpoint and not party.endpoint.scheme:
            yield _missing(rule, field, N_("The scheme of the electronic address"))
    if invoice.deliver_to and invoice.deliver_to.has_address and not invoice.deliver_to.country:
        yield _missing("BR-57", "BT-80", N_("The country of the delivery address"))


def _tax_representative(party: Party) -> Iterator[Problem]:
    if not party.name:
        yield _missing("BR-18", "BT-62", N_("The tax representative's name"))
    if not party.has_address:
        yield _missing("BR-19", "BG-12", N_("The tax representative's address"))
    elif not party.country:
        yield _missing("BR-20", "BT-69", N_("The country of the tax representative's address"))
    if not party.vat_id:
        yield _missing("BR-56", "BT-63", N_("The tax representative's VAT number"))


def _lines(invoice: Invoice) -> Iterator[Problem]:
    for line in invoice.lines:
        yield from _line(line)


def _line(line: Line) -> Iterator[Problem]:
    needed = (
        ("BR-21", "BT-126", line.id, N_("The line's identifier")),
        ("BR-22", "BT-129", line.quantity, N_("The line's quantity")),
        ("BR-23", "BT-130", line.unit, N_("The unit of the quantity")),
        ("BR-24", "BT-131", line.net, N_("The line's net amount")),
        ("BR-25", "BT-153", line.name, N_("The name of what was sold")),
        ("BR-26", "BT-146", line.price, N_("The net price")),
        ("BR-CO-04", "BT-151", line.category, N_("The line's VAT category")),
    )
    for rule, field, said, what in needed:
        if not said:
            yield _missing(rule, field, what)
    for rule, field, said in (("BR-27", "BT-146", line.price), ("BR-28", "BT-148", line.gross_price)):
        price = exact(said)
        if price is not None and price < 0:
            yield Problem(field, rule, N_("A price is not negative; a return has a negative quantity."))
    for charge in line.charges:
        amount_rule, reason_rule = ("BR-43", "BR-44") if charge.is_charge else ("BR-41", "BR-42")
        yield from _charge(charge, amount_rule, reason_rule, "BG-28" if charge.is_charge else "BG-27")


def _charge(charge: Charge, amount_rule: str, reason_rule: str, field: str) -> Iterator[Problem]:
    if not charge.amount:
        yield _missing(amount_rule, field, N_("The amount of an allowance or charge"))
    if not (charge.reason or charge.reason_code):
        yield _missing(reason_rule, field, N_("The reason of an allowance or charge"))


def _charges(invoice: Invoice) -> Iterator[Problem]:
    for charge in invoice.charges:
        rules = ("BR-36", "BR-38", "BR-37", "BG-21") if charge.is_charge else ("BR-31", "BR-33", "BR-32", "BG-20")
        yield from _charge(charge, rules[0], rules[1], rules[3])
        if not charge.category:
            yield _missing(rules[2], rules[3], N_("The VAT category of an allowance or charge"))


def _vat_presence(invoice: Invoice) -> Iterator[Problem]:
    if not invoice.vat_rows:
        yield _missing("BR-CO-18", "BG-23", N_("The VAT breakdown"))
    for row in invoice.vat_rows:
        needed = (
            ("BR-45", "BT-116", row.basis, N_("The taxable amount")),
            ("BR-46", "BT-117", row.tax, N_("The tax")),
            ("BR-47", "BT-118", row.category, N_("The VAT category")),
        )
        for rule, field, said, what in needed:
            if not said:
                yield _missing(rule, field, what)
        if not row.rate and row.category != "O":
            yield _missing("BR-48", "BT-119", N_("The VAT rate"))


def _payment(invoice: Invoice) -> Iterator[Problem]:
    for code, has_account in invoice.means:
        if not code:
            yield _missing("BR-49", "BT-81", N_("The payment means code"))
        elif code in DUE_MEANS and not has_account:
            yield _missing("BR-61", "BT-84", N_("The account to pay to"))
    due = exact(invoice.terms.get("BT-115"))
    stated = "BT-9" in invoice.terms or invoice.has_payment_terms or invoice.syntax == "ubl_creditnote"
    if due is not None and due > 0 and not stated:
        yield _missing("BR-CO-25", "BT-9", N_("A due date or payment terms"))


def _periods(invoice: Invoice) -> Iterator[Problem]:
    periods = [("BR-29", "BT-74", invoice.period)] + [("BR-30", "BT-135", line.period) for line in invoice.lines]
    for rule, field, period in periods:
        if period and period[0] and period[1] and period[1] < period[0]:
            yield Problem(field, rule, N_("A period ends before it starts."))


def _sum(texts: Iterable[str | None]) -> Fraction:
    return sum((exact(text) or Fraction(0) for text in texts), Fraction(0))


def _said(number: Fraction) -> str:
    """Write an exact number for a person: as many decimals as it needs, at most six."""
    scaled = rounded(number, 6)
    text = f"{'-' if scaled < 0 else ''}{abs(scaled.numerator) * 10**6 // scaled.denominator:07d}"
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, part = digits[:-6], digits[-6:].rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{part}"


def _unequal(rule: str, field: str, said: Fraction, expected: Fraction) -> Iterator[Problem]:
    if said != expected:
        yield Problem(field, rule, UNEQUAL, {"said": _said(said), "sum": _said(expected)})


def _totals(invoice: Invoice) -> Iterator[Problem]:
    for field in ("BT-106", "BT-107", "BT-108", "BT-109", "BT-112", "BT-113", "BT-114", "BT-115"):
        text = invoice.terms.get(field)
        if text is not None and exact(text) is None:
            yield Problem(field, "not_a_number", NO_NUMBER, {"text": text[:40]})
    number = {field: exact(invoice.terms.get(field)) for field in invoice.terms if field.startswith("BT-1")}
    zero = Fraction(0)
    lines, without = number.get("BT-106"), number.get("BT-109")
    if lines is not None:
        yield from _unequal("BR-CO-10", "BT-106", lines, rounded(_sum(line.net for line in invoice.lines)))
    for rule, field, is_charge in (("BR-CO-11", "BT-107", False), ("BR-CO-12", "BT-108", True)):
        own = [charge.amount for charge in invoice.charges if charge.is_charge == is_charge]
        if own or field in invoice.terms:
            yield from _unequal(rule, field, number.get(field) or zero, rounded(_sum(own)))
    if lines is not None and without is not None:
        expected = lines - (number.get("BT-107") or zero) + (number.get("BT-108") or zero)
        yield from _unequal("BR-CO-13", "BT-109", without, rounded(expected))
    yield from _vat_total(invoice, without, number.get("BT-112"))
    total, due = number.get("BT-112"), number.get("BT-115")
    if total is not None and due is not None:
        expected = total - (number.get("BT-113") or zero) + (number.get("BT-114") or zero)
        yield from _unequal("BR-CO-16", "BT-115", due, expected)


def _vat_total(invoice: Invoice, without: Fraction | None, total: Fraction | None) -> Iterator[Problem]:
    own = [exact(text) for currency, text in invoice.totals.vat if currency in (None, invoice.terms.get("BT-5"))]
    if len(own) > 1:
        yield Problem("BT-110", "BR-CO-15", N_("The VAT total stands more than once in the invoice's currency."))
        return
    vat = own[0] if own else None
    if vat is not None and invoice.vat_rows:
        yield from _unequal("BR-CO-14", "BT-110", vat, rounded(_sum(row.tax for row in invoice.vat_rows)))
    if without is not None and total is not None:
        yield from _unequal("BR-CO-15", "BT-112", total, rounded(without + (vat or Fraction(0))))


def _decimals(invoice: Invoice) -> Iterator[Problem]:
    amounts = [
        (field, invoice.terms.get(field))
        for field in ("BT-106", "BT-107", "BT-108", "BT-109", "BT-112", "BT-113", "BT-114", "BT-115")
    ]
    amounts += [("BT-110", text) for _, text in invoice.totals.vat]
    amounts += [("BT-92/BT-99", charge.amount) for charge in invoice.charges]
    amounts += [("BT-116", row.basis) for row in invoice.vat_rows] + [("BT-117", row.tax) for row in invoice.vat_rows]
    amounts += [("BT-131", line.net) for line in invoice.lines]
    for field, text in amounts:
        if text and decimals(text) > 2:
            yield Problem(
                field,
                "BR-DEC",
                N_("An amount has at most two decimals; this one is %(text)s."),
                {"text": text[:40]},
            )
