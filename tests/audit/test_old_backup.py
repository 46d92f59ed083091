"""An old backup is restored: the signer refuses it, and the market can only be read, and says why."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, NullPool, create_engine

from marketplace.audit.checkpoint import SignerPlace, sign_once, sign_or_tell
from marketplace.audit.keys import generate_key
from marketplace.audit.sequencer import sequence_events
from marketplace.db import let_go
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import IntegrityBreach
from marketplace.parties.actions import register_organisation
from marketplace.parties.schemas import RegisterOrganisation
from marketplace.perform import HALTED, perform
from marketplace.stack.installation import OWNER
from tests.people import PASSWORD, sign_in
from tests.people import register as register_people

SYSTEM = Actor.system("test")


def register(name: str) -> None:
    perform(register_organisation, RegisterOrganisation("seller", name, "GB"), SYSTEM)
    sequence_events()


def copied(postgres: EmbeddedPostgres, database: str, onto: str) -> None:
    """Copy a database as it is, as a backup or its restoration does; whoever was connected is thrown out."""
    let_go()
    postgres.drop_database(onto)
    with postgres.connect() as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))
    postgres.create_database(onto, template=database, owner=OWNER)


def test_an_old_backup_can_only_be_read_until_a_newer_one_is_there(
    make_app: Callable[..., Flask], postgres: EmbeddedPostgres, database: str, tmp_path: Path
) -> None:
    app = make_app()
    place = SignerPlace(postgres.url(database, "duebill_signer"), tmp_path / "signer")
    generate_key(place.key_file, "duebill.test/audit")
    signer: Engine = create_engine(place.database_url, poolclass=NullPool)
    backups = f"{database}_old", f"{database}_new"
    with app.app_context():
        register("Alice Castings")
        assert sign_once(place, signer) is not None
        copied(postgres, database, backups[0])
        register("Bob Castings")
        assert sign_once(place, signer) is not None
        copied(postgres, database, backups[1])

        copied(postgres, backups[0], database)
        assert sign_or_tell(place, signer) is None
        assert "log_went_back" in (place.folder / "refused").read_text()
        with pytest.raises(IntegrityBreach, match="read_only"):
            register("Mallory Castings")
    page = app.test_client()
    assert page.get("/").status_code == 200
    with postgres.connect(database) as connection:
        assert connection.execute("SELECT code FROM log_halt").fetchone() == ("log_went_back",)
        assert connection.execute("SELECT count(*) FROM organisation").fetchone() == (1,)

    with app.app_context():
        copied(postgres, backups[1], database)
        sign_or_tell(place, signer)
        assert not (place.folder / "refused").exists()
        register("Carol Castings")
        assert sign_or_tell(place, signer) is not None
    for backup in backups:
        postgres.drop_database(backup)


def test_people_read_on_and_are_told_why_nothing_can_be_changed(
    client: FlaskClient, app: Flask, postgres: EmbeddedPostgres, database: str
) -> None:
    people = register_people(app, "operator_olga", "investor_bob")
    sign_in(client, people["operator_olga"])
    with postgres.connect(database, "duebill_signer") as connection:
        connection.execute("INSERT INTO log_halt (code, words) VALUES ('log_went_back', 'x')")
    assert client.get("/operator/").status_code == 200
    answer = client.post("/sign-in", data={"email": people["investor_bob"].email, "password": PASSWORD})
    assert answer.status_code == 503
    assert "not the ones that were signed before" in answer.text
    with app.test_request_context("/api/v1/lots"):
        told = app.handle_user_exception(IntegrityBreach("read_only", HALTED))
        assert (told.status_code, told.get_json()["code"]) == (503, "read_only")


def test_only_the_signer_halts_the_market_and_with_one_reason(postgres: EmbeddedPostgres, database: str) -> None:
    insert = "INSERT INTO log_halt (code, words) VALUES ('x', 'y')"
    for role in ("duebill_web", "duebill_worker", "duebill_application"):
        with postgres.connect(database, role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(insert)
    with postgres.connect(database, "duebill_signer") as connection:
        connection.execute(insert)
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(insert)
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("INSERT INTO log_halt (single, code, words) VALUES (false, 'x', 'y')")
