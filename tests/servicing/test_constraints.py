"""What must never happen to a collection, the database itself refuses: each constraint is broken on purpose."""

from contextlib import suppress
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Engine

from marketplace.db import db
from marketplace.kernel.ids import new_id
from marketplace.servicing.ageing import Ageing
from marketplace.servicing.states import COLLECTION
from marketplace.servicing.waterfall import Step
from tests import lives
from tests.trading.world import World


@pytest.fixture
def receivable_id(world: World) -> UUID:
    """A funded receivable."""
    return lives.funded(world)


def refused(world: World, *statements: tuple[str, tuple[object, ...]]) -> str:
    """Run statements as the superuser with all triggers at work; return what refuses them."""
    db.session.rollback()
    with world.superuser(resting=False) as owner:
        try:
            for statement, values in statements:
                owner.execute(statement, values)
            owner.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error as error:
            owner.rollback()
            return error.diag.constraint_name or error.diag.message_primary or ""
        owner.rollback()
    return ""


def test_the_dues_sum_to_the_face(world: World, receivable_id: UUID) -> None:
    more = "UPDATE due SET due_minor = due_minor + 1 WHERE receivable_id = %s AND step = 'residual'"
    assert refused(world, (more, (receivable_id,))) == "dues_sum_to_face"
    another = (
        "INSERT INTO due (id, receivable_id, step, party_id, position, due_minor) VALUES (%s, %s, 'costs', NULL, 9, 1)"
    )
    assert refused(world, (another, (new_id(), receivable_id))) == "dues_sum_to_face"


MORE = "UPDATE due SET due_minor = due_minor + 1 WHERE receivable_id = %s AND step = 'residual'"
LESS = "UPDATE due SET due_minor = due_minor - 1 WHERE receivable_id = %s AND step = 'residual'"
ENDED = (
    "UPDATE holding SET held_during = tstzrange(lower(held_during), market_now()) "
    "WHERE receivable_id = %s AND upper_inf(held_during)"
)
EARLY, LATE = ("SET CONSTRAINTS ALL IMMEDIATE", ()), ("SET CONSTRAINTS ALL DEFERRED", ())
EVENT = (
    (
        "INSERT INTO event (id, verb, actor_role, request_id, subject_kind, subject_id, body) "
        "VALUES (gen_random_uuid(), 'x', 'x', gen_random_uuid(), 'x', gen_random_uuid(), 'x')"
    ),
    (),
)


@pytest.mark.parametrize(
    ("statements", "wall"),
    [
        ([EVENT, MORE, LESS], ""),
        ([EVENT, MORE, LESS, MORE], "dues_sum_to_face"),
        ([EVENT, MORE, MORE, LESS], "dues_sum_to_face"),
        ([EVENT, MORE, LESS, EARLY, LATE, MORE], "dues_sum_to_face"),
        ([EVENT, MORE, LESS, EARLY, MORE, LESS], "dues_sum_to_face"),
        ([EVENT, MORE, "SAVEPOINT s", LESS, "ROLLBACK TO s"], "dues_sum_to_face"),
        ([EVENT, "SAVEPOINT s", MORE, "ROLLBACK TO s", LESS, MORE], ""),
        ([MORE, LESS], "dues_with_event"),
        ([EVENT, MORE, LESS, ENDED], "title_is_whole"),
        ([EVENT, EARLY, LATE, ENDED, MORE, LESS], "title_is_whole"),
    ],
)
def test_what_is_whole_at_commit_is_judged_after_the_last_of_several_statements(
    world: World, receivable_id: UUID, statements: list[str | tuple[str, tuple[object, ...]]], wall: str
) -> None:
    told = [(one, (receivable_id,) if "%s" in one else ()) if isinstance(one, str) else one for one in statements]
    assert refused(world, *told) == wall


@pytest.mark.parametrize("role", ["duebill_web", "duebill_worker", "duebill_reader", "duebill_signer"])
@pytest.mark.parametrize("statement", ["DELETE FROM commit_check", "TRUNCATE commit_check",
                                       "INSERT INTO commit_check VALUES ('x', gen_random_uuid())"])  # fmt: skip
def test_nobody_takes_a_note_away_before_it_is_judged(world: World, role: str, statement: str) -> None:
    db.session.rollback()
    with world.superuser(resting=False) as owner, pytest.raises(psycopg.errors.InsufficientPrivilege):
        owner.execute(f"SET ROLE {role}")
        owner.execute(statement)


def test_no_note_outlives_its_transaction(world: World, receivable_id: UUID) -> None:
    with world.superuser(resting=False) as owner:
        assert owner.execute("SELECT count(*) FROM commit_check").fetchone() == (0,)


@pytest.mark.parametrize(
    ("change", "wall"),
    [
        ("facts = facts || ' '", "notice_of_assignment_keep_columns"),
        ("document_id = message_document_id", "notice_of_assignment_written_once"),
        ("written_at = NULL, document_id = NULL, message_document_id = NULL", "notice_of_assignment_written_once"),
    ],
)
def test_a_notice_states_one_thing_and_is_written_once(
    world: World, receivable_id: UUID, change: str, wall: str
) -> None:
    update = f"UPDATE notice_of_assignment SET {change} WHERE receivable_id = %s"
    assert refused(world, (update, (receivable_id,))) == wall


@pytest.mark.parametrize(
    ("columns", "values", "wall"),
    [
        ("facts, facts_sha256", "'{}', repeat('0', 64)", "ck_notice_of_assignment_facts"),
        ("facts, facts_sha256", "NULL, NULL", "ck_notice_of_assignment_facts"),
        ("facts, facts_sha256, acknowledged_at", "facts, facts_sha256, issued_at", "ck_notice_of_assignment_told"),
        ("facts, facts_sha256, written_at", "facts, facts_sha256, issued_at", "ck_notice_of_assignment_written"),
    ],
)
def test_a_notice_has_the_hash_of_its_facts_and_no_answer_before_it_is_written(
    world: World, receivable_id: UUID, columns: str, values: str, wall: str
) -> None:
    insert = (
        "INSERT INTO notice_of_assignment "
        f"(id, receivable_id, number, assignees, pay_to, phrase, issued_at, {columns}) "
        f"SELECT %s, receivable_id, 9, assignees, pay_to, phrase, issued_at, {values} FROM notice_of_assignment "
        "WHERE receivable_id = %s"
    )
    assert refused(world, (insert, (new_id(), receivable_id))) == wall


@pytest.mark.parametrize("paid", ["due_minor + 1", "-1"])
def test_nobody_is_paid_more_than_his_due_nor_less_than_nothing(world: World, receivable_id: UUID, paid: str) -> None:
    assert refused(world, (f"UPDATE due SET paid_minor = {paid} WHERE receivable_id = %s", (receivable_id,))) == (
        "ck_due_paid"
    )


def test_a_step_owes_a_party_once_and_only_the_platform_has_no_party(world: World, receivable_id: UUID) -> None:
    insert = "INSERT INTO due (id, receivable_id, step, party_id, position, due_minor) VALUES (%s, %s, %s, %s, 9, 0)"
    bob = world.id("bob")
    assert refused(world, (insert, (new_id(), receivable_id, "principal", bob))) == "uq_due_receivable_id_step_party_id"
    assert refused(world, (insert, (new_id(), receivable_id, "platform_fee", None))) == (
        "uq_due_receivable_id_step_party_id"
    )
    assert refused(world, (insert, (new_id(), receivable_id, "costs", bob))) == "ck_due_party"
    assert refused(world, (insert, (new_id(), receivable_id, "discount", None))) == "ck_due_party"
    assert refused(world, (insert, (new_id(), receivable_id, "tip", bob))) == "due_step_check"
    assert refused(world, (insert, (new_id(), new_id(), "principal", bob))) == "fk_due_receivable_id"


RECEIPT = (
    "INSERT INTO distribution (id, receivable_id, payment_id, entry_id, received_minor, excess_minor, recovery) "
    "VALUES (%s, %s, %s, (SELECT id FROM entry LIMIT 1), %s, %s, false)"
)


def test_the_shares_and_the_excess_are_the_receipt(world: World, receivable_id: UUID) -> None:
    at_once = ("SET CONSTRAINTS shares_sum_to_receipt IMMEDIATE", ())
    assert refused(world, at_once, (RECEIPT, (new_id(), receivable_id, new_id(), 100, 99))) == "shares_sum_to_receipt"
    assert refused(world, (RECEIPT, (new_id(), receivable_id, new_id(), 100, 101))) == "distribution_check"
    assert refused(world, (RECEIPT, (new_id(), receivable_id, new_id(), 0, 0))) == "distribution_received_minor_check"


def test_a_payment_is_shared_out_once(world: World, receivable_id: UUID) -> None:
    payment = lives.received(world, receivable_id, 100)
    lives.apply(payment)
    assert refused(world, (RECEIPT, (new_id(), receivable_id, payment, 100, 100))) == "uq_distribution_payment_id"


def test_a_receipt_is_sealed(world: World, receivable_id: UUID) -> None:
    lives.pays(world, receivable_id, 100)
    late = (
        "INSERT INTO share (due_id, distribution_id, minor) SELECT due.id, distribution.id, 1 FROM distribution "
        "JOIN due USING (receivable_id) WHERE step = 'residual'"
    )
    assert refused(world, (late, ())) == "share_sealed"
    twice = "INSERT INTO share (due_id, distribution_id, minor) SELECT due_id, distribution_id, 1 FROM share LIMIT 1"
    assert refused(world, (twice, ())) == "pk_share"
    nothing = "INSERT INTO share (due_id, distribution_id, minor) SELECT due_id, distribution_id, 0 FROM share LIMIT 1"
    assert refused(world, (nothing, ())) == "share_minor_check"


def test_a_receivable_is_collected_once_and_under_one_lot(world: World, receivable_id: UUID) -> None:
    columns = "lot_id, seller_id, debtor_id, currency, face_minor, rate_bps, late_rate_bps, due_on, expected_on, "
    columns += "late_charged_to, policy_version"
    again = f"INSERT INTO collection (receivable_id, {columns}) SELECT receivable_id, {columns} FROM collection"
    assert refused(world, (again, ())) == "pk_collection"
    other = world.receivable()
    same_lot = f"INSERT INTO collection (receivable_id, {columns}) SELECT %s, {columns} FROM collection LIMIT 1"
    assert refused(world, (same_lot, (other,))) == "uq_collection_lot_id"
    assert refused(world, (same_lot.replace("lot_id, s", "gen_random_uuid(), s", 2).replace(
        "gen_random_uuid(), s", "lot_id, s", 1), (new_id(),))) == "fk_collection_receivable_id"  # fmt: skip


def test_a_collection_moves_only_as_its_table_says(world: World, receivable_id: UUID) -> None:
    closed = (
        "closed_at = CASE WHEN %s IN ('settled', 'written_off', 'bought_back', 'charged_back') THEN market_now() END"
    )
    went = set()
    with world.superuser() as owner:
        for before in COLLECTION.states:
            for after in set(COLLECTION.states) - {before}:
                owner.execute("SET session_replication_role = replica")
                owner.execute(f"UPDATE collection SET state = %s, {closed}", (before, before))
                owner.execute("SET session_replication_role = origin")
                with suppress(psycopg.errors.CheckViolation), owner.transaction():
                    owner.execute(f"UPDATE collection SET state = %s, {closed}", (after, after))
                    went.add((before, after))
        owner.rollback()
    assert went == {(before, after) for before, moves in COLLECTION.moves.items() for after in moves}


def test_a_closed_collection_says_when(world: World, receivable_id: UUID) -> None:
    assert refused(world, ("UPDATE collection SET state = 'settled'", ())) == "ck_collection_closed"
    assert refused(world, ("UPDATE collection SET closed_at = market_now()", ())) == "ck_collection_closed"
    assert refused(world, ("UPDATE collection SET state = 'forgotten'", ())) != ""


@pytest.mark.parametrize(
    "change",
    ["face_minor = face_minor + 1", "due_on = due_on + 1", "rate_bps = 1", "currency = 'EUR'", "seller_id = debtor_id",
     "opened_at = market_now()"],
)  # fmt: skip
def test_what_was_agreed_stays(world: World, receivable_id: UUID, change: str) -> None:
    assert refused(world, (f"UPDATE collection SET {change}", ())) == "collection_keep_columns"


@pytest.mark.parametrize("table", ["distribution", "share", "ageing_step"])
@pytest.mark.parametrize("how", ["UPDATE", "DELETE", "TRUNCATE"])
def test_what_happened_is_never_changed(world: World, receivable_id: UUID, table: str, how: str) -> None:
    lives.pays(world, receivable_id, 100)
    lives.on_day(world, receivable_id, 1)
    lives.age(receivable_id)
    column = {"distribution": "recovery", "share": "minor", "ageing_step": "taken_at"}[table]
    statement = {
        "UPDATE": f"UPDATE {table} SET {column} = {column}",
        "DELETE": f"DELETE FROM {table}",
        "TRUNCATE": f"TRUNCATE {table} CASCADE",
    }[how]
    assert refused(world, (statement, ())) != ""


@pytest.mark.parametrize("table", ["collection", "due"])
def test_collections_and_dues_never_vanish(world: World, receivable_id: UUID, table: str) -> None:
    assert refused(world, (f"DELETE FROM {table}", ())) != ""
    assert refused(world, (f"TRUNCATE {table} CASCADE", ())) != ""


def test_nothing_moves_without_an_event(world: World, receivable_id: UUID) -> None:
    assert "event" in refused(world, ("UPDATE collection SET state = 'overdue'", ()))
    assert "event" in refused(world, (RECEIPT, (new_id(), receivable_id, new_id(), 100, 100)))


def test_a_step_is_taken_once_and_has_a_name(world: World, receivable_id: UUID) -> None:
    lives.on_day(world, receivable_id, 1)
    lives.age(receivable_id)
    insert = "INSERT INTO ageing_step (receivable_id, step) VALUES (%s, %s)"
    assert refused(world, (insert, (receivable_id, "overdue"))) == "pk_ageing_step"
    assert refused(world, (insert, (receivable_id, "shouting"))) == "ageing_step_step_check"
    for step in set(Ageing) - {Ageing.REMINDER, Ageing.OVERDUE}:
        assert refused(world, (insert, (receivable_id, str(step)))) == ""


def test_the_database_knows_the_same_steps_of_the_waterfall(world: World, receivable_id: UUID) -> None:
    insert = "INSERT INTO due (id, receivable_id, step, party_id, position, due_minor) VALUES (%s, %s, %s, %s, 9, 0)"
    for step in Step:
        party = None if step in (Step.COSTS, Step.PLATFORM_FEE) else new_id()
        said = refused(world, (insert, (new_id(), receivable_id, str(step), party)))
        assert said in ("", "uq_due_receivable_id_step_party_id", "dues_with_event")


@pytest.mark.parametrize("table", ["collection", "due", "distribution", "share", "ageing_step"])
def test_no_application_role_may_delete_or_truncate(owner_engine: Engine, table: str) -> None:
    with owner_engine.connect() as connection:
        for role in ("duebill_web", "duebill_worker", "duebill_reader", "duebill_signer"):
            for right in ("DELETE", "TRUNCATE"):
                found = connection.exec_driver_sql(f"SELECT has_table_privilege('{role}', '{table}', '{right}')")
                assert found.scalar_one() is False
