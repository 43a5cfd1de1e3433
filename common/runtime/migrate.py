"""Brings a node's tables to the newest schema, in one transaction."""

from __future__ import annotations

from pathlib import Path

from common.runtime.database import Database


def migrate(database: Database, scripts: Path) -> str:
    """Run the Alembic migrations in `scripts`; answers the revision reached. Repeating it changes nothing."""
    # Alembic takes most of a second to import: only the commands that migrate pay for it.
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext

    config = Config()
    config.set_main_option("script_location", str(scripts))
    with database.transaction() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return MigrationContext.configure(connection).get_current_revision() or ""
