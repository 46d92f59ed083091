"""The order in which a debtor's money is shared."""

import os
from datetime import date, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.servicing.waterfall import Due, Share, Step, accrue_late, distribute, forgo_late
from tests.servicing.dues import opening_dues

SELLER, BOB, CAROL = UUID(int=1), UUID(int=2), UUID(int=3)

# Two thousand lives of a receivable each time (9 s of a core); DUEBILL_WATERFALLS=1000000 lives a million: 75 minutes.
LIVES = int(os.environ.get("DUEBILL_WATERFALLS", "2000"))
minors = st.integers(min_value=0, max_value=10**9)
fills = st.lists(st.tuples(st.uuids(), st.integers(1, 10**8), st.integers(0, 10**6)), min_size=1, max_size=6,
                 unique_by=lambda fill: fill[0])  # fmt: skip


def paid(dues: list[Due], shares: tuple[Share, ...]) -> list[Due]:
    given_to = {(share.step, share.party): share.minor for share in shares}
    return [Due(d.step, d.party, d.due_minor, d.paid_minor + given_to.get((d.step, d.party), 0)) for d in dues]


def test_the_look_book_lot_goes_where_its_bar_says() -> None:
    # £48,600.00 face, £41,310.00 advanced, £415.92 discount, 20 bp fee: £97.20, £6,776.88 back to the seller.
    dues = opening_dues(4_860_000, SELLER, [(BOB, 4_131_000, 41_592)], fee_bps=20)
    assert {due.step: due.due_minor for due in dues} == {
        Step.PRINCIPAL: 4_131_000,
        Step.DISCOUNT: 41_592,
        Step.PLATFORM_FEE: 9_720,
        Step.RESIDUAL: 677_688,
    }


def test_principal_comes_before_discount_and_both_before_the_seller() -> None:
    dues = opening_dues(10_000, SELLER, [(BOB, 6_000, 60), (CAROL, 2_000, 20)], fee_bps=20)
    first = distribute(8_040, dues)
    assert first.shares == (
        Share(Step.PRINCIPAL, BOB, 6_000),
        Share(Step.PRINCIPAL, CAROL, 2_000),
        Share(Step.DISCOUNT, BOB, 30),
        Share(Step.DISCOUNT, CAROL, 10),
    )


def test_what_nobody_is_due_is_excess() -> None:
    dues = opening_dues(10_000, SELLER, [(BOB, 8_000, 60)], fee_bps=0)
    assert distribute(10_007, dues).excess_minor == 7


def test_what_the_auctions_rate_leaves_is_the_sellers() -> None:
    # An outright lot priced at a reserve of 12 % that clears at 8 %: the difference goes back to the seller.
    dues = opening_dues(10_000, SELLER, [(BOB, 8_000, 53), (CAROL, 1_700, 11)], fee_bps=20)
    assert Due(Step.RESIDUAL, SELLER, 216) in dues
    assert sum(due.due_minor for due in dues) == 10_000


@pytest.mark.timeout(300 + LIVES // 50)
@settings(max_examples=LIVES)
@given(fills, minors, st.lists(st.one_of(minors, st.integers(1, 9)), max_size=12))
def test_any_run_of_receipts_sums_to_the_penny_and_takes_nothing_back(
    parts: list[tuple[UUID, int, int]], residual: int, receipts: list[int]
) -> None:
    face = sum(p + d for _, p, d in parts) + residual
    dues = opening_dues(face, SELLER, parts, fee_bps=20)
    assert sum(due.due_minor for due in dues) == face
    for receipt in receipts:
        given_out = distribute(receipt, dues)
        assert sum(share.minor for share in given_out.shares) + given_out.excess_minor == receipt
        assert all(share.minor > 0 for share in given_out.shares)
        dues = paid(dues, given_out.shares)
        assert all(0 <= due.paid_minor <= due.due_minor for due in dues)
    assert sum(due.paid_minor for due in dues) == min(face, sum(receipts))


@given(fills, st.integers(1, 10**7))
def test_one_penny_at_a_time_never_favours_a_later_step(parts: list[tuple[UUID, int, int]], residual: int) -> None:
    face = sum(p + d for _, p, d in parts) + residual
    dues = opening_dues(face, SELLER, parts, fee_bps=20)
    for _ in range(20):
        given_out = distribute(1, dues)
        assert {share.step for share in given_out.shares} == {Step.PRINCIPAL} or not any(
            due.outstanding_minor for due in dues if due.step == Step.PRINCIPAL
        )
        dues = paid(dues, given_out.shares)


@given(fills, minors, st.integers(0, 5_000), st.integers(0, 400))
def test_a_late_charge_comes_out_of_the_residual_alone(
    parts: list[tuple[UUID, int, int]], residual: int, rate: int, days: int
) -> None:
    face = sum(p + d for _, p, d in parts) + residual
    dues = opening_dues(face, SELLER, parts, fee_bps=20)
    late = accrue_late(dues, rate, date(2026, 1, 1), date(2026, 1, 1) + timedelta(days=days))
    assert sum(due.due_minor for due in late) == face
    assert all(due.due_minor >= due.paid_minor for due in late)
    untouched = (Step.PRINCIPAL, Step.DISCOUNT, Step.PLATFORM_FEE)
    assert [d for d in late if d.step in untouched] == [d for d in dues if d.step in untouched]


def test_a_late_charge_is_simple_interest_on_what_is_outstanding() -> None:
    dues = [Due(Step.PRINCIPAL, BOB, 4_131_000), Due(Step.RESIDUAL, SELLER, 677_688)]
    late = accrue_late(dues, 735, date(2026, 10, 2), date(2026, 10, 12))
    # ⌊4 131 000 × 735 × 10 / 3 650 000⌋ = 8 318
    assert Due(Step.LATE_CHARGE, BOB, 8_318) in late


@given(
    st.lists(st.integers(1, 10**9), min_size=1, max_size=4), st.integers(0, 10**9), st.integers(0, 5_000),
    st.integers(1, 400), st.integers(1, 400), st.integers(0, 4 * 10**9),
)  # fmt: skip
def test_whether_a_receipt_is_heard_of_in_time_or_late_the_late_charge_is_the_same_but_for_pennies(
    principals: list[int], residual: int, rate: int, before: int, after: int, received: int
) -> None:
    dues = [Due(Step.PRINCIPAL, UUID(int=n + 2), one) for n, one in enumerate(principals)]
    dues.append(Due(Step.RESIDUAL, UUID(int=1), sum(principals) * rate * (before + after) // 3_650_000 + residual))
    first = date(2026, 1, 1)
    came, heard = first + timedelta(days=before), first + timedelta(days=before + after)
    on_the_day = accrue_late(dues, rate, first, came)
    in_time = accrue_late(paid(on_the_day, distribute(received, on_the_day).shares), rate, came, heard)
    charged = accrue_late(dues, rate, first, heard)
    forgone = forgo_late(charged, distribute(received, charged).shares, rate, after)
    late = paid(forgone, distribute(received, forgone).shares)
    assert sum(due.due_minor for due in late) == sum(due.due_minor for due in dues)
    assert all(0 <= due.paid_minor <= due.due_minor for due in late)
    if received <= sum(principals):  # beyond it late charges are paid, and nothing paid is taken back
        for party in {due.party for due in dues if due.step == Step.PRINCIPAL}:
            assert abs(_charged(late, party) - _charged(in_time, party)) <= 2  # three roundings


def _charged(dues: list[Due], party: UUID | None) -> int:
    return sum(due.due_minor for due in dues if due.step == Step.LATE_CHARGE and due.party == party)
