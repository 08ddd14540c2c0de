"""Alembic's entry: runs revisions on the connection that `Database.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from api.service.schema import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
