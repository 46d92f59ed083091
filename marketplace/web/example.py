"""One invoice seen through, for the landing page: round figures, worked out by the market's own arithmetic.

Face £48,600.00, advance 85 %, three bids, 50 days, uniform price, fee 0.20 % of the face. A test runs the same book
through the auction engine.
"""

from dataclasses import dataclass

from marketplace.kernel.money import bps_of

CURRENCY = "GBP"
FACE_MINOR = 4_860_000
ADVANCE_BPS = 8_500
DAYS = 50
FEE_BPS = 20
BIDS = ((1_800_000, 710), (900_000, 730), (1_431_000, 742))


@dataclass(frozen=True)
class Example:
    """The figures of the story, in minor units; they add up to the face."""

    face_minor: int
    advance_minor: int
    bids: tuple[tuple[int, int], ...]
    rate_bps: int
    days: int
    discount_minor: int
    fee_minor: int

    @property
    def investors_minor(self) -> int:
        """What investors get back: their cash and the discount."""
        return self.advance_minor + self.discount_minor

    @property
    def residual_minor(self) -> int:
        """What returns to the seller when the debtor has paid."""
        return self.face_minor - self.investors_minor - self.fee_minor

    @property
    def cost_minor(self) -> int:
        """What the seller pays in all."""
        return self.discount_minor + self.fee_minor


def example() -> Example:
    """Return the example's figures.

    The discount is ⌊A·r·d / (10⁴·365)⌋, simple interest, ACT/365F.
    """
    advance = bps_of(FACE_MINOR, ADVANCE_BPS)
    rate = max(rate for _, rate in BIDS)
    discount = advance * rate * DAYS // (10_000 * 365)
    return Example(FACE_MINOR, advance, BIDS, rate, DAYS, discount, bps_of(FACE_MINOR, FEE_BPS))
