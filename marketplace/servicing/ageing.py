"""Days past due, and which step of collection a day calls for. Pure."""

from datetime import date
from enum import StrEnum

from marketplace.kernel.policy import Collection


class Ageing(StrEnum):
    """Steps of collection, each taken once, in this order."""

    REMINDER = "reminder"
    OVERDUE = "overdue"
    SECOND_NOTICE = "second_notice"
    RECOURSE_DEMAND = "recourse_demand"
    PAR30 = "par30"
    DELINQUENT = "delinquent"
    RECOVERY = "recovery"
    DEFAULT = "default"
    WRITE_OFF_REVIEW = "write_off_review"


SECOND_NOTICE_DAYS = 10


def days_past_due(due_on: date, today: date) -> int:
    """Return whole calendar days beyond the due date, never below zero."""
    return max(0, (today - due_on).days)


def steps_reached(due_on: date, today: date, policy: Collection) -> list[Ageing]:
    """Return every step that the day has reached, in order."""
    day = (today - due_on).days
    return [step for step, first in first_days(policy).items() if day >= first]


def first_days(policy: Collection) -> dict[Ageing, int]:
    """Return on which day after the due date each step is taken, in order; before it the number is negative."""
    return {
        Ageing.REMINDER: -policy.reminder_days_before,
        Ageing.OVERDUE: policy.overdue_days,
        Ageing.SECOND_NOTICE: SECOND_NOTICE_DAYS,
        Ageing.RECOURSE_DEMAND: policy.recourse_days,
        Ageing.PAR30: policy.par_days,
        Ageing.DELINQUENT: policy.delinquent_days,
        Ageing.RECOVERY: policy.recovery_days,
        Ageing.DEFAULT: policy.default_days,
        Ageing.WRITE_OFF_REVIEW: policy.write_off_days,
    }


def bucket(days: int) -> int:
    """Return the ageing column of a number of days past due: 0, 1–30, 31–60, 61–90, over 90 as 0 … 4."""
    return 0 if days <= 0 else min(4, 1 + (days - 1) // 30)
