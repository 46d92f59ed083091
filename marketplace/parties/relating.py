"""Writing down relations between organisations and the groups that follow from them, for the verbs of `trading`.

Bids hang on groups, so the verbs that change groups are a floor higher: they take the lots' locks in between.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import IntegrityError

from marketplace.kernel.errors import Conflict, InvalidInput, NotFound
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties import queries
from marketplace.parties.grouping import Member, groups_of
from marketplace.parties.schemas import RelateOrganisations
from marketplace.parties.tables import OrganisationRow, RelationRow
from marketplace.perform import Tx

TURNS = text("LOCK TABLE relation IN SHARE ROW EXCLUSIVE MODE")


@dataclass(frozen=True)
class Regrouping:
    """Whose group changes, from what to what, and everybody who is in one of the new groups."""

    changes: dict[UUID, tuple[UUID | None, UUID | None]]
    concerned: list[UUID]


def take_turns(tx: Tx) -> None:
    """Let nobody else change a relation until this transaction ends."""
    tx.session.execute(TURNS)


def note_relation(tx: Tx, command: RelateOrganisations) -> UUID:
    """Write a relation down and return its id. Its reference, which may name a person, stays out of the trail.

    Raises: NotFound, InvalidInput("same_organisation"), Conflict("relation_known").
    """
    if command.one_id == command.other_id:
        raise InvalidInput.about("other_id", "same_organisation", N_("Choose two organisations."), rule="same")
    one_id, other_id = sorted((command.one_id, command.other_id))
    for named in (one_id, other_id):
        queries.organisation(tx.session, named)
    relation_id = new_id()
    told = {"one_id": one_id, "other_id": other_id, "kind": command.kind}
    row = {"id": relation_id, **told, "reference": command.reference.strip(), "recorded_by": tx.actor.user_id}
    try:
        tx.session.execute(insert(RelationRow).values(row))
    except IntegrityError as error:
        raise Conflict.about(
            "other_id", "relation_known", N_("This relation is recorded already."), rule="unique"
        ) from error
    tx.record("relation", relation_id, after=told)
    return relation_id


def end_relation(tx: Tx, relation_id: UUID) -> None:
    """Write down that a relation is no more, or never was.

    Raises: NotFound, Conflict("relation_ended").
    """
    row = tx.session.get(RelationRow, relation_id, with_for_update=True)
    if row is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    if row.ended_at is not None:
        raise Conflict("relation_ended", N_("This relation has ended already."))
    row.ended_at = tx.clock()
    tx.session.flush()
    tx.record("relation", row.id, before={"ended_at": None}, after={"ended_at": row.ended_at})


def regrouping(tx: Tx) -> Regrouping:
    """Work out which groups change, from the relations and declarations that stand now."""
    live = [(row.one_id, row.other_id) for row in queries.relations(tx.session)]
    declared = select(OrganisationRow.declared_group_id).where(OrganisationRow.declared_group_id.is_not(None))
    rows = tx.session.execute(
        select(OrganisationRow.id, OrganisationRow.kind, OrganisationRow.declared_group_id, OrganisationRow.group_id)
        .where(
            OrganisationRow.id.in_({one for pair in live for one in pair})
            | OrganisationRow.id.in_(declared)
            | OrganisationRow.declared_group_id.is_not(None)
            | OrganisationRow.group_id.is_not(None)
        )
        .order_by(OrganisationRow.id)
    )
    members = {row.id: Member(*row) for row in rows}
    groups = groups_of(members.values(), live)
    changes = {one: (members[one].group_id, groups[one]) for one in members if groups[one] != members[one].group_id}
    touched = {groups[one] or one for one in changes}
    return Regrouping(changes, [one for one in members if (groups[one] or one) in touched])


def regroup(tx: Tx, wanted: Regrouping) -> None:
    """Write the groups, and record each."""
    for one, (before, after) in wanted.changes.items():
        tx.session.execute(update(OrganisationRow).where(OrganisationRow.id == one).values(group_id=after))
        tx.record("organisation", one, before={"group_id": before}, after={"group_id": after})
