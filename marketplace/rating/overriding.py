"""Grades changed by people: one operator proposes with a reason, another decides; never more than two notches.

An override is about one rating. It ends with the next one: new accounts, a new record or a new model are judged anew.
"""

from enum import StrEnum
from uuid import UUID

from sqlalchemy import select

from marketplace.kernel.errors import InvalidInput, NotFound, NotPermitted, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.policy import Rating
from marketplace.kernel.states import Machine
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx
from marketplace.rating.grades import GRADES
from marketplace.rating.schemas import DecideOverride, ProposeOverride
from marketplace.rating.tables import GradeOverrideRow, PartyRatingRow


class OverrideState(StrEnum):
    """An override is a proposal until a second person decides."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    REFUSED = "refused"


OVERRIDE = Machine("override", OverrideState, {OverrideState.PROPOSED: (OverrideState.APPROVED, OverrideState.REFUSED)})


def notches(from_grade: str, to_grade: str) -> int:
    """Return how many grades worse the second is than the first; below zero: better."""
    return GRADES.index(to_grade) - GRADES.index(from_grade)


def nearest_pd_ppm(pd_ppm: int, grade: str, policy: Rating) -> int:
    """Return the PD within the grade that is nearest to this one."""
    place = GRADES.index(grade)
    least = policy.grade_bounds_ppm[place - 1] + 1 if place else policy.pd_floor_ppm
    return min(max(pd_ppm, least), policy.grade_bounds_ppm[place])


@verb("propose_override")
def propose_override(tx: Tx, command: ProposeOverride) -> Result:
    """Propose another grade for a party's newest rating, at most so many notches away as policy allows.

    Raises: RuleBroken("not_rated", "overridden", "proposed_already"); InvalidInput("override_grade").
    """
    rating = _newest(tx, command.organisation_id)
    if rating is None:
        raise RuleBroken("not_rated", N_("This party has no rating to change."))
    if rating.override_id is not None:
        raise RuleBroken("overridden", N_("This grade was changed by people already. It stands until the next rating."))
    far = abs(notches(rating.grade, command.to_grade))
    most = tx.policy.rating.override_notches_max
    if not 1 <= far <= most:
        raise InvalidInput("override_grade", N_("A grade may be changed by one to %(most)s notches."), {"most": most})
    if _live(tx, rating.id) is not None:
        raise RuleBroken("proposed_already", N_("Another grade was proposed already. It must be decided first."))
    row = GradeOverrideRow(
        id=new_id(), organisation_id=rating.organisation_id, rating_id=rating.id, from_grade=rating.grade,
        to_grade=command.to_grade, reason=command.reason, maker_id=tx.actor.user_id, proposed_at=tx.now,
        state=str(OverrideState.PROPOSED),
    )  # fmt: skip
    tx.session.add(row)
    tx.session.flush()
    tx.record("grade_override", row.id, reason=command.reason,
              after={"organisation_id": row.organisation_id, "rating_id": row.rating_id, "from_grade": row.from_grade,
                     "to_grade": row.to_grade, "state": row.state})  # fmt: skip
    return {"override_id": row.id, "state": row.state}


@verb("decide_override")
def decide_override(tx: Tx, command: DecideOverride) -> Result:
    """Approve or refuse a proposed grade, as a second person. An approved one becomes the party's newest rating.

    Raises: NotFound; NotPermitted("second_person"); RuleBroken("wrong_state", "rated_anew").
    """
    row = tx.session.scalars(
        select(GradeOverrideRow).where(GradeOverrideRow.id == command.override_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    if row.maker_id == tx.actor.user_id:
        raise NotPermitted("second_person", N_("You proposed it yourself. A second operator must decide."))
    after = OverrideState.APPROVED if command.approve else OverrideState.REFUSED
    OVERRIDE.check(row.state, after)
    newest = _newest(tx, row.organisation_id)
    if command.approve and (newest is None or newest.id != row.rating_id):
        raise RuleBroken("rated_anew", N_("The party was rated anew since. Refuse this proposal and look again."))
    row.state, row.approver_id, row.decided_at = str(after), tx.actor.user_id, tx.now
    row.approver_reason = command.reason
    tx.session.flush()
    done = {"state": row.state, "organisation_id": row.organisation_id, "to_grade": row.to_grade}
    if command.approve and newest is not None:
        done["rating_id"] = _apply(tx, row, newest)
    tx.record("grade_override", row.id, before={"state": "proposed"}, after=done, reason=command.reason)
    return {"override_id": row.id, "state": row.state}


def _apply(tx: Tx, override: GradeOverrideRow, base: PartyRatingRow) -> UUID:
    kept = {column.key: getattr(base, column.key) for column in PartyRatingRow.__table__.columns}
    pd = nearest_pd_ppm(base.pd_ppm, override.to_grade, tx.policy.rating)
    row = PartyRatingRow(**kept | {"id": new_id(), "grade": override.to_grade, "pd_ppm": pd,
                                   "override_id": override.id, "rated_at": tx.now})  # fmt: skip
    tx.session.add(row)
    tx.session.flush()
    return row.id


def _newest(tx: Tx, organisation_id: UUID) -> PartyRatingRow | None:
    return tx.session.scalars(
        select(PartyRatingRow).where(PartyRatingRow.organisation_id == organisation_id)
        .order_by(PartyRatingRow.rated_at.desc(), PartyRatingRow.id.desc()).limit(1)
    ).one_or_none()  # fmt: skip


def _live(tx: Tx, rating_id: UUID) -> GradeOverrideRow | None:
    return tx.session.scalars(
        select(GradeOverrideRow).where(GradeOverrideRow.rating_id == rating_id, GradeOverrideRow.state != "refused")
    ).one_or_none()
