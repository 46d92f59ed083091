"""Files and functions stay short, packages hold no code, and the house speaks of nothing but itself."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.house.sources import HOUSE, files, modules, named, tree

pytestmark = pytest.mark.xdist_group("house")  # one process reads the house

FILE_LINES_MAX, FUNCTION_LINES_MAX = 420, 60
# The verifier is one file of the standard library on purpose: a regulator runs it alone.
LONG_FILES = {"marketplace/audit/verify.py"}
TEXT = {".py", ".md", ".toml", ".html", ".css", ".js", ".txt", ".in", ".yaml", ".yml", ".po", ".mako", ".ini", ""}
LEFT_OVER = re.compile(r"(?<![A-Za-z_])(TODO|FIXME|XXX|HACK)(?![A-Za-z_])")
# Spelled in two parts so that this file does not mention what it looks for.
PRIVATE = tuple(first + rest for first, rest in (
    ("/wo", "rk/"), ("/tm", "p/w/"), ("/ro", "ot/"), ("/op", "t/pypi"), ("/op", "t/wheels"), ("conta", "iner_info"),
))  # fmt: skip


def functions() -> Iterator[tuple[str, int]]:
    for path in modules():
        if named(path).startswith("migrations/versions/") or named(path) in LONG_FILES:
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{named(path)}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def test_files_are_short() -> None:
    long = {
        named(path): lines
        for path in modules()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES_MAX
        and named(path) not in LONG_FILES
    }
    assert not long


def test_functions_are_short() -> None:
    assert not {name: lines for name, lines in functions() if lines > FUNCTION_LINES_MAX}


def test_packages_hold_no_code() -> None:
    for path in modules():
        if path.name == "__init__.py":
            body = [node for node in tree(path).body if not isinstance(node, ast.Expr)]
            assert not body, f"{named(path)} holds code"


def test_public_things_have_a_docstring() -> None:
    bare = []
    for path in modules("auction", "config", "marketplace"):
        if ast.get_docstring(tree(path)) is None and path.name != "__init__.py":
            bare.append(named(path))
        for node in tree(path).body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and ast.get_docstring(node) is None:
                bare.append(f"{named(path)}:{node.lineno} {node.name}")
    assert not bare, "\n".join(bare)


def test_nothing_is_left_for_later() -> None:
    found = [
        f"{named(path)}: {match[1]}"
        for path in modules()
        if (match := LEFT_OVER.search(path.read_text(encoding="utf-8")))
    ]
    assert not found, found


def test_the_house_names_no_place_outside_itself() -> None:
    found = []
    for path in files():
        if path.suffix not in TEXT or path.stat().st_size > 2_000_000:
            continue
        words = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{named(path)}: {place}" for place in PRIVATE if place in words]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", ["README.md", "bin/run", "bin/test", "bin/market", "bin/lock", ".ci/run", "LICENSE"])
def test_a_newcomer_finds(name: str) -> None:
    path = HOUSE / name
    assert path.is_file()
    if name.startswith(("bin/", ".ci/")):
        assert path.stat().st_mode & 0o111, f"{name} can be run"
        assert path.read_text().startswith("#!/usr/bin/env bash\n")


def test_the_pins_answer_what_is_asked_for() -> None:
    for name in ("requirements", "requirements-dev", "requirements-setup"):
        pins = (HOUSE / f"{name}.txt").read_text()
        for line in (HOUSE / f"{name}.in").read_text().splitlines():
            if line and not line.startswith(("#", "-r")):
                wanted = re.split(r"[\[<>=]", line)[0].strip().lower()
                assert re.search(rf"^{re.escape(wanted)}(\[[^]]*\])?==.*\\$", pins, re.M | re.I), (
                    f"{wanted} in {name}.txt"
                )
        assert "--hash=sha256:" in pins
        assert "http" not in pins


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in files():
        if path.suffix == ".md":
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
                if not target.startswith(("http", "mailto:")) and not (path.parent / target).exists():
                    broken.append(f"{named(path)} -> {target}")
    assert not broken, "\n".join(broken)
