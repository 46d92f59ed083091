"""Make the documents a demonstration or a test needs: invoices in three forms and filed accounts, for
any dates.

Everything follows from what is asked for: the same spec or seed gives the same bytes. All names are
fictional.
"""

import random
from dataclasses import replace
from datetime import date, timedelta
from typing import Literal

from marketplace.demo.accounts_document import ixbrl
from marketplace.demo.accounts_spec import AccountsSpec, Balance, Standard, Strength, balances
from marketplace.demo.companies import Company
from marketplace.demo.invoice_pdf import facturx
from marketplace.demo.invoice_specs import InvoiceSpec, LineSpec
from marketplace.demo.invoice_xml import cii, ubl

Syntax = Literal["ubl", "cii", "facturx"]
WRITERS = {"ubl": ubl, "cii": cii, "facturx": facturx}
ENDINGS = {"ubl": "xml", "cii": "xml", "facturx": "pdf"}
# sector → what such a seller bills: (name, unit, pence a unit from, to)
GOODS: dict[str, tuple[tuple[str, str, int, int], ...]] = {
    "construction": (
        ("Site carpentry, second fix", "DAY", 28_000, 42_000),
        ("Oak door sets, glazed", "C62", 31_000, 58_000),
    ),
    "logistics": (
        ("Chilled storage, per pallet week", "XPX", 450, 980),
        ("Groupage delivery, inland", "C62", 6_500, 18_000),
    ),
    "manufacturing": (
        ("Ductile iron housings, machined", "C62", 4_200, 9_900),
        ("Pattern set-up", "C62", 45_000, 90_000),
    ),
    "food": (("Smoked haddock fillets", "KGM", 1_150, 1_690), ("Potted crab, trays", "C62", 2_300, 3_400)),
    "textiles": (
        ("Contract upholstery cloth, fire-retardant", "MTR", 1_400, 2_900),
        ("Colour matching", "HUR", 5_500, 7_500),
    ),
    "packaging": (("Double-wall cartons, printed", "C62", 95, 240), ("Tooling for die cut", "C62", 38_000, 66_000)),
    "media": (("Large-format panels, mounted", "C62", 8_800, 19_500), ("Installation team", "DAY", 52_000, 68_000)),
    "services": (
        ("Contract cleaning, monthly", "C62", 240_000, 560_000),
        ("Out-of-hours call-outs", "HUR", 4_800, 7_900),
    ),
}


def invoice(spec: InvoiceSpec, syntax: Syntax) -> bytes:
    """Return the invoice or credit note as UBL, CII or Factur-X PDF."""
    return WRITERS[syntax](spec)


def filename(spec: InvoiceSpec, syntax: Syntax) -> str:
    """Return the name such a file would have: the number without what a file system dislikes."""
    stem = "".join(sign if sign.isalnum() else "-" for sign in spec.number)
    return f"{stem}.{ENDINGS[syntax]}"


def accounts(spec: AccountsSpec) -> bytes:
    """Return the accounts as inline XBRL."""
    return ixbrl(spec)


def invoice_spec(
    seller: Company,
    buyer: Company,
    issued_on: date,
    *,
    seed: int,
    number: str | None = None,
    days: int = 60,
    currency: str = "GBP",
    about_minor: int = 4_000_000,
) -> InvoiceSpec:
    """Make up an invoice of roughly `about_minor` without VAT. A British buyer is charged 20 % VAT,
    another none."""
    dice = random.Random(f"{seed}/{seller.name}/{buyer.name}/{issued_on}")  # noqa: S311 (figures for show)
    category, percent = ("S", 20) if buyer.country == "GB" else ("G", 0)
    lines = []
    goods = GOODS.get(seller.sector, GOODS["services"])
    for index, (name, unit, lowest, highest) in enumerate(goods):
        price = dice.randrange(lowest, highest)
        share = about_minor * (70 if index == 0 else 30) // 100
        lines.append(LineSpec(name, max(1, share // price), price, unit, category, percent))
    initials = "".join(word[0] for word in seller.name.split()[:2] if word[0].isalpha()).upper()
    return InvoiceSpec(
        number=number or f"{initials}-{issued_on:%y}-{dice.randrange(1, 9999):04d}",
        issued_on=issued_on,
        due_on=issued_on + timedelta(days=days),
        seller=seller,
        buyer=buyer,
        lines=tuple(lines),
        currency=currency,
        purchase_order=f"PO{dice.randrange(10**5, 10**6)}",
        contract=f"FW-{dice.randrange(100, 999)}",
        delivered_on=issued_on - timedelta(days=3),
        note="Thank you for your business.",
    )


def accounts_spec(
    company: Company,
    period_end: date,
    strength: Strength,
    *,
    seed: int,
    total_assets: int = 2_400_000,
    standard: Standard = "FRS-102",
) -> AccountsSpec:
    """Make up two years of accounts of the chosen strength, in whole pounds. Above £50m they are in
    thousands."""
    current, prior = balances(strength, total_assets, seed)
    number = company.legal_id if company.legal_id.isdigit() else f"9{seed % 10_000_000:07d}"
    thousands = total_assets >= 50_000_000
    if thousands:
        current, prior = _rounded(current), _rounded(prior)
    return AccountsSpec(company.name, number[:8], period_end, current, prior, standard, in_thousands=thousands)


def _rounded(balance: Balance) -> Balance:
    """Round every typed figure to thousands, so that the sums, being derived, still balance."""
    money = (
        "fixed_assets",
        "stocks",
        "debtors",
        "cash",
        "creditors_within",
        "creditors_after",
        "provisions",
        "share_capital",
        "turnover",
        "profit",
    )
    return replace(balance, **{name: getattr(balance, name) // 1000 * 1000 for name in money})
