"""How Alembic reaches the database: the URL comes from the caller or from the environment."""

import os

from alembic import context
from sqlalchemy import create_engine, pool, text

from config.settings import sqlalchemy_url
from marketplace.app_tables import metadata

LOCK_MS = 5_000


def run() -> None:
    """Migrate in one transaction, refusing to wait for ever on a busy table."""
    url = context.config.get_main_option("sqlalchemy.url") or sqlalchemy_url(os.environ["DATABASE_URL"])
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=metadata, compare_type=True)
        with context.begin_transaction():
            connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_MS}"))
            context.run_migrations()


run()
