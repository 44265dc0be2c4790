"""Run by Alembic: applies migrations on the connection that ``store.schema`` hands over."""

from alembic import context

from sirdar.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=False,
)
with context.begin_transaction():
    context.run_migrations()
