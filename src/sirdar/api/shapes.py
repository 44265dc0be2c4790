"""Shapes of replies, for the OpenAPI document alone: replies are made as plain JSON (``api/render.py``), which is quicker.

``tests/system/test_schemathesis.py`` holds the server's replies against them.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Time = str | None


class Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")


class Outcome(Shape):
    """How a job or task ended, and whose fault it was."""

    reason: str | None
    message: str | None
    exit_code: int | None
    fault: str | None


class TaskCounts(Shape):
    total: int
    waiting: int
    running: int
    done: int
    failed: int
    cancelled: int


class Place(Shape):
    """The resource that a task ran on."""

    id: str
    name: str


class Stats(Shape):
    """Times in seconds, sizes in bytes; rows of the curve: seconds since the start, CPU seconds, memory."""

    cpu_user_s: float = 0
    cpu_system_s: float = 0
    max_rss_bytes: int = 0
    staged_in_bytes: int = 0
    staged_out_bytes: int = 0
    curve: list[list[float]] = []


class JobSummary(Shape):
    """A job in a list."""

    id: str
    name: str
    state: str = Field(description="SUBMITTED, READY, RUNNING, DONE, FAILED or CANCELLED")
    info: str | None
    app_id: str
    app_alias: str
    app_name: str
    app: str
    app_version: int
    code_version: str | None
    owner: str
    created_at: Time
    submitted_at: Time
    ready_at: Time
    started_at: Time
    ended_at: Time
    wait_s: float | None = None
    run_s: float | None = None
    status_message: str | None = None
    progress: float | None = None
    metrics: dict[str, float] = {}
    tasks: TaskCounts
    outcome: Outcome | None = None
    on_failure: str
    stdout: str
    stderr: str
    url: str
    parent: str | None = None
    again_of: str | None = Field(None, description="The job that was submitted again")
    after: list[str] = []
    cancel_requested_at: Time = None
    cancel_requested_by: str | None = None


class Job(JobSummary):
    """A whole job. ``result``: of one task an object, of many a list with nulls, or the URI of one."""

    inputs: dict[str, Any] = {}
    result: dict[str, Any] | list[dict[str, Any] | None] | str | None = None
    resource: Place | None = None
    attempts: int | None = None
    stats: Stats | None = None
    debug_archive: str | None = None
    left_s: float | None = Field(
        None, description="Of many tasks: about how long it still takes; null while nobody knows"
    )
    permissions: dict[str, bool] | None = None
    warnings: list[str] = Field([], description="In the reply to a submission alone: why it may wait for ever")


class Task(Shape):
    no: int
    id: str
    name: str
    state: str
    phase: str | None
    resource: Place | None
    submitted_at: Time
    ready_at: Time
    started_at: Time
    ended_at: Time
    total_s: float | None
    wait_s: float | None
    run_s: float | None
    staged_in_bytes: int
    staged_out_bytes: int
    attempts: int
    outcome: Outcome | None
    result: dict[str, Any] | None
    stats: Stats
    status_message: str | None
    progress: float | None
    metrics: dict[str, float]
    inputs: dict[str, Any] | None = None


class Column(Shape):
    """Of the table of a job's tasks."""

    name: str = Field(description="no, state, resource, waitS, runS, inputs.NAME or outputs.NAME")
    kind: str = Field(description="number, text or boolean")
    title: str


class TaskTable(Shape):
    """Each row has a value, or null, for each column."""

    columns: list[Column]
    rows: list[list[Any]]


class Failure(Shape):
    """Tasks that failed alike; ``example`` is the number of the first."""

    reason: str
    message: str
    exit_code: int | None
    fault: str | None
    count: int
    example: int


class Points(Shape):
    """Points of a plot: number of the task, x, y, colour. ``sampled``: they are some, evenly, of those ``of`` which there are."""

    x: Column
    y: Column
    color: Column | None
    points: list[list[Any]]
    sampled: bool
    of: int


class Why(Shape):
    code: str
    text: str


class Explanation(Shape):
    """Why it waits, or why it ended so; ``try`` says what to do."""

    state: str
    summary: str
    why: list[Why]


class Event(Shape):
    id: int
    at: Time
    kind: str


class Resource(Shape):
    id: str
    name: str
    owner: str
    state: str = Field(description="online, unreachable, draining, offline or revoked")
    since: Time
    lost_after_s: float
    capabilities: dict[str, Any] | None
    load: dict[str, float] = Field(description="As the agent said last: load_1m, cpus_free, memory_free_bytes, ...")
    running: int
    accepted: int
    warnings: list[str] = Field([], description="In the reply to a renaming alone: what the old name is still used for")


class Join(Shape):
    token: str = Field(description="Joins one machine, once, within 15 minutes")
    expires_at: Time
    command: str = Field(description="What to say on that machine")


class JoinedResource(Resource):
    join: Join


class ResourceToken(Shape):
    id: str
    label: str
    created_at: Time
    expires_at: Time


class NewResourceToken(ResourceToken):
    token: str = Field(description="It is shown this once")
    environment: dict[str, str] = Field(description="What attaches an agent by it")


class Token(Shape):
    id: str | None
    label: str
    scopes: list[str]
    apps: list[str]
    created_at: Time
    expires_at: Time
    last_used_at: Time


class NewToken(Token):
    access_token: str = Field(alias="access_token", description="It is shown this once")


class Elsewhere(Shape):
    title: str


class Ways(Shape):
    local: bool
    ldap: Elsewhere | None
    oidc: Elsewhere | None


class User(Shape):
    id: str
    name: str
    email: str | None
    is_admin: bool
    can_publish: bool
    disabled: bool
    quotas: dict[str, int]


class Group(Shape):
    name: str
    members: list[str]
    created_at: Time


class AuditEntry(Shape):
    id: int
    at: Time
    actor: str | None
    action: str
    object: str | None
    detail: Any


class AppSummary(Shape):
    """An application in a list."""

    id: str
    owner: str
    alias: str
    name: str
    annotation: str
    keywords: list[str]
    version: int
    updated_at: Time
    archived: bool


class AppVersion(Shape):
    version: int
    current: bool
    digest: str
    code_version: str | None
    note: str | None
    created_at: Time


class Published(Shape):
    id: str
    owner: str
    alias: str
    version: int
    digest: str
    created: bool
    url: str


class Deleted(Shape):
    deleted: bool


class RefusedJob(Shape):
    id: str
    code: str = Field(description="That of the problem which a request for this job alone would be answered with")
    detail: str


class Cancelled(Shape):
    cancelled: int = Field(description="How many are asked to end now")
    ids: list[str]
    refused: list[RefusedJob]
    more: bool = Field(description="Others fit the filter still")


class DeletedJobs(Shape):
    deleted: int
    later: int = Field(description="How many are cancelled first, and go when they have ended")
    ids: list[str]
    refused: list[RefusedJob]
    more: bool


class Subjects(Shape):
    subjects: list[str]


class Error(Shape):
    field: str
    detail: str
    expected: str | None = None


class Problem(Shape):
    """Every error has this shape (RFC 9457); ``code`` is stable and has a page at ``type``."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None
    expected: str | None = None
    hint: str | None = Field(None, alias="try")
    errors: list[Error] = []
    request_id: str | None = Field(
        None, alias="requestId", description="as in the header x-request-id and the server's log"
    )
