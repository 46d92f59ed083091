"""Imports only go down, tables are private, and what is dangerous has one importer."""

import subprocess
import sys

import pytest

from tests.house.sources import HOUSE, imports, modules, named

pytestmark = pytest.mark.xdist_group("house")  # one process reads the house

# Rooms that read models may join: reports/ reads every table, the metadata collects them.
MAY_SEE_TABLES = ("marketplace/reports/", "marketplace/app_tables.py", "migrations/")


def test_imports_only_go_down() -> None:
    asked = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as check; check()", "--no-cache"]
    done = subprocess.run(asked, cwd=HOUSE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[done.stdout.find("Broken contracts") :] + done.stderr


def test_tables_are_private_to_their_room() -> None:
    strangers = []
    for path in modules("marketplace", "auction", "config"):
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "marketplace" and "tables" in parts[2:4]:
                own = f"marketplace/{parts[1]}/"
                if not named(path).startswith((own, *MAY_SEE_TABLES)):
                    strangers.append(f"{named(path)} imports {name}")
    assert not strangers, "\n".join(strangers)


@pytest.mark.parametrize(
    ("library", "importers"),
    [
        ("stripe", {"marketplace/payments/stripe_gateway.py"}),
        ("apscheduler", {"marketplace/jobs/schedule.py"}),
        ("sklearn", {"marketplace/rating/training.py", "marketplace/receivables/matching/learning.py"}),
        ("auction", {"marketplace/trading/engine.py", "marketplace/commands/auction.py"}),
    ],
)
def test_one_module_imports(library: str, importers: set[str]) -> None:
    found = {
        named(path)
        for path in modules("marketplace", "config", "migrations")
        for name in imports(path)
        if name.split(".")[0] == library
    }
    assert found <= importers


def test_only_perform_commits() -> None:
    """Sessions are committed in one place; what else writes (job runs, windows, the signer) says `engine.begin()`."""
    found = [named(path) for path in modules("marketplace") if "session.commit()" in path.read_text(encoding="utf-8")]
    assert not found, found


def test_one_module_reads_a_clock() -> None:
    """Rules get the time; only the kernel's clock looks at one. Measuring durations is another matter."""
    words = ("datetime.now(", "datetime.utcnow(", "date.today(", "time.time(")
    found = [
        f"{named(path)}: {word}"
        for path in modules("marketplace", "auction")
        for word in words
        if word in path.read_text(encoding="utf-8")
        and named(path) != "marketplace/kernel/clock.py"
        and not named(path).startswith("marketplace/payments/sandbox/")  # the outside has a clock of its own
    ]
    assert not found, found
