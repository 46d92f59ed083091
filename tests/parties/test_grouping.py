"""Who counts as one: however far around the relations go, and in whatever order they were recorded."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from marketplace.parties.grouping import Member, groups_of

A, B, C, D = (UUID(int=n) for n in range(1, 5))
G = UUID(int=99)


def member(one: UUID, kind: str = "investor", declared: UUID | None = None, group: UUID | None = None) -> Member:
    return Member(one, kind, declared, group)


def test_relations_reach_around_corners_and_the_seller_gives_the_group_its_name() -> None:
    found = groups_of([member(A), member(B), member(C, "seller"), member(D)], [(A, B), (B, C)])
    assert found == {A: C, B: C, C: C, D: None}


def test_a_declared_group_is_a_tie_and_outlives_every_relation() -> None:
    both = [member(A, declared=G, group=G), member(B, declared=G, group=G), member(C, group=G)]
    assert groups_of(both, []) == {A: G, B: G, C: None}
    assert groups_of(both, [(B, C)]) == {A: G, B: G, C: G}


def test_what_is_parted_never_keeps_the_name_of_the_other_part() -> None:
    """A, B and C were one under A's name; the tie of A and B has ended."""
    found = groups_of([member(one, "seller", group=A) for one in (A, B, C)], [(B, C)])
    assert found == {A: None, B: B, C: B}


IDS = [UUID(int=n) for n in range(1, 9)]
TIES = st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)), max_size=10)


@given(TIES)
def test_one_group_means_a_way_of_relations_between_the_two(ties: list[tuple[UUID, UUID]]) -> None:
    members = [member(one, "seller" if one.int % 3 == 0 else "investor") for one in IDS]
    found = groups_of(members, ties)
    reach = {one: {one} for one in IDS}
    for _ in IDS:
        for a, b in ties:
            both = reach[a] | reach[b]
            for one in both:
                reach[one] = reach[one] | both
    for a in IDS:
        for b in IDS:
            assert ((found[a] or a) == (found[b] or b)) == (b in reach[a])
