"""Rates of bids as people type them: whole basis points, or per cent; nothing else is guessed at."""

import pytest

from marketplace.kernel.errors import InvalidInput
from marketplace.web.investor_lot_parts import rate_of


@pytest.mark.parametrize(
    ("text", "bps"),
    [("710", 710), (" 710bp ", 710), ("710 bp", 710), ("1,250", 1_250), ("7.10%", 710), ("7.1 %", 710), ("8%", 800),
     ("0.5%", 50), ("7.%", 700)],
)  # fmt: skip
def test_a_rate_in_points_or_per_cent(text: str, bps: int) -> None:
    assert rate_of(text) == bps


@pytest.mark.parametrize(
    "text", ["", "7,1", "7,10%", "7.1", "7.²%", "٧%", "-5", "1e3", "7.123%", "123456", "1,25", "%"]
)
def test_what_is_none_is_refused_beside_its_field(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        rate_of(text)
    assert refused.value.problems[0].field == "rate_bps"
