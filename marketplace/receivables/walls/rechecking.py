"""The walls, asked again: what speaks against selling this receivable now that two people have not released?

At listing an invoice is compared with what is known then. When its auction closes, and again before money leaves,
others may have been listed since, the debtor may have named another claimant, the seller another account.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from marketplace.kernel.canonical import jsonable
from marketplace.kernel.words import N_
from marketplace.parties.queries import Organisation
from marketplace.perform import Tx
from marketplace.receivables import queries, rules
from marketplace.receivables.rules import Check
from marketplace.receivables.states import UNSOLD_ENDS, ReviewState
from marketplace.receivables.tables import ListingRoundRow, ReceivableRow, ReviewRow
from marketplace.receivables.walls import duplicates
from marketplace.receivables.walls.considering import party
from marketplace.receivables.walls.duplicates import Match

RELEASED = str(ReviewState.RELEASED)


@dataclass(frozen=True)
class Against:
    """What nobody has released yet; empty, and false, when the walls stand."""

    checks: list[Check] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Say whether anything speaks against it."""
        return bool(self.checks)

    @property
    def codes(self) -> list[str]:
        """The rules that speak against it, each once, in their order."""
        return list(dict.fromkeys(check.rule for check in self.checks))


def recheck(tx: Tx, receivable_id: UUID, elsewhere: Sequence[str] = ()) -> Against:
    """Ask every wall again about a receivable that the caller has locked; `elsewhere` is what another market said.

    Whoever lists something alike at this moment is waited for, so what it lists is seen. A finding that two people
    have released is not made again; one with other particulars is a new finding.
    """
    row = queries.lock_row(tx.session, receivable_id)
    _, about = duplicates.subjects(tx.session, [row.id])[row.id]
    duplicates.wait_in_turn(tx, duplicates.keys_of(about))
    alike = duplicates.look_alikes(tx.session, about, {row.id})
    alive = [match for match in alike if match.state not in UNSOLD_ENDS]
    known = released_pairs(tx.session, row.id, [match.receivable_id for match in alive])
    matches = [match for match in alive if match.receivable_id not in known][: duplicates.MATCHES_MAX]
    checks = [*_alike(matches), *rules.outside(about.facts, party(about.seller))]
    checks += [*_account(tx.session, row, about.seller), *notices(tx.session, row), *_elsewhere(elsewhere)]
    return Against(unreleased(tx.session, row.id, checks), matches)


def unreleased(session: Session, receivable_id: UUID, checks: Sequence[Check]) -> list[Check]:
    """Return the checks that no two people have released for this receivable, particulars and all.

    Look-alikes are released pair by pair, not by their check.
    """
    told = [one for review in _released(session, receivable_id) for one in review.findings.get("checks", ())]
    known = [(one.get("rule"), one.get("params")) for one in told]
    return [check for check in checks
            if check.rule == "near_match" or (check.rule, jsonable(dict(check.params))) not in known]  # fmt: skip


def released_pairs(session: Session, receivable_id: UUID, others: Sequence[UUID]) -> set[UUID]:
    """Return which of the others two people have compared with this receivable and let go on, from either side."""
    found = set(_named(_released(session, receivable_id)))
    if others:
        theirs = session.execute(
            select(ReviewRow).where(ReviewRow.receivable_id.in_(list(others)), ReviewRow.state == RELEASED)
        ).scalars()
        found |= {review.receivable_id for review in theirs if receivable_id in _named([review])}
    return found & set(others)


def _released(session: Session, receivable_id: UUID) -> list[ReviewRow]:
    return [review for review in queries.reviews(session, receivable_id) if review.state == RELEASED]


def _named(reviews: Sequence[ReviewRow]) -> list[UUID]:
    matches: list[dict[str, Any]] = [match for review in reviews for match in review.matches]
    return [UUID(match["receivable_id"]) for match in matches]


def _alike(matches: Sequence[Match]) -> list[Check]:
    if not matches:
        return []
    refs = ", ".join(match.ref for match in matches)
    words = N_("It resembles %(refs)s, and no two operators have said that these are different debts.")
    return [Check("near_match", "look", N_("Something like it is listed"), {"refs": refs}, "", words)]


def _account(session: Session, row: ReceivableRow, seller: Organisation) -> list[Check]:
    """A seller that is paid elsewhere than when it listed may have sold the invoice to whom that account belongs."""
    offer = session.get(ListingRoundRow, (row.id, row.round))
    now = duplicates.account_mark(seller.iban)
    if offer is None or offer.paid_to is None or offer.paid_to == now:
        return []
    params = {"account": rules.account_ends(seller.iban) if seller.iban else "–"}
    return [Check("account_changed", "look", N_("The seller’s account changed after the listing"), params, "",
                  N_("It was another one when the invoice was listed; now it is %(account)s. Ask the seller on a "
                     "number you already have."))]  # fmt: skip


def notices(session: Session, row: ReceivableRow) -> list[Check]:
    """Return a look for everybody who, the debtor says, told it to pay them."""
    return [
        Check("prior_notice", "look", N_("Somebody else gave notice"), {"claimant": notice.claimant}, "",
              N_("The debtor was told by %(claimant)s to pay them. It may be sold already."))
        for notice in queries.prior_notices(session, row.id)
    ]  # fmt: skip


def _elsewhere(answers: Sequence[str]) -> list[Check]:
    return [
        Check("outside_claim", "look", N_("Another market knows it"), {"answer": answer}, "",
              N_("Asked outside, the answer was “%(answer)s”. It may be sold already."))
        for answer in answers
    ]  # fmt: skip
