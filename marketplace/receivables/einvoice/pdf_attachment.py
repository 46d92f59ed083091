"""Take the invoice out of a Factur-X / ZUGFeRD PDF. Runs inside `sandboxed`, never in a web worker.

Only attachments under the names the standards give are looked at, wherever a PDF can hold one: the name tree of
embedded files, the associated files (/AF) of the document and of its pages, and notes on its pages. Two of them
that differ are two invoices. Source: Factur-X 1.07 §6, ZUGFeRD 2.3 §6, XRechnung; ISO 32000-2 §7.11.4, §14.13.
"""

import base64
import zlib
from collections.abc import Iterator
from typing import Any

from marketplace.kernel.errors import InvalidInput
from marketplace.kernel.words import N_
from marketplace.receivables.einvoice.xml_guard import XML_BYTES_MAX, refusal

NAMES = frozenset(("factur-x.xml", "zugferd-invoice.xml", "xrechnung.xml"))
ORDERS = frozenset(("order-x.xml", "zugferd-order.xml"))
PAGES_MAX = 500
OBJECTS_MAX = 50_000
ATTACHMENTS_MAX = 100


def attached_invoice(content: bytes) -> dict[str, str]:
    """Return {"name", "xml" (base64)} of the one invoice attached to a PDF.

    Raises: InvalidInput("broken_pdf" | "encrypted_pdf" | "too_many_pages" | "no_embedded_xml" |
    "two_embedded_invoices" | "too_large" | "unusual_compression").
    """
    import pikepdf

    try:
        with pikepdf.open(_stream(content)) as pdf:
            return _invoice_of(pdf)
    except pikepdf.PasswordError:
        raise _encrypted() from None
    except InvalidInput:
        raise
    except MemoryError:
        raise
    except Exception:  # whatever a hostile file makes the library say, the answer is the same refusal
        raise refusal("broken_pdf", N_("The PDF cannot be read.")) from None


def _stream(content: bytes) -> Any:
    import io

    return io.BytesIO(content)


def _encrypted() -> InvalidInput:
    return refusal("encrypted_pdf", N_("The PDF is encrypted. Please save it without a password."))


def _invoice_of(pdf: Any) -> dict[str, str]:
    if pdf.is_encrypted:
        raise _encrypted()
    if int(pdf.trailer.get("/Size", 0)) > OBJECTS_MAX or len(pdf.pages) > PAGES_MAX:
        raise refusal("too_many_pages", N_("The PDF has more than %(most)s pages."), {"most": PAGES_MAX})
    found: dict[bytes, str] = {}
    specs = _file_specs(pdf)
    for name, spec in specs:
        if name in NAMES:
            for content in _contents(spec):
                found.setdefault(content, name)
    if not found and any(name in ORDERS for name, _ in specs):
        raise refusal("embedded_order", N_("The PDF holds an order (Order-X), not an invoice."))
    if not found:
        raise refusal(
            "no_embedded_xml",
            N_("The PDF holds no e-invoice: no attachment has one of the standards' names."),
        )
    if len(found) > 1:
        raise refusal(
            "two_embedded_invoices",
            N_("The PDF holds two different e-invoices: %(names)s."),
            {"names": ", ".join(sorted(found.values())), "syntax": "cii"},
        )
    xml, name = next(iter(found.items()))
    return {"name": name, "xml": base64.b64encode(xml).decode()}


def _file_specs(pdf: Any) -> list[tuple[str, Any]]:
    """List every (lower-case file name, file specification) of the document."""
    specs: list[tuple[str, Any]] = []
    for count, (key, spec) in enumerate(_attached(pdf)):
        if count >= ATTACHMENTS_MAX:
            raise refusal("too_many_attachments", N_("The PDF has more attachments than an invoice needs."))
        specs += _named(key, spec)
    return specs


def _attached(pdf: Any) -> Iterator[tuple[str, Any]]:
    for key, attached in pdf.attachments.items():
        yield str(key), attached.obj
    for holder in (pdf.Root, *(page.obj for page in pdf.pages)):
        for spec in holder.get("/AF", []):
            yield "", spec
        for note in holder.get("/Annots", []):
            if note.get("/Subtype", None) == "/FileAttachment" and "/FS" in note:
                yield "", note["/FS"]


def _named(key: str, spec: Any) -> list[tuple[str, Any]]:
    if not _is_dictionary(spec):
        return []  # a mere file name refers to a file outside the PDF
    names = {key.strip().lower()}
    names.update(str(spec[entry]).strip().lower() for entry in ("/F", "/UF") if entry in spec)
    return [(name, spec) for name in names]


def _is_dictionary(thing: Any) -> bool:
    import pikepdf

    return isinstance(thing, pikepdf.Dictionary)


def _is_array(thing: Any) -> bool:
    import pikepdf

    return isinstance(thing, pikepdf.Array)


def _is_plain(parameters: Any) -> bool:
    """Say whether the parameters of a filter change nothing: none, or no predictor."""
    each = list(parameters) if _is_array(parameters) else [parameters]
    return all(one is None or (_is_dictionary(one) and int(one.get("/Predictor", 1)) == 1) for one in each)


def _contents(spec: Any) -> list[bytes]:
    """Return each content of a file specification: one viewer may open /F, another /UF."""
    streams = spec.get("/EF", None)
    if not _is_dictionary(streams):
        return []
    return [_bounded(streams[key]) for key in ("/F", "/UF", "/DOS", "/Mac", "/Unix") if key in streams]


def _bounded(stream: Any) -> bytes:
    """Inflate one embedded file, never past the limit: a small stream may claim to be gigabytes."""
    raw = bytes(stream.read_raw_bytes())
    filters = stream.get("/Filter", None)
    names = [] if filters is None else [str(one) for one in filters] if _is_array(filters) else [str(filters)]
    if not names:
        data = raw
    elif names in (["/FlateDecode"], ["/Fl"]) and _is_plain(stream.get("/DecodeParms", None)):
        inflater = zlib.decompressobj()
        data = inflater.decompress(raw, XML_BYTES_MAX + 1)
    else:
        raise refusal("unusual_compression", N_("The e-invoice in the PDF is packed in an unusual way."))
    if len(data) > XML_BYTES_MAX:
        raise refusal("too_large", N_("The XML is larger than %(most)s MB."), {"most": XML_BYTES_MAX // 2**20})
    return data
