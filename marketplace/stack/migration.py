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
    command.upgrade(_config(url), "head")


def pending(url: str) -> bool:
    """Whether the database lacks a migration."""
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        try:
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        except ProgrammingError:
            return True
    return found != ScriptDirectory.from_config(_config(url)).get_current_head()


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(HOUSE / "migrations").replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config
