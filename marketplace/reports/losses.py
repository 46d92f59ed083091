"""What a holding may lose, by what is known of its debtor today. Pure; whole parts per million, rounded up."""

from marketplace.kernel.policy import Rating
from marketplace.rating.pricing import price

IN_RECOVERY = ("defaulted", "recovered")


def loss_now_ppm(state: str, award_ppm: int, moved_ppm: int | None, tenor_days: int, rating: Rating) -> int:
    """Return the loss to expect of one holding, recourse not counted, in parts per million of its principal.

    In default it is the loss given default. Before, it is the award's own figure (`award_ppm`) as long as the debtor
    has the grade of the award (`moved_ppm` None), so that a lot and a holding of it tell the same. Once the grade has
    moved, it is that of the debtor's newest twelve-month PD over the days the deal was struck for.
    """
    if state in IN_RECOVERY:
        return rating.lgd_ppm
    return award_ppm if moved_ppm is None else price(moved_ppm, None, tenor_days, rating).expected_loss_ppm


def loss_minor(principal_minor: int, loss_ppm: int) -> int:
    """Return a loss in minor units, rounded up."""
    return -(-principal_minor * loss_ppm // 1_000_000)
