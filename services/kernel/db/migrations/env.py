"""Alembic's entry point; the connection comes from `migrate`."""

from alembic import context

from services.kernel.db.migrations.seen_schema import note_oldest_code
from services.kernel.db.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    transaction_per_migration=True,
    compare_type=True,
    on_version_apply=note_oldest_code,
)
with context.begin_transaction():
    context.run_migrations()
