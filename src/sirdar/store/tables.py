"""All tables. Invariants stand here too: CHECKs, partial unique indexes, foreign keys.

JSON is kept as text in columns that end in ``_json``; times are float seconds since 1970 (UTC) in columns that end in ``_at``;
wishes (``cancel_requested_at``, ``delete_requested_at``) are columns, not states.
"""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import BigInteger

from sirdar.domain.states import AttemptState, OnFailure, State

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Big = BigInteger().with_variant(Integer, "sqlite")  # SQLite's rowid alias must be INTEGER


def _one_of(column: str, values: type) -> CheckConstraint:
    names = ", ".join(f"'{member.value}'" for member in values)  # type: ignore[attr-defined]
    return CheckConstraint(f"{column} IN ({names})", name=column)


def _cascade(target: str) -> ForeignKey:
    return ForeignKey(target, ondelete="CASCADE")


# ---------------------------------------------------------------- people

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
    Column("group_name", Text, _cascade("groups.name"), nullable=False),
    Column("user_id", Text, _cascade("users.id"), nullable=False, index=True),
    PrimaryKeyConstraint("group_name", "user_id"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, _cascade("users.id"), nullable=False, index=True),
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
    Column("user_id", Text, _cascade("users.id"), nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("used_at", Float),
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

# ---------------------------------------------------------------- applications

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
    Column("app_id", Text, _cascade("apps.id"), nullable=False),
    Column("number", Integer, nullable=False),
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
    Column("app_id", Text, _cascade("apps.id"), nullable=False),
    Column("subject", Text, nullable=False),  # user:NAME, group:NAME or everyone
    Column("permission", Text, nullable=False),  # run or view
    PrimaryKeyConstraint("app_id", "subject"),
    CheckConstraint("permission IN ('run', 'view')", name="permission"),
)
Index("ix_app_shares_subject", app_shares.c.subject, app_shares.c.app_id)

app_secrets = Table(
    "app_secrets",
    metadata,
    Column("app_id", Text, _cascade("apps.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("cipher", Text, nullable=False),
    PrimaryKeyConstraint("app_id", "name"),
)

# ---------------------------------------------------------------- resources

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
    Column("resource_id", Text, _cascade("resources.id"), nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("used_at", Float),
)

# ---------------------------------------------------------------- jobs

jobs = Table(
    "jobs",
    metadata,
    Column("seq", Big, primary_key=True, autoincrement=True),  # order of creation, for lists
    Column("id", Text, nullable=False, unique=True),
    Column("owner_id", Text, ForeignKey("users.id"), nullable=False),
    Column("app_id", Text, ForeignKey("apps.id"), nullable=False),
    Column("version_id", Text, ForeignKey("versions.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("inputs_json", Text, nullable=False),  # files as $file, secrets as $secret (sealed)
    Column("overrides_json", Text, nullable=False, server_default="{}"),
    Column("resources_json", Text, nullable=False, server_default="[]"),  # resource ids chosen; empty: any
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("cpus", Integer, nullable=False, server_default="1"),  # needs of one task
    Column("memory_bytes", Big, nullable=False, server_default="0"),
    Column("gpus", Integer, nullable=False, server_default="0"),
    Column("nodes", Integer, nullable=False, server_default="1"),
    Column("retries", Integer, nullable=False),
    Column("on_failure", Text, nullable=False, server_default="continue"),
    Column("debug", Integer, nullable=False, server_default="0"),
    Column("many", Integer, nullable=False, server_default="0"),  # was submitted with foreach
    # counts of tasks; total = waiting + leased + done + failed + cancelled while the job has not ended
    Column("total", Integer, nullable=False),
    Column("expanded", Integer, nullable=False, server_default="0"),  # tasks that have a row: numbers below this
    Column("waiting", Integer, nullable=False),  # not expanded yet, or READY again
    Column("leased", Integer, nullable=False, server_default="0"),  # offered .. staging out
    Column("done", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("cancelled", Integer, nullable=False, server_default="0"),
    Column("created_at", Float, nullable=False),
    Column("ready_at", Float),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("reason", Text),
    Column("message", Text),
    Column("exit_code", Integer),
    Column("status_message", Text),
    Column("progress", Float),
    Column("metrics_json", Text),
    Column("cancel_requested_at", Float),
    Column("cancel_requested_by", Text),
    Column("delete_requested_at", Float),
    Column("parent_job", Text, index=True),
    Column("parent_task", Integer),
    Column("notify_json", Text),
    Column("code_version", Text, nullable=False, server_default=""),
    Column("code_files_json", Text),  # code resolved for this job, in place of the version's files
    Column("pending_json", Text),  # what SUBMITTED waits for: {"fetch": [...], "code": true, "after": [...]}
    Column("share_hash", Text, unique=True),
    Column("retention_s", Float),  # how long it is kept after its end; null: for good
    Column("expires_at", Float),  # when an ended job is removed
    Column("event_seq", Integer, nullable=False, server_default="0"),
    _one_of("state", State),
    _one_of("on_failure", OnFailure),
    CheckConstraint("waiting >= 0 AND leased >= 0 AND expanded >= 0 AND expanded <= total", name="counts"),
    CheckConstraint("waiting + leased + done + failed + cancelled = total", name="sum"),
    CheckConstraint("(ended_at IS NULL) = (state NOT IN ('DONE', 'FAILED', 'CANCELLED'))", name="ended"),
    CheckConstraint("ended_at IS NULL OR (waiting = 0 AND leased = 0 AND reason IS NOT NULL)", name="quiet"),
)
# What lists of jobs are searched by stands in the index: rows are read only for what is shown.
Index("ix_jobs_owner_seq", jobs.c.owner_id, jobs.c.seq, jobs.c.created_at, jobs.c.app_id, jobs.c.name, jobs.c.id)
Index("ix_jobs_owner_state_seq", jobs.c.owner_id, jobs.c.state, jobs.c.seq)
Index("ix_jobs_app_seq", jobs.c.app_id, jobs.c.seq)
_WAITING = text("waiting > 0 AND state IN ('READY', 'RUNNING')")
_FIRST = jobs.c.priority.desc()  # the index is in the queue's order: its head is read without sorting the rest
Index("ix_jobs_queue", _FIRST, jobs.c.seq, jobs.c.owner_id, sqlite_where=_WAITING, postgresql_where=_WAITING)
Index("ix_jobs_queue_owner", jobs.c.owner_id, _FIRST, jobs.c.seq, sqlite_where=_WAITING, postgresql_where=_WAITING)
_PENDING = text("state = 'SUBMITTED'")
Index("ix_jobs_pending", jobs.c.seq, sqlite_where=_PENDING, postgresql_where=_PENDING)
_EXPIRES = text("expires_at IS NOT NULL")
Index("ix_jobs_expires", jobs.c.expires_at, sqlite_where=_EXPIRES, postgresql_where=_EXPIRES)
_DELETE = text("delete_requested_at IS NOT NULL")
Index("ix_jobs_delete", jobs.c.seq, sqlite_where=_DELETE, postgresql_where=_DELETE)
_IN_FLIGHT = text("ended_at IS NULL")
Index("ix_jobs_in_flight", jobs.c.owner_id, sqlite_where=_IN_FLIGHT, postgresql_where=_IN_FLIGHT)

job_waits = Table(
    "job_waits",
    metadata,
    Column("job_id", Text, _cascade("jobs.id"), nullable=False),
    Column("on_job", Text, nullable=False, index=True),
    PrimaryKeyConstraint("job_id", "on_job"),
)

job_items = Table(
    "job_items",
    metadata,
    Column("job_id", Text, _cascade("jobs.id"), nullable=False),
    Column("first", Integer, nullable=False),  # number of the first task in this chunk
    Column("items_json", Text, nullable=False),  # list of input sets, merged over the job's inputs
    PrimaryKeyConstraint("job_id", "first"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("job_id", Text, _cascade("jobs.id"), nullable=False),
    Column("no", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),  # the current one: only it can end the task
    Column("last_attempt", Integer, nullable=False),  # the newest one given out
    Column("offer", Integer, nullable=False, server_default="0"),  # the one that is offered and not accepted yet
    Column("leased", Integer, nullable=False, server_default="0"),  # an attempt is offered, or the current one lives
    Column("faults", Integer, nullable=False, server_default="0"),  # ends that were the platform's fault
    Column("not_before", Float),
    Column("resource_id", Text),
    Column("ready_at", Float),
    Column("staging_at", Float),
    Column("started_at", Float),
    Column("ended_at", Float),  # when the program ended
    Column("reported_at", Float),  # when its outputs were here
    Column("reason", Text),
    Column("message", Text),
    Column("exit_code", Integer),
    Column("result_json", Text),
    Column("stats_json", Text),
    Column("stdout_json", Text),
    Column("stderr_json", Text),
    Column("debug_json", Text),
    Column("status_message", Text),
    Column("progress", Float),
    Column("metrics_json", Text),
    PrimaryKeyConstraint("job_id", "no"),
    CheckConstraint("state IN ('READY', 'RUNNING', 'DONE', 'FAILED', 'CANCELLED')", name="state"),
    CheckConstraint("attempt >= 0 AND attempt <= last_attempt", name="attempt"),
    CheckConstraint("offer = 0 OR (offer = last_attempt AND offer > attempt AND leased = 1)", name="offer"),
    CheckConstraint("(reason IS NULL) = (state IN ('READY', 'RUNNING'))", name="outcome"),
    sqlite_with_rowid=False,
)
_RUNNING = text("state = 'RUNNING'")
Index("ix_tasks_running", tasks.c.job_id, sqlite_where=_RUNNING, postgresql_where=_RUNNING)
_REQUEUED = text("state = 'READY' AND leased = 0")
Index("ix_tasks_ready", tasks.c.job_id, tasks.c.no, sqlite_where=_REQUEUED, postgresql_where=_REQUEUED)

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", Text, nullable=False),
    Column("task_no", Integer, nullable=False),
    Column("no", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("resource_id", Text, nullable=False),
    Column("session", Text, nullable=False),  # the agent's life that it was offered to
    Column("offered_at", Float, nullable=False),
    Column("accepted_at", Float),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("cancel_at", Float),  # the agent shall end it
    Column("reason", Text),
    Column("message", Text),
    Column("exit_code", Integer),
    PrimaryKeyConstraint("job_id", "task_no", "no"),
    _one_of("state", AttemptState),
    CheckConstraint("(state = 'ENDED') = (reason IS NOT NULL)", name="outcome"),
    sqlite_with_rowid=False,
)
_LIVE = text("state <> 'ENDED'")
Index("ix_attempts_live", attempts.c.resource_id, sqlite_where=_LIVE, postgresql_where=_LIVE)
_OFFERED = text("state = 'OFFERED'")
Index("ix_attempts_offered", attempts.c.offered_at, sqlite_where=_OFFERED, postgresql_where=_OFFERED)

events = Table(
    "events",
    metadata,
    Column("job_id", Text, nullable=False),
    Column("seq", Integer, nullable=False),  # per job, given under the job's row lock
    Column("at", Float, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data_json", Text, nullable=False),
    PrimaryKeyConstraint("job_id", "seq"),
    sqlite_with_rowid=False,
)

variables = Table(
    "variables",
    metadata,
    Column("job_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("job_id", "name"),
)

job_shares = Table(
    "job_shares",
    metadata,
    Column("job_id", Text, _cascade("jobs.id"), nullable=False),
    Column("subject", Text, nullable=False, index=True),  # user:NAME or group:NAME
    PrimaryKeyConstraint("job_id", "subject"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("user_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body_hash", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("created_at", Float, nullable=False, index=True),
    PrimaryKeyConstraint("user_id", "key"),
)

notices = Table(
    "notices",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_id", Text, nullable=False, index=True),
    Column("target_json", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("next_at", Float),
    Column("last_error", Text),
    Column("created_at", Float, nullable=False),
    Column("delivered_at", Float),
    CheckConstraint("state IN ('waiting', 'delivered', 'gave_up')", name="state"),
)
_DUE = text("state = 'waiting'")
Index("ix_notices_due", notices.c.next_at, sqlite_where=_DUE, postgresql_where=_DUE)

# ---------------------------------------------------------------- files

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
    Column("owner_id", Text, _cascade("users.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size_bytes", Big, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, index=True),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner_id", Text, _cascade("users.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("length", Big, nullable=False),
    Column("sha256", Text),  # as announced
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False, index=True),
)
