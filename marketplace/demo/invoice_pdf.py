"""Print an invoice on one page and put its machine-readable twin inside: a Factur-X PDF.

Source: Factur-X 1.07 §6.2 (attachment factur-x.xml, relationship Alternative, XMP extension schema).
"""

import io
from datetime import UTC, datetime, time
from typing import Any

from marketplace.demo.companies import Company
from marketplace.demo.invoice_specs import EXEMPTIONS, UNITS, InvoiceSpec, amount
from marketplace.demo.invoice_xml import cii, terms

FACTURX = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
INK, FAINT, RULE = (24, 32, 44), (96, 106, 120), (205, 211, 219)
COLUMNS = ((92, "L"), (18, "R"), (22, "L"), (24, "R"), (24, "R"))


def facturx(spec: InvoiceSpec) -> bytes:
    """Return a one-page PDF with the CII form of the invoice attached. Same spec, same bytes."""
    import pikepdf

    with pikepdf.open(io.BytesIO(_page(spec))) as pdf:
        stamp = datetime.combine(spec.issued_on, time(9), UTC)
        attached = pikepdf.AttachedFileSpec(
            pdf,
            cii(spec),
            filename="factur-x.xml",
            mime_type="text/xml",
            description="Factur-X invoice",
            creation_date=f"D:{stamp:%Y%m%d%H%M%S}Z",
            mod_date=f"D:{stamp:%Y%m%d%H%M%S}Z",
        )
        attached.relationship = pikepdf.Name.Alternative
        pdf.attachments["factur-x.xml"] = attached
        pdf.Root.AF = pikepdf.Array([attached.obj])
        with pdf.open_metadata(set_pikepdf_as_editor=False, update_docinfo=False) as metadata:
            metadata.register_xml_namespace(FACTURX, "fx")
            metadata[f"{{{FACTURX}}}DocumentType"] = "INVOICE"
            metadata[f"{{{FACTURX}}}DocumentFileName"] = "factur-x.xml"
            metadata[f"{{{FACTURX}}}Version"] = "1.0"
            metadata[f"{{{FACTURX}}}ConformanceLevel"] = "EN 16931"
        out = io.BytesIO()
        pdf.save(out, deterministic_id=True)
    return out.getvalue()


def _page(spec: InvoiceSpec) -> bytes:
    from fpdf import FPDF

    pdf = FPDF(format="A4")
    pdf.set_creation_date(datetime.combine(spec.issued_on, time(9), UTC))
    pdf.set_title(f"{'Credit note' if spec.is_credit_note else 'Invoice'} {spec.number}")
    pdf.set_author(spec.seller.name)
    pdf.set_margins(18, 18, 12)
    pdf.add_page()
    _head(pdf, spec)
    _table(pdf, spec)
    _sums(pdf, spec)
    _foot(pdf, spec)
    return bytes(pdf.output())


def _text(pdf: Any, size: float, text: str, *, bold: bool = False, faint: bool = False, height: float = 5.0) -> None:
    pdf.set_font("Helvetica", "B" if bold else "", size)
    pdf.set_text_color(*(FAINT if faint else INK))
    pdf.cell(0, height, _latin(text), new_x="LMARGIN", new_y="NEXT")


def _grouped(minor: int) -> str:
    """Write an amount for people: thousands apart."""
    whole, _, part = amount(abs(minor)).partition(".")
    return f"{'-' if minor < 0 else ''}{int(whole):,}.{part}"


def _latin(text: str) -> str:
    return text.encode("latin-1", "replace").decode("latin-1")


def _address(pdf: Any, company: Company) -> None:
    _text(pdf, 10, company.name, bold=True)
    for line in (company.street, f"{company.postcode} {company.city}", company.country):
        _text(pdf, 9, line, height=4.5)


def _head(pdf: Any, spec: InvoiceSpec) -> None:
    _text(pdf, 15, spec.seller.name, bold=True, height=8)
    seller = spec.seller
    _text(pdf, 8.5, f"{seller.street}, {seller.city} {seller.postcode}", faint=True)
    _text(pdf, 8.5, f"Company {seller.legal_id}   VAT {seller.vat_id}", faint=True)
    pdf.ln(10)
    top = pdf.get_y()
    _text(pdf, 8, "Bill to", faint=True)
    _address(pdf, spec.buyer)
    bottom = pdf.get_y()
    facts = [
        ("Credit note" if spec.is_credit_note else "Invoice", spec.number),
        ("Issued", f"{spec.issued_on:%d %B %Y}"),
        ("Due", f"{spec.due_on:%d %B %Y}"),
        ("Your order", spec.purchase_order or "-"),
        ("Your VAT number", spec.buyer.vat_id),
    ]
    pdf.set_y(top)
    for label, value in facts:
        pdf.set_x(118)
        pdf.set_font("Helvetica", "", 9)
        pdf.set_text_color(*FAINT)
        pdf.cell(32, 5.5, _latin(label))
        pdf.set_text_color(*INK)
        pdf.cell(0, 5.5, _latin(value), new_x="LMARGIN", new_y="NEXT")
    pdf.set_y(max(bottom, pdf.get_y()) + 10)


def _table(pdf: Any, spec: InvoiceSpec) -> None:
    heads = ("Description", "Quantity", "", f"Price {spec.currency}", f"Net {spec.currency}")
    rows = [
        (
            line.name,
            f"{line.quantity:,}",
            UNITS.get(line.unit, ""),
            _grouped(line.price_minor),
            _grouped(line.net_minor),
        )
        for line in spec.lines
    ]
    pdf.set_draw_color(*RULE)
    for index, row in enumerate([heads, *rows]):
        pdf.set_font("Helvetica", "B" if index == 0 else "", 9)
        pdf.set_text_color(*(FAINT if index == 0 else INK))
        for (width, align), text in zip(COLUMNS, row, strict=True):
            pdf.cell(width, 8, _latin(text[:58]), border="B", align=align)
        pdf.ln(8)
    pdf.ln(4)


def _sums(pdf: Any, spec: InvoiceSpec) -> None:
    rows = [("Total without VAT", _grouped(spec.net_minor), False)]
    rows += [(_vat_label(row.category, row.percent), _grouped(row.tax_minor), False) for row in spec.vat]
    rows.append(("Total", _grouped(spec.total_minor), False))
    if spec.prepaid_minor:
        rows.append(("Already paid", _grouped(-spec.prepaid_minor), False))
    rows.append((f"Amount due {spec.currency}", _grouped(spec.due_minor), True))
    for label, value, strong in rows:
        pdf.set_x(118)
        pdf.set_font("Helvetica", "B" if strong else "", 11 if strong else 9)
        pdf.set_text_color(*INK)
        pdf.cell(48, 7 if strong else 6, _latin(label), border="T" if strong else 0)
        pdf.cell(32, 7 if strong else 6, value, align="R", border="T" if strong else 0)
        pdf.ln(7 if strong else 6)
    pdf.ln(8)


def _vat_label(category: str, percent: int) -> str:
    return f"VAT {percent}%" if category not in EXEMPTIONS else f"No VAT: {EXEMPTIONS[category][1]}"


def _foot(pdf: Any, spec: InvoiceSpec) -> None:
    paid = spec.payee or spec.seller
    _text(pdf, 9, terms(spec))
    _text(pdf, 9, f"Please pay to {paid.name}, IBAN {paid.iban}, quoting {spec.number}.")
    if spec.note:
        _text(pdf, 9, spec.note, faint=True)
