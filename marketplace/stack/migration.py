"""Bring a database up to the present."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, pool, text
from sqlalchemy.exc import ProgrammingError

HOUSE = Path(__file__).resolve().parents[2]


def migrate(url: str) -> None:
    """Apply every migration that the database has not seen, in one transaction."""
    command.upgrade(config_of(url), "head")


def pending(url: str) -> bool:
    """Whether the database lacks a migration."""
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        try:
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        except ProgrammingError:
            return True
    return found != ScriptDirectory.from_config(config_of(url)).get_current_head()


def config_of(url: str) -> Config:
    """Return how migrations find a database and themselves."""
    config = Config()
    config.set_main_option("script_location", str(HOUSE / "migrations").replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config
