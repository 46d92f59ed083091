"""One claim, one key, however it is written; and never one key for two claims that only look alike."""

import itertools
import re
from collections import defaultdict
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.demo.companies import debtors, sellers
from marketplace.demo.documents import invoice, invoice_spec
from marketplace.demo.invoice_specs import cosmetic_numbers
from marketplace.kernel.errors import InvalidInput
from marketplace.receivables.einvoice.neutral import Party, ReadInvoice
from marketplace.receivables.einvoice.reading import read_einvoice
from marketplace.receivables.matching.fingerprint import (
    PartyBook,
    canonical_number,
    document_class,
    exact_key,
    identity,
    party_key,
    same_party,
)

pytestmark = pytest.mark.xdist_group("fingerprints")  # one process reads the files, once

PEPPER = b"a pepper of the tests"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("INV-2026-0042", "20260042"),
        ("inv 2026/0042", "20260042"),
        ("Invoice No. 000123", "123"),
        ("RE-20190610/507", "20190610507"),
        ("Rechnung Nr. 7", "7"),
        ("№ 15", "15"),
        ("#15", "15"),
        ("ＩＮＶ－１５", "15"),
        ("АВС-1", "ABC1"),  # Cyrillic
        ("٠٠١٥", "15"),
        ("INV-A100", "A100"),
        ("invoice no. A100", "A100"),
        ("INVA100", "A100"),
        ("RE-A100", "A100"),
        ("1-11", "1.11"),
        ("11-1", "11.1"),
        ("2026/1/11", "20261.11"),
        ("00-15", "15"),
        ("INV-0", "0"),
        ("INVERNESS-1", "ERNESS1"),  # odd to read, but no other number becomes the same
        ("REA100", "REA100"),
        ("000", "0"),
        ("INV", "INV"),
        ("--", "--"),
        ("A-0017", "A0017"),
        ("Rechnung SI-58", "SI58"),  # and no Rechnungs I-58
        ("Rechnungs-Nr. 58", "58"),
    ],
)
def test_a_number_is_reduced_to_what_it_says(text: str, canonical: str) -> None:
    assert canonical_number(text) == canonical


def test_a_separator_stays_where_the_figures_could_be_cut_elsewhere() -> None:
    """1-11 may be January's eleventh and 11-1 November's first; 2026-0042 can be read in one way only."""
    for three in (("1-11", "11-1", "111"), ("2026/1/11", "2026/11/1", "2026111"), ("3-45", "34-5", "345")):
        assert len({canonical_number(text) for text in three}) == 3
    for one, dropped in (("2026-42", "202642"), ("INV 20261001/5", "202610015"), ("7-0042", "70042"), ("A-17", "A17")):
        assert canonical_number(one) == canonical_number(dropped)
    assert canonical_number("1-11") == canonical_number("1/11") == canonical_number("No. 1 11")


def test_what_prints_nothing_says_nothing() -> None:
    assert canonical_number("IN\u200bV-\u00ad42") == canonical_number("I N V 42") == canonical_number("42")


@pytest.mark.parametrize(
    ("one", "other"),
    [("S100", "5100"), ("O100", "0100"), ("I100", "1100"), ("A-0017", "A-17"), ("A-1", "B-1"), ("100", "101")],
)
def test_what_a_seller_may_honestly_tell_apart_stays_apart(one: str, other: str) -> None:
    assert canonical_number(one) != canonical_number(other)


@given(st.text(max_size=40))
def test_canonising_twice_changes_nothing(text: str) -> None:
    once = canonical_number(text)
    assert canonical_number(once) == once


NUMBERS = st.from_regex(
    r"[A-Z]{0,3}([1-9][0-9]{0,7}|20[0-9]{2}[-/][0-9]{1,4}|[1-9][0-9]{0,7}[-/]0[0-9]{1,4})", fullmatch=True
)


@given(NUMBERS)
def test_cosmetic_variants_share_a_key(number: str) -> None:
    def key(text: str) -> bytes:
        return exact_key(PEPPER, "seller", "debtor", text, "380", "GBP")

    assert {key(variant) for variant in cosmetic_numbers(number)} == {key(number)}


@given(st.lists(st.text(max_size=6), min_size=4, max_size=4), st.lists(st.text(max_size=6), min_size=4, max_size=4))
def test_fields_never_run_into_each_other(one: list[str], other: list[str]) -> None:
    def key(fields: list[str]) -> bytes:
        return exact_key(PEPPER, fields[0], fields[1], fields[2] + "7", "380", fields[3])

    def meaning(fields: list[str]) -> tuple[str, ...]:
        return fields[0], fields[1], canonical_number(fields[2] + "7"), fields[3].upper()

    assert (key(one) == key(other)) == (meaning(one) == meaning(other))


def test_another_pepper_gives_another_key() -> None:
    fields = ("s", "d", "1", "380", "GBP")
    assert exact_key(b"one", *fields) != exact_key(b"two", *fields)
    assert len(exact_key(b"one", *fields)) == 32


def test_a_corrected_invoice_is_the_same_claim_but_a_credit_note_is_not() -> None:
    assert document_class("380") == document_class("384") == document_class("389") == document_class("393")
    assert document_class("380") == document_class("82")  # metered services
    assert len({document_class(code) for code in ("380", "381", "383")}) == 3


# -- who is who ---------------------------------------------------------------------------------------------------


def test_a_party_is_known_by_number_registration_or_name() -> None:
    by_vat = identity(None, "FR 11 999 999 998", "Au bon moulin", "FR")
    by_siret = identity("99999999800010", None, "AU BON MOULIN", "FR")
    by_name = identity(None, None, "Au Bon Moulin", "FR")
    assert same_party(by_vat, by_siret)
    assert same_party(by_vat, by_name)
    assert not same_party(by_vat, identity(None, None, "Au bon moulin", "BE"))
    assert not same_party(by_vat, identity(None, "FR22888888888", "Au bon moulin", "FR"))


def test_companies_of_one_vat_group_are_two_parties() -> None:
    one, other = (identity(legal, "GB123456789", name, None) for legal, name in (("01111111", "A"), ("02222222", "B")))
    assert not same_party(one, other)
    assert same_party(one, identity("1111111", "GB 999 9999 73", "A", None))  # the registration decides
    assert same_party(one, identity(None, "123456789", "Quite another name", None))  # else the VAT number


@pytest.mark.parametrize(
    ("legal", "vat", "other_legal", "other_vat"),
    [("01234567", None, "GB 1234567", None), (None, "EL123456789", None, "123456789"),
     ("552 100 554", None, "55210055400013", None),
     (None, "CHE-123.456.789 MWST", None, "CHE123456789"), (None, "NO 999999999 MVA", "999 999 999", None),
     ("B78861986", None, None, "ESB78861986"), ("A47387436", None, "es a47387436", None),
     ("4674557100", None, "NIP 467-455-71-00", None), ("HRB 188296", None, "Amtsgericht Ulm HRB 188296", None),
     ("07989620229", None, "P.IVA 07989620229", None), ("64868808", None, "BR No. 6486 8808-000", None),
     ("198826546E", None, "UEN: 198826546E", None), ("205774855D", None, "0195:205774855D", None),
     ("421666058", None, "iso6523-actorid-upis::0002:421666058", None), ("HRB 18035", None, "HRB-Nr. 18035", None),
     ("SC033335", None, "Reg. No. SC 033335", None), ("GODE561231GR8", None, "RFC: GODE-561231-GR8", None),
     ("004085616", None, "ABN 53 004 085 616", None), ("XAXX010101000", None, "R.F.C. XAXX010101000", None),
     (None, "GB900548547", None, "VAT Reg No: GB 900 5485 47"), (None, "199421872E", None, "SG199421872E"),
     (None, "GB123456789001", None, "GB123456789")],
)  # fmt: skip
def test_a_number_is_a_number_however_it_is_written(
    legal: str | None, vat: str | None, other_legal: str | None, other_vat: str | None
) -> None:
    assert same_party(identity(legal, vat, "One", None), identity(other_legal, other_vat, "Another", None))


def test_legal_forms_are_spelt_in_many_ways() -> None:
    assert party_key(None, None, "Harrow & Pike Joinery Limited", "GB") == party_key(
        None, None, "HARROW AND PIKE JOINERY LTD.", "GB"
    )
    assert party_key(None, None, "Harrow Ltd", "GB") != party_key(None, None, "Harrow plc", "GB")


@pytest.mark.parametrize(
    ("one", "other"),
    [("The Marchesini Impianti Società per azioni", "Marchesini Impianti S.p.A."), ("㈱東洋運輸", "株式会社東洋運輸"),
     ("Kencana Food Sdn. Bhd.", "Kencana Food Sendirian Berhad"),
     ("Praca Sp. z o.o.", "Praca Spółka z ograniczoną odpowiedzialnością"),
     ("騰飛紡織有限公司", "腾飞纺织有限公司"), ("Patel (P) Ltd.", "Patel Private Limited"),
     ("Köhler & Söhne Ges.m.b.H.", "Koehler und Soehne GmbH"), ("Szabó Kft.", "Szabó Korlátolt Felelősségű Társaság"),
     ("Kuljetus Vaasa Osakeyhtiö", "Kuljetus Vaasa Oy"), ("Prairie Water P/L", "Prairie Water Pty Ltd"),
     ("KUZEY LTD.ŞTİ.", "Kuzey Limited Şirketi"), ("주식회사 대한", "㈜대한"), ("Balkan ЕООД", "Balkan EOOD"),
     ("Nordvind A/S", "Nordvind Aktieselskab"), ("Praca Sp.z o.o.", "Praca Sp. z o. o.")],
)  # fmt: skip
def test_a_name_is_a_name_in_short_and_in_full(one: str, other: str) -> None:
    assert same_party(identity(None, None, one, None), identity(None, None, other, None))


@pytest.mark.parametrize(
    ("one", "other"),
    [("Amtsgericht Ulm HRB 4713", "Amtsgericht Berlin HRB 4713"), ("HRA 4713", "HRB 4713"), ("OC902039", "SC902039"),
     ("GODE561231GR8", "MADE561231GR8")],
)  # fmt: skip
def test_two_registers_may_give_one_number(one: str, other: str) -> None:
    assert not same_party(identity(one, None, "One", None), identity(other, None, "Another", None))


@given(st.text(alphabet="NOREGCBIDVAT0123456789 .-", max_size=16))
def test_a_registration_normalised_twice_is_the_same(text: str) -> None:
    once = identity(text, None, "One", None).legal
    assert identity(once, None, "One", None).legal == once


def test_a_book_of_parties_joins_what_documents_know_by_different_means() -> None:
    book = PartyBook()
    first = book.key(identity("12345678", "GB123456789", "Harrow Ltd", "GB"))
    assert book.key(identity("12345678", None, "Harrow Trading", "GB")) == first
    assert book.key(identity(None, "GB123456789", None, None)) == first
    assert book.key(identity(None, None, "Harrow Limited", "GB")) == first
    assert book.key(identity("87654321", None, "Harrow Ltd", "GB")) != first


# -- the published files ------------------------------------------------------------------------------------------


def stem(path: Path) -> str:
    """The sample's own name, without the prefixes and endings that only tell its version and syntax."""
    name = path.name.rpartition("__")[2]
    return re.sub(r"^zugferd_2p[01]_|(\.ubl|\.cii)?\.(xml|pdf)$", "", name, flags=re.IGNORECASE)


def known(party: Party) -> tuple[str | None, str | None, str | None, str | None]:
    return party.legal_id.text if party.legal_id else None, party.vat_id, party.name, party.country


def key_in(book: PartyBook, said: ReadInvoice) -> bytes:
    seller, buyer = (book.key(identity(*known(party))) for party in (said.seller, said.buyer))
    fields = said.fields
    return exact_key(PEPPER, seller, buyer, fields["BT-1"] or "", fields["BT-3"] or "", fields["BT-5"] or "")


@pytest.fixture(scope="module")
def samples(shared: Path) -> dict[str, list[ReadInvoice]]:
    """Samples that exist in more than one syntax, by name. XRechnung samples of another year share a name's number."""
    found: dict[str, list[ReadInvoice]] = defaultdict(list)
    for folder in ("ubl", "cii", "facturx_pdf"):
        for path in sorted((shared / "einvoices" / folder).iterdir()):
            if "EN16931_" in path.name or "XRECHNUNG_" in path.name:
                try:
                    found[stem(path)].append(read_einvoice(path.read_bytes(), path.name))
                except InvalidInput:
                    pytest.fail(path.name)
    return {name: group for name, group in found.items() if len(group) > 1}


@pytest.mark.slow
def test_the_same_invoice_in_other_syntaxes_has_the_same_key(samples: dict[str, list[ReadInvoice]]) -> None:
    assert len(samples) >= 15
    assert len({said.syntax for group in samples.values() for said in group}) == 2
    apart = {name: len(keys) for name, group in samples.items()
             if len(keys := {key_in(book, said) for book in [PartyBook()] for said in group}) != 1}  # fmt: skip
    assert apart == {}


@pytest.mark.slow
def test_different_invoices_have_different_keys(samples: dict[str, list[ReadInvoice]]) -> None:
    def told_apart_by(said: ReadInvoice) -> tuple[object, ...]:
        number = canonical_number(said.fields["BT-1"] or "")
        return (
            number,
            said.fields["BT-5"],
            said.fields["BT-27"],
            said.fields["BT-44"],
            document_class(said.fields["BT-3"] or ""),
        )

    wrong = []
    for one, other in itertools.combinations(samples, 2):
        left, right, book = samples[one][0], samples[other][0], PartyBook()
        if (key_in(book, left) == key_in(book, right)) != (told_apart_by(left) == told_apart_by(right)):
            wrong.append((one, other))
    assert wrong == []


@pytest.mark.slow
def test_our_own_documents_have_one_key_in_three_forms() -> None:
    for seller, buyer in zip(sellers(), debtors(), strict=False):
        spec = invoice_spec(seller, buyer, date(2026, 10, 1), seed=7)
        book = PartyBook()
        keys = {key_in(book, read_einvoice(invoice(spec, form), "x")) for form in ("ubl", "cii", "facturx")}
        assert len(keys) == 1


@pytest.mark.parametrize("word", ["Fatt. n. ", "Faktura č. ", "Laskunro ", "Račun br. ", "Τιμολόγιο αρ. ", "Фактура № ",
                                  "Számlaszám: ", "Rēķins Nr. ", "PVM sąskaita faktūra Nr. ", "Fatura n.º ",
                                  "发票号码：",
                                  "發票編號 ", "Arve nr ", "Factuurnr. ", "n. ", "N° de facture ", "Rg.-Nr. ",
                                  "Credit Note No. "])  # fmt: skip
def test_a_word_for_invoice_in_any_language_of_the_union_or_chinese_is_dropped(word: str) -> None:
    assert canonical_number(f"{word}47912") == "47912"
