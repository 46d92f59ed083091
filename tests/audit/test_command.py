"""`bin/market audit` says 0, 1 or 2, in words and in JSON."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from marketplace.commands.audit import command
from tests.audit.test_bundle import Log, log  # noqa: F401 - a fixture


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(command, list(arguments))
    return done.exit_code, done.output


def test_a_sound_bundle_ends_with_zero(log: Log) -> None:  # noqa: F811
    made = log.export()
    code, said = run("verify", str(made.path), "--key", log.key)
    assert code == 0
    assert "Whole and consistent" in said
    code, said = run("verify", str(made.path), "--key", log.key, "--json")
    assert code == 0
    assert json.loads(said)["ok"] is True


def test_a_forged_bundle_ends_with_one_and_names_what_is_wrong(log: Log) -> None:  # noqa: F811
    made = log.export()
    made.path.write_bytes(made.path.read_bytes()[:-2])
    code, said = run("verify", str(made.path), "--key", log.key, "--json")
    assert code == 1
    assert json.loads(said)["wrong"]


@pytest.mark.parametrize("arguments", [["verify"], ["verify", "nowhere.zip", "--key", "k"], ["export"]])
def test_wrong_use_ends_with_two(arguments: list[str]) -> None:
    assert run(*arguments)[0] == 2


def test_where_there_is_no_market_it_says_so_and_makes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUEBILL_HOME", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    code, said = run("state")
    assert code == 1
    assert "no market" in said
    assert list(tmp_path.iterdir()) == []
