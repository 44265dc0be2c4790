"""All tables. Invariants stand here too: CHECKs, partial unique indexes, foreign keys.

JSON is kept as text in columns that end in ``_json``; times are float seconds since 1970 (UTC) in columns that end in ``_at``;
wishes (``cancel_requested_at``, ``delete_requested_at``) are columns, not states.
"""

from sirdar.store.tables.base import metadata
from sirdar.store.tables.of_apps import app_secrets, app_shares, apps, versions
from sirdar.store.tables.of_files import blob_holds, blob_refs, blobs, files, uploads
from sirdar.store.tables.of_jobs import (
    events,
    idempotency,
    job_failures,
    job_items,
    job_shares,
    job_waits,
    jobs,
    notices,
    variables,
)
from sirdar.store.tables.of_people import (
    audit,
    cli_grants,
    group_members,
    groups,
    login_links,
    spent_states,
    tokens,
    users,
)
from sirdar.store.tables.of_resources import join_tokens, resource_shares, resource_tokens, resources
from sirdar.store.tables.of_tasks import attempts, task_columns, task_usage, task_values, tasks

__all__ = [
    "app_secrets",
    "app_shares",
    "apps",
    "attempts",
    "audit",
    "blob_holds",
    "blob_refs",
    "blobs",
    "cli_grants",
    "events",
    "files",
    "group_members",
    "groups",
    "idempotency",
    "job_failures",
    "job_items",
    "job_shares",
    "job_waits",
    "jobs",
    "join_tokens",
    "login_links",
    "metadata",
    "notices",
    "resource_shares",
    "resource_tokens",
    "resources",
    "spent_states",
    "task_columns",
    "task_usage",
    "task_values",
    "tasks",
    "tokens",
    "uploads",
    "users",
    "variables",
    "versions",
]
