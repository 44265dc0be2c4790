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
    """Times in seconds, sizes in bytes. The curves are at ``/api/jobs/{id}/tasks/{no}/usage``."""

    cpu_user_s: float = 0
    cpu_system_s: float = 0
    max_rss_bytes: int = 0
    staged_in_bytes: int = 0
    staged_out_bytes: int = 0


class Best(Shape):
    """``inputs``: what the task's own input set gives; not in lists."""

    task: int
    value: float
    inputs: dict[str, Any] = {}


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
    environment: str | None = Field(None, description="what its tasks ran in: an image's digest, or a lock's")
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
    criterion: dict[str, str] | None = Field(None, description="Of many tasks: minimize or maximize, and whose value")
    best: "Best | None" = Field(None, description="The best task that is done so far")
    stop_when: str | None = Field(None, description="The rest is called off when this holds for a task that is done")
    met_by: int | None = Field(None, description="Number of the task for which it held")
    not_needed: int | None = Field(None, description="How many tasks were called off for that")
    open: bool = Field(False, description="Its client may add tasks; left out where that is not so")


class Job(JobSummary):
    """A whole job. ``result``: of one task an object, of many a list with nulls, or the URI of one."""

    inputs: dict[str, Any] = {}
    result: dict[str, Any] | list[dict[str, Any] | None] | str | None = None
    resource: Place | None = None
    attempts: int | None = None
    stats: Stats | None = None
    debug_archive: str | None = None
    failures: list["Failure"] = Field([], description="Of many tasks: why they failed, the most frequent ten kinds")
    varying: list[str] = Field(
        [], description="Of many tasks: inputs that are not the same for all; not in the reply to a submission"
    )
    task_list: list["TaskWithFiles"] | None = Field(
        None, description="In the answer to a submission, or to tasks that were added, which asked for their `files`"
    )
    left_s: float | None = Field(
        None, description="Of many tasks: about how long it still takes; null while nobody knows"
    )
    repeated_by: list[str] = Field([], description="Your jobs that repeat it, or some of its tasks; the newest ten")
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
    again_of: int | None = Field(
        None, description="Of some tasks that are run again: its number in the job that is repeated"
    )


class FileBytes(Shape):
    text: str | None = None
    base64: str | None = None


class TaskWithFiles(Task):
    """``files``: by name, as far as the answer holds them."""

    files: dict[str, FileBytes] = {}


class Try(Shape):
    """An attempt; null: it has not come to that, or nobody knows. Times of phases are by the agent's clock."""

    no: int
    state: str = Field(description="OFFERED, ACCEPTED, STAGING_IN, RUNNING, STAGING_OUT or ENDED")
    resource: str | None
    offered_at: Time
    accepted_at: Time
    staging_at: Time = Field(description="its files began to be brought")
    staged_at: Time = Field(description="its files were there")
    started_at: Time
    ended_at: Time = Field(description="the program ended")
    reported_at: Time = Field(description="its outputs were here")
    reason: str | None
    message: str | None
    exit_code: int | None


class Span(Shape):
    """What a part of a task's time was spent on. Those of two attempts may overlap."""

    kind: str = Field(description="preparing, waiting, queued, staging_in, running or staging_out")
    begin: Time = Field(alias="from")
    end: Time = Field(alias="to", description="null: it goes on")
    attempt: int | None
    resource: str | None
    reason: str | None = Field(description="how the attempt ended, on the last span of each that has")
    message: str | None
    text: str


class WholeTask(Task):
    tries: list[Try]
    timeline: list[Span]


class UsageLimit(Shape):
    """What the task asked for."""

    cpus: int
    memory_bytes: int | None = Field(description="null: no limit")


class UsagePoint(Shape):
    """What was used in the time that ends there: cores on average, bytes at most."""

    at: float = Field(description="seconds since the program's start")
    cpu: float
    memory_bytes: int


class UsagePeak(Shape):
    cpu: float
    memory_bytes: int


class Usage(Shape):
    """What a task's processes used together. Memory is what was resident; what processes share counts for each."""

    attempt: int | None = Field(description="null: there has been none")
    attempts: list[int] = Field(description="those whose curve is known")
    live: bool = Field(description="it runs: more points will come")
    limit: UsageLimit
    points: list[UsagePoint] = Field(description="at most 300, whatever the time")
    peak: UsagePeak
    cpu_s: float = Field(description="CPU seconds until now, or in all")


class Column(Shape):
    """Of the table of a job's tasks."""

    name: str = Field(
        description="no, state, resource, waitS, runS, inputs.NAME, outputs.NAME, totalS, stagedInBytes, ..."
    )
    kind: str = Field(description="number, text or boolean")
    title: str
    unit: str = Field(description="of its values; empty where there is none")


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


class Amount(Shape):
    """null: not known."""

    total: int | None
    held: int = Field(description="what the tasks at work there asked for")
    free: int | None = Field(description="null of a resource that cannot be reached")


class Capacity(Shape):
    cpus: Amount = Field(description="those that may be used: its slots")
    memory_bytes: Amount
    gpus: Amount


class ResourceTask(Shape):
    """A task that a resource has taken over."""

    job: str
    job_name: str
    owner: str
    app: str
    task: int
    attempt: int
    phase: str = Field(description="ACCEPTED, STAGING_IN, RUNNING or STAGING_OUT")
    cpus: int
    memory_bytes: int | None
    gpus: int
    offered_at: Time
    started_at: Time
    status_message: str | None
    progress: float | None
    url: str


class Resource(Shape):
    id: str
    name: str
    owner: str
    state: str = Field(description="online, unreachable, draining, offline or revoked")
    since: Time
    lost_after_s: float
    capabilities: dict[str, Any] | None
    load: dict[str, float] = Field(description="As the agent said last: load_1m, cpu_used, memory_free_bytes, ...")
    load_at: Time = Field(description="when it said so; null: never")
    capacity: Capacity
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
