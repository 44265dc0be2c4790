"""The ledger: SQLAlchemy Core over SQLite or PostgreSQL. Functions named by intent take a connection and return dataclasses."""
