"""The CSV of a bulk upload: accepted as spreadsheets write it, and nothing guessed."""

from contextlib import suppress
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.kernel.errors import InvalidInput
from marketplace.receivables.bulk.csv_reading import COLUMNS, decimal_of, kept, parse_cells, read_sheet, unkept

ROW = "number,currency,due_on,amount_due,debtor_name\nA-1,GBP,2026-10-02,1234.50,Grün & Söhne\n"
READ = {"number": "A-1", "currency": "GBP", "due_on": date(2026, 10, 2), "face_minor": 123_450,
        "debtor_name": "Grün & Söhne"}  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_what_spreadsheets_write_is_read(encoding: str, delimiter: str, ending: str) -> None:
    content = ROW.replace(",", delimiter).replace("\n", ending).encode(encoding)
    sheet = read_sheet(content, 10)
    assert [(line.values, line.problems) for line in sheet.lines] == [(READ, ())]


def test_headers_are_forgiving_and_unknown_columns_are_told() -> None:
    sheet = read_sheet(b'sep=;\r\n"Number";Amount due;CURRENCY;my notes;my notes\r\nA;5;eur;x;y\r\n\r\n;;;;\r\n', 10)
    assert [line.values for line in sheet.lines] == [{"number": "A", "face_minor": 500, "currency": "EUR"}]
    assert sheet.unknown == ("my_notes",)


@pytest.mark.parametrize(("cell", "minor"), [
    ("1234.56", 123_456), ("1234,56", 123_456), ("1,234.56", 123_456), ("1.234,56", 123_456), ("1 234,56", 123_456),
    ("1\u202f234,56", 123_456), ("1'234.50", 123_450), ("1,234,567", 123_456_700), ("1.234.567,5", 123_456_750),
    ("12", 1_200), ("0,5", 50), ("£48,600.00", 4_860_000), ("GBP 5", 500), ("5 €", 500), ("1234.500", 123_450),
])  # fmt: skip
def test_amounts_that_can_be_read_in_one_way_are_read(cell: str, minor: int) -> None:
    values, problems = parse_cells({"currency": "GBP", "amount_due": cell})
    if cell == "1234.500":
        assert problems[0].rule == "ambiguous"
    else:
        assert (values.get("face_minor"), problems) == (minor, ())


@pytest.mark.parametrize(("cell", "rule"), [
    ("1,234", "ambiguous"), ("1.234", "ambiguous"), ("12.345", "ambiguous"), ("1,234,56", "amount"), ("-5", "amount"),
    ("1,23,456", "amount"), ("five", "amount"), ("1e5", "amount"), ("0.125", "amount"), ("1.2.3", "amount"),
    ("٥", "amount"), ("=5+5", "amount"), ("9" * 30, "amount"), ("x" * 3_000, "cell"), ("0", "form"),
])  # fmt: skip
def test_amounts_that_cannot_are_refused_in_words(cell: str, rule: str) -> None:
    values, problems = parse_cells({"currency": "GBP", "amount_due": cell})
    assert [(problem.field, problem.rule) for problem in problems] == [("face_minor", rule)]
    assert problems[0].said()
    assert "face_minor" not in values


def test_an_amount_waits_for_its_currency_and_yen_have_no_decimals() -> None:
    assert parse_cells({"amount_due": "5"})[1][0].rule == "amount"
    assert parse_cells({"amount_due": "5"}, "GBP")[0] == {"face_minor": 500}
    assert parse_cells({"amount_due": "5000", "currency": "JPY"})[0]["face_minor"] == 5_000
    assert parse_cells({"amount_due": "50.5", "currency": "JPY"})[1][0].rule == "amount"
    assert {problem.field for problem in parse_cells({"amount_due": "5", "currency": "XXX"})[1]} == {
        "face_minor", "currency"}  # fmt: skip


@pytest.mark.parametrize("cell", ["02/10/2026", "2.10.26", "2026-13-01", "2026-02-30", "20261002", "tomorrow"])
def test_dates_are_iso(cell: str) -> None:
    values, problems = parse_cells({"due_on": cell})
    assert [problem.field for problem in problems] == ["due_on"]
    assert values == {}


@pytest.mark.parametrize(("content", "code"), [
    (b"", "csv_header"), (b"a,b\n1,2\n", "csv_header"), (b"number,number\n1,2\n", "csv_column_twice"),
    ("number\nGr\u00fcn\n".encode("latin-1"), "csv_encoding"), (b"number\n\x00\n", "csv_encoding"),
    (b"\xff\xfen", "csv_encoding"), (b'number,iban\n"open,5\n', "csv_broken"),
    (b"number\n" + b"1\n" * 11, "csv_too_long"), (b'number\n"' + b"x" * 200_000 + b'"\n', "csv_broken"),
])  # fmt: skip
def test_files_that_cannot_be_used_are_refused_as_a_whole(content: bytes, code: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read_sheet(content, 10)
    assert refusal.value.code == code
    assert refusal.value.problems[0].said()


def test_more_cells_than_columns_are_a_problem_of_their_row() -> None:
    sheet = read_sheet(b"number,debtor_name\nA,Smith, Jones and Co\nB,C\n", 10)
    assert [len(line.problems) for line in sheet.lines] == [1, 0]


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with suppress(InvalidInput):
        assert len(read_sheet(content, 10).lines) <= 10


@given(st.dictionaries(st.sampled_from(sorted(COLUMNS)), st.text(max_size=40)))
def test_any_cells_are_values_or_problems_and_values_are_kept_whole(cells: dict[str, str]) -> None:
    values, problems = parse_cells(cells)
    assert not {problem.field for problem in problems} & set(values)
    assert unkept(kept(values)) == values


@given(st.integers(1, 10**14), st.sampled_from(["GBP", "JPY"]))
def test_an_amount_written_is_read_again(minor: int, currency: str) -> None:
    values, _ = parse_cells({"amount_due": decimal_of(minor, currency), "currency": currency})
    assert values["face_minor"] == minor
