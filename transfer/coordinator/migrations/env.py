"""Alembic's entry: run the migrations on the connection at hand."""

from __future__ import annotations

from alembic import context

from transfer.coordinator.database import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
