"""The house's own files, as its tests read them."""

import ast
import subprocess
from functools import cache
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[2]
CODE = ("auction", "config", "marketplace", "migrations")


@cache
def files() -> tuple[Path, ...]:
    """Every file of the project, by what git keeps or would keep; without git, by what lies there."""
    asked = ["git", "-C", str(HOUSE), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        said = subprocess.run(asked, capture_output=True, check=True).stdout.decode()
        found = [HOUSE / name for name in said.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        left_out = {".git", ".venv", "var", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}
        found = [path for path in HOUSE.rglob("*") if not left_out & set(path.relative_to(HOUSE).parts)]
    return tuple(sorted(path for path in found if path.is_file()))


def modules(*packages: str) -> list[Path]:
    """The Python files of some packages; by default of everything that runs in the market."""
    return [path for path in files() if path.suffix == ".py" and named(path).split("/")[0] in (packages or CODE)]


def named(path: Path) -> str:
    """A file's name within the house."""
    return path.relative_to(HOUSE).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    """A module's syntax."""
    return ast.parse(path.read_text(encoding="utf-8"), named(path))


@cache
def imports(path: Path) -> tuple[str, ...]:
    """The full names that a module imports, wherever in it."""
    found: list[str] = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(found)
