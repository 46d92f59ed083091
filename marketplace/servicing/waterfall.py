"""In which order a debtor's money is shared, and how late charges accrue. Pure: integers in, integers out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import TypeVar
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


Named = TypeVar("Named", UUID, str)  # a party by its id, or by the text of it: of ten thousand the ids need not be read
TO_INVESTORS = (Step.PRINCIPAL, Step.DISCOUNT, Step.LATE_CHARGE)


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
    waiting: dict[Step, list[tuple[UUID | None, int]]] = {step: [] for step in Step}
    for due in dues:
        outstanding = due.due_minor - due.paid_minor
        if outstanding > 0:
            waiting[due.step].append((due.party, outstanding))
    for step, open_dues in waiting.items():
        entitled = [outstanding for _, outstanding in open_dues]
        given = min(left, sum(entitled))
        if given:
            parts = allocate(given, entitled)
            shares += [Share(step, party, minor) for (party, _), minor in zip(open_dues, parts, strict=True) if minor]
        left -= given
    return Distribution(tuple(shares), left)


def opening_dues(
    face_minor: int, seller: Named, fills: Sequence[tuple[Named, int, int]], fee_bps: int
) -> list[tuple[Step, Named | None, int]]:  # fmt: skip
    """Return what everybody is due when a receivable is funded, as (step, party, minor) > 0; they sum to the face.

    `fills` holds (investor, principal, discount). The fee is ⌊face × fee_bps / 10⁴⌋, at most what the investors leave.
    What the auction's rate leaves is the seller's, in an outright sale too: there it is the difference between the
    reserve, at which the target was priced, and the stop-out.
    """
    principal, discount = sum(p for _, p, _ in fills), sum(d for _, _, d in fills)
    fee = min(face_minor * fee_bps // 10_000, face_minor - principal - discount)
    rest = face_minor - principal - discount - fee
    dues: list[tuple[Step, Named | None, int]] = [(Step.PRINCIPAL, investor, p) for investor, p, _ in fills]
    dues += [(Step.DISCOUNT, investor, discount) for investor, _, discount in fills]
    dues += [(Step.PLATFORM_FEE, None, fee), (Step.RESIDUAL, seller, rest)]
    return [due for due in dues if due[2]]


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


def forgo_late(
    dues: Sequence[Due], paid: Sequence[Share], rate_bps: int, days: int, short_minor: int = 0
) -> list[Due]:  # fmt: skip
    """Return the dues without the late charge on principal that was paid so many days before it was charged to.

    `paid`: what a receipt gives that is heard of late. Forgone is ⌊principal × rate × days / (10⁴ × 365)⌋ a holder, at
    most what of its late charge is still to come, for nothing paid is taken back; it is the residual's again. Of what
    the residual could never bear (`short_minor`) nothing was charged, so that much less is forgone: by largest
    remainder. The sum of all dues does not change.
    """
    principal = {share.party: share.minor for share in paid if share.step == Step.PRINCIPAL}
    charges = [due for due in dues if due.step == Step.LATE_CHARGE]
    over = [
        min(due.outstanding_minor, principal.get(due.party, 0) * rate_bps * max(days, 0) // (10_000 * 365))
        for due in charges
    ]
    forgone = max(sum(over) - short_minor, 0)
    if not forgone:
        return list(dues)
    less = dict(zip((due.party for due in charges), allocate(forgone, over), strict=True))
    return [_grown(due, {party: -minor for party, minor in less.items()}) for due in dues]


def hand_over(dues: Sequence[Due], giver: UUID, taker: UUID, units: int, held_units: int) -> list[Due]:
    """Return the dues after `units` of the giver's `held_units` went to the taker.

    At each of the investors' steps ⌊outstanding × units / held⌋, by largest remainder, goes over: what was paid stays
    with who had it, what is still to come follows the units. The sum of all dues does not change. 0 < units ≤ held.
    """
    changed = list(dues)
    for step in TO_INVESTORS:
        index = next((i for i, due in enumerate(changed) if (due.step, due.party) == (step, giver)), None)
        if index is None:
            continue
        given = changed[index]
        part, _ = allocate(given.outstanding_minor, [units, held_units - units])
        changed[index] = replace(given, due_minor=given.due_minor - part)
        known = next((i for i, due in enumerate(changed) if (due.step, due.party) == (step, taker)), None)
        if known is not None:
            changed[known] = replace(changed[known], due_minor=changed[known].due_minor + part)
        elif part or step == Step.PRINCIPAL:
            changed.append(Due(step, taker, part))
    return changed


def to_come_minor(dues: Sequence[Due], party: UUID) -> int:
    """Return what a holder may still get: outstanding principal, discount and late charge."""
    return sum(due.outstanding_minor for due in dues if due.party == party and due.step in TO_INVESTORS)


def buy_back_shares(dues: Sequence[Due], run_days: int, tenor_days: int) -> list[Share]:
    """Return what a buy-back pays to whom: all that is outstanding, of the discount only what has been earned.

    Earned is ⌊discount × days run / days of the deal⌋ over all holders (the deal's own simple interest, ACT/365
    fixed), at most all of it; what was paid of it counts first, the rest is shared by largest remainder over what is
    outstanding. `tenor_days` ≥ 1.
    """
    discounts = [due for due in dues if due.step == Step.DISCOUNT]
    earned = sum(due.due_minor for due in discounts) * min(max(run_days, 0), tenor_days) // tenor_days
    payable = max(earned - sum(due.paid_minor for due in discounts), 0)
    shares = []
    for step in Step:
        open_dues = [due for due in dues if due.step == step and due.outstanding_minor > 0]
        parts = [due.outstanding_minor for due in open_dues]
        if step == Step.DISCOUNT:
            parts = allocate(payable, parts) if payable else []
        if step != Step.RESIDUAL:
            shares += [Share(step, due.party, minor) for due, minor in zip(open_dues, parts, strict=False) if minor]
    return shares


def bought_back(dues: Sequence[Due], seller: UUID) -> list[Due]:
    """Return the dues once the seller has bought back: all that is still to come is the seller's residual."""
    freed = sum(due.outstanding_minor for due in dues if due.step != Step.RESIDUAL)
    changed = [due if due.step == Step.RESIDUAL else replace(due, due_minor=due.paid_minor) for due in dues]
    own = next((i for i, due in enumerate(changed) if due.step == Step.RESIDUAL), None)
    if own is None:
        return [*changed, Due(Step.RESIDUAL, seller, freed)]
    changed[own] = replace(changed[own], due_minor=changed[own].due_minor + freed)
    return changed


def _grown(due: Due, extra: dict[UUID | None, int]) -> Due:
    if due.step == Step.LATE_CHARGE:
        return replace(due, due_minor=due.due_minor + extra.get(due.party, 0))
    if due.step == Step.RESIDUAL:
        return replace(due, due_minor=due.due_minor - sum(extra.values()))
    return due
