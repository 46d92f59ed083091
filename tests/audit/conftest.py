"""What the tests of the trail share: engines of the roles, a writer of events, a signer's place."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from marketplace.audit.checkpoint import SignerPlace
from marketplace.audit.events import write_event
from marketplace.audit.keys import generate_key
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.kernel.actors import Actor
from marketplace.kernel.ids import new_id


@pytest.fixture
def engine_of(postgres: EmbeddedPostgres, database: str) -> Iterator[Callable[[str], Engine]]:
    made: list[Engine] = []

    def make(role: str) -> Engine:
        made.append(create_engine(postgres.url(database, role)))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


@pytest.fixture
def worker(engine_of: Callable[[str], Engine]) -> Engine:
    return engine_of("duebill_worker")


@pytest.fixture
def signer(engine_of: Callable[[str], Engine]) -> Engine:
    return engine_of("duebill_signer")


@pytest.fixture
def superuser(postgres: EmbeddedPostgres, database: str, engine_of: Callable[[str], Engine]) -> Callable[..., None]:
    """One who can do what nobody may: run SQL with every trigger and constraint of the trail switched off."""
    engine = engine_of("duebill_admin")

    def meddle(sql: str, **params: object) -> None:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(text(sql), params)

    return meddle


@pytest.fixture
def write(worker: Engine) -> Callable[[int], None]:
    """Write some events, each in a transaction of its own."""

    def some(count: int) -> None:
        for number in range(count):
            with Session(worker) as session, session.begin():
                write_event(session, verb="note_action", actor=Actor.system("test"), subject_kind="test",
                            subject_id=new_id(), changes={"after": {"number": number}}, policy_version="t")  # fmt: skip

    return some


@pytest.fixture
def place(tmp_path: Path, postgres: EmbeddedPostgres, database: str) -> SignerPlace:
    place = SignerPlace(postgres.url(database, "duebill_signer"), tmp_path / "signer", [tmp_path / "witness"])
    generate_key(place.key_file, "duebill.test/audit")
    return place
