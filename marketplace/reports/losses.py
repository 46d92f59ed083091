"""What a holding may lose, by what is known of its debtor today. Pure; whole parts per million, rounded up."""

from marketplace.kernel.policy import Rating
from marketplace.rating.pricing import price

IN_RECOVERY = ("defaulted", "recovered")


def loss_now_ppm(state: str, award_ppm: int, pd_ppm: int | None, tenor_days: int, rating: Rating) -> int:
    """Return the loss to expect of one holding, recourse not counted, in parts per million of its principal.

    In default it is the loss given default. Before, it is that of the debtor's newest twelve-month PD over the days
    the deal was struck for: the award's own figure as long as neither grade nor policy moved, a larger one as soon as
    the debtor's grade falls. `pd_ppm` None: the debtor was never rated here, and the award's figure (`award_ppm`)
    stands.
    """
    if state in IN_RECOVERY:
        return rating.lgd_ppm
    return award_ppm if pd_ppm is None else price(pd_ppm, None, tenor_days, rating).expected_loss_ppm


def loss_minor(principal_minor: int, loss_ppm: int) -> int:
    """Return a loss in minor units, rounded up."""
    return -(-principal_minor * loss_ppm // 1_000_000)
