"""A line is read for what it names: the same delivery however it is worded, another one by a single figure."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from marketplace.receivables.matching.claim import Claim
from marketplace.receivables.matching.fingerprint import identity
from marketplace.receivables.matching.identifying import identified_apart
from marketplace.receivables.matching.line_words import line_words
from marketplace.receivables.matching.near_match import compare

# -- one line


@pytest.mark.parametrize(
    "day", ["27/03/2026", "27.03.2026", "27-3-2026", "2026-03-27", "27 March 2026", "27 März 2026"]
)
def test_a_day_is_the_same_figures_however_it_is_written(day: str) -> None:
    assert line_words(f"Haulage, {day}").figures == ("27", "M03", "2026")


def test_what_reads_alike_is_the_same_figure() -> None:
    assert line_words("timesheet TS-5O240").figures == line_words("timesheet TS-50240").figures


def test_a_misread_word_is_no_figure() -> None:
    assert line_words("C0MPRE550R unit").words == ("COMPRESSOR", "UNIT")


@pytest.mark.parametrize(
    ("said", "rare"),
    [
        ("Repair, job J96445", {"J96445"}),
        ("CMR 7703182, vehicle PB83", {"7703182"}),
        ("1 Consignment 88120417", {"88120417"}),
        ("Tile 60x60, bearing 6204-2RS", set()),
        ("Cable art. 79720", set()),
        ("Rent, 01.03.2026", set()),
    ],
)
def test_rare_is_what_numbers_one_thing_only(said: str, rare: set[str]) -> None:
    assert line_words(said).rare == rare


@pytest.mark.parametrize(
    "said", ["Cleaning, June 2026", "Week 12/2026", "Works of 3.6.2026", "Jalon 3", "Rate 2 von 4"]
)
def test_a_line_is_dated_by_a_day_a_month_or_its_part_of_a_whole(said: str) -> None:
    assert line_words(said).dated


@pytest.mark.parametrize("said", ["Valve 3/4 brass", "Retainer", "Drawing 155-407", "Membership fee 2026"])
def test_a_measure_or_a_year_alone_is_no_date(said: str) -> None:
    assert not line_words(said).dated


# -- two lines

APART = {
    "another address": ("Cleaning Mill Lane 55, York, June 2026", "Cleaning Station Road 12, Leeds, June 2026"),
    "another kind of street": ("Nettoyage avenue Foch 185, Metz, mai 2026", "Nettoyage zone Nord 36, Brest, mai 2026"),
    "another flat": ("Miete A15, Industrieweg 133, August 2026", "Miete A17, Industrieweg 133, August 2026"),
    "another worker": ("A. Novak, week ending 27 March", "B. Osei, week ending 27 March"),
    "the next week": ("Zeitarbeit Krüger, KW 35/2026, A55380", "Zeitarbeit Krüger, KW 36/2026, TS-99455"),
    "the next consignment": ("Haulage, consignment 88120417", "Haulage, consignment 88120418"),
}  # fmt: skip
NOT_APART = {
    "turned about": ("Cleaning Mill Lane 55, York, June 2026", "June 2026 - York, Mill Lane 55 / Cleaning"),
    "reworded": ("Cleaning Mill Lane 55, York", "Janitorial service Mill Lane 55, York"),
    "misread": ("Repair of compressor, job 88120417", "Repair of c0mpre55or, job 8812O417"),
    "a digit wrong in a long number": ("Haulage, consignment 88120417", "Haulage, consignment 88720417"),
    "cut off": ("Road freight Luton - Ulm, CMR 5703539, vehicle PW4734", "Road freight Luton - Ulm, CMR 57"),
    "without figures": ("Hire of loader 614735, Mill Lane 17", "Hire of loader, Mill Lane"),
    "with an article number": ("Guarding of premises", "15301 Guarding of premises"),
    "the date written otherwise": ("Freight of 05/06/2026, lot 7", "Freight of 2026-06-05, lot 7"),
}


@pytest.mark.parametrize("said", APART.values(), ids=APART)
def test_one_figure_or_name_tells_the_next_delivery(said: tuple[str, str]) -> None:
    assert identified_apart([line_words(said[0])], [line_words(said[1])])


@pytest.mark.parametrize("said", NOT_APART.values(), ids=NOT_APART)
def test_a_rewording_is_no_other_delivery(said: tuple[str, str]) -> None:
    assert not identified_apart([line_words(said[0])], [line_words(said[1])])


# -- two claims: one delivery billed twice under another number, on another day, for another sum

OLD = Claim(
    "s", "d", "INV-4410", "380", "GBP", 194_113, date(2026, 6, 12), date(2026, 7, 12), None,
    (("Road freight Luton - Ulm, CMR 5703539, vehicle PW4734, 11/06/2026", 161_761, 1, 161_761),),
    total_minor=194_113, seller_who=identity("01234567", None, "Harrow Haulage Ltd", "GB"),
    debtor_who=identity("07654321", None, "Kestrel Retail plc", "GB"),
)  # fmt: skip
FORGED = replace(OLD, number="X-90117", issued_on=date(2026, 6, 21), due_on=date(2026, 7, 21))


def lines(words: str, minor: int = 161_761) -> tuple[tuple[str, int, int, int], ...]:
    return ((words, minor, 1, minor),)


COPIES = {
    "in other words": {"lines": lines("Haulage 11 June 2026: Luton - Ulm, vehicle PW4734, CMR 5703539")},
    "for a rounded sum": {"amount_minor": 190_000, "total_minor": 190_000,
                          "lines": lines("Road freight Luton - Ulm, CMR 5703539, vehicle PW4734, 11/06/2026", 158_333)},
    "under another order": {"purchase_order": "PO-8820"},
    "by a sister company": {"seller": "t", "seller_who": identity("09999999", None, "Harrow Storage Ltd", "GB")},
    "to an alias of the debtor": {"debtor": "", "debtor_who": identity(None, None, "KR plc", None)},
    "with day and month changed about": {"issued_on": date(2026, 12, 6), "due_on": OLD.due_on},
    "paid in part": {"prepaid_minor": 60_000, "amount_minor": 134_113},
}  # fmt: skip


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
def test_one_delivery_billed_twice_is_held(change: dict[str, object]) -> None:
    assert compare(replace(FORGED, **change), OLD).verdict == "hold"  # type: ignore[arg-type]


NEXT = replace(OLD, number="INV-4415", issued_on=date(2026, 6, 13), due_on=date(2026, 7, 13))
HONEST = {
    "the next consignment": {"lines": lines("Road freight Luton - Ulm, CMR 5703612, vehicle PW4734, 12/06/2026")},
    "another vehicle of the day": {"lines": lines("Road freight Luton - Ulm, CMR 5703540, vehicle HD2210, 11/06/2026")},
    "the same lorry a week on": {"issued_on": date(2026, 6, 19), "due_on": date(2026, 7, 19),
                                 "lines": lines("Road freight Luton - Ulm, CMR 5711001, vehicle PW4734, 18/06/2026")},
    "another lane for the same sum": {"lines": lines("Freight Hull - Lille, CMR 5703901, vehicle K77, 12/06/2026")},
}  # fmt: skip


@pytest.mark.parametrize("change", HONEST.values(), ids=HONEST)
def test_the_next_delivery_goes_through(change: dict[str, object]) -> None:
    assert compare(replace(NEXT, **change), OLD).verdict == "apart"  # type: ignore[arg-type]


SERIES = {
    "a worker's next week": ("Worker Novak, week 11/2026, sheet 669848", "Worker Novak, week 12/2026, sheet 670112"),
    "the next flat": ("Rent H2, Mill Lane 67, Perth, March 2026", "Rent A34, Mill Lane 67, Perth, March 2026"),
    "the next milestone": ("Project Lumen 41, milestone 2: foundation", "Project Lumen 41, milestone 3: frame"),
    "the next store": ("Maintenance, Q2/2026, store A36", "Maintenance, Q2/2026, store F42"),
    "the next month": ("Payroll services, May 2026", "Payroll services, June 2026"),
}  # fmt: skip


@pytest.mark.parametrize("said", SERIES.values(), ids=SERIES)
@pytest.mark.parametrize("apart", [0, 7, 30])
def test_what_recurs_goes_through_on_one_day_and_later(said: tuple[str, str], apart: int) -> None:
    old = replace(OLD, lines=lines(said[0]), purchase_order="PO-55")
    on = {"issued_on": date(2026, 6, 12) + timedelta(apart), "due_on": date(2026, 7, 12) + timedelta(apart)}
    assert compare(replace(old, number="INV-4411", lines=lines(said[1]), **on), old).verdict == "apart"  # type: ignore[arg-type]
    again = replace(old, number="INV-4411", lines=lines(said[0].replace(",", " -")))
    assert compare(again, old).verdict == "hold"


# -- nothing tells two apart

BARE = replace(OLD, lines=())


def test_the_same_odd_sum_within_days_is_held_where_nothing_tells_the_two_apart() -> None:
    assert compare(replace(BARE, number="X-90117"), BARE).verdict == "hold"
    assert compare(replace(BARE, number="X-90117", notes="Delivery note 20119"), BARE).verdict == "hold"


def test_two_delivery_notes_tell_them_apart_and_one_ties_them() -> None:
    one, other = (replace(BARE, notes=f"Delivery note {note}") for note in (20119, 20144))
    assert compare(replace(other, number="INV-4411"), one).verdict == "apart"
    far = replace(one, number="X1", amount_minor=180_000, total_minor=180_000)
    codes = {finding.code for finding in compare(far, one).findings}
    assert "same_delivery_note" in codes


def test_services_rendered_tell_nothing() -> None:
    lump = replace(OLD, number="R-77", lines=lines("Services rendered as agreed"), issued_on=date(2026, 6, 14))
    assert compare(lump, OLD).verdict == "hold"
    named = replace(lump, lines=lines("Legal advice, Harrow ./. Osei 412/26"))
    assert compare(named, OLD).verdict == "apart"


def test_one_account_of_two_sellers_is_one_seller() -> None:
    sister = replace(BARE, number="9-1", seller="t", iban="DE71 4930 7976 1194 5914 41", issued_on=date(2026, 6, 16),
                     seller_who=identity("09999999", None, "Harrow Storage Ltd", "GB"))  # fmt: skip
    assert compare(sister, replace(BARE, iban="DE71493079761194591441")).verdict == "hold"
    other = compare(sister, replace(BARE, iban="GB13LOYD13002151707308"))
    assert "same_account" not in {finding.code for finding in other.findings}
