"""The VAT rules of EN 16931, which are the same ten rules once per VAT category.

Source: EN 16931-1:2017 §6.4.3 (BR-S, BR-Z, BR-E, BR-AE, BR-IC, BR-G, BR-O, BR-AF, BR-AG), BR-CO-17.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from marketplace.kernel.errors import Problem
from marketplace.kernel.words import N_
from marketplace.receivables.exact_numbers import exact, rounded
from marketplace.receivables.invoice_model import Invoice, VatRow


@dataclass(frozen=True)
class Category:
    """How one VAT category behaves. `rate`: positive, zero, any or none; `reason`: needs or forbids an
    exemption."""

    prefix: str
    rate: str
    reason: str
    one_row: bool
    by_rate: bool = False


CATEGORIES = {
    "S": Category("BR-S", "positive", "forbids", one_row=False, by_rate=True),
    "Z": Category("BR-Z", "zero", "forbids", one_row=True),
    "E": Category("BR-E", "zero", "needs", one_row=True),
    "AE": Category("BR-AE", "zero", "needs", one_row=True),
    "K": Category("BR-IC", "zero", "needs", one_row=True),
    "G": Category("BR-G", "zero", "needs", one_row=True),
    "O": Category("BR-O", "none", "needs", one_row=True),
    "L": Category("BR-AF", "any", "forbids", one_row=False, by_rate=True),
    "M": Category("BR-AG", "any", "forbids", one_row=False, by_rate=True),
}
TOLERANCE = Fraction(1)


def vat_faults(invoice: Invoice) -> Iterator[Problem]:
    """Yield every VAT rule the invoice breaks."""
    for code, category in CATEGORIES.items():
        lines = [line for line in invoice.lines if line.category == code]
        charges = [charge for charge in invoice.charges if charge.category == code]
        rows = [row for row in invoice.vat_rows if row.category == code]
        if not (lines or charges or rows):
            continue
        yield from _breakdown(category, code, bool(lines or charges), rows)
        yield from _identities(invoice, category, code)
        yield from _rates(category, [line.rate for line in lines], "05", "BT-152")
        yield from _rates(category, [charge.rate for charge in charges if not charge.is_charge], "06", "BT-96")
        yield from _rates(category, [charge.rate for charge in charges if charge.is_charge], "07", "BT-103")
        for row in rows:
            yield from _row(invoice, category, code, row)
    yield from _intra_community(invoice)
    yield from _outside_scope(invoice)
    yield from _calculation(invoice)


def _breakdown(category: Category, code: str, used: bool, rows: list[VatRow]) -> Iterator[Problem]:
    if bool(rows) != used or (category.one_row and len(rows) > 1):
        words = N_("Lines and VAT breakdown disagree on category %(category)s.")
        yield Problem("BG-23", f"{category.prefix}-01", words, {"category": code})


def _identities(invoice: Invoice, category: Category, code: str) -> Iterator[Problem]:
    seller, buyer, representative = invoice.seller, invoice.buyer, invoice.tax_representative
    represented = representative is not None and representative.vat_id is not None
    if code == "O":
        if seller.vat_id or buyer.vat_id or represented:
            yield Problem("BT-31", "BR-O-02", N_("What is outside the scope of VAT names no VAT numbers."))
        return
    sold_by = bool(seller.vat_id or represented or (code not in ("K", "G") and seller.tax_id))
    if not sold_by:
        words = N_("VAT category %(category)s needs the seller's VAT number.")
        yield Problem("BT-31", f"{category.prefix}-02", words, {"category": code})
    bought_by = buyer.vat_id or (code == "AE" and buyer.legal_id)
    if code in ("AE", "K") and not bought_by:
        words = N_("VAT category %(category)s needs the buyer's VAT number.")
        yield Problem("BT-48", f"{category.prefix}-02", words, {"category": code})


def _rates(category: Category, rates: list[str | None], number: str, field: str) -> Iterator[Problem]:
    for text in rates:
        rate = exact(text)
        fits = {
            "positive": rate is not None and rate > 0,
            "zero": rate == 0,
            "any": rate is not None and rate >= 0,
            "none": text is None,
        }[category.rate]
        if not fits:
            yield Problem(field, f"{category.prefix}-{number}", N_("The VAT rate does not fit the VAT category."))
            return


def _row(invoice: Invoice, category: Category, code: str, row: VatRow) -> Iterator[Problem]:
    basis, tax, rate = exact(row.basis), exact(row.tax), exact(row.rate)
    if basis is not None and (invoice.lines or invoice.charges):
        expected = _basis(invoice, code, rate if category.by_rate else None)
        if abs(basis - expected) >= TOLERANCE:
            words = N_("The taxable amount is not the sum of its lines, charges and allowances.")
            yield Problem("BT-116", f"{category.prefix}-08", words)
    if tax is not None and category.rate in ("zero", "none") and tax != 0:
        yield Problem("BT-117", f"{category.prefix}-09", N_("This VAT category carries no tax."))
    has_reason = bool(row.reason or row.reason_code)
    if has_reason != (category.reason == "needs"):
        words = (
            N_("This VAT category needs a reason for exemption.")
            if not has_reason
            else N_("This VAT category has no reason for exemption.")
        )
        yield Problem("BT-120", f"{category.prefix}-10", words)


def _basis(invoice: Invoice, code: str, rate: Fraction | None) -> Fraction:
    def counts(category: str | None, text: str | None) -> bool:
        return category == code and (rate is None or exact(text) == rate)

    total = sum((exact(x.net) or Fraction(0) for x in invoice.lines if counts(x.category, x.rate)), Fraction(0))
    for charge in invoice.charges:
        if counts(charge.category, charge.rate):
            amount = exact(charge.amount) or Fraction(0)
            total += amount if charge.is_charge else -amount
    return rounded(total)


def _intra_community(invoice: Invoice) -> Iterator[Problem]:
    if not any(row.category == "K" for row in invoice.vat_rows):
        return
    if "BT-72" not in invoice.terms and not (invoice.period and any(invoice.period)):
        yield Problem("BT-72", "BR-IC-11", N_("An intra-community supply names its delivery date or period."))
    if not (invoice.deliver_to and invoice.deliver_to.country):
        yield Problem("BT-80", "BR-IC-12", N_("An intra-community supply names the country delivered to."))


def _outside_scope(invoice: Invoice) -> Iterator[Problem]:
    if not any(row.category == "O" for row in invoice.vat_rows):
        return
    others = [row for row in invoice.vat_rows if row.category != "O"]
    used = [line.category for line in invoice.lines] + [charge.category for charge in invoice.charges]
    if others or any(category and category != "O" for category in used):
        yield Problem("BG-23", "BR-O-11", N_("What is outside the scope of VAT cannot stand beside taxed items."))


def _calculation(invoice: Invoice) -> Iterator[Problem]:
    for row in invoice.vat_rows:
        basis, tax = exact(row.basis), exact(row.tax)
        if basis is None or tax is None:
            continue
        rate = exact(row.rate) or Fraction(0)
        expected = rounded(abs(basis) * rate / 100)
        if abs(abs(tax) - expected) > TOLERANCE:
            yield Problem("BT-117", "BR-CO-17", N_("The tax is not the taxable amount times the rate."))
