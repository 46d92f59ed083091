"""What every e-invoice says, whatever its syntax: the EN 16931 terms we use, as text, and what we make
of them.

Texts are as in the file (white space at the ends removed); dates are yyyy-mm-dd; amounts are decimal strings.
Source: EN 16931-1:2017 §6, the semantic model (BG- groups, BT- terms).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, NamedTuple

from marketplace.kernel.errors import Problem
from marketplace.kernel.money import Money

# The terms every reading reports, absent ones as None.
REPORTED = (
    "BT-1",
    "BT-2",
    "BT-3",
    "BT-5",
    "BT-9",
    "BT-24",
    "BT-27",
    "BT-30",
    "BT-31",
    "BT-44",
    "BT-48",
    "BT-59",
    "BT-81",
    "BT-84",
    "BT-112",
    "BT-113",
    "BT-114",
    "BT-115",
)

Listable = Literal["yes", "review", "no"]


@dataclass(frozen=True)
class Identifier:
    """An identifier and the scheme it belongs to, when the file names one (ISO 6523 code)."""

    text: str
    scheme: str | None = None


@dataclass(frozen=True)
class Party:
    """A party as the invoice names it: seller (BG-4), buyer (BG-7), payee (BG-10), tax representative
    (BG-11)."""

    name: str | None = None
    trading_name: str | None = None
    identifiers: tuple[Identifier, ...] = ()
    legal_id: Identifier | None = None
    vat_id: str | None = None
    tax_id: str | None = None
    endpoint: Identifier | None = None
    has_address: bool = False
    country: str | None = None
    city: str | None = None
    postcode: str | None = None


@dataclass(frozen=True)
class Charge:
    """A charge or, when `is_charge` is false, an allowance; on the document (BG-20, BG-21) or a line
    (BG-27, BG-28). None where the file does not say which. `category` is that of VAT, of no other tax."""

    is_charge: bool | None
    amount: str | None
    base: str | None = None
    percent: str | None = None
    category: str | None = None
    rate: str | None = None
    reason: str | None = None
    reason_code: str | None = None


@dataclass(frozen=True)
class VatRow:
    """One row of the VAT breakdown (BG-23). Category and rate are those of VAT, of no other tax."""

    category: str | None
    rate: str | None
    basis: str | None
    tax: str | None
    reason: str | None = None
    reason_code: str | None = None


@dataclass(frozen=True)
class Line:
    """An invoice line (BG-25)."""

    id: str | None
    name: str | None
    quantity: str | None
    unit: str | None
    net: str | None
    price: str | None
    price_base: str | None = None
    gross_price: str | None = None
    category: str | None = None
    rate: str | None = None
    seller_item: str | None = None
    charges: tuple[Charge, ...] = ()
    period: tuple[str | None, str | None] | None = None


@dataclass(frozen=True)
class VatTotal:
    """A total of VAT (BT-110, or BT-111 in the accounting currency) and the taxes it is the sum of.

    `taxes` is None where the syntax gives this total no rows of its own.
    """

    currency: str | None
    amount: str
    taxes: tuple[str | None, ...] | None = None


@dataclass(frozen=True)
class Means:
    """A way to pay (BG-16): its code (BT-81), and whether an account stands there and is named (BT-84)."""

    code: str | None
    has_account: bool
    account: str | None


class Preceding(NamedTuple):
    """An earlier invoice this document refers to (BG-3): its number (BT-25) and, when told, its day (BT-26).

    On a credit note it names the invoice that is reduced.
    """

    number: str
    issued_on: date | None = None


@dataclass(frozen=True)
class CodeUse:
    """A coded value met in the file, with the code-list rule that governs it."""

    rule: str
    field: str
    text: str


@dataclass(frozen=True)
class Invoice:
    """The neutral form that UBL, CII and FatturaPA are read into and that the rules judge."""

    syntax: str
    terms: Mapping[str, str]
    seller: Party
    buyer: Party
    payee: Party | None = None
    tax_representative: Party | None = None
    deliver_to: Party | None = None
    lines: tuple[Line, ...] = ()
    charges: tuple[Charge, ...] = ()
    vat_rows: tuple[VatRow, ...] = ()
    vat_totals: tuple[VatTotal, ...] = ()
    accounts: tuple[str, ...] = ()
    means: tuple[Means, ...] = ()
    period: tuple[str | None, str | None] | None = None
    preceding: tuple[Preceding, ...] = ()
    notes: tuple[str, ...] = ()
    codes: tuple[CodeUse, ...] = ()
    syntax_faults: tuple[Problem, ...] = ()
    bodies: int = 1
    due_dates: tuple[str, ...] = ()  # every date a reader could take for BT-9
    prepaid_elsewhere: tuple[str, ...] = ()  # amounts paid in advance, told beside BT-113
    marks: tuple[str, ...] = ()  # what else speaks against selling: "copy", "factoring"
    texts: tuple[str, ...] = ()  # every free text that could speak of an assignment


@dataclass(frozen=True)
class ReadInvoice:
    """What the market knows of an uploaded e-invoice.

    `listable`: yes, review (a person must decide) or no; `reasons` are stable codes, words for them are in
    `policy.WORDS`; `notes` are codes that decide nothing, `texts` what it says in free words (BT-22, BT-20).
    `amount_due` is what is sold (BT-115).
    Money and dates are None where the file has none or the text is no amount or date (then a fault says so).
    """

    syntax: str
    kind: str
    fields: Mapping[str, str | None]
    seller: Party
    buyer: Party
    payee: Party | None
    lines: tuple[Line, ...]
    purchase_order: str | None
    contract: str | None
    remittance: str | None
    texts: tuple[str, ...]
    accounts: tuple[str, ...]
    preceding: tuple[Preceding, ...]
    issued_on: date | None
    due_on: date | None
    total: Money | None
    prepaid: Money | None
    amount_due: Money | None
    listable: Listable
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    faults: tuple[Problem, ...]
    embedded_name: str | None = None
    invoice_xml: bytes = field(default=b"", repr=False)


def party_terms(seller: Party, buyer: Party, payee: Party | None) -> dict[str, str | None]:
    """Return what an invoice says of its parties, by the standard's business terms."""
    return {
        "BT-27": seller.name,
        "BT-28": seller.trading_name,
        "BT-31": seller.vat_id,
        "BT-32": seller.tax_id,
        "BT-30": seller.legal_id.text if seller.legal_id else None,
        "BT-40": seller.country,
        "BT-44": buyer.name,
        "BT-47": buyer.legal_id.text if buyer.legal_id else None,
        "BT-48": buyer.vat_id,
        "BT-55": buyer.country,
        "BT-59": payee.name if payee else None,
        "BT-61": payee.legal_id.text if payee and payee.legal_id else None,
    }
