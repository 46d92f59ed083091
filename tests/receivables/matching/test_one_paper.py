"""Two numbers may be one but for the words around them; a series of its own is not such a word."""

import pytest

from marketplace.receivables.matching.one_paper import but_for_words


@pytest.mark.parametrize(
    ("one", "other"),
    [("e-Fatura No VVC26-7", "Facture n° VVC26-7"), ("Serija ZE Nr. 06956", "ZE 06956"), ("Račun R-1 br. 7", "7"),
     ("Schlussrechnung 7001", "7001"), ("请款单号 2026-7001", "2026-7001"), ("Hoá đơn số 0007001", "7001")],
)  # fmt: skip
def test_words_around_a_number_do_not_make_another(one: str, other: str) -> None:
    assert but_for_words(one, other)
    assert but_for_words(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [("LONDON 118", "PARIS 118"), ("LON-118", "PAR-118"), ("Seria A nr. 7", "Seria B nr. 7"), ("100000", "F100000"),
     ("A-1", "B-1"), ("Invoice 7", "Invoice 8"), ("", "")],
)  # fmt: skip
def test_two_series_stay_two(one: str, other: str) -> None:
    assert not but_for_words(one, other)
    assert not but_for_words(other, one)
