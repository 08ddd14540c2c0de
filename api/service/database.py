"""Transactions on SQLite or PostgreSQL, the database's clock, and the revision of its tables."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session

from .errors import DiskFull, SchemaMismatch, StorageUnavailable

_BUSY_SECONDS = 60
_UPGRADE_LOCK = 0x7A6B67726164  # an arbitrary number of our own: one process upgrades at a time
_MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """An engine and its two kinds of transactions. SQLite writes hold its one write lock from the start."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sqlite = url.startswith("sqlite")
        arguments: dict[str, Any] = {"timeout": _BUSY_SECONDS} if self.sqlite else {"connect_timeout": 10}
        self._engine = create_engine(
            url, connect_args=arguments, pool_pre_ping=not self.sqlite, pool_size=16, hide_parameters=True
        )
        if self.sqlite:
            _prepare_sqlite(self._engine)
        self._writer = self._engine.execution_options(writes=True)
        self._beater = self._engine.execution_options(writes=True, durable=False)

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A consistent view. StorageUnavailable when the database cannot be asked."""
        with _translated(), Session(self._engine) as session:
            yield session

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that is durable once the block has ended well, and undone otherwise.

        StorageUnavailable, DiskFull: nothing was written (or, if the connection broke at the very end, all of it).
        """
        with _translated(), Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextlib.contextmanager
    def write_soon(self) -> Iterator[Session]:
        """As `write`, but does not wait for the disk: all see it at once, a machine that loses power may forget it."""
        with _translated(), Session(self._beater, expire_on_commit=False) as session, session.begin():
            if not self.sqlite:
                session.execute(text("set local synchronous_commit to off"))
            yield session

    def now(self, session: Session) -> float:
        """Seconds since 1970 by the database's clock: the one clock that all workers share."""
        if self.sqlite:
            return time.time()
        return float(session.scalars(select(func.extract("epoch", func.clock_timestamp()))).one())

    def close(self) -> None:
        """Gives up all connections."""
        self._engine.dispose()

    # --- revisions ---

    def check_revision(self) -> None:
        """SchemaMismatch unless the tables are those of this program."""
        found, wanted = self._revision(), _head()
        if found != wanted:
            raise SchemaMismatch(
                f"the database is at revision {found or 'none'}, this program needs {wanted}: upgrade the older of the "
                "two (`zkgrad worker --upgrade-database` for the database)"
            )

    def empty(self) -> bool:
        """Whether there are no tables at all."""
        with _translated(), self._engine.connect() as connection:
            return not inspect(connection).get_table_names()

    def upgrade(self) -> None:
        """Brings the tables to this program's revision, in one transaction."""
        with _translated(), self._writer.begin() as connection:
            if not self.sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def _revision(self) -> str | None:
        with _translated(), self._engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()


def _prepare_sqlite(engine: Engine) -> None:
    """Write-ahead log, commits on disk unless they need not be, foreign keys, BEGIN IMMEDIATE for who will write."""

    def connect(connection: Any, _: object) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("writes", False):
            connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if options.get('durable', True) else 'NORMAL'}")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("BEGIN")

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", begin)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        _refuse(error)
    except DBAPIError as error:
        if error.connection_invalidated:
            _refuse(error)
        raise


def _refuse(error: DBAPIError) -> NoReturn:
    """SQLite and PostgreSQL name a full disk in words or by class 53; anything else operational may pass."""
    code = str(getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", ""))
    if code in ("53100", "SQLITE_FULL"):
        raise DiskFull("the database's disk is full") from error
    raise StorageUnavailable(f"the database cannot be used now ({type(error.orig).__name__} {code})") from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


@cache
def _head() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head
