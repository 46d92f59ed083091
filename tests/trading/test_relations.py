"""Who shares an officer or an owner counts as one: no bid on one's own paper, one cap, and it counts at once."""

from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from marketplace.commands.relations import read, recorded
from marketplace.db import db
from marketplace.kernel.errors import Conflict, InvalidInput, NotFound, NotPermitted
from marketplace.kernel.ids import new_id
from marketplace.parties import queries as parties
from marketplace.parties.schemas import EndRelation, RelateOrganisations
from marketplace.perform import perform
from marketplace.reports import market
from marketplace.trading import queries
from marketplace.trading.actions import close_lot
from marketplace.trading.relations import end_relation, relate_organisations
from marketplace.trading.schemas import CloseLot
from tests.support import SYSTEM
from tests.trading.test_bidding import bid, cash, count, refused
from tests.trading.test_mandates import mandate
from tests.trading.world import World


def relate(world: World, one: str, other: str) -> UUID:
    command = RelateOrganisations(world.id(one), world.id(other), "shared_officer", "Register of directors, 2026")
    done = perform(relate_organisations, command, world.olga)
    db.session.rollback()
    return UUID(done["relation_id"])


def group(world: World, who: str) -> UUID:
    db.session.expire_all()
    return parties.organisation(db.session, world.id(who)).group


def test_who_shares_an_officer_with_the_seller_or_the_debtor_may_not_bid(world: World) -> None:
    for who in ("bob", "carol"):
        world.fund(who, 5_000_000)
    lot = world.lot()
    relate(world, "bob", "alice")
    relate(world, "carol", "kestrel")
    for who in ("bob", "carol"):
        assert [one.rule for one in refused(world, who, lot, 700, 1_000_000).problems] == ["related_party"]


def test_it_reaches_around_a_corner_and_an_open_lot_s_own_list_is_not_the_last_word(world: World) -> None:
    """Carol is related to Bob, Bob to Alice: and Alice's lot, which opened before, knows only Alice."""
    world.fund("carol", 5_000_000)
    lot = world.lot()
    relate(world, "bob", "carol")
    relate(world, "alice", "bob")
    assert group(world, "carol") == group(world, "alice")
    assert [one.rule for one in refused(world, "carol", lot, 700, 1_000_000).problems] == ["related_party"]


def test_the_market_s_list_marks_a_lot_as_related_by_the_groups_of_now(world: World) -> None:
    """As a bid would hear it: nobody is shown headroom in a lot that would refuse him."""
    world.fund("bob", 5_000_000)
    lot = world.lot()

    def line() -> tuple[bool, bool]:
        found = market.line(db.session(), lot, world.id("bob"), group(world, "bob"))
        assert found is not None
        return found.related, found.headroom_minor > 0

    assert line() == (False, True)
    relation = relate(world, "bob", "kestrel")
    assert line() == (True, False)
    perform(end_relation, EndRelation(relation), world.olga)
    assert line() == (False, True)


FILE = """other,one,reference,Kind,note
GB:00000001,{bob},"Register of directors, 2026",shared_officer,first

{bob},GB:00000001,Again,shared_officer,known already
GB:99999999,{bob},Nobody,shared_owner,unknown
{bob},{bob},Himself,shared_owner,twice the same
not an id,{bob},x,friends,nothing right
"""


def test_relations_come_in_from_a_file_row_by_row(world: World) -> None:
    world.fund("bob", 5_000_000)
    lot = world.lot()
    bid(world, "bob", lot, 700, 1_000_000)
    rows = [recorded(number, row) for number, row in read(FILE.format(bob=world.id("bob")).encode())]
    assert [(row["row"], row["outcome"], row["withdrawn_bids"]) for row in rows] == [
        (2, "recorded", 1), (4, "known", 0), (5, "refused", 0), (6, "refused", 0), (7, "refused", 0),
    ]  # fmt: skip
    assert rows[1]["rules"] == ["relation_known"]
    assert rows[2]["rules"] == ["other: unknown"]
    assert "GB:99999999" in rows[2]["why"]
    assert rows[3]["rules"] == ["other_id: same"]
    assert (count("relation"), cash(world, "bob")) == (1, (5_000_000, 0))
    assert group(world, "bob") == group(world, "kestrel")


@pytest.mark.parametrize(
    ("raw", "words"),
    [(b"", "lacks the column one"), (b"one,other,kind\nx,y,z\n", "lacks the column reference"),
     (b"one,other,kind,reference\n", "has no rows"), (b"one,other\xff", "not UTF-8"),
     (b'one,other,kind,reference\n"' + b"x" * 200_000, "cannot be read as CSV")],
)  # fmt: skip
def test_a_file_that_is_none_is_refused_as_a_whole(raw: bytes, words: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        list(read(raw))
    assert words in refusal.value.said()


def test_bids_that_become_self_dealing_are_taken_back_at_once_and_others_stand(world: World) -> None:
    for who in ("bob", "carol"):
        world.fund(who, 5_000_000)
    lot = world.lot()
    bid(world, "bob", lot, 700, 1_000_000)
    bid(world, "carol", lot, 700, 1_000_000)
    relate(world, "bob", "alice")
    assert (cash(world, "bob"), cash(world, "carol")) == ((5_000_000, 0), (5_000_000, 1_000_000))
    [own] = queries.bids_of(db.session, lot, world.id("bob"))
    assert (own.state, own.reasons) == ("withdrawn", ["related_party"])


def test_two_related_investors_share_one_cap(world: World) -> None:
    for who in ("bob", "carol", "dave"):
        world.fund(who, 9_000_000)
    relate(world, "bob", "carol")
    lot = world.lot(group_cap=5_000)
    for who in ("bob", "carol", "dave"):
        bid(world, who, lot, 700, 2_070_000)
    world.move_clock(timedelta(hours=1))
    perform(close_lot, CloseLot(lot), SYSTEM)
    db.session.rollback()
    got = {who: sum(one.cash_minor for one in queries.fills(db.session, lot) if one.investor_id == world.id(who))
           for who in ("bob", "carol", "dave")}  # fmt: skip
    assert got["bob"] + got["carol"] <= 4_131_000 // 2
    assert got["dave"] > 0


def test_a_mandate_of_a_related_house_does_not_bid_and_the_lot_still_closes(world: World) -> None:
    world.fund("bob", 5_000_000)
    lot = world.lot()
    mandate(world, "bob")
    relate(world, "alice", "bob")
    world.move_clock(timedelta(hours=1))
    assert perform(close_lot, CloseLot(lot), SYSTEM)["outcome"] == "failed"
    assert count("bid") == 0


def test_an_ended_relation_parts_the_groups_and_cannot_end_twice(world: World) -> None:
    world.fund("bob", 5_000_000)
    lot = world.lot()
    relation = relate(world, "bob", "alice")
    perform(end_relation, EndRelation(relation), world.olga)
    db.session.rollback()
    assert (group(world, "bob"), group(world, "alice")) == (world.id("bob"), world.id("alice"))
    bid(world, "bob", lot, 700, 1_000_000)
    with pytest.raises(Conflict, match="relation_ended"):
        perform(end_relation, EndRelation(relation), world.olga)
    with pytest.raises(NotFound):
        perform(end_relation, EndRelation(new_id()), world.olga)


def test_what_is_refused_changes_nothing(world: World) -> None:
    relate(world, "bob", "alice")
    same = RelateOrganisations(world.id("bob"), world.id("bob"), "shared_owner", "A register")
    again = RelateOrganisations(world.id("alice"), world.id("bob"), "shared_officer", "Another register")
    stranger = RelateOrganisations(new_id(), world.id("bob"), "shared_owner", "A register")
    for command, refusal in ((same, InvalidInput), (again, Conflict), (stranger, NotFound)):
        with pytest.raises(refusal):
            perform(relate_organisations, command, world.olga)
    with pytest.raises(NotPermitted):
        perform(relate_organisations, again, world.bob)
    assert count("relation") == 1


def test_the_database_keeps_those_related_in_one_group_and_a_bid_in_its_own(world: World) -> None:
    world.fund("bob", 5_000_000)
    lot = world.lot()
    bid(world, "bob", lot, 700, 1_000_000)
    relate(world, "bob", "carol")
    with world.superuser(resting=False) as connection, pytest.raises(psycopg.errors.CheckViolation) as parted:
        connection.execute("UPDATE organisation SET group_id = NULL WHERE id = ANY (%s)", ([*world.ids.values()],))
        connection.execute("SET CONSTRAINTS related_stay_one_group IMMEDIATE")
    assert parted.value.diag.constraint_name == "related_are_one_group"
    copied = ("INSERT INTO bid (id, lot_id, investor_id, group_id, cash_minor, min_fill_minor, rate_bps, hold_id, "
              "placed_by) SELECT gen_random_uuid(), lot_id, investor_id, %s, cash_minor, 0, rate_bps, "
              "gen_random_uuid(), placed_by FROM bid")  # fmt: skip
    with world.superuser(resting=False) as connection, pytest.raises(psycopg.errors.CheckViolation) as foreign:
        connection.execute(copied, (new_id(),))
    assert foreign.value.diag.constraint_name == "bid_of_group"
