"""Sessions: what a token opens, and posts that are looked up and counted several at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from marketplace.db import db
from marketplace.parties import sessions
from marketplace.parties.actions import sign_in, sign_out, suspend_user
from marketplace.parties.schemas import SignIn, SignOut, SuspendUser
from marketplace.perform import perform
from tests.people import PASSWORD, PersonOfTheTests, register
from tests.support import SYSTEM

IDLE_MINUTES = 60
Found = list[tuple[sessions.Person, int] | None]


@pytest.fixture
def people(context: Flask) -> dict[str, PersonOfTheTests]:
    return register(context)


def signed_in(person: PersonOfTheTests) -> str:
    token = sessions.new_token()
    perform(sign_in, SignIn(person.email, PASSWORD, sessions.token_hash(token)), SYSTEM)
    return token


def posted(*tokens: str, most: int = 100) -> Found:
    return sessions.opened_and_counted(db.engine, tokens, IDLE_MINUTES, most)


def names(found: Found) -> list[str | None]:
    return [one and one[0].display_name for one in found]


def test_each_of_several_posts_finds_its_own_person(people: dict[str, PersonOfTheTests]) -> None:
    bob, carol, olga = (signed_in(people[name]) for name in ("investor_bob", "investor_carol", "operator_olga"))
    assert names(posted(olga, bob, "unknown", carol, bob)) == ["Olga Brand", "Bob Ash", None, "Carol Ng", "Bob Ash"]
    for token in (bob, carol, olga):
        (found,) = posted(token)
        assert found is not None
        assert found[0] == sessions.opened_by(db.engine, token, IDLE_MINUTES), "as a page finds it"


def test_one_that_signed_out_or_was_locked_out_is_nobody_among_the_others(people: dict[str, PersonOfTheTests]) -> None:
    bob, carol, mallory = (signed_in(people[name]) for name in ("investor_bob", "investor_carol", "stranger_mallory"))
    assert names(posted(bob, carol, mallory)) == ["Bob Ash", "Carol Ng", "Mallory Voss"]
    perform(sign_out, SignOut(sessions.token_hash(bob)), people["investor_bob"].actor)
    locked = SuspendUser(people["stranger_mallory"].actor.user_id, "lost his telephone")  # type: ignore[arg-type]
    perform(suspend_user, locked, people["operator_olga"].actor)
    assert names(posted(bob, carol, mallory)) == [None, "Carol Ng", None]


def test_of_several_posts_of_one_person_those_beyond_the_limit_wait(people: dict[str, PersonOfTheTests]) -> None:
    desk, other_desk, carol = (signed_in(people[name]) for name in ("investor_bob", "investor_bob", "investor_carol"))
    waits = [found and found[1] for found in posted(desk, carol, desk, other_desk, desk, other_desk, most=3)]
    assert waits[:4] == [0, 0, 0, 0], "each person has a limit of his own, over all his sessions"
    assert all(0 < (wait or 0) <= 60 for wait in waits[4:])


def test_no_post_is_lost_from_the_count_though_two_count_the_same_people(people: dict[str, PersonOfTheTests]) -> None:
    """In opposite orders, at the same time: each waits for the other's rows, and none for ever."""
    tokens = [signed_in(person) for person in people.values()]
    engine, rounds = db.engine, 150

    def count(asked: list[str]) -> None:
        for _ in range(rounds):
            sessions.opened_and_counted(engine, asked, IDLE_MINUTES, 10_000)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count, (tokens, tokens[::-1], tokens[1::2] + tokens[::2], tokens[::-1])))
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT sum(hits) FROM rate_window").scalar_one()
    assert found == 4 * rounds * len(tokens)
