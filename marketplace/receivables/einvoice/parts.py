"""What UBL and CII write alike under other names: allowances and charges, rows of the VAT breakdown, earlier
invoices."""

from dataclasses import dataclass

from lxml import etree

from marketplace.receivables.einvoice.neutral import Charge, VatRow
from marketplace.receivables.einvoice.xml_reading import Reading

TRUE, FALSE = ("true", "1"), ("false", "0")


@dataclass(frozen=True)
class TaxPaths:
    """Where a syntax writes a tax: below `category` its code, its rate and which tax it is at all."""

    code: str
    rate: str
    scheme: str


@dataclass(frozen=True)
class ChargePaths:
    """Where a syntax writes an allowance or charge (BG-20, BG-21, BG-27, BG-28)."""

    indicator: str
    amount: str
    base: str
    percent: str
    reason: str
    reason_code: str
    tax: TaxPaths


@dataclass(frozen=True)
class VatRowPaths:
    """Where a syntax writes a row of the VAT breakdown (BG-23)."""

    basis: str
    amount: str
    reason: str
    reason_code: str
    tax: TaxPaths


def read_charge(reading: Reading, node: etree._Element, at: ChargePaths) -> Charge:
    """Return an allowance or charge of the document or of a line; its codes are noted for the code lists."""
    said = reading.text(node, at.indicator)
    is_charge = True if said in TRUE else False if said in FALSE else None
    reason_code = reading.text(node, at.reason_code)
    if is_charge is not None:
        field = "BT-105/BT-145" if is_charge else "BT-98/BT-140"
        reading.code("BR-CL-20" if is_charge else "BR-CL-19", field, reason_code)
    category, rate = read_tax(reading, node, at.tax, "BR-CL-17", "BT-95/BT-102")
    return Charge(
        is_charge=is_charge,
        amount=reading.text(node, at.amount),
        base=reading.text(node, at.base),
        percent=reading.text(node, at.percent),
        category=category,
        rate=rate,
        reason=reading.text(node, at.reason),
        reason_code=reason_code,
    )


def read_vat_row(reading: Reading, node: etree._Element, at: VatRowPaths) -> VatRow:
    """Return a row of the VAT breakdown."""
    reason_code = reading.text(node, at.reason_code)
    category, rate = read_tax(reading, node, at.tax, "BR-CL-17", "BT-118")
    return VatRow(
        category=category,
        rate=rate,
        basis=reading.text(node, at.basis),
        tax=reading.text(node, at.amount),
        reason=reading.text(node, at.reason),
        reason_code=reading.code("BR-CL-22", "BT-121", reason_code.upper() if reason_code else None),
    )


def read_tax(
    reading: Reading, node: etree._Element | None, at: TaxPaths, rule: str, field: str
) -> tuple[str | None, str | None]:
    """Return category and rate of a tax if it is VAT, else nothing: no other tax is one to these rules."""
    category = reading.code(rule, field, reading.text(node, at.code))
    if (reading.text(node, at.scheme) or "").upper() != "VAT":
        return None, None
    return category, reading.text(node, at.rate)
