"""The database's schema: brought to the newest revision when a server starts."""

import sqlalchemy as sa

from sirdar.services.settings import Settings
from sirdar.store.tables import metadata


def migrate(settings: Settings) -> None:
    """Make what is missing."""
    engine = sa.create_engine(settings.database_url)
    metadata.create_all(engine)
    engine.dispose()
