"""What selling an invoice costs, in money: the same arithmetic as the award, at a rate nobody has bid yet."""

from dataclasses import dataclass

from marketplace.kernel.money import bps_of

YEAR_DAYS = 365


@dataclass(frozen=True)
class Quote:
    """The face split in four: now + discount + fee + later = face, to the penny. Rates in bp a year, ACT/365F."""

    face_minor: int
    now_minor: int
    discount_minor: int
    fee_minor: int
    later_minor: int
    rate_bps: int
    days: int

    @property
    def cost_minor(self) -> int:
        """What the seller gives up: the discount and the fee."""
        return self.discount_minor + self.fee_minor

    @property
    def yearly_bps(self) -> int:
        """The cost as a yearly rate on the money received now, in bp, half up."""
        if self.now_minor <= 0 or self.days <= 0:
            return 0
        held = self.now_minor * self.days
        return (2 * self.cost_minor * YEAR_DAYS * 10_000 + held) // (2 * held)


def quote(face_minor: int, target_minor: int, rate_bps: int, days: int, fee_bps: int) -> Quote:
    """Return what the seller would get now and later if all that a lot seeks is paid at `rate_bps` for `days` days.

    The target comes now; the rest, less discount and fee, when the debtor has paid. Discount and fee are rounded down.
    At no rate above the lot's reserve do they exceed the face, for the target was set by it.
    """
    fee = bps_of(face_minor, fee_bps)
    discount = target_minor * rate_bps * days // (10_000 * YEAR_DAYS)
    later = face_minor - target_minor - discount - fee
    return Quote(face_minor, target_minor, discount, fee, later, rate_bps, days)
