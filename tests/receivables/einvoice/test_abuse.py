"""Hostile files are refused in words, quickly, and never with an exception of the parser's own."""

import contextlib
import io
import time
import zlib
from dataclasses import replace
from datetime import date
from typing import Any

import pikepdf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.demo.companies import debtors, sellers
from marketplace.demo.documents import invoice, invoice_spec
from marketplace.kernel.errors import InvalidInput, MarketplaceError
from marketplace.receivables.einvoice.reading import read_einvoice, read_xml
from marketplace.sandboxed import Limits, run_sandboxed

SPEC = invoice_spec(sellers()[0], debtors()[0], date(2026, 10, 1), seed=1)
UBL, CII, PDF = invoice(SPEC, "ubl"), invoice(SPEC, "cii"), invoice(SPEC, "facturx")


def refused(content: bytes) -> str:
    with pytest.raises(InvalidInput) as caught:
        read_einvoice(content, "upload.xml")
    assert caught.value.words
    assert caught.value.problems
    return caught.value.code


def with_doctype(content: bytes, doctype: str) -> bytes:
    head, _, rest = content.partition(b"?>")
    return head + b"?>" + doctype.encode() + rest


def pdf_with(*attachments: tuple[str, bytes], password: str = "", pages: int = 1) -> bytes:
    pdf = pikepdf.new()
    for _ in range(pages):
        pdf.add_blank_page()
    for name, content in attachments:
        pdf.attachments[name] = pikepdf.AttachedFileSpec(pdf, content, filename=name)
    out = io.BytesIO()
    pdf.save(out, encryption=pikepdf.Encryption(owner="o", user=password) if password else False)
    return out.getvalue()


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE Invoice>",
        '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE r SYSTEM "http://nobody.invalid/x.dtd">',
        '<!-- hidden --><?pi a?>\n<!DOCTYPE r [<!ENTITY a "b"><!ENTITY c "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
    ],
)
def test_a_document_type_is_never_read(doctype: str) -> None:
    assert refused(with_doctype(UBL, doctype)) == "forbidden_doctype"


def test_a_document_type_is_found_in_utf_16_too() -> None:
    text = with_doctype(UBL, '<!DOCTYPE r [<!ENTITY x "y">]>').decode().replace("UTF-8", "UTF-16")
    assert refused(text.encode("utf-16")) == "forbidden_doctype"


def test_the_words_doctype_in_a_comment_do_no_harm() -> None:
    assert read_xml(UBL.replace(b"?>", b"?><!-- <!DOCTYPE -->", 1)).terms["BT-1"] == SPEC.number


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"hello", "not_a_document"),
        (b"PK\x03\x04", "not_a_document"),
        (b"<a", "not_well_formed"),
        (b"<a>\x00</a>", "not_well_formed"),
        (b"<?xml version='1.0' encoding='UTF-8-W/O-BOM'?><a/>", "not_well_formed"),
        (b"<?xml version='1.0' encoding='EBCDIC-CP-US'?><a/>", "not_well_formed"),
        (b"<a>\xff\xfe</a>", "not_well_formed"),
        (b"\xff\xfe<\x00a", "not_well_formed"),
        (b"<html><body/></html>", "unknown_syntax"),
        (b"<a>" * 100 + b"</a>" * 100, "too_deep"),
        (b"<a>" * 5000 + b"</a>" * 5000, "too_deep"),
        (b"<a>" + b"<b/>" * 700_000 + b"</a>", "too_many_elements"),
        (b"<a>" + b"x" * (11 * 2**20) + b"</a>", "too_large"),
        (b"<a " + b" ".join(b"a%d='1'" % n for n in range(5000)) + b"/>", "too_many_elements"),
        (b"%PDF-1.7\nnothing of the kind", "broken_pdf"),
        (PDF[: len(PDF) // 3], "broken_pdf"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_no_invoice_is_refused_in_words(content: bytes, code: str) -> None:
    started = time.monotonic()
    assert refused(content) in (code, "no_embedded_xml") if code == "broken_pdf" else refused(content) == code
    assert time.monotonic() - started < 10


def test_a_byte_order_mark_and_other_encodings_are_read() -> None:
    assert read_xml(b"\xef\xbb\xbf" + UBL).terms["BT-1"] == SPEC.number
    for name, codec in (("ISO-8859-1", "latin-1"), ("windows-1252", "cp1252"), ("UTF-16", "utf-16")):
        text = UBL.decode().replace("UTF-8", name)
        assert read_xml(text.encode(codec)).seller.name == SPEC.seller.name


def test_two_different_invoices_in_one_pdf_are_refused() -> None:
    other = invoice(replace(SPEC, number="OTHER-1"), "cii")
    assert refused(pdf_with(("factur-x.xml", CII), ("ZUGFeRD-invoice.xml", other))) == "two_embedded_invoices"


def test_the_same_invoice_twice_is_one_invoice() -> None:
    said = read_einvoice(pdf_with(("factur-x.xml", CII), ("xrechnung.xml", CII)), "x.pdf")
    assert said.fields["BT-1"] == SPEC.number


@pytest.mark.parametrize("name", ["invoice.xml", "factur-x.xml.exe", "../factur-x.xml"])
def test_only_the_standards_names_are_opened(name: str) -> None:
    assert refused(pdf_with((name, CII))) == "no_embedded_xml"


def test_an_order_in_a_pdf_is_called_one() -> None:
    assert refused(pdf_with(("order-x.xml", CII))) == "embedded_order"


def changed(content: bytes, change: Any) -> bytes:
    pdf = pikepdf.open(io.BytesIO(content))
    change(pdf)
    out = io.BytesIO()
    pdf.save(out)
    return out.getvalue()


def only_associated(pdf: Any) -> None:
    pdf.Root.AF = pikepdf.Array([pdf.attachments["factur-x.xml"].obj])
    del pdf.Root.Names


def another_in_a_note(pdf: Any) -> None:
    other = pikepdf.AttachedFileSpec(pdf, CII.replace(b"380", b"386"), filename="factur-x.xml").obj
    note = pikepdf.Dictionary(Type=pikepdf.Name.Annot, Subtype=pikepdf.Name.FileAttachment, FS=other, Rect=[0, 0, 1, 1])
    pdf.pages[0].obj.Annots = pikepdf.Array([pdf.make_indirect(note)])


def another_under_uf(pdf: Any) -> None:
    pdf.attachments["factur-x.xml"].obj["/EF"]["/UF"] = pdf.make_stream(CII.replace(b"380", b"386"))


def test_an_invoice_is_found_wherever_a_pdf_can_hold_one() -> None:
    whole = pdf_with(("factur-x.xml", CII))
    assert read_einvoice(changed(whole, only_associated), "x.pdf").fields["BT-1"] == SPEC.number
    for change in (another_in_a_note, another_under_uf):
        assert refused(changed(whole, change)) == "two_embedded_invoices"


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_utf_16_is_read_with_and_without_its_mark(codec: str) -> None:
    text = UBL.decode().replace("UTF-8", "UTF-16") if "16" in codec else UBL.decode()
    assert read_xml(text.encode(codec)).terms["BT-1"] == SPEC.number
    with pytest.raises(InvalidInput) as caught:
        read_xml(text.replace("?>", '?><!DOCTYPE a [<!ENTITY b "c">]>', 1).encode(codec))
    assert caught.value.code == "forbidden_doctype"


@pytest.mark.parametrize("declared", ["version='1.x'", "version='1.0' encoding='utf-8", "encoding='utf-8'"])
def test_a_declaration_other_readers_stumble_over_is_refused(declared: str) -> None:
    rest = UBL.partition(b"?>")[2]
    assert refused(f"<?xml {declared}?>".encode() + rest) == "not_well_formed"


def test_an_encrypted_pdf_is_refused() -> None:
    assert refused(pdf_with(("factur-x.xml", CII), password="secret")) == "encrypted_pdf"


def test_a_pdf_of_a_thousand_pages_is_refused() -> None:
    assert refused(pdf_with(("factur-x.xml", CII), pages=1000)) == "too_many_pages"


def _bomb(size: int, chained: bool = False) -> bytes:
    pdf = pikepdf.new()
    pdf.add_blank_page()
    pdf.attachments["factur-x.xml"] = pikepdf.AttachedFileSpec(pdf, b"x", filename="factur-x.xml")
    stream = pdf.attachments["factur-x.xml"].obj["/EF"]["/F"]
    packed = zlib.compress(b"\x00" * size, 9)
    filters: Any = pikepdf.Name.FlateDecode
    if chained:
        packed, filters = zlib.compress(packed, 9), pikepdf.Array([pikepdf.Name.FlateDecode] * 2)
    stream.write(packed, filter=filters)
    out = io.BytesIO()
    pdf.save(out, compress_streams=False)
    return out.getvalue()


@pytest.mark.parametrize("chained", [False, True])
def test_a_zip_bomb_in_a_pdf_is_not_inflated(chained: bool) -> None:
    bomb = _bomb(200 * 2**20, chained)
    assert len(bomb) < 2**20
    assert refused(bomb) in ("too_large", "unusual_compression", "too_costly", "not_well_formed")


def test_an_upload_above_fifty_megabytes_is_refused_unread() -> None:
    assert refused(b"%PDF-" + bytes(50 * 2**20)) == "too_large"


def test_a_doctype_inside_a_pdf_is_refused_too() -> None:
    assert refused(pdf_with(("factur-x.xml", with_doctype(CII, "<!DOCTYPE a>")))) == "forbidden_doctype"


def test_a_parser_that_hangs_or_eats_memory_is_stopped() -> None:
    limits = Limits(memory_bytes=256 * 2**20, cpu_seconds=1, wall_seconds=3)
    for function in ("loop_for_ever", "eat_memory"):
        started = time.monotonic()
        with pytest.raises(InvalidInput) as caught:
            run_sandboxed("tests.receivables.einvoice.misbehaving", function, b"", limits=limits)
        assert caught.value.code == "too_costly"
        assert time.monotonic() - started < 10


def test_the_guarded_process_sees_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUEBILL_SECRET_KEY", "hidden")
    seen = run_sandboxed("tests.receivables.einvoice.misbehaving", "environment", b"")
    assert "DUEBILL_SECRET_KEY" not in seen


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(at=st.integers(0, len(UBL)), length=st.integers(0, 60), put=st.binary(max_size=40), which=st.booleans())
def test_mutated_invoices_read_or_are_refused_but_never_break(at: int, length: int, put: bytes, which: bool) -> None:
    whole = UBL if which else CII
    with contextlib.suppress(MarketplaceError):
        read_einvoice(whole[:at] + put + whole[at + length :], "mutant.xml")


@settings(max_examples=40)
@given(at=st.integers(0, len(PDF)), length=st.integers(0, 400), put=st.binary(max_size=40))
def test_mutated_pdfs_read_or_are_refused_but_never_break(at: int, length: int, put: bytes) -> None:
    with contextlib.suppress(MarketplaceError):
        read_einvoice(PDF[:at] + put + PDF[at + length :], "mutant.pdf")


ELEMENTS = ("ID", "IssueDate", "DueDate", "PayableAmount", "TaxAmount", "RegistrationName", "Percent", "PriceAmount",
            "InvoicedQuantity", "LineExtensionAmount", "DocumentCurrencyCode", "InvoiceTypeCode")  # fmt: skip
ODD = st.one_of(
    st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="<&"), max_size=40),
    st.sampled_from(["NaN", "1e999", "-0", "9" * 400, "٣", "1,000.00", "+.5", "0x10", "2026-02-30", "", "∞"]),
)


@settings(max_examples=200)
@given(name=st.sampled_from(ELEMENTS), text=ODD)
def test_any_text_in_any_field_gives_an_answer(name: str, text: str) -> None:
    import re

    pattern = re.compile(rf"(<cbc:{name}[^>]*>)[^<]*(</cbc:{name}>)")
    said = read_einvoice(pattern.sub(lambda m: m[1] + text + m[2], UBL.decode()).encode(), "odd.xml")
    assert said.listable in ("yes", "review", "no")
    if said.listable == "yes":
        assert said.amount_due is not None
        assert said.amount_due.minor > 0
