"""A service's storage opened: settings, database, blobs and the key of secrets, in one object."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from .blobs import Blobs, open_blobs
from .database import Database
from .errors import SchemaMismatch, StorageUnavailable
from .schema import Tenant
from .sealing import Vault, open_vault
from .settings import Settings


@dataclass(frozen=True, repr=False)
class Store:
    """What every function of the service takes first. Safe to share between threads, not between forks."""

    settings: Settings
    database: Database
    blobs: Blobs
    vault: Vault

    def ready(self) -> None:
        """StorageUnavailable or SchemaMismatch when the service cannot work now."""
        self.database.check_revision()
        with self.database.read() as session:
            session.scalars(select(Tenant.id).limit(1)).all()

    def close(self) -> None:
        """Gives up connections."""
        self.database.close()


def open_store(settings: Settings, *, migrate: bool = False) -> Store:
    """Opens the storage that the settings name.

    `migrate` makes the tables of a database that has none; one of another revision is never touched, but refused with
    SchemaMismatch. Errors: StorageUnavailable, SchemaMismatch.
    """
    _make_folder(settings)
    database = Database(settings.database_url)
    if database.empty():
        if not migrate:
            raise SchemaMismatch("the database has no tables yet: `zkgrad worker --upgrade-database` makes them")
        database.upgrade()
    database.check_revision()
    return Store(settings, database, open_blobs(settings), open_vault(settings.wrapping_key_file))


def upgrade_database(settings: Settings) -> None:
    """Brings the tables to this program's revision, from none or from an older one. StorageUnavailable."""
    _make_folder(settings)
    database = Database(settings.database_url)
    try:
        database.upgrade()
    finally:
        database.close()


def _make_folder(settings: Settings) -> None:
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StorageUnavailable(f"cannot make {settings.data}: {error.strerror}") from None
