"""Brings a node's tables to the newest schema, in one transaction."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from common.kernel.refusal import conflict
from common.runtime.database import Database, shown


def migrate(database: Database, scripts: Path) -> str:
    """Run the Alembic migrations in `scripts`; answers the revision reached. Repeating it changes nothing.

    Raises Refusal where the store does not answer.
    """
    # Alembic takes most of a second to import: only the commands that migrate pay for it.
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext

    config = Config()
    config.set_main_option("script_location", str(scripts))
    with database.transaction("migrate") as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return MigrationContext.configure(connection).get_current_revision() or ""


def newest(scripts: Path) -> str:
    """The revision `migrate` reaches, told from the scripts' names: they begin with it, and ascend."""
    return max(path.name.partition("_")[0] for path in (scripts / "versions").glob("[0-9]*.py"))


def check_schema(url: str, scripts: Path, remedy: str) -> None:
    """Raises Refusal where the store does not answer, or is not at this version's schema; `remedy` is what to run."""
    database = Database(url)
    try:
        with database.snapshot() as connection:
            found = str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
    except DBAPIError as error:
        raise conflict(f"the store {shown(url)} is not ready ({_why(error)}); run `{remedy}`") from error
    finally:
        database.close()
    wanted = newest(scripts)
    if found < wanted:
        raise conflict(f"the store {shown(url)} has schema {found}, this version needs {wanted}; run `{remedy}`")
    if found > wanted:
        raise conflict(f"the store {shown(url)} has schema {found}, newer than this version's {wanted}; install newer")


def _why(error: DBAPIError) -> str:
    return str(error.orig).partition("\n")[0]
