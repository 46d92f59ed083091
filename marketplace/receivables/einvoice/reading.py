"""Read an e-invoice: UBL, CII, Factur-X / ZUGFeRD PDF, ZUGFeRD 1 or FatturaPA. The one door to the
readers behind.

Nothing here trusts the file: XML goes through `xml_guard`, PDF through `pdf_attachment` in a process of
its own.
"""

import base64

from lxml import etree

from marketplace.kernel.errors import Problem
from marketplace.kernel.words import N_
from marketplace.receivables.einvoice import cii, fatturapa, ubl
from marketplace.receivables.einvoice.exact_numbers import day, money
from marketplace.receivables.einvoice.neutral import REPORTED, Invoice, ReadInvoice
from marketplace.receivables.einvoice.policy import document_kind, judge
from marketplace.receivables.einvoice.xml_guard import parse_guarded, refusal
from marketplace.sandboxed import Limits, run_sandboxed

UPLOAD_BYTES_MAX = 50 * 1024 * 1024
# Address space, of which the libraries take half. An honest PDF takes a third of a second.
PDF_LIMITS = Limits(memory_bytes=448 * 1024 * 1024, cpu_seconds=2, wall_seconds=20)
AMOUNTS = ("BT-112", "BT-113", "BT-115")


def read_einvoice(content: bytes, filename: str) -> ReadInvoice:
    """Return what the e-invoice says and whether it may be listed.

    What the file is, is told by its first bytes, never by its name; `filename` only goes into words.

    Raises: InvalidInput when it cannot be read at all: too_large, empty, not_a_document, not_well_formed,
    forbidden_doctype, too_deep, too_many_elements, broken_pdf, encrypted_pdf, no_embedded_xml,
    embedded_order, two_embedded_invoices, too_many_attachments, unusual_compression, too_costly, unknown_syntax (with
    the root's name as `syntax`).
    """
    if len(content) > UPLOAD_BYTES_MAX:
        raise refusal("too_large", N_("The file is larger than %(most)s MB."), {"most": UPLOAD_BYTES_MAX // 2**20})
    if not content.strip():
        raise refusal("empty", N_("The file is empty."))
    embedded_name = None
    if b"%PDF-" in content[:1024]:
        attached = run_sandboxed(
            "marketplace.receivables.einvoice.pdf_attachment", "attached_invoice", content, limits=PDF_LIMITS
        )
        embedded_name, content = str(attached["name"]), base64.b64decode(attached["xml"])
    elif not _looks_like_xml(content):
        raise refusal(
            "not_a_document",
            N_("%(filename)s is neither an XML invoice nor a PDF."),
            {"filename": filename[:80]},
        )
    invoice = read_xml(content)
    return _judged(invoice, embedded_name, content)


def _looks_like_xml(content: bytes) -> bool:
    start = content[:200].replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    return start.startswith(b"<")


def read_xml(content: bytes) -> Invoice:
    """Return the neutral form of XML bytes, whichever known syntax they are in.

    Raises: InvalidInput as `parse_guarded` does, or "unknown_syntax".
    """
    root = parse_guarded(content)
    if root.tag in (ubl.INVOICE, ubl.CREDIT_NOTE):
        return ubl.read_ubl(root)
    if root.tag in (cii.CII, cii.ZUGFERD_1):
        return cii.read_cii(root)
    if fatturapa.is_fatturapa(root):
        return fatturapa.read_fatturapa(root)
    name = etree.QName(root).localname[:40]
    raise refusal(
        "unknown_syntax",
        N_("“%(name)s” is no invoice format this market reads."),
        {"name": name, "syntax": f"unknown:{name}"},
    )


def _judged(invoice: Invoice, embedded_name: str | None, xml: bytes) -> ReadInvoice:
    verdict, reasons, notes, faults = judge(invoice)
    terms, currency = invoice.terms, invoice.terms.get("BT-5")
    faults += tuple(_inexact(invoice))
    return ReadInvoice(
        syntax=invoice.syntax,
        kind=document_kind(invoice),
        fields={term: terms.get(term) for term in REPORTED},
        seller=invoice.seller,
        buyer=invoice.buyer,
        payee=invoice.payee,
        lines=invoice.lines,
        purchase_order=terms.get("BT-13"),
        contract=terms.get("BT-12"),
        remittance=terms.get("BT-83"),
        texts=(*invoice.notes, *((terms["BT-20"],) if "BT-20" in terms else ())),
        accounts=invoice.accounts,
        preceding=invoice.preceding,
        issued_on=day(terms.get("BT-2")),
        due_on=day(terms.get("BT-9")),
        total=money(terms.get("BT-112"), currency),
        prepaid=money(terms.get("BT-113"), currency),
        amount_due=money(terms.get("BT-115"), currency),
        listable=verdict,
        reasons=tuple(reason.code for reason in reasons),
        notes=notes,
        faults=faults,
        embedded_name=embedded_name,
        invoice_xml=xml,
    )


def _inexact(invoice: Invoice) -> list[Problem]:
    """List the amounts that are numbers but no whole minor units of a currency this market knows."""
    currency = invoice.terms.get("BT-5")
    words = N_("%(text)s is no whole number of minor units in a currency this market knows.")
    return [
        Problem(term, "not_minor_units", words, {"text": invoice.terms[term][:40]})
        for term in AMOUNTS
        if term in invoice.terms and money(invoice.terms[term], currency) is None
    ]
