"""The VAT rules of EN 16931, which are the same ten rules once per VAT category.

Source: EN 16931-1:2017 §6.4.3 (BR-S, BR-Z, BR-E, BR-AE, BR-IC, BR-G, BR-O, BR-AF, BR-AG, BR-B), BR-CO-17;
tolerances and the few differences between the syntaxes as in the CEN validation artefacts 1.3.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from marketplace.kernel.errors import Problem
from marketplace.kernel.words import N_
from marketplace.receivables.einvoice.exact_numbers import exact, rounded
from marketplace.receivables.einvoice.neutral import Charge, Invoice, Line, VatRow


@dataclass(frozen=True)
class Category:
    """How one VAT category behaves.

    `rate`: positive, any, zero or none; `exempt`: whether a reason for exemption is needed or forbidden;
    `by_rate`: one row of the breakdown a rate, instead of one row.
    """

    code: str
    prefix: str
    rate: str
    exempt: bool
    by_rate: bool = False


CATEGORIES = (
    Category("S", "BR-S", "positive", exempt=False, by_rate=True),
    Category("Z", "BR-Z", "zero", exempt=False),
    Category("E", "BR-E", "zero", exempt=True),
    Category("AE", "BR-AE", "zero", exempt=True),
    Category("K", "BR-IC", "zero", exempt=True),
    Category("G", "BR-G", "zero", exempt=True),
    Category("O", "BR-O", "none", exempt=True),
    Category("L", "BR-AF", "any", exempt=False, by_rate=True),
    Category("M", "BR-AG", "any", exempt=False, by_rate=True),
)
TOLERANCE = Fraction(1)
ZERO = Fraction(0)


@dataclass(frozen=True)
class Uses:
    """Where an invoice uses one VAT category: its lines, allowances, charges, and rows of the breakdown."""

    lines: list[Line]
    allowances: list[Charge]
    charges: list[Charge]
    rows: list[VatRow]


def vat_faults(invoice: Invoice) -> Iterator[Problem]:
    """Yield every VAT rule the invoice breaks."""
    for category in CATEGORIES:
        uses = _uses(invoice, category.code)
        if uses.lines or uses.allowances or uses.charges or uses.rows:
            yield from _breakdown(invoice, category, uses)
            yield from _numbers_of_parties(invoice, category, uses)
            yield from _rates(category, uses)
            for row in uses.rows:
                yield from _row(invoice, category, row, uses)
    yield from _intra_community(invoice)
    yield from _outside_scope(invoice)
    yield from _split_payment(invoice)
    yield from _calculation(invoice)


def _uses(invoice: Invoice, code: str) -> Uses:
    charges = [charge for charge in invoice.charges if charge.category == code]
    return Uses(
        [line for line in invoice.lines if line.category == code],
        [charge for charge in charges if charge.is_charge is False],
        [charge for charge in charges if charge.is_charge],
        [row for row in invoice.vat_rows if row.category == code],
    )


def _breakdown(invoice: Invoice, category: Category, uses: Uses) -> Iterator[Problem]:
    used, rows = bool(uses.lines or uses.allowances or uses.charges), len(uses.rows)
    # The artefacts differ: a row that nothing uses is told in UBL for taxed, in CII for exempt categories.
    unused_fits = category.by_rate == (invoice.syntax == "cii")
    fits = (rows > 0 if category.by_rate else rows == 1) if used else (rows < 2 or category.by_rate) and unused_fits
    if not fits:
        words = N_("Lines and VAT breakdown disagree on category %(category)s.")
        yield Problem("BG-23", f"{category.prefix}-01", words, {"category": category.code})


def _numbers_of_parties(invoice: Invoice, category: Category, uses: Uses) -> Iterator[Problem]:
    """Yield rules 02 (lines), 03 (allowances) and 04 (charges): whose VAT numbers the category needs."""
    code, seller, buyer = category.code, invoice.seller, invoice.buyer
    representative = invoice.tax_representative
    represented = representative is not None and representative.vat_id is not None
    params = {"category": code}
    if code == "O":
        fits = not (seller.vat_id or buyer.vat_id or represented)
        field, words = "BT-31", N_("What is outside the scope of VAT names no VAT numbers.")
    elif not (seller.vat_id or represented or (code not in ("K", "G") and seller.tax_id)):
        fits, field, words = False, "BT-31", N_("VAT category %(category)s needs the seller's VAT number.")
    else:
        fits = code not in ("AE", "K") or bool(buyer.vat_id or (code == "AE" and buyer.legal_id))
        field, words = "BT-48", N_("VAT category %(category)s needs the buyer's VAT number.")
    if not fits:
        for number, found in (("02", uses.lines), ("03", uses.allowances), ("04", uses.charges)):
            if found:
                yield Problem(field, f"{category.prefix}-{number}", words, params)


def _rates(category: Category, uses: Uses) -> Iterator[Problem]:
    for number, field, texts in (
        ("05", "BT-152", [line.rate for line in uses.lines]),
        ("06", "BT-96", [charge.rate for charge in uses.allowances]),
        ("07", "BT-103", [charge.rate for charge in uses.charges]),
    ):
        if not all(_rate_fits(category.rate, text) for text in texts):
            yield Problem(field, f"{category.prefix}-{number}", N_("The VAT rate does not fit the VAT category."))


def _rate_fits(wanted: str, text: str | None) -> bool:
    rate = exact(text)
    if wanted == "none":
        return text is None
    if rate is None:
        return False
    return rate > 0 if wanted == "positive" else rate >= 0 if wanted == "any" else rate == 0


def _row(invoice: Invoice, category: Category, row: VatRow, uses: Uses) -> Iterator[Problem]:
    basis, tax, rate = exact(row.basis), exact(row.tax), exact(row.rate)
    if not _basis_fits(invoice, category, basis, rate, uses):
        words = N_("The taxable amount is not the sum of its lines, charges and allowances.")
        yield Problem("BT-116", f"{category.prefix}-08", words)
    if category.by_rate:
        if basis is None or tax is None or rate is None or not _near(tax, basis, rate):
            yield Problem("BT-117", f"{category.prefix}-09", N_("The tax is not the taxable amount times the rate."))
    elif tax != 0:
        yield Problem("BT-117", f"{category.prefix}-09", N_("This VAT category carries no tax."))
    has_reason = bool(row.reason or row.reason_code)
    if has_reason != category.exempt:
        words = (
            N_("This VAT category needs a reason for exemption.")
            if category.exempt
            else N_("This VAT category has no reason for exemption.")
        )
        yield Problem("BT-120", f"{category.prefix}-10", words)


def _basis_fits(
    invoice: Invoice, category: Category, basis: Fraction | None, rate: Fraction | None, uses: Uses
) -> bool:
    if category.by_rate and rate is None:
        return True  # the missing rate is told by itself
    if basis is None:
        return False
    wanted = rate if category.by_rate else None
    difference = abs(basis - _sum_of(uses, wanted))
    # Each syntax' artefacts allow a difference below one where the other asks for equality.
    lenient = category.by_rate != (invoice.syntax == "cii") and category.code != "O"
    return difference < TOLERANCE if lenient else difference == 0


def _sum_of(uses: Uses, rate: Fraction | None) -> Fraction:
    def counts(text: str | None) -> bool:
        return rate is None or exact(text) == rate

    total = sum((exact(line.net) or ZERO for line in uses.lines if counts(line.rate)), ZERO)
    total += sum((exact(charge.amount) or ZERO for charge in uses.charges if counts(charge.rate)), ZERO)
    return rounded(total - sum((exact(less.amount) or ZERO for less in uses.allowances if counts(less.rate)), ZERO))


def _near(tax: Fraction, basis: Fraction, rate: Fraction) -> bool:
    return abs(abs(tax) - rounded(abs(basis) * rate / 100)) < TOLERANCE


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
    words = N_("What is outside the scope of VAT cannot stand beside taxed items.")
    for number, field, codes in (
        ("11", "BG-23", [row.category for row in invoice.vat_rows]),
        ("12", "BG-30", [line.category for line in invoice.lines]),
        ("13", "BG-20", [charge.category for charge in invoice.charges if charge.is_charge is False]),
        ("14", "BG-21", [charge.category for charge in invoice.charges if charge.is_charge]),
    ):
        if any(code and code != "O" for code in codes):
            yield Problem(field, f"BR-O-{number}", words)


def _split_payment(invoice: Invoice) -> Iterator[Problem]:
    """Judge category B, the split payment of VAT, which only Italy has."""
    rows: tuple[Line | Charge | VatRow, ...] = (*invoice.lines, *invoice.charges, *invoice.vat_rows)
    codes = {row.category for row in rows}
    if "B" not in codes:
        return
    parties = (invoice.seller, invoice.buyer, invoice.tax_representative, invoice.deliver_to)
    if any(party and party.country not in (None, "IT") for party in parties):
        yield Problem("BG-23", "BR-B-01", N_("Split payment of VAT exists within Italy only."))
    if "S" in codes:
        yield Problem("BG-23", "BR-B-02", N_("Split payment of VAT cannot stand beside standard rated items."))


def _calculation(invoice: Invoice) -> Iterator[Problem]:
    for row in invoice.vat_rows:
        basis, tax, rate = exact(row.basis), exact(row.tax), exact(row.rate)
        if rate is None or rounded(rate, 0) == 0:
            fits = tax is not None and rounded(tax, 0) == 0
        else:
            fits = tax is not None and basis is not None and _near(tax, basis, rate)
        if not fits:
            yield Problem("BT-117", "BR-CO-17", N_("The tax is not the taxable amount times the rate."))
