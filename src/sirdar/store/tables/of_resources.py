"""Attached machines, and the tokens with which they join."""

from sqlalchemy import CheckConstraint, Column, Float, ForeignKey, Integer, Table, Text

from sirdar.store.tables.base import cascade, metadata

resources = Table(
    "resources",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("owner_id", Text, ForeignKey("users.id"), nullable=False),
    Column("embedded", Integer, nullable=False, server_default="0"),  # the machine of the server, with shared blobs
    Column("public_key", Text),  # null until joined
    Column("capabilities_json", Text, nullable=False, server_default="{}"),
    Column("load_json", Text, nullable=False, server_default="{}"),
    Column("session", Text),
    Column("agent_version", Text, nullable=False, server_default=""),
    Column("mode", Text, nullable=False, server_default="active"),
    Column("seen_at", Float),
    Column("lease_until", Float),
    Column("unreachable_since", Float),
    Column("lost_after_s", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),
    CheckConstraint("mode IN ('active', 'drain')", name="mode"),
)

join_tokens = Table(
    "join_tokens",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("resource_id", Text, cascade("resources.id"), nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("used_at", Float),
)
