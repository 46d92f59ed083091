"""Every fault that the docs promise to bear has tests, and every test that they name is there."""

import ast
import re
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
ROWS_MIN = 13


def rows() -> list[str]:
    """Return the rows of the table, without its head."""
    lines = (HOUSE / "docs" / "faults.md").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("| ")][1:]


def test_every_fault_is_shown_by_tests_that_are_there() -> None:
    known: dict[str, set[str]] = {}
    missing = []
    assert len(rows()) >= ROWS_MIN
    for row in rows():
        assert NAMED.search(row), row
        for path, name in NAMED.findall(row):
            if path not in known:
                tree = ast.parse((HOUSE / path).read_text(encoding="utf-8"))
                known[path] = {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}
            if name not in known[path]:
                missing.append(f"{path}::{name}")
    assert missing == []
