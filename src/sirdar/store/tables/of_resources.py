"""Attached machines, whom they are shared with, the tokens with which they join, and those that attach throw-away ones."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from sirdar.store.tables.base import cascade, metadata

resources = Table(
    "resources",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("owner_id", Text, ForeignKey("users.id"), nullable=False),
    Column("embedded", Integer, nullable=False, server_default="0"),  # the machine of the server, with shared blobs
    Column("public_key", Text),  # null until joined
    Column("capabilities_json", Text, nullable=False, server_default="{}"),
    Column("load_json", Text, nullable=False, server_default="{}"),
    Column("load_at", Float),  # when the agent said it
    Column("session", Text),
    Column("agent_version", Text, nullable=False, server_default=""),
    Column("mode", Text, nullable=False, server_default="active"),
    Column("drained_at", Float),  # since when the mode is drain
    Column("seen_at", Float),
    Column("online_since", Float),  # since when its agent answers without a break
    Column("lease_until", Float),
    Column("unreachable_since", Float),
    Column("lost_after_s", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),  # its agent has no access until somebody joins again
    Column("deleted_at", Float),  # kept for the jobs that ran there; its name is free
    Index(
        "resources_name",
        "name",
        unique=True,
        sqlite_where=text("deleted_at IS NULL"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
    CheckConstraint("mode IN ('active', 'drain')", name="mode"),
)

resource_shares = Table(
    "resource_shares",
    metadata,
    Column("resource_id", Text, cascade("resources.id"), nullable=False),
    Column("subject", Text, nullable=False),  # user:NAME, group:NAME or everyone
    PrimaryKeyConstraint("resource_id", "subject"),
)

join_tokens = Table(
    "join_tokens",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("resource_id", Text, cascade("resources.id"), nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("used_at", Float),
)

resource_tokens = Table(
    "resource_tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("token_hash", Text, nullable=False, unique=True),
    Column("resource_id", Text, cascade("resources.id"), nullable=False, index=True),
    Column("label", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
)
