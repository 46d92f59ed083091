"""What a credit note does to what everybody is due. Pure: integers in, integers out.

A credit note over C lowers what the debtor owes by C. It eats the seller's residual first; what the residual cannot
bear, the seller must make good, for the holders bought a debt that was not there. Until that is done, the dues sum to
more than the debtor owes, and the difference is demanded of the seller. Source: MARKET, Collection.

Worked: face 100,000.00 = principal 85,000.00 + discount 1,000.00 + fee 500.00 + residual 13,500.00. A credit note over
20,000.00 takes 13,500.00 from the residual and demands 6,500.00; the debtor owes 80,000.00, the holders and the
platform are still due 86,500.00 = 80,000.00 + 6,500.00. Once the seller has made 6,500.00 good, they are due 80,000.00.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from marketplace.servicing.waterfall import Distribution, Due, Share, Step, distribute


@dataclass(frozen=True)
class Parts:
    """A credit note, parted. residual + demanded = its amount, in minor units."""

    residual_minor: int
    demanded_minor: int


def part(amount_minor: int, dues: Sequence[Due]) -> Parts:
    """Part a credit note: as much as the residual still has to give, the rest is demanded of the seller."""
    room = sum(due.outstanding_minor for due in dues if due.step == Step.RESIDUAL)
    eaten = min(amount_minor, room)
    return Parts(eaten, amount_minor - eaten)


def counts_alone(said_by: str, parts: Parts) -> bool:
    """Return whether a credit note needs no second voice: the seller says so, and its own residual bears it all.

    What the residual cannot bear turns a claim on the debtor into one on the seller: the holders bear that risk. What
    an operator says is borne by the seller.
    """
    return said_by == "seller" and not parts.demanded_minor


def lowered(dues: Sequence[Due], residual_minor: int) -> list[Due]:
    """Return the dues after the residual lost so much; nothing that was paid is taken back."""
    left, changed = residual_minor, []
    for due in dues:
        taken = min(left, due.outstanding_minor) if due.step == Step.RESIDUAL else 0
        changed.append(replace(due, due_minor=due.due_minor - taken) if taken else due)
        left -= taken
    if left:
        raise ValueError("the residual has less to give")
    return changed


def owed_by_debtor(dues: Sequence[Due], demanded_minor: int) -> int:
    """Return what the debtor still owes: all that is outstanding less what the seller must make good."""
    return max(0, sum(due.outstanding_minor for due in dues) - demanded_minor)


def share_receipt(received_minor: int, dues: Sequence[Due], demanded_minor: int) -> Distribution:
    """Share a debtor's payment by the waterfall; what goes beyond the debtor's own debt is excess, never a holder's."""
    owed = min(received_minor, owed_by_debtor(dues, demanded_minor))
    given = distribute(owed, dues)
    return replace(given, excess_minor=given.excess_minor + received_minor - owed)


def cover_shares(demanded_minor: int, dues: Sequence[Due]) -> tuple[Share, ...]:
    """Return to whom goes what the seller makes good: by the waterfall, without the seller's own residual."""
    return distribute(demanded_minor, [due for due in dues if due.step != Step.RESIDUAL]).shares


def covered(dues: Sequence[Due], shares: Sequence[Share]) -> list[Due]:
    """Return the dues after the seller paid these shares itself: so much less is due from the debtor's money."""
    given = {(share.step, share.party): share.minor for share in shares}
    return [replace(due, due_minor=due.due_minor - given.get((due.step, due.party), 0)) for due in dues]
