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


def quote(face_minor: int, deal_type: str, rate_bps: int, advance_bps: int, days: int, fee_bps: int) -> Quote:
    """Return what the seller would get now and later at `rate_bps` for `days` days.

    An advance pays ⌊face × advance⌋ now and the rest, less discount and fee, when the debtor has paid.
    Outright pays now what the face less the fee is worth at the rate, and nothing later. All are rounded down.
    """
    fee = bps_of(face_minor, fee_bps)
    if deal_type == "outright":
        year = 10_000 * YEAR_DAYS
        now = (face_minor - fee) * year // (year + rate_bps * days)
        return Quote(face_minor, now, face_minor - fee - now, fee, 0, rate_bps, days)
    now = bps_of(face_minor, advance_bps)
    discount = min(now * rate_bps * days // (10_000 * YEAR_DAYS), face_minor - now - fee)
    return Quote(face_minor, now, discount, fee, face_minor - now - discount - fee, rate_bps, days)
