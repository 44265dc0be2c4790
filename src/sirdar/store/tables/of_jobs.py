"""Jobs, and what belongs to one as a whole: input sets, events, shares, notices."""

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

from sirdar.domain.states import OnFailure, State
from sirdar.store.tables.base import Big, cascade, metadata, one_of

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
    Column("labels_json", Text, nullable=False, server_default="{}"),  # what a resource must say of itself
    Column("secrets_of", Text),  # whose application's secrets travel with it, where that is not its owner
    Column("large_json", Text),  # [[beginning of the digest, bytes], ...] of large inputs that all tasks have
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
    Column("again_of", Text, index=True),  # the job that was submitted again; it may be gone
    Column("notify_json", Text),
    Column("code_version", Text, nullable=False, server_default=""),
    Column(
        "environment", Text, nullable=False, server_default=""
    ),  # what its tasks ran in: an image's digest, a lock's
    Column("code_files_json", Text),  # code resolved for this job, in place of the version's files
    Column("pending_json", Text),  # what SUBMITTED waits for: {"fetch": [...], "code": true, "after": [...]}
    Column("share_hash", Text, unique=True),
    Column("retention_s", Float),  # how long it is kept after its end; null: for good
    Column("expires_at", Float),  # when an ended job is removed
    Column("event_seq", Integer, nullable=False, server_default="0"),
    Column("criterion_json", Text),  # what is sought among its tasks, and on what it stops (domain.criterion)
    Column("best_task", Integer),  # the best that is done so far
    Column("best_value", Float),
    Column("met_task", Integer),  # the one that met the condition on which it stops
    Column("open_until", Float),  # its client may add tasks until then; null: no more come
    Column("cut_short", Text),  # why no more came, where its client has not said that these are all
    Column(
        "ordered", Integer, nullable=False, server_default="0"
    ),  # values of its table are kept in order (task_values)
    one_of("state", State),
    one_of("on_failure", OnFailure),
    CheckConstraint("waiting >= 0 AND leased >= 0 AND expanded >= 0 AND expanded <= total", name="counts"),
    CheckConstraint("waiting + leased + done + failed + cancelled = total", name="sum"),
    CheckConstraint("(ended_at IS NULL) = (state NOT IN ('DONE', 'FAILED', 'CANCELLED'))", name="ended"),
    CheckConstraint("(best_task IS NULL) = (best_value IS NULL)", name="best"),
    CheckConstraint("ended_at IS NULL OR open_until IS NULL", name="open"),
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
_OPEN = text("open_until IS NOT NULL")
Index("ix_jobs_open", jobs.c.open_until, sqlite_where=_OPEN, postgresql_where=_OPEN)
_IN_FLIGHT = text("ended_at IS NULL")
Index("ix_jobs_in_flight", jobs.c.owner_id, sqlite_where=_IN_FLIGHT, postgresql_where=_IN_FLIGHT)

job_waits = Table(
    "job_waits",
    metadata,
    Column("job_id", Text, cascade("jobs.id"), nullable=False),
    Column("on_job", Text, nullable=False, index=True),
    PrimaryKeyConstraint("job_id", "on_job"),
)

job_items = Table(
    "job_items",
    metadata,
    Column("job_id", Text, cascade("jobs.id"), nullable=False),
    Column("first", Integer, nullable=False),  # number of the first task in this chunk
    Column("items_json", Text, nullable=False),  # list of input sets, merged over the job's inputs
    Column("again_json", Text),  # of some tasks that are run again: list of their numbers in the job that is repeated
    PrimaryKeyConstraint("job_id", "first"),
)

# Why tasks of a job of many failed: a row for each kind, counted as they end.
job_failures = Table(
    "job_failures",
    metadata,
    Column("job_id", Text, cascade("jobs.id"), nullable=False),
    Column("kind", Text, nullable=False),  # domain.failures.FailureGroup.key
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),  # of the example
    Column("exit_code", Integer),
    Column("count", Integer, nullable=False),
    Column("example", Integer, nullable=False),  # the lowest number among them
    Column("differ", Integer, nullable=False),  # their messages are not all the same
    PrimaryKeyConstraint("job_id", "kind"),
)

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
    Column("version", Integer, nullable=False),  # number of the change among those of the job's variables
    PrimaryKeyConstraint("job_id", "name"),
)

job_shares = Table(
    "job_shares",
    metadata,
    Column("job_id", Text, cascade("jobs.id"), nullable=False),
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
