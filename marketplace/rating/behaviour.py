"""What a debtor's own payments on this market say: its PD and its lateness, learnt from both accounts and record. Pure.

PD. The accounts give a PD p; they count like K years of watching (`behaviour_prior_days`). A year is a Beta-Binomial
trial: with d defaults, and l payments so late that each counts as a part w of a default, in t watched years the PD is
(K·p + d + w·l) / (K + t). A clean record lowers it slowly; one default outweighs any accounts.

Lateness. Days after the due date are normal with unknown mean and variance. The market's own expectation counts like
`lateness_prior_count` payments (normal-gamma prior). The expected lateness is the posterior mean, rounded up. What is
unpaid and already later than that counts as one payment made today: it will be later still, never sooner.

Source: Gelman et al. 2013, Bayesian Data Analysis, 3rd ed., sections 2.4 (beta-binomial) and 3.3 (normal-gamma).
"""

import math
from dataclasses import dataclass, replace

from marketplace.kernel.policy import Rating
from marketplace.rating.grades import MILLION, YEAR_DAYS


@dataclass(frozen=True)
class PaymentRecord:
    """A debtor's record: receivables paid, paid or open very late, defaulted; days watched; days late, summed.

    `exposure_days`: days on which it owed something here. `past_due_days`: of its oldest unpaid receivable.
    """

    paid: int = 0
    late: int = 0
    defaulted: int = 0
    exposure_days: int = 0
    late_days_sum: int = 0
    late_days_squares: int = 0
    past_due_days: int = 0

    def told(self, late_days: int) -> tuple[int, ...]:
        """Return what must differ before the debtor is rated anew: counts, and how far past very late it is."""
        return self.paid, self.late, self.defaulted, self.past_due_days // late_days


def blended_pd_ppm(pd_ppm: int, record: PaymentRecord, policy: Rating) -> int:
    """Return the PD of accounts and record together, rounded up, within floor and certainty."""
    events = record.defaulted * MILLION + record.late * policy.behaviour_late_ppm
    weighed = pd_ppm * policy.behaviour_prior_days + events * YEAR_DAYS
    days = policy.behaviour_prior_days + record.exposure_days
    return max(policy.pd_floor_ppm, min(MILLION, -(-weighed // days)))


def expected_lateness(record: PaymentRecord, usual_days: int, policy: Rating) -> int:
    """Return the days after the due date on which the debtor is expected to pay, rounded up, never below zero."""
    return max(0, _mean_lateness(_with_unpaid(record, usual_days, policy), usual_days, policy))


def _mean_lateness(record: PaymentRecord, usual_days: int, policy: Rating) -> int:
    count = policy.lateness_prior_count
    return -(-(count * usual_days + record.late_days_sum) // (count + record.paid))


def _with_unpaid(record: PaymentRecord, usual_days: int, policy: Rating) -> PaymentRecord:
    """Return the record with its oldest unpaid receivable as if paid today, once it is later than was expected."""
    days = record.past_due_days
    if days <= max(0, _mean_lateness(record, usual_days, policy)):
        return record
    return replace(record, paid=record.paid + 1, late_days_sum=record.late_days_sum + days,
                   late_days_squares=record.late_days_squares + days * days)  # fmt: skip


def late_chance_ppm(record: PaymentRecord, usual_days: int, beyond_days: int, policy: Rating) -> int:
    """Return the chance that its next payment is later than so many days: the tail of the predictive Student t."""
    from scipy.special import stdtr

    record = _with_unpaid(record, usual_days, policy)
    prior, n = policy.lateness_prior_count, record.paid
    mean = record.late_days_sum / n if n else 0.0
    spread = record.late_days_squares - n * mean * mean
    shape = prior / 2 + n / 2
    scale = (prior / 2 * policy.lateness_sd_days**2 + spread / 2
             + prior * n * (mean - usual_days) ** 2 / (2 * (prior + n)))  # fmt: skip
    centre = (prior * usual_days + record.late_days_sum) / (prior + n)
    width = math.sqrt(scale * (prior + n + 1) / (shape * (prior + n)))
    return round(MILLION * (1 - float(stdtr(2 * shape, (beyond_days - centre) / width))))


def warnings(record: PaymentRecord, usual_days: int, late_days: int, policy: Rating) -> list[str]:
    """Return why a debtor is to be watched, as codes; empty when nothing speaks for it."""
    found = []
    if record.defaulted:
        found.append("defaulted")
    if record.past_due_days >= late_days:
        found.append("past_due")
    if expected_lateness(record, usual_days, policy) >= policy.late_warning_days:
        found.append("pays_late")
    if late_chance_ppm(record, usual_days, late_days, policy) >= policy.late_warning_ppm:
        found.append("may_pay_very_late")
    return found
