"""What no rule of the standard forbids but a person must look at before the claim is sold.

Each doubt has a ground that holds for every invoice, not for one file:
- the lines claim more than quantity × price (PEPPOL-EN16931-R120, with a materiality for rounded prices);
- a VAT number longer than any of its country (no lost leading zero explains it; a shorter one it may);
- words that speak of an assignment, or a reference to a factoring agreement;
- several due dates, an advance payment told beside the one that was deducted, a copy of another invoice;
- invisible characters in what identifies the claim; an amount that is no whole number of the smallest coins.
"""

import unicodedata
from collections.abc import Iterator
from fractions import Fraction

from marketplace.receivables.einvoice.assignment_words import assignment_wording
from marketplace.receivables.einvoice.exact_numbers import exact, money
from marketplace.receivables.einvoice.neutral import Invoice

# The most digits an all-digit VAT number has. Source: European Commission, VIES FAQ question 11; HMRC for GB and XI.
VAT_DIGITS_MAX = {
    "BE": 10, "BG": 10, "CZ": 10, "DE": 9, "DK": 8, "EE": 9, "EL": 9, "FI": 8, "GB": 12, "HR": 11, "HU": 8, "IT": 11,
    "LT": 12, "LU": 8, "LV": 11, "MT": 8, "PL": 10, "PT": 9, "RO": 10, "SE": 12, "SI": 8, "SK": 10, "XI": 12,
}  # fmt: skip
IDENTIFYING = ("BT-1", "BT-27", "BT-30", "BT-31", "BT-44", "BT-47", "BT-48", "BT-84")
TEXT_MAX = 50_000  # characters of notes and terms; more than that hides more than it says
NUMBER_MAX = 100  # characters; no ledger keeps a longer invoice number
INVISIBLE = frozenset(("Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"))


def doubts(invoice: Invoice) -> Iterator[tuple[str, str]]:
    """Yield (code, term it hangs on) for every doubt, in a fixed order."""
    if _claims_more(invoice):
        yield "lines_claim_more", "BT-131"
    for field, number in (("BT-31", invoice.seller.vat_id), ("BT-48", invoice.buyer.vat_id)):
        digits = (number or "")[2:]
        if digits.isdigit() and len(digits) > VAT_DIGITS_MAX.get((number or "")[:2], len(digits)):
            yield "vat_number_too_long", field
    if "factoring" in invoice.marks or _speaks_of_assignment(invoice.texts):
        yield "already_assigned_wording", "BT-22"
    if len(set(invoice.due_dates)) > 1:
        yield "several_due_dates", "BT-9"
    if "copy" in invoice.marks:
        yield "copy_of_an_invoice", "BT-1"
    if _paid_elsewhere(invoice):
        yield "prepaid_elsewhere", "BT-113"
    for field in IDENTIFYING:
        text = invoice.terms.get(field, "")
        if (field == "BT-1" and len(text) > NUMBER_MAX) or _invisible(text):
            yield "invisible_characters", field
            break
    if "BT-115" in invoice.terms and money(invoice.terms["BT-115"], invoice.terms.get("BT-5")) is None:
        yield "not_payable_in_coins", "BT-115"


def _speaks_of_assignment(texts: tuple[str, ...]) -> bool:
    """Say whether the free texts speak of an assignment, or are more than one reads to deny it."""
    if sum(map(len, texts)) > TEXT_MAX:
        return True
    said = "\n".join(
        "".join(c for c in text if unicodedata.category(c) not in INVISIBLE or c.isspace()) for text in texts
    )
    return assignment_wording(said) is not None


def _invisible(text: str) -> bool:
    return any(unicodedata.category(char) in INVISIBLE and not char.isspace() for char in text)


def _claims_more(invoice: Invoice) -> bool:
    """Say whether the lines together claim materially (5 %) more than quantity × price, charges included, explains.

    Who overstates a claim overstates its lines; a line that claims less harms nobody who buys it. Prices may have
    been rounded to two decimals, which is half a penny a unit; and a price may be meant for the base quantity or
    for one, which readers of the standard take differently: the higher counts.
    """
    over, claimed, tolerance = Fraction(0), Fraction(0), Fraction(1)
    for line in invoice.lines:
        quantity, price, net = exact(line.quantity), exact(line.price), exact(line.net)
        if quantity is None or price is None or net is None:
            continue
        base = (exact(line.price_base) if line.price_base else None) or Fraction(1)
        explained = max(quantity * price / base, quantity * price)
        for charge in line.charges:
            amount = exact(charge.amount) or Fraction(0)
            explained += amount if charge.is_charge else -amount
        over, claimed = over + net - explained, claimed + abs(net)
        tolerance += abs(quantity / base) / 200
    return over > tolerance and over * 20 > claimed


def _paid_elsewhere(invoice: Invoice) -> bool:
    """Say whether advance payments are told that do not come to what was deducted as prepaid (BT-113)."""
    if not invoice.prepaid_elsewhere:
        return False
    told = [exact(text) for text in invoice.prepaid_elsewhere]
    deducted = exact(invoice.terms.get("BT-113")) or Fraction(0)
    return None in told or sum((amount for amount in told if amount), Fraction(0)) != deducted
