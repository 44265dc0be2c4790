"""Bytes by their digest, who holds them, and the files and uploads of users."""

from sqlalchemy import Column, Float, Index, PrimaryKeyConstraint, Table, Text

from sirdar.store.tables.base import Big, cascade, metadata

blobs = Table(
    "blobs",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("size_bytes", Big, nullable=False),
    Column("created_at", Float, nullable=False, index=True),  # or when it was last put: young blobs are not collected
    Column("quarantined_at", Float),
    sqlite_with_rowid=False,
)

blob_refs = Table(
    "blob_refs",
    metadata,
    Column("sha256", Text, nullable=False),
    Column("holder", Text, nullable=False, index=True),  # job:ID, version:ID, file:ID
    PrimaryKeyConstraint("sha256", "holder"),
    sqlite_with_rowid=False,
)

files = Table(
    "files",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner_id", Text, cascade("users.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size_bytes", Big, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, index=True),
)

Index("ix_files_owner_sha256", files.c.owner_id, files.c.sha256)

# While one lasts, no blob is collected: a backup copies rows first and the blobs that they name afterwards.
blob_holds = Table(
    "blob_holds",
    metadata,
    Column("id", Text, primary_key=True),
    Column(
        "expires_at", Float, nullable=False
    ),  # renewed while it is needed: a backup that died holds nothing for long
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner_id", Text, cascade("users.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("length", Big, nullable=False),
    Column("sha256", Text),  # as announced
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False, index=True),
)
