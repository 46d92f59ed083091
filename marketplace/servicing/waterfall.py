"""In which order a debtor's money is shared, and how late charges accrue. Pure: integers in, integers out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from uuid import UUID

from marketplace.kernel.money import allocate


class Step(StrEnum):
    """The steps of the waterfall, in their order."""

    COSTS = "costs"
    PRINCIPAL = "principal"
    DISCOUNT = "discount"
    LATE_CHARGE = "late_charge"
    PLATFORM_FEE = "platform_fee"
    RESIDUAL = "residual"


@dataclass(frozen=True)
class Due:
    """What one party is due at one step. `party` is None for the platform. 0 ≤ paid ≤ due, in minor units."""

    step: Step
    party: UUID | None
    due_minor: int
    paid_minor: int = 0

    @property
    def outstanding_minor(self) -> int:
        """What is still to come."""
        return self.due_minor - self.paid_minor


@dataclass(frozen=True)
class Share:
    """What one receipt gives one party at one step; `minor` > 0."""

    step: Step
    party: UUID | None
    minor: int


@dataclass(frozen=True)
class Distribution:
    """The shares of one receipt and what is left over for suspense."""

    shares: tuple[Share, ...]
    excess_minor: int


def distribute(received_minor: int, dues: Sequence[Due]) -> Distribution:
    """Share a receipt step by step, each step by largest remainder over what is outstanding.

    Over outstanding entitlements, never over a cumulative split: so no receipt, however small, takes back a penny
    that an earlier one gave. Ties go to the earlier due in the given order. Shares and excess sum to the receipt.
    """
    left, shares = received_minor, []
    for step in Step:
        open_dues = [due for due in dues if due.step == step and due.outstanding_minor > 0]
        wanted = sum(due.outstanding_minor for due in open_dues)
        given = min(left, wanted)
        parts = allocate(given, [due.outstanding_minor for due in open_dues])
        shares += [Share(step, due.party, minor) for due, minor in zip(open_dues, parts, strict=True) if minor]
        left -= given
    return Distribution(tuple(shares), left)


def opening_dues(face_minor: int, seller: UUID, fills: Sequence[tuple[UUID, int, int]], fee_bps: int) -> list[Due]:
    """Return what everybody is due when a receivable is funded; the dues sum to the face.

    `fills` holds (investor, principal, discount). The fee is ⌊face × fee_bps / 10⁴⌋, at most what the investors leave.
    What the auction's rate leaves is the seller's, in an outright sale too: there it is the difference between the
    reserve, at which the target was priced, and the stop-out.
    """
    principal, discount = sum(p for _, p, _ in fills), sum(d for _, _, d in fills)
    fee = min(face_minor * fee_bps // 10_000, face_minor - principal - discount)
    rest = face_minor - principal - discount - fee
    dues = [Due(Step.PRINCIPAL, investor, p) for investor, p, _ in fills]
    dues += [Due(Step.DISCOUNT, investor, discount) for investor, _, discount in fills]
    dues += [Due(Step.PLATFORM_FEE, None, fee), Due(Step.RESIDUAL, seller, rest)]
    return [due for due in dues if due.due_minor]


def accrue_late(dues: Sequence[Due], rate_bps: int, since: date, until: date) -> list[Due]:
    """Return the dues with a late charge on the outstanding principal for the days from `since` to `until`.

    Simple interest, ACT/365 fixed, ⌊outstanding × rate × days / (10⁴ × 365)⌋ a holder. It comes out of what the
    residual still has to give, never out of what was already paid; when that is too little, it is shared by largest
    remainder. The sum of all dues does not change.
    """
    days = max(0, (until - since).days)
    principals = [due for due in dues if due.step == Step.PRINCIPAL]
    wanted = [due.outstanding_minor * rate_bps * days // (10_000 * 365) for due in principals]
    residual = next((due for due in dues if due.step == Step.RESIDUAL), None)
    room = residual.outstanding_minor if residual else 0
    charged = wanted if sum(wanted) <= room else allocate(room, wanted)
    if residual is None or not any(charged):
        return list(dues)
    extra = {due.party: minor for due, minor in zip(principals, charged, strict=True)}
    changed = [_grown(due, extra) for due in dues]
    known = {due.party for due in dues if due.step == Step.LATE_CHARGE}
    changed += [Due(Step.LATE_CHARGE, party, minor) for party, minor in extra.items() if minor and party not in known]
    return changed


def _grown(due: Due, extra: dict[UUID | None, int]) -> Due:
    if due.step == Step.LATE_CHARGE:
        return replace(due, due_minor=due.due_minor + extra.get(due.party, 0))
    if due.step == Step.RESIDUAL:
        return replace(due, due_minor=due.due_minor - sum(extra.values()))
    return due
