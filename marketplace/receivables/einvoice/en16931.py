"""Judge a neutral invoice by the EN 16931 business rules of presence: what must be there.

Every rule is its own plain check and answers with its official id. Sums are judged in `en16931_sums`, VAT by
category in `en16931_vat`; what only the file's tree shows, in `ubl_form` and `cii_form`.
Source: EN 16931-1:2017 §6.4 (BR-, BR-CO-); ids as in the CEN validation artefacts 1.3. These have dropped
BR-CO-25 (a due date or terms): no invoice is refused for it here, but a listing cannot do without a due date.
"""

import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from marketplace.kernel.errors import Problem
from marketplace.kernel.words import N_
from marketplace.receivables.einvoice.en16931_sums import sum_faults
from marketplace.receivables.einvoice.en16931_vat import vat_faults
from marketplace.receivables.einvoice.exact_numbers import day, exact
from marketplace.receivables.einvoice.neutral import Charge, Invoice, Line, Party

MISSING = N_("%(what)s is missing.")
NO_CODE = N_("“%(text)s” is not in the code list for this field.")
CODE_LISTS = Path(__file__).with_name("code_lists.toml")
TRANSFERS = {"30", "58"}
# Faults that leave it open what is claimed, in any profile: they refuse like a broken rule of content.
DECISIVE = frozenset(("repeated", "currency_differs", "not_a_number"))


@cache
def codes_of(rule: str) -> frozenset[str] | None:
    """Return the values a code-list rule accepts, or None for a rule we keep no list of.

    A rule whose list depends on where it is used has a variant after a stroke: "BR-CL-01/invoice".
    """
    for entry in _lists().values():
        if rule in entry["rules"]:
            return frozenset(str(entry["codes"]).split())
    return None


@cache
def _lists() -> dict[str, dict[str, Any]]:
    return tomllib.loads(CODE_LISTS.read_text("utf-8"))


def content_faults(invoice: Invoice) -> list[Problem]:
    """Return every broken rule of presence, calculation, decimals and VAT: those that refuse a listing."""
    judges = (_header, _parties, _lines, _charges, _vat_presence, _payment, _periods, sum_faults, vat_faults)
    found = [fault for fault in invoice.syntax_faults if _is_content(fault)]
    return list(_distinct(found + [fault for judge in judges for fault in judge(invoice)]))


def form_faults(invoice: Invoice) -> list[Problem]:
    """Return broken code-list, data-type and schema rules: those that send a listing to a person."""
    found = []
    for use in invoice.codes:
        accepted = codes_of(use.rule)
        if accepted is not None and use.text not in accepted:
            found.append(Problem(use.field, use.rule.partition("/")[0], NO_CODE, {"text": use.text[:40]}))
    return list(_distinct(found + [fault for fault in invoice.syntax_faults if not _is_content(fault)]))


def _is_content(fault: Problem) -> bool:
    return fault.rule in DECISIVE or fault.rule.startswith("BR-")


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
    if tax_currency and tax_currency not in {total.currency for total in invoice.vat_totals}:
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
    if invoice.payee is not None:
        yield from _payee(invoice.payee, seller, invoice.syntax)
    representative = invoice.tax_representative
    if representative is not None:
        yield from _tax_representative(representative)
    countries = (codes_of("BR-CL-14") or frozenset()) | {"EL", "XI"}
    for field, number in (
        ("BT-31", seller.vat_id),
        ("BT-48", invoice.buyer.vat_id),
        ("BT-63", representative.vat_id if representative else None),
    ):
        if number and number[:2] not in countries:
            yield Problem(field, "BR-CO-09", N_("A VAT number begins with the code of its country."))
    for rule, field, party in (("BR-62", "BT-34", seller), ("BR-63", "BT-49", invoice.buyer)):
        if party.endpoint and not party.endpoint.scheme:
            yield _missing(rule, field, N_("The scheme of the electronic address"))
    if invoice.deliver_to and invoice.deliver_to.has_address and not invoice.deliver_to.country:
        yield _missing("BR-57", "BT-80", N_("The country of the delivery address"))


def _payee(payee: Party, seller: Party, syntax: str) -> Iterator[Problem]:
    """Judge BR-17: a payee is named, and is there only if it is not the seller."""
    if not payee.name:
        yield _missing("BR-17", "BT-59", N_("The payee's name"))
        return
    # In UBL the seller's legal name is compared by UBL-SR-19, a rule of form.
    same = syntax != "cii" and payee.name == seller.trading_name
    same = same or bool({one.text for one in payee.identifiers} & {one.text for one in seller.identifiers})
    if same:
        yield Problem("BT-59", "BR-17", N_("A payee is named only if it is not the seller."))


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
        if (said is not None or rule == "BR-27") and (price is None or price < 0):
            yield Problem(field, rule, N_("A price is not negative; a return has a negative quantity."))
    for charge in line.charges:
        rules = ("BR-43", "BR-44", "BR-CO-24") if charge.is_charge else ("BR-41", "BR-42", "BR-CO-23")
        yield from _charge(charge, *rules, "BG-28" if charge.is_charge else "BG-27")


def _charge(charge: Charge, amount_rule: str, reason_rule: str, same_rule: str, field: str) -> Iterator[Problem]:
    if not charge.amount:
        yield _missing(amount_rule, field, N_("The amount of an allowance or charge"))
    if not (charge.reason or charge.reason_code):
        for rule in (reason_rule, same_rule):
            yield _missing(rule, field, N_("The reason of an allowance or charge"))


def _charges(invoice: Invoice) -> Iterator[Problem]:
    for charge in invoice.charges:
        rules = ("BR-36", "BR-38", "BR-CO-22") if charge.is_charge else ("BR-31", "BR-33", "BR-CO-21")
        field = "BG-21" if charge.is_charge else "BG-20"
        yield from _charge(charge, *rules, field)
        if not charge.category:
            rule = "BR-37" if charge.is_charge else "BR-32"
            yield _missing(rule, field, N_("The VAT category of an allowance or charge"))


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
    for means in invoice.means:
        if not means.code:
            yield _missing("BR-49", "BT-81", N_("The payment means code"))
        elif means.code in TRANSFERS and not means.account:
            if means.has_account:
                yield _missing("BR-50", "BT-84", N_("The account to pay to"))
            if means.has_account or invoice.syntax != "cii":
                yield _missing("BR-61", "BT-84", N_("The account to pay to"))


def _periods(invoice: Invoice) -> Iterator[Problem]:
    periods = [("BR-29", "BT-74", invoice.period)] + [("BR-30", "BT-135", line.period) for line in invoice.lines]
    for rule, field, period in periods:
        if period and period[0] and period[1]:
            start, end = day(period[0]), day(period[1])
            if start is None or end is None or end < start:
                yield Problem(field, rule, N_("A period ends before it starts."))
