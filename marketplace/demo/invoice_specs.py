"""What an invoice to be made up says, and the sums that follow from it. Whole minor units throughout."""

from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

from marketplace.demo.companies import Company

UNITS = {"C62": "units", "HUR": "hours", "DAY": "days", "KGM": "kg", "MTR": "metres", "XPX": "pallets"}


@dataclass(frozen=True)
class LineSpec:
    """A line: whole quantity × price in minor units. VAT category S, Z, AE or G (UNTDID 5305) and rate
    in percent."""

    name: str
    quantity: int
    price_minor: int
    unit: str = "C62"
    vat_category: str = "S"
    vat_percent: int = 20

    @property
    def net_minor(self) -> int:
        """The line's net amount (BT-131)."""
        return self.quantity * self.price_minor


@dataclass(frozen=True)
class VatSum:
    """One row of the VAT breakdown, in minor units."""

    category: str
    percent: int
    basis_minor: int
    tax_minor: int


@dataclass(frozen=True)
class InvoiceSpec:
    """An invoice or credit note to be made. `payee` set means somebody else is to be paid: already
    assigned."""

    number: str
    issued_on: date
    due_on: date
    seller: Company
    buyer: Company
    lines: tuple[LineSpec, ...]
    currency: str = "GBP"
    type_code: str = "380"
    purchase_order: str = ""
    contract: str = ""
    delivered_on: date | None = None
    prepaid_minor: int = 0
    note: str = ""
    payee: Company | None = None
    preceding: str = ""

    @cached_property
    def vat(self) -> tuple[VatSum, ...]:
        """The VAT breakdown: one row a category and rate, tax rounded half up."""
        bases: dict[tuple[str, int], int] = {}
        for line in self.lines:
            key = (line.vat_category, line.vat_percent)
            bases[key] = bases.get(key, 0) + line.net_minor
        return tuple(
            VatSum(category, percent, basis, (basis * percent * 2 + 100) // 200)
            for (category, percent), basis in sorted(bases.items())
        )

    @property
    def net_minor(self) -> int:
        """Total without VAT (BT-109)."""
        return sum(line.net_minor for line in self.lines)

    @property
    def tax_minor(self) -> int:
        """VAT total (BT-110)."""
        return sum(row.tax_minor for row in self.vat)

    @property
    def total_minor(self) -> int:
        """Total with VAT (BT-112)."""
        return self.net_minor + self.tax_minor

    @property
    def due_minor(self) -> int:
        """Amount due (BT-115)."""
        return self.total_minor - self.prepaid_minor

    @property
    def is_credit_note(self) -> bool:
        """Whether it gives money back."""
        return self.type_code == "381"


EXEMPTIONS = {
    "AE": ("VATEX-EU-AE", "Reverse charge"),
    "G": ("VATEX-EU-G", "Export outside the UK"),
    "K": ("VATEX-EU-IC", "Intra-community supply"),
}


def credit_note_for(invoice: InvoiceSpec, number: str, issued_on: date) -> InvoiceSpec:
    """Return a credit note that takes the whole invoice back."""
    return replace(
        invoice,
        number=number,
        issued_on=issued_on,
        due_on=issued_on,
        type_code="381",
        prepaid_minor=0,
        preceding=invoice.number,
    )


def cosmetic_numbers(number: str) -> list[str]:
    """Return other ways to write the same invoice number: all denote the same claim."""
    look_alike = number.replace("A", "А").replace("E", "Е").replace("O", "О")  # Cyrillic
    return [
        number.lower(),
        f"INV {number}",
        f"Invoice no. {number}",
        number.replace("-", "/"),
        number.replace("-", " "),
        number.replace("-", ""),
        f"  {number} ",
        f"#{number}",
        look_alike,
        _full_width(number),
    ]


def _full_width(text: str) -> str:
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)


def amount(minor: int) -> str:
    """Write minor units of a two-digit currency as a decimal text."""
    return f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02d}"
