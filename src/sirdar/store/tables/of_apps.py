"""Applications, their versions, whom they are shared with, their secrets."""

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
    UniqueConstraint,
)

from sirdar.store.tables.base import cascade, metadata

apps = Table(
    "apps",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner_id", Text, ForeignKey("users.id"), nullable=False),
    Column("alias", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("annotation", Text, nullable=False, server_default=""),
    Column("keywords", Text, nullable=False, server_default=""),  # a line for each
    Column("search_text", Text, nullable=False, server_default=""),  # all that a search looks at, case-folded
    Column("latest", Integer, nullable=False),  # the current version: the number that was published last
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("archived_at", Float),
    UniqueConstraint("owner_id", "alias"),
)
Index("ix_apps_updated", apps.c.updated_at, apps.c.id)
Index("ix_apps_owner_updated", apps.c.owner_id, apps.c.updated_at, apps.c.id)

versions = Table(
    "versions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("app_id", Text, cascade("apps.id"), nullable=False),
    Column("number", Integer, nullable=False),  # below zero: made for jobs out of the version ``base``, and in no list
    Column("base", Integer),
    Column("digest", Text, nullable=False),  # of the canonical document and the files
    Column("document_json", Text, nullable=False),
    Column("files_json", Text, nullable=False),  # [[path, sha256, size, mode], ...]
    Column("code_version", Text, nullable=False, server_default=""),
    Column("note", Text, nullable=False, server_default=""),
    Column("created_at", Float, nullable=False),
    Column("created_by", Text, nullable=False),
    UniqueConstraint("app_id", "number"),
    UniqueConstraint("app_id", "digest"),
)

app_shares = Table(
    "app_shares",
    metadata,
    Column("app_id", Text, cascade("apps.id"), nullable=False),
    Column("subject", Text, nullable=False),  # user:NAME, group:NAME or everyone
    Column("permission", Text, nullable=False),  # run or view
    PrimaryKeyConstraint("app_id", "subject"),
    CheckConstraint("permission IN ('run', 'view')", name="permission"),
)
Index("ix_app_shares_subject", app_shares.c.subject, app_shares.c.app_id)

app_secrets = Table(
    "app_secrets",
    metadata,
    Column("app_id", Text, cascade("apps.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("cipher", Text, nullable=False),
    PrimaryKeyConstraint("app_id", "name"),
)
