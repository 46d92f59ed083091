"""The European standard's rules, and the policy of what may be listed, on invoices broken one way at a time."""

import re
from dataclasses import replace
from datetime import date

import pytest

from marketplace.demo.companies import debtors, sellers
from marketplace.demo.documents import invoice, invoice_spec
from marketplace.demo.invoice_specs import credit_note_for
from marketplace.receivables.einvoice.neutral import ReadInvoice
from marketplace.receivables.einvoice.policy import WORDS, words_for
from marketplace.receivables.einvoice.reading import read_einvoice

SPEC = invoice_spec(sellers()[2], debtors()[1], date(2026, 10, 1), seed=5)
UBL = invoice(SPEC, "ubl").decode()


def read(text: str) -> ReadInvoice:
    return read_einvoice(text.encode(), "made.xml")


def without(name: str) -> str:
    return re.sub(rf"\s*<cbc:{name}\b[^>]*>[^<]*</cbc:{name}>", "", UBL, count=1)


def saying(name: str, text: str) -> str:
    return re.sub(rf"(<cbc:{name}\b[^>]*>)[^<]*", rf"\g<1>{text}", UBL, count=1)


@pytest.mark.parametrize(
    ("text", "rule", "field"),
    [
        (without("CustomizationID"), "BR-01", "BT-24"),
        (without("IssueDate"), "BR-03", "BT-2"),
        (without("InvoiceTypeCode"), "BR-04", "BT-3"),
        (without("DocumentCurrencyCode"), "BR-05", "BT-5"),
        (without("RegistrationName"), "BR-06", "BT-27"),
        (without("IdentificationCode"), "BR-09", "BT-40"),
        (without("InvoicedQuantity"), "BR-22", "BT-129"),
        (without("PriceAmount"), "BR-26", "BT-146"),
        (saying("PriceAmount", "-1.00"), "BR-27", "BT-146"),
        (saying("LineExtensionAmount", "1.00"), "BR-CO-10", "BT-106"),
        (saying("TaxExclusiveAmount", "1.00"), "BR-CO-13", "BT-109"),
        (saying("TaxInclusiveAmount", "1.00"), "BR-CO-15", "BT-112"),
        (saying("PayableAmount", "1.00"), "BR-CO-16", "BT-115"),
        (saying("PayableAmount", "1.001"), "BR-DEC-18", "BT-115"),
        (saying("Percent", "0"), "BR-S-08", "BT-116"),
        (saying("TaxAmount", "0.00"), "BR-CO-14", "BT-110"),
        (UBL.replace("<cbc:PayableAmount", "<cbc:PayableAmount>1</cbc:PayableAmount><cbc:PayableAmount"), "repeated",
         "BT-115"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "",
)  # fmt: skip
def test_a_broken_rule_of_content_refuses_the_listing_and_names_the_field(text: str, rule: str, field: str) -> None:
    said = read(text)
    assert said.listable == "no"
    assert (rule, field) in {(fault.rule, fault.field) for fault in said.faults}


@pytest.mark.parametrize(
    ("text", "verdict", "reason"),
    [
        (saying("InvoiceTypeCode", "393"), "no", "already_factored_393"),
        (saying("InvoiceTypeCode", "325"), "no", "not_a_payment_claim_type_325"),
        (saying("InvoiceTypeCode", "381"), "no", "credit_note"),
        (saying("InvoiceTypeCode", "384"), "review", "corrected_invoice_384"),
        (saying("InvoiceTypeCode", "386"), "review", "prepayment_386"),
        (saying("InvoiceTypeCode", "389"), "review", "self_billed_389"),
        (saying("InvoiceTypeCode", "380a"), "review", "unusual_type_code_380a"),
        (saying("DueDate", "2026-09-01"), "review", "due_before_issue"),
        (saying("DueDate", "soon"), "no", "unreadable_BT-9"),
        (saying("IssueDate", "2026-02-30"), "no", "unreadable_BT-2"),
        (saying("PayableAmount", "NaN"), "no", "unreadable_BT-115"),
        (saying("PayableAmount", "1.00"), "no", "totals_inconsistent"),
        (without("PayableAmount"), "no", "missing_BT-115"),
        (saying("PaymentMeansCode", "ABC"), "review", "en16931_codelist_or_syntax_rules_broken"),
    ],
    ids=lambda value: value if len(value) < 50 else "",
)
def test_every_reason_of_the_policy_has_its_verdict_and_its_words(text: str, verdict: str, reason: str) -> None:
    said = read(text)
    assert said.listable == verdict
    assert reason in said.reasons
    assert words_for(reason) in WORDS.values()


def test_a_payee_who_is_not_the_seller_may_mean_an_earlier_assignment() -> None:
    for syntax in ("ubl", "cii", "facturx"):
        said = read_einvoice(invoice(replace(SPEC, payee=sellers()[0]), syntax), "x")
        assert (said.listable, said.reasons) == ("review", ("payee_is_not_seller",))


def test_a_payee_who_is_the_seller_again_breaks_the_standard_but_is_nobody_else() -> None:
    said = read_einvoice(invoice(replace(SPEC, payee=SPEC.seller), "ubl"), "x")
    assert "payee_is_not_seller" not in said.reasons
    assert {"BR-17", "UBL-SR-19"} & {fault.rule for fault in said.faults}
    assert said.listable != "yes"


def test_a_credit_note_is_told_apart_in_every_form() -> None:
    for syntax in ("ubl", "cii", "facturx"):
        said = read_einvoice(invoice(credit_note_for(SPEC, "CN-9", date(2026, 10, 9)), syntax), "x")
        assert (said.kind, said.listable) == ("credit_note", "no")


def test_nothing_due_is_nothing_to_sell() -> None:
    said = read_einvoice(invoice(replace(SPEC, prepaid_minor=SPEC.total_minor), "ubl"), "x")
    assert "nothing_due" in said.reasons


def test_trailing_zeros_lose_nothing_but_a_fraction_of_a_penny_is_not_rounded_away() -> None:
    from marketplace.receivables.einvoice.exact_numbers import money

    due = money("1200.5000", "GBP")
    assert due is not None
    assert due.minor == 120_050
    assert money("1200.505", "GBP") is None
    assert money("12", "XXX") is None
    yen = money("1200", "JPY")
    assert yen is not None
    assert yen.minor == 1200


def test_totals_in_another_currency_than_the_invoice_refuse_the_listing() -> None:
    said = read(UBL.replace('<cbc:PayableAmount currencyID="GBP"', '<cbc:PayableAmount currencyID="JPY"'))
    assert said.listable == "no"
    assert ("currency_differs", "BT-115") in {(fault.rule, fault.field) for fault in said.faults}
