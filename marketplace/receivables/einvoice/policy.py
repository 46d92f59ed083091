"""May this e-invoice be listed for sale? Every reason, with the field it hangs on and words for people.

`no`: it is no claim for payment, or its content contradicts itself. `review`: a person must decide.
`yes`: neither.
A reason is never dropped because a graver one was found.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from marketplace.kernel.errors import Problem
from marketplace.kernel.words import N_
from marketplace.receivables.einvoice.doubts import doubts
from marketplace.receivables.einvoice.en16931 import DECISIVE, content_faults, form_faults
from marketplace.receivables.einvoice.exact_numbers import day, exact
from marketplace.receivables.einvoice.neutral import Invoice, Listable, Party

# UNTDID 1001. Source: EN 16931-1 BT-3 and UN/CEFACT's descriptions of each code.
CREDIT_NOTES = frozenset(
    ["81", "83", "261", "262", "296", "308", "381", "396", "420", "458", "502", "503", "532", "TD04", "TD08"]
)
# 325 is a pro-forma invoice. The TD codes are Italian papers a buyer writes to itself, for the tax office.
NO_CLAIMS = frozenset(["751", "325", "935", "TD16", "TD17", "TD18", "TD19", "TD22", "TD23", "TD28", "TD29"])
FACTORED = frozenset(["393", "472", "473", "501"])
WITHOUT_LINES = ("minimum", "basicwl")
CORE = ("BT-1", "BT-2", "BT-3", "BT-5", "BT-27", "BT-44", "BT-112", "BT-115")
EN16931_SYNTAXES = ("ubl_invoice", "ubl_creditnote", "cii")
DIRECT_DEBITS = frozenset(("49", "59"))


@dataclass(frozen=True)
class Reason:
    """Why a listing is refused or held: a stable code, how grave, and the field (BT-nn) it hangs on."""

    code: str
    verdict: Listable
    field: str


# Stem of a reason code → what to tell the seller.
WORDS = {
    "credit_note": N_("This is a credit note: it takes money back and cannot be sold."),
    "already_factored": N_("This invoice was issued for a factor: it is already assigned."),
    "not_a_payment_claim_type": N_("A document of this type asks nobody to pay."),
    "nothing_due": N_("Nothing is left to be paid on this invoice."),
    "missing": N_("A field without which nothing can be sold is missing."),
    "unreadable": N_("A field that decides what is sold cannot be understood."),
    "totals_inconsistent": N_("The amount due is not the total less what was prepaid, plus rounding."),
    "en16931_rules_broken": N_("The invoice breaks rules of the European standard: see the list."),
    "payee_is_not_seller": N_("Somebody other than the seller is to be paid: the invoice may already be assigned."),
    "corrected_invoice": N_("This corrects an earlier invoice: which of the two stands must be looked at."),
    "prepayment": N_("This asks for payment in advance: nothing has been delivered yet."),
    "self_billed": N_("The buyer wrote this invoice himself: the seller's consent must be looked at."),
    "consignment": N_("These goods are on consignment: the debt depends on their sale."),
    "unusual_type_code": N_("This document type is unusual for a commercial invoice."),
    "profile_without_lines": N_("This profile has no invoice lines: what was sold cannot be seen."),
    "en16931_codelist_or_syntax_rules_broken": N_("The invoice uses codes or forms the standard does not allow."),
    "legacy_syntax_zugferd1": N_("ZUGFeRD 1 is older than the European standard."),
    "national_syntax_fatturapa": N_("FatturaPA is a national format outside the European standard."),
    "lotto_of": N_("The file holds several invoices; only one can be listed at a time."),
    "due_before_issue": N_("The due date lies before the issue date."),
    "lines_claim_more": N_("The lines claim more than their quantities and prices explain."),
    "vat_number_too_long": N_("A VAT number has more digits than any number of its country."),
    "already_assigned_wording": N_("The invoice speaks of an assignment, pledge or sale of the claim: read its notes."),
    "several_due_dates": N_("The file names several due dates: which one counts must be looked at."),
    "copy_of_an_invoice": N_("The file calls itself a copy of an invoice."),
    "prepaid_elsewhere": N_("Payments in advance are told that were not deducted from the amount due."),
    "invisible_characters": N_("A number or name holds characters that cannot be seen, or is too long to be one."),
    "not_payable_in_coins": N_("The amount due is no whole number of the smallest coins of a currency we know."),
    "sums_beyond_profile": N_(
        "The sums do not add up, and the file's profile is one that the standard does not judge."
    ),
}
TYPE_REVIEWS = {
    "384": "corrected_invoice_384",
    "386": "prepayment_386",
    "389": "self_billed_389",
    "395": "consignment_395",
    "500": "prepayment_500",
    "527": "self_billed_527",
    "471": "self_billed_471",
    "TD02": "prepayment_TD02",
    "TD03": "prepayment_TD03",
    "TD20": "self_billed_TD20",
    "TD21": "self_billed_TD21",
    "TD27": "self_billed_TD27",
}
# What a document of a code is, where it is neither a credit note, factored nor no claim at all.
KINDS = {
    "380": "invoice",
    "TD01": "invoice",
    "TD24": "invoice",
    "326": "partial",
    "875": "partial",
    "876": "partial",
    "384": "corrected",
    "395": "consignment",
}
# The profiles of Factur-X / ZUGFeRD that EN 16931 does not decide for, as their own identifiers end.
PROFILE = re.compile(r"(?:factur-x\.eu:1p\d|zugferd\.de:2p\d):(minimum|basicwl|extended)")
# Presence and sums that hold in EXTENDED too, where other rules do not decide.
BEYOND = frozenset(("BR-CO-10", "BR-CO-13", "BR-CO-14", "BR-CO-15", "BR-12", "BR-13", "BR-16", "BR-CO-18"))


def words_for(code: str) -> str:
    """Return the untranslated words for a reason code such as `unusual_type_code_387` or `missing_BT-3`."""
    stem = next((stem for stem in sorted(WORDS, key=len, reverse=True) if code.startswith(stem)), None)
    return WORDS[stem] if stem else code


def judge(invoice: Invoice) -> tuple[Listable, tuple[Reason, ...], tuple[str, ...], tuple[Problem, ...]]:
    """Return the verdict, its reasons sorted by code, notes that decide nothing, and every fault found.

    The rules of EN 16931 decide for UBL and for CII in the profiles BASIC, EN 16931 and XRechnung;
    MINIMUM and
    BASIC WL are too thin for them and EXTENDED goes beyond them, so there faults are told but do not decide.
    """
    faults: list[Problem] = []
    reasons = [*_type(invoice), *_core(invoice), *_money(invoice), *_parties(invoice), *_form(invoice)]
    notes = list(_notes(invoice))
    if invoice.syntax in EN16931_SYNTAXES:
        content, form = content_faults(invoice), form_faults(invoice)
        faults = content + form
        reasons += _by_the_standard(invoice, content, form)
        if faults and not _rules_decide(invoice):
            notes.append("en16931_rules_do_not_decide_for_this_profile")
    found = [Reason(code, "review", field) for code, field in doubts(invoice)]
    if reasons:  # a person looks at it anyway, and finds these among the faults
        faults += [Problem(doubt.field, doubt.code, words_for(doubt.code)) for doubt in found]
    reasons = reasons or found
    distinct = tuple(sorted({reason.code: reason for reason in reasons}.values(), key=lambda reason: reason.code))
    verdicts = {reason.verdict for reason in distinct}
    verdict: Listable = "no" if "no" in verdicts else "review" if "review" in verdicts else "yes"
    faults += [Problem(r.field, r.code, words_for(r.code)) for r in distinct if not r.code.startswith("en16931_")]
    return verdict, distinct, tuple(sorted(notes)), tuple(faults)


def document_kind(invoice: Invoice) -> str:
    """Return what the document is: credit_note, factored, pro_forma, no_claim, corrected, partial, prepayment,
    self_billed, consignment, invoice or other."""
    code = invoice.terms.get("BT-3", "")
    if invoice.syntax == "ubl_creditnote" or code in CREDIT_NOTES:
        return "credit_note"
    if code in NO_CLAIMS:
        return "pro_forma" if code == "325" else "no_claim"
    if code in FACTORED:
        return "factored"
    stem = TYPE_REVIEWS.get(code, "").rpartition("_")[0]
    return KINDS.get(code) or (stem if stem in ("prepayment", "self_billed") else "other")


def _by_the_standard(invoice: Invoice, content: list[Problem], form: list[Problem]) -> Iterator[Reason]:
    if not _rules_decide(invoice):
        content = [fault for fault in content if fault.rule in DECISIVE]
    if content:
        yield Reason("en16931_rules_broken", "no", content[0].field)
    elif form and (_rules_decide(invoice) or any(fault.rule == "xml_schema" for fault in form)):
        yield Reason("en16931_codelist_or_syntax_rules_broken", "review", form[0].field)
    elif _profile(invoice) == "extended" and (beyond := [f for f in content_faults(invoice) if f.rule in BEYOND]):
        yield Reason("sums_beyond_profile", "review", beyond[0].field)


def _profile(invoice: Invoice) -> str:
    """Return which of the profiles the standard does not decide for this is, or ""."""
    found = PROFILE.search(invoice.terms.get("BT-24", "").lower()) if invoice.syntax == "cii" else None
    return found[1] if found and found.end() == len(invoice.terms["BT-24"]) else ""


def _rules_decide(invoice: Invoice) -> bool:
    return not _profile(invoice)


def _type(invoice: Invoice) -> Iterator[Reason]:
    code = invoice.terms.get("BT-3")
    if invoice.syntax == "ubl_creditnote" or code in CREDIT_NOTES:
        yield Reason("credit_note", "no", "BT-3")
    elif code in FACTORED:
        yield Reason(f"already_factored_{code}", "no", "BT-3")
    elif code in NO_CLAIMS:
        yield Reason(f"not_a_payment_claim_type_{code}", "no", "BT-3")
    elif code in TYPE_REVIEWS:
        yield Reason(TYPE_REVIEWS[code], "review", "BT-3")
    elif code != "380" and invoice.syntax != "fatturapa":
        yield Reason(f"unusual_type_code_{code[:8] if code else None}", "review", "BT-3")


def _core(invoice: Invoice) -> Iterator[Reason]:
    for field in CORE:
        # The two older formats leave it to the reader to work out what is due; they are never listed unseen.
        if (invoice.syntax == "fatturapa" and field == "BT-112") or (
            invoice.syntax not in EN16931_SYNTAXES and field == "BT-115"
        ):
            continue
        if field not in invoice.terms:
            yield Reason(f"missing_{field}", "no", field)
    for field in ("BT-2", "BT-9"):
        if field in invoice.terms and day(invoice.terms[field]) is None:
            yield Reason(f"unreadable_{field}", "no", field)
    for field in ("BT-112", "BT-113", "BT-114", "BT-115"):
        if field in invoice.terms and exact(invoice.terms[field]) is None:
            yield Reason(f"unreadable_{field}", "no", field)


def _money(invoice: Invoice) -> Iterator[Reason]:
    due = exact(invoice.terms.get("BT-115"))
    if due is not None and due <= 0:
        yield Reason("nothing_due", "no", "BT-115")
    total = exact(invoice.terms.get("BT-112"))
    # MINIMUM has no place for a prepaid amount, so its two totals may differ.
    if due is not None and total is not None and _profile(invoice) != "minimum":
        prepaid, rounding = exact(invoice.terms.get("BT-113")) or 0, exact(invoice.terms.get("BT-114")) or 0
        if due != total - prepaid + rounding:
            yield Reason("totals_inconsistent", "no", "BT-115")
    issued, falls_due = day(invoice.terms.get("BT-2")), day(invoice.terms.get("BT-9"))
    if issued and falls_due and falls_due < issued:
        yield Reason("due_before_issue", "review", "BT-9")


def _parties(invoice: Invoice) -> Iterator[Reason]:
    payee = invoice.payee
    named = payee is not None and (payee.name or payee.legal_id or payee.identifiers)
    if payee is not None and named and not _same_party(payee, invoice.seller):
        yield Reason("payee_is_not_seller", "review", "BT-59")


def _same_party(payee: Party, seller: Party) -> bool:
    """Say whether the payee is the seller again: nothing it says differs, and its name is the seller's."""
    names = {" ".join(name.casefold().split()) for name in (seller.name, seller.trading_name) if name}
    if payee.name is None or " ".join(payee.name.casefold().split()) not in names:
        return False
    if payee.legal_id and seller.legal_id and payee.legal_id.text != seller.legal_id.text:
        return False
    known = {identifier.text for identifier in seller.identifiers}
    return not payee.identifiers or not known or any(identifier.text in known for identifier in payee.identifiers)


def _form(invoice: Invoice) -> Iterator[Reason]:
    if invoice.syntax == "zugferd1":
        yield Reason("legacy_syntax_zugferd1", "review", "BT-24")
    if invoice.syntax == "fatturapa":
        yield Reason("national_syntax_fatturapa", "review", "BT-24")
    if invoice.bodies > 1:
        yield Reason(f"lotto_of_{invoice.bodies}_invoices", "review", "BT-1")
    if _profile(invoice) in WITHOUT_LINES:
        yield Reason("profile_without_lines", "review", "BT-24")


def _notes(invoice: Invoice) -> Iterator[str]:
    if "BT-9" not in invoice.terms and invoice.syntax != "fatturapa":
        yield "no_due_date"
    if invoice.bodies > 1:
        yield "fields are those of the first body"
    if invoice.terms.get("BT-81") in DIRECT_DEBITS:
        yield "direct_debit"
    if len(set(invoice.accounts)) > 1:
        yield "several_bank_accounts"
