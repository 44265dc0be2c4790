"""Tasks, and the attempts at them."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from sirdar.domain.states import AttemptState
from sirdar.store.tables.base import Big, cascade, metadata, one_of

tasks = Table(
    "tasks",
    metadata,
    Column("job_id", Text, cascade("jobs.id"), nullable=False),
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
    Column("failure", Text),  # of a failed one: the same for messages that are alike (domain.failures.kind_of)
    Column("result_json", Text),
    Column("stats_json", Text),
    Column("stdout_json", Text),
    Column("stderr_json", Text),
    Column("debug_json", Text),
    Column("status_message", Text),
    Column("progress", Float),
    Column("progressed_at", Float),  # when the program said so
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
_FAILED = text("state = 'FAILED'")
Index("ix_tasks_failed", tasks.c.job_id, tasks.c.no, sqlite_where=_FAILED, postgresql_where=_FAILED)
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
    Column("staging_at", Float),
    Column("staged_at", Float),  # when its files were there; it may have waited for a slot since
    Column("started_at", Float),
    Column("ended_at", Float),  # when the program ended
    Column("reported_at", Float),  # when its outputs were here
    Column("cancel_at", Float),  # the agent shall end it
    Column("give_back_at", Float),  # the agent shall give it back if it has not started
    Column("reason", Text),
    Column("message", Text),
    Column("exit_code", Integer),
    PrimaryKeyConstraint("job_id", "task_no", "no"),
    one_of("state", AttemptState),
    CheckConstraint("(state = 'ENDED') = (reason IS NOT NULL)", name="outcome"),
    sqlite_with_rowid=False,
)
_LIVE = text("state <> 'ENDED'")
Index("ix_attempts_live", attempts.c.resource_id, sqlite_where=_LIVE, postgresql_where=_LIVE)
_OFFERED = text("state = 'OFFERED'")
Index("ix_attempts_offered", attempts.c.offered_at, sqlite_where=_OFFERED, postgresql_where=_OFFERED)

# What programs used: pieces that were told while they ran, one whole curve when an attempt has ended.
task_usage = Table(
    "task_usage",
    metadata,
    Column("job_id", Text, nullable=False),
    Column("task_no", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("since_s", Float, nullable=False),  # the first row's time
    Column("rows_json", Text, nullable=False),  # a list of domain.usage.Row
    PrimaryKeyConstraint("job_id", "task_no", "attempt", "since_s"),
    sqlite_with_rowid=False,
)

# The values of a job's table in order: made when somebody first sorts or filters by one, and kept up as tasks end from then on.
task_columns = Table(
    "task_columns",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("job_id", Text, cascade("jobs.id"), nullable=False),
    Column("name", Text, nullable=False),  # domain.task_table.Column.name
    Column("upto", Integer, nullable=False),  # tasks below this have their values here
    UniqueConstraint("job_id", "name"),
)
_LETTERS = Text().with_variant(Text(collation="C"), "postgresql")  # by code points, as SQLite sorts
task_values = Table(
    "task_values",
    metadata,
    Column("col", Big, nullable=False),  # a task_columns.id; no foreign key: it would be looked up for every value
    Column("no", Integer, nullable=False),
    Column("number", Float),  # of numbers and truths
    Column("letters", _LETTERS),  # the beginning of a text
    PrimaryKeyConstraint("col", "no"),
    CheckConstraint("(number IS NULL) <> (letters IS NULL)", name="one"),
    sqlite_with_rowid=False,
)
Index("ix_task_values_order", task_values.c.col, task_values.c.number, task_values.c.letters, task_values.c.no)
