"""Users, groups, tokens, and who did what."""

from sqlalchemy import CheckConstraint, Column, Float, Integer, PrimaryKeyConstraint, Table, Text, UniqueConstraint

from sirdar.store.tables.base import Big, cascade, metadata

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("password_hash", Text),
    Column("email", Text),
    Column("is_admin", Integer, nullable=False, server_default="0"),
    Column("can_publish", Integer, nullable=False, server_default="0"),
    Column("quota_jobs", Integer),  # jobs in flight; null: the server's setting
    Column("quota_bytes", Big),
    Column("retention_s", Float),  # how long the user's ended jobs are kept; null: the server's setting
    Column("cpu_s", Float, nullable=False, server_default="0"),  # usage so far
    Column("jobs_ended", Big, nullable=False, server_default="0"),
    Column("notify_json", Text),
    Column("created_at", Float, nullable=False),
    Column("disabled_at", Float),
    # Who comes from outside: the provider's issuer or the directory's address, and who it is there. Null: a local account.
    Column("provider", Text),
    Column("subject", Text),
    Column("confirmed_at", Float),  # when that was last proved by signing in; 0: refused since
    UniqueConstraint("provider", "subject"),
    CheckConstraint(
        "(provider IS NULL) = (subject IS NULL) AND (provider IS NULL) = (confirmed_at IS NULL)", name="whole_origin"
    ),
    CheckConstraint("provider IS NULL OR password_hash IS NULL", name="one_way_in"),
)

groups = Table(
    "groups",
    metadata,
    Column("name", Text, primary_key=True),
    Column("created_at", Float, nullable=False),
)

group_members = Table(
    "group_members",
    metadata,
    Column("group_name", Text, cascade("groups.name"), nullable=False),
    Column("user_id", Text, cascade("users.id"), nullable=False, index=True),
    Column("from_outside", Integer, nullable=False, server_default="0"),  # 1: kept in step at each sign-in
    PrimaryKeyConstraint("group_name", "user_id"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, cascade("users.id"), nullable=False, index=True),
    Column("label", Text, nullable=False),
    Column("token_hash", Text, nullable=False, unique=True),  # sha256 of the token, which has 256 bits of chance
    Column("scopes", Text, nullable=False),  # words joined by spaces
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("last_used_at", Float),
    Column("revoked_at", Float),
)

login_links = Table(
    "login_links",
    metadata,
    Column("link_hash", Text, primary_key=True),
    Column("user_id", Text, cascade("users.id"), nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("used_at", Float),
)

# What a browser allowed a command line, until that fetches its token.
cli_grants = Table(
    "cli_grants",
    metadata,
    Column("code_hash", Text, primary_key=True),
    Column("user_id", Text, cascade("users.id"), nullable=False),
    Column("challenge", Text, nullable=False),  # sha256 of what only that command line knows
    Column("label", Text, nullable=False),
    Column("lifetime_s", Float),
    Column("expires_at", Float, nullable=False),
)

# Sign-ins at a provider that came back: each may do so once.
spent_states = Table(
    "spent_states",
    metadata,
    Column("state_hash", Text, primary_key=True),
    Column("expires_at", Float, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),  # user's name, or system
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("detail_json", Text),
)
