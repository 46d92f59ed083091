"""One list of states and one table of moves: in the code, in the database, in the documentation."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from marketplace import trading
from marketplace.commands.states import document, machines
from marketplace.kernel.states import Machine

HOUSE = Path(trading.__file__).resolve().parents[2]
RULED = [(machine, table) for machine, tables in machines() for table in tables]


def quoted(words: str) -> list[str]:
    return re.findall(r"'([a-z_]+)'", words)


@pytest.mark.parametrize(("machine", "table"), RULED, ids=[table for _, table in RULED])
def test_the_database_knows_the_same_states_and_moves(owner_engine: Engine, machine: Machine, table: str) -> None:
    with owner_engine.connect() as connection:
        check = connection.execute(
            text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :name"),
            {"name": f"ck_{table}_state"},
        ).scalar_one()
        moves = connection.execute(
            text("SELECT prosrc FROM pg_proc WHERE proname = :name"), {"name": f"{table}_state_moves"}
        ).scalar_one()
    assert set(quoted(check)) == {str(state) for state in machine.states}
    listed = quoted(moves.split("NOT IN", 1)[1].split("THEN", 1)[0])
    pairs = set(zip(listed[::2], listed[1::2], strict=True))
    assert pairs == {(str(before), str(after)) for before, after_all in machine.moves.items() for after in after_all}


def test_every_machine_of_the_house_is_among_them() -> None:
    written = {
        name
        for path in (HOUSE / "marketplace").rglob("*.py")
        for name in re.findall(r"^([A-Z]+) = Machine\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(written) == len(machines())


def test_every_state_column_with_a_trigger_is_ruled_by_a_machine(owner_engine: Engine) -> None:
    with owner_engine.connect() as connection:
        found = connection.execute(text("SELECT proname FROM pg_proc WHERE proname LIKE '%\\_state\\_moves'")).scalars()
        assert {name.removesuffix("_state_moves") for name in found} == {table for _, table in RULED}


def test_the_document_is_what_the_code_says() -> None:
    written = (HOUSE / "docs" / "state-machines.md").read_text(encoding="utf-8")
    assert written == document(), "run bin/market states --write"
