"""Who counts as one, pure: organisations that are related, however far around, and those that said they are a group."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

# Lots name the groups of their owners as they open: whose group everybody else's becomes, it should not change.
FIRST = ("operator", "seller", "debtor")


@dataclass(frozen=True)
class Member:
    """An organisation, the group it declared when it came, and the group it counts as now."""

    id: UUID
    kind: str
    declared_group_id: UUID | None
    group_id: UUID | None


def groups_of(members: Iterable[Member], relations: Iterable[tuple[UUID, UUID]]) -> Mapping[UUID, UUID | None]:
    """Return the group of each member: one for all that relations or a declared group connect; None for who is alone.

    A group keeps the id under which its operator, else a seller, else a debtor counts already, the lowest id first.
    """
    known = {member.id: member for member in members}
    above: dict[UUID, UUID] = {}

    def top(one: UUID) -> UUID:
        while one in above:
            one = above[one]
        return one

    ties = [(member.id, member.declared_group_id) for member in known.values() if member.declared_group_id]
    for one, other in [*ties, *((a, b) for a, b in relations if a in known and b in known)]:
        if top(one) != top(other):
            above[top(one)] = top(other)
    parts: dict[UUID, list[Member]] = {}
    for member in known.values():
        parts.setdefault(top(member.id), []).append(member)
    return {member.id: _name(part) for part in parts.values() for member in part}


def _name(part: list[Member]) -> UUID | None:
    if len(part) == 1:
        return part[0].declared_group_id
    first = min(part, key=lambda one: (FIRST.index(one.kind) if one.kind in FIRST else len(FIRST), one.id))
    ours = {one.id for one in part} | {one.declared_group_id for one in part}
    return first.group_id if first.group_id and first.group_id in ours else first.id
