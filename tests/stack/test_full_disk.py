"""A full disk: what cannot be written is refused with 503, nothing is kept by half, and with room again all goes on."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from config.settings import Settings, sqlalchemy_url
from marketplace.app import create_app
from marketplace.audit.checkpoint import SignerPlace, read_state, sign_once
from marketplace.audit.keys import generate_key
from marketplace.audit.sequencer import sequence_events
from marketplace.db import db, let_go
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.jobs.invariants import invariants
from marketplace.kernel.actors import Actor
from marketplace.parties.actions import register_organisation
from marketplace.parties.schemas import RegisterOrganisation
from marketplace.perform import perform
from marketplace.stack.installation import OWNER
from marketplace.stack.migration import migrate
from marketplace.stack.preparing import Preparation

DATABASE = "duebill_on_a_small_disk"
SIZE = "size=400m"
TRIES_MAX = 400
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture
def disk() -> Iterator[Path]:
    """A disk of its own that can be filled without hurting anybody."""
    place = Path(tempfile.mkdtemp(prefix="duebill-disk-"))
    place.chmod(0o755)
    if shutil.which("mount") is None or subprocess.run(["mount", "-t", "tmpfs", "-o", SIZE, "tmpfs", place]).returncode:
        place.rmdir()
        pytest.skip("NO SMALL DISK: this needs the right to mount one; nothing was tried.")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)
    place.rmdir()


@pytest.fixture
def market(disk: Path, settings: Settings) -> Iterator[tuple[Flask, EmbeddedPostgres]]:
    """The application on a database that lies on that disk."""
    postgres = EmbeddedPostgres(disk / "postgres", settings={"min_wal_size": "32MB", "max_wal_size": "32MB"})
    postgres.start()
    assert str(postgres.root).startswith(str(disk))
    Preparation.ensure_roles(postgres)
    postgres.create_database(DATABASE, owner=OWNER)
    migrate(sqlalchemy_url(postgres.url(DATABASE, OWNER)))
    app = create_app(replace(settings, database_url=postgres.url(DATABASE, "duebill_web")))
    app.config["WTF_CSRF_ENABLED"] = False
    yield app, postgres
    with app.app_context():
        let_go()
    postgres.stop()


def fill(place: Path) -> Path:
    """Leave not a byte."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(b"\0" * size)
    return filler


def register(number: int) -> str:
    made = perform(register_organisation, RegisterOrganisation("seller", f"House {number}", "GB"), Actor.system("test"))
    return str(made["organisation_id"])


def until_full(acknowledged: list[str]) -> DBAPIError:
    """Write until nothing more can be written; keep what was acknowledged, and return what was said in the end."""
    for _ in range(TRIES_MAX):
        try:
            acknowledged.append(register(len(acknowledged)))
        except DBAPIError as error:
            return error
    raise AssertionError("the disk was not full")


def whole(postgres: EmbeddedPostgres, acknowledged: list[str]) -> None:
    """Look with other eyes: there is what was acknowledged and nothing else, and the books are sound."""
    with postgres.connect(DATABASE) as owner:
        there = {str(row[0]) for row in owner.execute("SELECT id FROM organisation").fetchall()}
        told = owner.execute("SELECT count(*) FROM event WHERE subject_kind = 'organisation'").fetchone()
    assert there == set(acknowledged)
    assert told == (len(acknowledged),)


def sound(make: Callable[[], Flask]) -> None:
    with make().app_context():
        while sequence_events():
            pass
        assert [one.name for one in invariants(db.session()) if not one.ok] == []
        db.session.remove()
        let_go()


def test_data_that_find_no_room_are_refused_and_nothing_needs_repair(
    disk: Path, market: tuple[Flask, EmbeddedPostgres], settings: Settings
) -> None:
    app, postgres = market
    acknowledged: list[str] = []
    with app.app_context():
        acknowledged.append(register(0))
        filler = fill(disk)
        assert isinstance(until_full(acknowledged).orig, psycopg.errors.DiskFull)
        statuses = {app.test_client().post("/sign-in", data={"email": f"a{n}@b.example", "password": "a long password"})
                    .status_code for n in range(60)}  # fmt: skip
        assert 503 in statuses
        assert 500 not in statuses
        whole(postgres, acknowledged)
        filler.unlink()
        acknowledged.append(register(len(acknowledged)))
    whole(postgres, acknowledged)
    sound(lambda: create_app(replace(settings, database_url=postgres.url(DATABASE, "duebill_worker"))))


def test_a_log_of_writes_that_finds_no_room_loses_nothing_that_was_acknowledged(
    disk: Path, market: tuple[Flask, EmbeddedPostgres], settings: Settings
) -> None:
    app, postgres = market
    with app.app_context():
        acknowledged = [register(0)]
        filler = fill(disk)
        with pytest.raises(psycopg.Error), postgres.connect(DATABASE) as owner:  # each begins a new file of the log
            for _ in range(40):
                owner.execute("SELECT pg_logical_emit_message(true, 'fill', repeat('x', 1000000))")
        page = app.test_client().post("/sign-in", data={"email": "a@b.example", "password": "a long password"})
        assert page.status_code == 503
        filler.unlink()
        postgres.stop()
        postgres.start()
        let_go()
        acknowledged.append(register(1))
    whole(postgres, acknowledged)
    sound(lambda: create_app(replace(settings, database_url=postgres.url(DATABASE, "duebill_worker"))))


def test_a_signer_without_room_signs_later_and_never_twice(
    disk: Path, postgres: EmbeddedPostgres, database: str, context: Flask
) -> None:
    place = SignerPlace(postgres.url(database, "duebill_signer"), disk / "signer", [disk / "witness"])
    generate_key(place.key_file, "duebill.test/audit")
    engine = create_engine(place.database_url, poolclass=NullPool)
    register(0)
    sequence_events()
    first = sign_once(place, engine)
    assert first is not None
    register(1)
    sequence_events()
    filler = fill(disk)
    with pytest.raises(OSError, match="No space left"):
        sign_once(place, engine)
    assert read_state(place) == first
    filler.unlink()
    second = sign_once(place, engine)
    assert second is not None
    assert second.size == first.size + 1
    assert read_state(place) == second
