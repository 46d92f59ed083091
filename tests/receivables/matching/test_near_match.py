"""A copy is known by what it keeps; an honest invoice by what it says of itself."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.demo.invoice_specs import cosmetic_numbers
from marketplace.receivables.matching.blocking import share_a_key
from marketplace.receivables.matching.fingerprint import currency_code, identity
from marketplace.receivables.matching.near_match import Claim, compare, nearest
from marketplace.receivables.matching.number import read_number, relation
from marketplace.receivables.matching.party import Kinship, kinship

OLD = Claim(
    "s", "d", "INV-20418", "380", "GBP", 4_860_137, date(2026, 10, 1), date(2026, 11, 30), "PO-7741",
    (("Cartons, double wall", 3_000_000, 100, 30_000), ("Pallets, heat treated", 1_050_114, 6, 175_019)),
    total_minor=4_860_137, seller_who=identity("01234567", "GB123456789", "Harrow Joinery Ltd", "GB"),
    debtor_who=identity("07654321", "GB987654321", "Kestrel Retail plc", "GB"),
)  # fmt: skip
NEXT = "INV-20419"


def changed(**changes: Any) -> Claim:
    return replace(OLD, **changes)


def verdict(**changes: Any) -> str:
    new = changed(**changes)
    match = compare(new, OLD)
    assert match.verdict == "apart" or share_a_key(new, OLD)
    return match.verdict


def later(days: int) -> dict[str, Any]:
    return {"issued_on": OLD.issued_on + timedelta(days), "due_on": OLD.due_on + timedelta(days)}  # type: ignore[operator]


# -- what is certain


def test_the_same_number_is_the_same_claim_whatever_else_is_changed() -> None:
    assert verdict(number="inv 20418", amount_minor=1, lines=(), purchase_order="X", **later(40)) == "same"


@pytest.mark.parametrize("document_type", ["384", "389", "393"])
def test_another_code_for_an_invoice_does_not_make_another_claim(document_type: str) -> None:
    assert verdict(document_type=document_type) == "same"


def test_dropped_separators_are_certain_only_where_something_else_agrees() -> None:
    old = changed(number="3-45")
    assert compare(changed(number="345"), old).verdict == "same"
    other = changed(
        number="345", amount_minor=9_000, total_minor=9_000, lines=(("Screws", 7_500),), purchase_order="1", **later(90)
    )
    assert compare(other, old).verdict == "apart"
    assert compare(replace(other, number="34-5"), old).verdict == "apart"


def test_no_number_is_no_key() -> None:
    assert compare(changed(number=""), changed(number="")).verdict == "hold"


def test_the_same_number_of_companies_in_one_vat_group_is_not_certain() -> None:
    other = replace(
        OLD, seller="", seller_who=identity("09999999", "GB123456789", "Harrow Windows Ltd", "GB"),
        amount_minor=700_000, total_minor=700_000, lines=(("Windows", 583_333),), purchase_order="W-5", **later(9),
    )  # fmt: skip
    assert compare(other, replace(OLD, seller="")).verdict == "apart"


# -- what is held


@pytest.mark.parametrize(
    "number",
    ["INV-2O418", "INV-20481", "INV-20418A", "INV-204I8", "INV-Z0418", "INV-20418-1", "INV-20418 rev", "2026-20418"],
)
def test_an_edited_number_is_held(number: str) -> None:
    assert verdict(number=number) == "hold"


HELD: dict[str, dict[str, Any]] = {
    "the same goods under two numbers": {},
    "and a penny more": {"amount_minor": 4_860_138, "total_minor": 4_860_138},
    "and a few days later": later(3),
    "and without order and lines": {"purchase_order": None, "lines": ()},
    "and the order in the notes": {"purchase_order": None, "notes": "Ref. PO-7741", **later(3)},
    "and net for gross": {"amount_minor": 4_050_114, "total_minor": 4_050_114},
    "and something prepaid": {"amount_minor": 3_860_137, "prepaid_minor": 1_000_000},
    "and in another currency": {"currency": "EUR", "amount_minor": 5_686_360, "total_minor": 5_686_360, "lines": (
        ("Cartons, double wall", 3_510_000, 100, 35_100), ("Pallets, heat treated", 1_228_633, 6, 204_772))},
    "and the lines in one": {"lines": (("Packaging as ordered", 4_050_114),)},
    "and the lines turned round": {"lines": tuple(reversed(OLD.lines))},
    "and half of it": {"amount_minor": 2_430_068, "total_minor": 2_430_068, "lines": (
        ("Cartons, double wall", 1_500_000, 50, 30_000), ("Pallets, heat treated", 525_057, 3, 175_019))},
    "and one of the lines": {"amount_minor": 3_600_000, "total_minor": 3_600_000, "lines": OLD.lines[:1]},
    "and a sister company": {"seller": "t", "seller_who": identity("09999999", None, "Harrow Windows Ltd", "GB")},
    "and an alias of the debtor": {"debtor": "e", "debtor_who": identity(None, None, "Kestrel Retail Stores", None)},
    "and freight more, long after, in its place": {
        "amount_minor": 4_880_137, "total_minor": 4_880_137, "purchase_order": None, "notes": "Storno INV-20418",
        "lines": (*OLD.lines, ("Carriage", 16_667, 1, 16_667)), **later(45)},
    "and a digit of the order mistyped": {"purchase_order": "PO-7747", "lines": (
        ("Kartons, zweiwellig", 3_000_000, 100, 30_000), ("Paletten", 1_050_114, 6, 175_019))},
    "and two fifths of it as a lump": {"amount_minor": 1_944_055, "total_minor": 1_944_055,
                                       "lines": (("On account", 1_620_046),)},
    "and a sister's share of the order": {
        "seller": "t", "seller_who": identity("09999999", None, "Harrow Windows Ltd", "GB"),
        "amount_minor": 2_916_082, "total_minor": 2_916_082, "lines": (
            ("wall carto doubl", 1_800_000, 60, 30_000), ("treat palle heat", 525_057, 3, 175_019))},
    "and it says so": {"notes": "Replaces invoice INV-20418", **later(40)},
    "in place of it": {"notes": "Rechnungskorrektur", **later(9)},
}  # fmt: skip


@pytest.mark.parametrize("change", HELD.values(), ids=HELD)
def test_a_new_number_does_not_hide_a_claim(change: dict[str, Any]) -> None:
    assert verdict(number=NEXT, **change) == "hold"


def test_a_digit_of_the_order_mistyped_hides_nothing_under_a_number_of_another_series() -> None:
    reworded = (("Double wall cartons", 3_000_000, 100, 30_000), ("Heat treated pallets", 1_050_114, 6, 175_019))
    assert verdict(number="X-9", purchase_order="PO-7747", lines=reworded) == "hold"


def test_the_very_same_file_is_held() -> None:
    one, other = (changed(document_sha256="ab" * 32, number=number, lines=()) for number in ("A1", "B2"))
    assert compare(one, replace(other, amount_minor=1, **later(50))).verdict == "hold"


def test_invoices_of_one_file_with_goods_and_sums_of_their_own_are_not_held_for_the_file() -> None:
    other = changed(
        document_sha256="ab" * 32, number=NEXT, amount_minor=640_000, total_minor=640_000, purchase_order="PO-9151",
        lines=(("Hand dryers, two, for the annexe", 533_333),),
    )  # fmt: skip
    found = compare(other, replace(OLD, document_sha256="ab" * 32))
    assert found.verdict == "apart"
    assert "same_document" in {finding.code for finding in found.findings}


@pytest.mark.parametrize(("sign", "code"), [("€", "EUR"), ("£", "GBP"), ("eur", "EUR"), ("zł", "PLN"), ("$", "$")])
def test_a_currency_is_one_by_its_sign_where_only_one_has_it(sign: str, code: str) -> None:
    assert currency_code(sign) == code


def test_a_label_that_may_be_a_series_hides_no_number() -> None:
    assert compare(changed(number="FTMV20237014"), changed(number="FT MV2023/7014")).verdict == "same"


def test_a_number_used_before_is_held_in_another_currency() -> None:
    assert verdict(currency="EUR", amount_minor=5, total_minor=5, lines=(), purchase_order=None, **later(60)) == "hold"


# -- what is honest

HONEST: dict[str, dict[str, Any]] = {
    "the bill of the next month": {**later(31), "purchase_order": None},
    "the bill of the next week": {**later(7), "purchase_order": None},
    "the bill of the same day for another month": {"lines": (
        ("Cartons, double wall, November", 3_000_000), ("Pallets, heat treated, November", 1_050_114))},
    "the second instalment": {"notes": "Instalment 2 of 3"},
    "another order of the same goods": {"purchase_order": "PO-8020", **later(12)},
    "other goods of the same day": {"amount_minor": 912_400, "total_minor": 912_400, "purchase_order": "PO-8020",
                                    "lines": (("Steel brackets", 760_333),)},
    "the same goods, more of them": {"amount_minor": 9_700_000, "total_minor": 9_700_000, "purchase_order": "PO-8020",
                                     "lines": (("Cartons, double wall", 8_083_333, 269, 30_050),), **later(12)},
    "the next delivery of the order": {"amount_minor": 2_000_004, "total_minor": 2_000_004,
                                       "lines": (("Steel brackets", 1_666_670),), **later(9)},
    "a credit note": {"number": "CN-77", "document_type": "381", "notes": "For INV-20418", **later(9)},
    "a company of the debtor's group": {"debtor": "e", "purchase_order": None,
                                        "lines": (("Seats", 4_050_114, 25, None),),
                                        "debtor_who": identity("08888888", None, "Kestrel Foods plc", "GB")},
    "another debtor": {"debtor": "e", "debtor_who": identity("08888888", None, "Zephyr Foods Ltd", "GB"),
                       "purchase_order": "55-1"},
}  # fmt: skip


@pytest.mark.parametrize("change", HONEST.values(), ids=HONEST)
def test_an_honest_invoice_goes_through(change: dict[str, Any]) -> None:
    old = replace(OLD, notes="Instalment 1 of 3") if "Instalment" in str(change.get("notes")) else OLD
    if "November" in str(change.get("lines")):
        old = replace(OLD, lines=(("Cartons, double wall, October", 3_000_000), ("Pallets, October", 1_050_114)))
    assert compare(replace(old, **{"number": NEXT, **change}), old).verdict == "apart"


PARTICULARS = {
    "a plate": ("Lease of van KP21 LMR", "Lease of van HD70 TSP"),
    "a flat": ("Rent, unit 12, 03.2026", "Rent, unit 17, 03.2026"),
    "a consignment": (
        "Haulage Rotterdam-Duisburg, consignment 88120417",
        "Haulage Rotterdam-Duisburg, consignment 55210093",
    ),
    "a worker": ("A. Novak, week ending 27 March", "B. Osei, week ending 27 March"),
}


@pytest.mark.parametrize("words", PARTICULARS.values(), ids=PARTICULARS)
def test_what_differs_in_a_particular_only_is_another_bill_of_the_day(words: tuple[str, str]) -> None:
    old, new = (changed(lines=((said, 4_050_114, 1, 4_050_114),)) for said in words)
    assert compare(replace(new, number=NEXT), old).verdict == "apart"
    reworded = replace(old, number=NEXT, lines=((words[0].lower().replace("lease", "hire"), 4_050_114, 1, 4_050_114),))
    assert compare(reworded, old).verdict == "hold"


def test_neither_dated_is_a_regular_bill_not_a_copy() -> None:
    bare = changed(issued_on=None, due_on=None, lines=(("Retainer", 4_050_114, 1, 4_050_114),))
    assert compare(replace(bare, number=NEXT), bare).verdict == "apart"
    assert compare(replace(bare, number="INV-2O418"), bare).verdict == "hold"


def test_a_vat_number_alone_does_not_make_one_of_two_names() -> None:
    one, other = (replace(OLD, seller="", seller_who=identity(None, "GB123456789", name, None))
                  for name in ("Harrow Joinery Ltd", "Harrow Windows Ltd"))  # fmt: skip
    assert compare(one, other).verdict == "hold"
    misread = replace(OLD, seller="", seller_who=identity(None, "GB123456789", "Harrcw Joincry Limitcd", None))
    assert compare(misread, one).verdict == "same"


def test_a_registration_drawn_from_the_vat_number_does_not_contradict_one_that_is_given() -> None:
    given = identity("556365-4376", "SE551280014901", "Granit Bemanning AB", None)
    drawn = identity(None, "SE551280014901", "Granit Bemanning AB", None)
    assert kinship("", "", given, drawn, False) is Kinship.SAME
    sister = identity(None, "SE551280014901", "Norrsken Bygg AB", None)  # perhaps another of the VAT group
    assert kinship("", "", given, sister, False) is Kinship.KIN
    own = identity("551280-0149", "SE551280014901", "Norrsken Bygg AB", None)
    assert kinship("", "", given, own, False) < Kinship.SAME


@pytest.mark.parametrize(
    "number", ["Factura n.º 20418", "Rechnung Nr. 20418", "Nota 20418", "FRA-20418", "Invoice ID 20418"]
)
def test_words_that_only_say_invoice_are_no_part_of_the_number(number: str) -> None:
    assert compare(changed(number=number), changed(number="20418")).exact


def test_a_long_number_without_its_separators_is_certain_whatever_else_differs() -> None:
    other = {
        "amount_minor": 9_000,
        "total_minor": 9_000,
        "lines": (("Screws", 7_500),),
        "purchase_order": "1",
        **later(90),
    }
    assert compare(changed(number="FA250857536", **other), changed(number="FA250857-536")).verdict == "same"
    assert compare(changed(number="11/1/2026", **other), changed(number="1/11/2026")).verdict == "apart"


def test_the_same_number_of_another_seller_is_honest() -> None:
    seller = {"seller": "t", "seller_who": identity("09999999", None, "Zephyr Foods Ltd", "GB")}
    assert verdict(**seller, amount_minor=912_000, purchase_order=None, lines=(), **later(-60)) == "apart"


def test_the_nearest_comes_first() -> None:
    stranger = changed(debtor="e", number="X", debtor_who=None, seller_who=None)
    found = nearest(changed(number="INV-2O418"), [stranger, changed(number=NEXT), OLD])
    assert [index for index, _ in found] == [2, 1]


# -- what holds whatever is compared

NUMBERS = st.from_regex(r"\A(INV|RE|F|A)?[-/ ]?(20[12][0-9])?[-/]?[0-9]{1,6}[-/]?[A-Z0-9]{0,2}\Z")
CLAIMS = st.builds(
    Claim,
    seller=st.sampled_from(["", "s", "t"]), debtor=st.sampled_from(["", "d", "e"]),
    number=NUMBERS | st.text(max_size=8),
    document_type=st.sampled_from(["380", "381", "383", "384"]), currency=st.sampled_from(["", "GBP", "eur"]),
    amount_minor=st.none() | st.integers(0, 10**6) | st.sampled_from([250_037, 250_038, 125_019]),
    issued_on=st.none() | st.dates(date(2026, 1, 1), date(2026, 3, 1)),
    due_on=st.none() | st.dates(date(2026, 2, 1), date(2026, 4, 1)), purchase_order=st.none() | NUMBERS,
    lines=st.lists(st.tuples(st.sampled_from(["Pipes 12 mm", "Pipes March", "Valves"]), st.integers(1, 10**5)),
                   max_size=3).map(tuple),
    document_sha256=st.none() | st.just("ab" * 32), notes=st.none() | st.text(max_size=20) | NUMBERS,
    seller_who=st.none() | st.builds(identity, st.sampled_from([None, "123456", "654321"]), st.none(),
                                     st.sampled_from([None, "Harrow Ltd", "Harrow Windows", "Zephyr"]), st.none()),
    total_minor=st.none() | st.integers(0, 10**6), prepaid_minor=st.none() | st.integers(0, 10**5),
)  # fmt: skip


@given(CLAIMS, CLAIMS)
def test_it_is_the_same_from_both_sides(one: Claim, other: Claim) -> None:
    there, back = compare(one, other), compare(other, one)
    assert (there.verdict, there.score) == (back.verdict, back.score)
    assert share_a_key(one, other) == share_a_key(other, one)


@given(CLAIMS, CLAIMS)
def test_the_score_is_the_sum_of_what_was_found(one: Claim, other: Claim) -> None:
    match = compare(one, other)
    if match.verdict != "same":
        assert match.score == sum(finding.weight for finding in match.findings)
    assert all(finding.words % finding.params for finding in match.findings)


@given(CLAIMS, CLAIMS)
def test_certainty_needs_the_same_parties(one: Claim, other: Claim) -> None:
    if compare(one, other).verdict == "same":
        assert kinship(one.seller, other.seller, one.seller_who, other.seller_who, False) is Kinship.SAME
        assert read_number(one.number).compact
        assert relation(one.read, other.read) in ("same_number", "number_respelt")


@given(st.from_regex(r"[A-Z]{0,3}[1-9][0-9]{2,7}", fullmatch=True))
def test_writing_a_number_otherwise_changes_nothing(number: str) -> None:
    for variant in cosmetic_numbers(number):
        assert compare(changed(number=variant), changed(number=number)).verdict == "same"


@given(CLAIMS)
def test_a_claim_with_a_number_and_parties_is_itself(claim: Claim) -> None:
    claim = replace(claim, number="7/2", seller="s", debtor="d")
    assert compare(claim, claim).verdict == "same"
