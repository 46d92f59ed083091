"""Honest invoices that meet by the hundred in a market: next to each other, of one day, of brothers."""

import random
from dataclasses import replace
from datetime import date, timedelta

import pytest

from marketplace.receivables.matching.blocking import blocking_keys
from marketplace.receivables.matching.fingerprint import identity
from marketplace.receivables.matching.near_match import Claim, compare

DAY = date(2026, 10, 1)
GOODS = ("Cartons, double wall", "Pallets, heat treated", "Stretch film, 23 micron", "Strapping, steel",
         "Edge boards, 50 mm", "Tape, printed", "Labels, thermal", "Void fill, paper")  # fmt: skip
PARCEL = Claim(
    "s", "d", "T-7001", "380", "EUR", 48_600, DAY, DAY + timedelta(30), "",
    (("Carriage of a consignment, lorry KX 71 DFG, October", 48_600),), total_minor=48_600,
    seller_who=identity("01234567", "", "Harrow Haulage Ltd", "GB"),
    debtor_who=identity("07654321", "", "Kestrel Retail plc", "GB"),
)  # fmt: skip


def test_two_bills_of_one_day_differ_in_a_plate_or_a_month_and_nothing_else() -> None:
    plate = replace(PARCEL, number="T-7002", lines=(("Carriage of a consignment, lorry LM 22 ABC, October", 48_600),))
    month = replace(PARCEL, number="T-7002", lines=(("Carriage of a consignment, lorry KX 71 DFG, November", 48_600),))
    assert compare(plate, PARCEL).verdict == "apart"
    assert compare(month, PARCEL).verdict == "apart"


def test_the_same_two_lines_of_one_day_and_order_under_the_next_number_are_held() -> None:
    goods = (("Carriage of a consignment, lorry KX 71 DFG, October", 38_150), ("Waiting time at the gate", 10_450))
    old = replace(PARCEL, lines=goods, purchase_order="PO-55817")
    assert compare(replace(old, number="T-7002"), old).verdict == "hold"


def test_what_more_speaks_against_than_for_is_not_held() -> None:
    other = replace(
        PARCEL, debtor="e", number="T-7029", amount_minor=91_700, total_minor=91_700,
        lines=(("Storage of pallets, September", 91_700),),
        debtor_who=identity("07654329", "", "Kestrel Retail 2 plc", "GB"),
    )  # fmt: skip
    match = compare(other, PARCEL)
    assert match.score < 0
    assert match.verdict == "apart"


@pytest.mark.parametrize("debtors", [1, 12])
def test_of_a_crowd_of_honest_invoices_of_one_seller_hardly_one_is_held(debtors: int) -> None:
    crowd = _honest(60, debtors)
    keys = [blocking_keys(claim) for claim in crowd]
    met = [(new, old) for new in range(60) for old in range(new) if keys[new] & keys[old]]
    held = {new for new, old in met if compare(crowd[new], crowd[old]).verdict != "apart"}
    assert len(met) >= 600
    assert len(held) <= 1


def _honest(count: int, debtors: int) -> list[Claim]:
    """Return many invoices of a seller: debtors named alike, one to five goods that come again, sums of their own."""
    drawn, crowd = random.Random(7), []
    for index in range(count):
        of, issued = index % debtors, DAY + timedelta(index % 20)
        lines = tuple((one, drawn.randrange(20_000, 900_000)) for one in drawn.sample(GOODS, drawn.randint(1, 5)))
        minor = sum(amount for _, amount in lines)
        crowd.append(replace(
            PARCEL, debtor=f"d{of}", number=f"B-{40_000 + index}", amount_minor=minor, total_minor=minor,
            issued_on=issued, due_on=issued + timedelta(30), lines=lines,
            debtor_who=identity(f"0{8_000_000 + of}", "", f"Kestrel Retail {of} plc", "GB"),
        ))  # fmt: skip
    return crowd
