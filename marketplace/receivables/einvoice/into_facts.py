"""From an e-invoice as it was read to the facts that listing needs, and to what is left to say about the document."""

from typing import Any

from marketplace.kernel.errors import Problem
from marketplace.receivables.einvoice.exact_numbers import money
from marketplace.receivables.einvoice.neutral import Identifier, ReadInvoice
from marketplace.receivables.einvoice.policy import words_for
from marketplace.receivables.facts import InvoiceFacts, Line

FORMATS = {
    "ubl_invoice": "UBL 2.1",
    "ubl_creditnote": "UBL 2.1",
    "cii": "CII",
    "zugferd1": "ZUGFeRD 1",
    "fatturapa": "FatturaPA",
}
LINES_KEPT = 200
TEXT_KEPT = 200
NOTES_KEPT = 4_000
ACCOUNTS_KEPT = 10
# The field of the listing form on which a term of the standard is shown.
FORM_FIELDS = {"BT-1": "number", "BT-2": "issued_on", "BT-3": "document_type", "BT-5": "currency", "BT-9": "due_on",
               "BT-27": "seller_name", "BT-44": "debtor_name", "BT-48": "debtor_vat_id", "BT-59": "payee_name",
               "BT-84": "iban", "BT-112": "total_minor", "BT-115": "face_minor"}  # fmt: skip


def facts_of(read: ReadInvoice) -> InvoiceFacts:
    """Return the facts of an e-invoice. A payee that is the seller again is no payee."""
    currency = read.fields.get("BT-5")
    amounts = [money(line.net, currency) for line in read.lines]
    net = sum(amount.minor for amount in amounts if amount) if amounts and all(amounts) else None
    other_payee = read.payee if "payee_is_not_seller" in read.reasons else None
    return InvoiceFacts(
        number=_cut(read.fields.get("BT-1")),
        document_type=_cut(read.fields.get("BT-3")) or "380",
        currency=currency,
        issued_on=read.issued_on,
        due_on=read.due_on,
        seller_name=_cut(read.seller.name),
        seller_legal_id=_id(read.seller.legal_id),
        seller_vat_id=_cut(read.seller.vat_id),
        debtor_name=_cut(read.buyer.name),
        debtor_legal_id=_id(read.buyer.legal_id),
        debtor_vat_id=_cut(read.buyer.vat_id),
        debtor_country=read.buyer.country,
        payee_name=_cut(other_payee.name) if other_payee else None,
        payee_legal_id=_id(other_payee.legal_id) if other_payee else None,
        iban=read.accounts[0] if read.accounts else None,
        more_ibans=tuple(read.accounts[1:ACCOUNTS_KEPT]),
        purchase_order=_cut(read.purchase_order),
        contract=_cut(read.contract),
        notes="\n".join(read.texts)[:NOTES_KEPT] or None,
        net_minor=net,
        vat_minor=read.total.minor - net if net is not None and read.total else None,
        total_minor=read.total.minor if read.total else None,
        prepaid_minor=read.prepaid.minor if read.prepaid else None,
        face_minor=read.amount_due.minor if read.amount_due else None,
        lines=tuple(_line(line, currency) for line in read.lines[:LINES_KEPT]),
    )


def _line(line: Any, currency: str | None) -> Line:
    amount = money(line.net, currency)
    return Line(_cut(line.name) or "–", line.quantity, line.price, amount.minor if amount else None)


def _id(identifier: Identifier | None) -> str | None:
    return _cut(identifier.text) if identifier else None


def _cut(text: str | None) -> str | None:
    return text[:TEXT_KEPT] if text else None


def findings_of(read: ReadInvoice) -> dict[str, Any]:
    """Return what the reading left to say, as JSON: verdict, reasons with words, faults, notes."""
    return {
        "listable": read.listable,
        "reasons": [{"code": code, "words": words_for(code)} for code in read.reasons],
        "notes": list(read.notes),
        "faults": [{"field": p.field, "rule": p.rule, "words": p.words, "params": _plain(p)} for p in read.faults[:50]],
        "embedded_name": read.embedded_name,
        "lines_all": len(read.lines),
    }


def _plain(problem: Problem) -> dict[str, Any]:
    return {name: value if isinstance(value, int) else str(value) for name, value in problem.params.items()}


def problems_of(read: ReadInvoice) -> list[Problem]:
    """Return why the document cannot be listed: its reasons first, then each broken rule of the standard."""
    reasons = [Problem("document", code, words_for(code)) for code in read.reasons]
    told = {problem.rule for problem in reasons}
    return reasons + [Problem("document", p.rule, f"{p.field}: {p.words}", p.params)
                      for p in read.faults if p.rule not in told]  # fmt: skip


def format_of(read: ReadInvoice) -> str:
    """Return the name of the format, as people call it."""
    name = FORMATS.get(read.syntax, read.syntax)
    return f"Factur-X / ZUGFeRD PDF, {name}" if read.embedded_name else name
