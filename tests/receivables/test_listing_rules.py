"""The pure part of listing: cost in money, parties recognised, corrections noticed."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.receivables.facts import InvoiceFacts, Line, differences
from marketplace.receivables.quote import quote
from marketplace.receivables.rules import Party, same_party


def test_an_advance_of_85_per_cent_at_7_35_for_50_days() -> None:
    """Worked by hand: 41,310.00 × 7.35 % × 50 / 365 = 415.92, fee 0.20 % of 48,600.00 = 97.20."""
    q = quote(4_860_000, 4_131_000, 735, 50, 20)
    assert (q.now_minor, q.discount_minor, q.fee_minor, q.later_minor) == (4_131_000, 41_592, 9_720, 677_688)
    assert (q.cost_minor, q.yearly_bps) == (51_312, 907)


@given(st.integers(1, 10**12), st.integers(0, 10**12), st.integers(0, 10_000), st.integers(1, 365), st.integers(0, 500))
def test_the_parts_are_the_face_to_the_penny(face: int, target: int, rate: int, days: int, fee: int) -> None:
    q = quote(face, target, rate, days, fee)
    assert q.now_minor + q.discount_minor + q.fee_minor + q.later_minor == face


@given(st.integers(1, 10**9), st.integers(0, 5_000), st.integers(1, 180))
def test_a_higher_rate_never_brings_more(face: int, rate: int, days: int) -> None:
    low, high = (quote(face, face * 85 // 100, bps, days, 20) for bps in (rate, rate + 100))
    assert low.now_minor + low.later_minor >= high.now_minor + high.later_minor


HART = Party("Thornfield Castings Ltd", "07100001", "GB123456789", "GB")


@pytest.mark.parametrize(("name", "legal_id", "vat_id", "same"), [
    ("anything", "07100001", None, True), ("anything", "7100001", None, True), ("x", None, "GB 123 456 789", True),
    ("THORNFIELD CASTINGS LIMITED", None, None, True), ("The Thornfield Castings, Ltd.", None, None, True),
    ("Thornfield Castings Ltd", "07100002", None, False), ("Mallory Trading Ltd", None, None, False),
    (None, None, None, False)])  # fmt: skip
def test_a_number_decides_before_a_name(name: str, legal_id: str, vat_id: str, same: bool) -> None:
    assert same_party(HART, name, legal_id, vat_id) is same


def test_filling_a_gap_is_no_difference_and_a_change_is_one() -> None:
    read = InvoiceFacts(number="A-1", due_on=date(2026, 5, 1), face_minor=100)
    given_ = read.corrected({"due_on": date(2026, 5, 2), "debtor_legal_id": "07714421", "purchase_order": "P"})
    assert [one.name for one in differences(read, given_)] == ["due_on"]


def test_facts_survive_being_kept() -> None:
    facts = InvoiceFacts(number="A-1", issued_on=date(2026, 4, 1), face_minor=100, lines=(Line("x", "1", "1.00", 100),))
    assert InvoiceFacts.from_json(facts.to_json()) == facts
