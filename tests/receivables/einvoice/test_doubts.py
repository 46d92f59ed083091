"""What no rule forbids but a person must see; what kind of document it is; and the many ways to write one value."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest

from marketplace.demo.companies import debtors, sellers
from marketplace.demo.documents import invoice, invoice_spec
from marketplace.kernel.errors import InvalidInput
from marketplace.receivables.einvoice.neutral import Preceding, ReadInvoice
from marketplace.receivables.einvoice.policy import WORDS, words_for
from marketplace.receivables.einvoice.reading import read_einvoice

SPEC = invoice_spec(sellers()[2], debtors()[1], date(2026, 10, 1), seed=5)
UBL, CII = invoice(SPEC, "ubl").decode(), invoice(SPEC, "cii").decode()
Change = Callable[[str], str]


def read(text: str) -> ReadInvoice:
    return read_einvoice(text.encode(), "made.xml")


def before(element: str, added: str) -> Change:
    return lambda text: text.replace(f"<{element}", f"{added}<{element}", 1)


def saying(element: str, said: str) -> Change:
    return lambda text: re.sub(rf"(<{element}\b[^>]*>)[^<]*", rf"\g<1>{said}", text, count=1)


def twice(element: str, said: str) -> Change:
    """Write the element again before itself, with another text."""

    def change(text: str) -> str:
        found = re.search(rf"<{element}\b[^>]*>.*?</{element}>", text, re.DOTALL)
        assert found
        return text.replace(found[0], re.sub(r">[^<]+<", f">{said}<", found[0], count=1) + found[0], 1)

    return change


CURRENCY = "cbc:DocumentCurrencyCode"


def noting(words: str) -> Change:
    return before(CURRENCY, f"<cbc:Note>{words}</cbc:Note>")


DOUBTS = [
    (UBL, before("cbc:DueDate", ""), None),
    (UBL, noting("The debt of this invoice was assigned to North Bank plc."),
     "already_assigned_wording"),
    (UBL, noting("Diese Forderung ist ab\u00adgetreten."), "already_assigned_wording"),
    (UBL, noting("應收帳款轉讓予台北銀行"), "already_assigned_wording"),
    (CII, before("ram:SpecifiedTradeSettlementHeaderMonetarySummation",
                 "<ram:SpecifiedTradePaymentTerms><ram:Description>Créance cédée à Banque SA, règlement libératoire"
                 "</ram:Description></ram:SpecifiedTradePaymentTerms>"), "already_assigned_wording"),
    (UBL, noting("A fitter was assigned to the project."), None),
    (UBL, noting("All is well. " * 5000), "already_assigned_wording"),
    (UBL, before("cbc:UUID", ""), None),
    (UBL, before("cbc:IssueDate", "<cbc:CopyIndicator>true</cbc:CopyIndicator>"), "copy_of_an_invoice"),
    (UBL, saying("cbc:ID", "INV\u202e-7"), "invisible_characters"),
    (UBL, saying("cbc:ID", "7" * 101), "invisible_characters"),
    (UBL, before("cac:TaxTotal", "<cac:PrepaidPayment><cbc:PaidAmount currencyID='GBP'>10.00</cbc:PaidAmount>"
                                 "</cac:PrepaidPayment>"), "prepaid_elsewhere"),
    (CII, before("ram:SpecifiedTradeSettlementHeaderMonetarySummation",
                 "<ram:SpecifiedTradePaymentTerms><ram:DueDateDateTime><udt:DateTimeString format='102'>20270101"
                 "</udt:DateTimeString></ram:DueDateDateTime></ram:SpecifiedTradePaymentTerms>"), "several_due_dates"),
    (UBL.replace("GBP", "XAU"), before("cbc:UUID", ""), "not_payable_in_coins"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "change", "doubt"), DOUBTS)
def test_what_a_person_must_see_is_held_with_its_reason(text: str, change: Change, doubt: str | None) -> None:
    said = read(change(text))
    assert (said.listable, said.reasons) == (("review", (doubt,)) if doubt else ("yes", ()))
    assert not doubt or words_for(doubt) in WORDS.values()


def test_a_doubt_beside_a_graver_reason_is_told_among_the_faults() -> None:
    said = read(noting("Abgetreten.")(UBL.replace(">380<", ">389<")))
    assert said.reasons == ("self_billed_389",)
    assert "already_assigned_wording" in {fault.rule for fault in said.faults}


@pytest.mark.parametrize(
    ("text", "change"),
    [
        (UBL, twice("cbc:PayableAmount", "1.00")),
        (UBL, twice("cbc:DueDate", "2027-01-01")),
        (UBL, twice("cbc:ID", "OTHER")),
        (UBL, twice("cbc:DocumentCurrencyCode", "EUR")),
        (UBL, twice("cac:LegalMonetaryTotal", "1.00")),
        (UBL, twice("cac:AccountingSupplierParty", "Other")),
        (UBL, twice("cac:AccountingCustomerParty", "Other")),
        (CII, twice("ram:DuePayableAmount", "1.00")),
        (CII, twice("ram:GrandTotalAmount", "1.00")),
        (CII, twice("ram:SellerTradeParty", "Other")),
        (CII, twice("ram:InvoiceCurrencyCode", "EUR")),
        (CII, twice("ram:ApplicableHeaderTradeSettlement", "EUR")),
        (CII, twice("rsm:ExchangedDocument", "OTHER")),
    ],
)
def test_a_second_value_for_what_is_claimed_refuses_whichever_a_reader_would_take(text: str, change: Change) -> None:
    said = read(change(text))
    assert said.listable == "no"
    assert "repeated" in {fault.rule for fault in said.faults}


SPOOFS = ["urn:factur-x.eu:1p0:extended", "my-own:extended", "urn:factur-x.eu:1p0:extended "]


@pytest.mark.parametrize("spoof", SPOOFS)
def test_naming_a_wider_profile_does_not_hide_broken_sums(spoof: str) -> None:
    broken = saying("ram:TaxBasisTotalAmount", "1.00")(
        re.sub(r"(GuidelineSpecifiedDocumentContextParameter>\s*<ram:ID>)[^<]*", rf"\g<1>{spoof}", CII)
    )
    assert read(broken).listable != "yes"
    assert read(twice("ram:DuePayableAmount", "1.00")(broken)).listable == "no"


@pytest.mark.parametrize(
    ("code", "kind", "verdict"),
    [
        ("325", "pro_forma", "no"),
        ("326", "partial", "review"),
        ("386", "prepayment", "review"),
        ("389", "self_billed", "review"),
        ("527", "self_billed", "review"),
        ("384", "corrected", "review"),
        ("393", "factored", "no"),
        ("501", "factored", "no"),
        ("751", "no_claim", "no"),
        ("380", "invoice", "yes"),
    ],
)
def test_kinds_of_documents_are_told_apart(code: str, kind: str, verdict: str) -> None:
    for text in (UBL, CII):
        said = read(text.replace(">380<", f">{code}<", 1))
        assert (said.kind, said.listable) == (kind, verdict)


def test_a_preceding_invoice_is_read_with_its_day() -> None:
    of_the_day = "<cbc:ID>A-1</cbc:ID><cbc:IssueDate>2026-09-01</cbc:IssueDate>"
    inner = f"<cac:InvoiceDocumentReference>{of_the_day}</cac:InvoiceDocumentReference>"
    reference = f"<cac:BillingReference>{inner}</cac:BillingReference>"
    said = read(before("cac:AccountingSupplierParty", reference)(UBL))
    assert said.preceding == (Preceding("A-1", date(2026, 9, 1)),)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(f">{SPEC.number}<", f"><![CDATA[{SPEC.number}]]><", 1),
        lambda text: text.replace(f">{SPEC.number}<", f">{SPEC.number[:3]}<!-- x -->{SPEC.number[3:]}<", 1),
        lambda text: text.replace(f">{SPEC.number}<", f">{SPEC.number[:3]}<?pi x?>{SPEC.number[3:]}<", 1),
        lambda text: text.replace(f">{SPEC.number}<", f">\n\t {SPEC.number} \n<", 1),
        lambda text: text.replace('version="1.0"', 'version="1.1"', 1),
        lambda text: "\ufeff" + text,
        lambda text: re.sub(r"\bcbc(?=[:=])|\bram(?=[:=])", "zz", text),
    ],
    ids=["cdata", "comment", "instruction", "blanks", "xml_1.1", "mark", "prefix"],
)
def test_one_value_reads_the_same_however_it_is_written(change: Change) -> None:
    for text in (UBL, CII):
        said = read(change(text))
        assert (said.fields["BT-1"], said.listable) == (SPEC.number, "yes")


def test_cii_may_stand_in_the_default_namespace() -> None:
    text = CII.replace("<ram:", "<").replace("</ram:", "</").replace("xmlns:ram=", "xmlns=")
    assert read(text).fields == read(CII).fields


@pytest.mark.parametrize("amount", ["1.234,56", "1,234.56", "1e3", "NaN", "INF", "١٢٣", "0x10", "--1", "", "1 000.00"])
def test_an_amount_that_is_no_decimal_is_never_guessed(amount: str) -> None:
    for text, element in ((UBL, "cbc:PayableAmount"), (CII, "ram:DuePayableAmount")):
        said = read(saying(element, amount)(text))
        assert said.listable == "no"
        assert said.amount_due is None


def test_a_negative_claim_or_more_prepaid_than_due_is_nothing_to_sell() -> None:
    for due in ("-1.00", "-0.00", "0"):
        assert "nothing_due" in read(saying("cbc:PayableAmount", due)(UBL)).reasons
    more = replace(SPEC, prepaid_minor=SPEC.total_minor + 1)
    assert "nothing_due" in read(invoice(more, "ubl").decode()).reasons


@pytest.mark.parametrize("root", ["Order-2", "Invoice-1", "Invoice-3"])
def test_another_document_in_ubl_clothes_is_refused(root: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(UBL.replace("urn:oasis:names:specification:ubl:schema:xsd:Invoice-2", f"urn:oasis:x:{root}"))
    assert refused.value.code == "unknown_syntax"
