"""The protocol between an agent and the server, version 1 (see docs/explanation/agent-protocol.md).

All calls are idempotent HTTP POSTs with JSON under ``/agent/v1``. Times are seconds since 1970 (float, UTC). An attempt is
named by its key text, ``JOB-TASK-RESTART``.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

PROTOCOL_VERSIONS = (1,)
USAGE_ROWS = 100
SMALL_REPLY_BYTES = 8 << 20


class Wire(BaseModel):
    """Base of all messages: unknown fields are ignored, so that the two sides may be of different releases.

    Empty lists and the like are made by factories: Pydantic copies a default deeply for each message, which costs more.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


# ---------------------------------------------------------------- join


class JoinRequest(Wire):
    """``POST /agent/v1/join``: a single-use token makes this key pair the resource's."""

    token: str
    public_key: str = Field(description="Ed25519, raw 32 bytes, base64url without padding")
    hostname: str = ""


class JoinReply(Wire):
    resource_id: str
    name: str
    server_time: float


class TokenRequest(Wire):
    """``POST /agent/v1/token``: signature over ``sirdar-agent-token:{resource_id}:{at}:{nonce}``; ``at`` within 5 minutes."""

    resource_id: str
    at: float
    nonce: str
    signature: str


class TokenReply(Wire):
    access_token: str
    expires_in_s: float
    server_time: float


# ---------------------------------------------------------------- hello


class Capabilities(Wire):
    """What the machine has. Memory and disk in bytes."""

    cpus: int
    memory_bytes: int
    gpus: int = 0
    gpu_names: list[str] = Field(default_factory=list)
    gpu_ids: list[str] = Field(default_factory=list, description="as CUDA_VISIBLE_DEVICES names them")
    disk_bytes: int = Field(0, description="free when the agent started")
    slots: int = Field(description="tasks of one cpu that may run side by side")
    executors: list[str] = Field(default_factory=lambda: ["process"])
    platform: str = ""
    system: str = Field("", description="the operating system as its maker calls it")
    hostname: str = ""
    python: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    policy: list[str] | None = Field(
        None, description="what the owner's policy allows, in sentences; none: it was not told"
    )
    batch: bool = Field(
        False,
        description="a batch system decides what runs side by side: slots are tasks of any size, cpus and memory are one node's",
    )
    gives_back: bool = Field(False, description="the agent can give back what it accepted and has not started")
    no_strangers: str = Field(
        "", description="why programs of others than the resource's owner cannot run there; empty: they can"
    )


class OwnedAttempt(Wire):
    key: str
    state: str


class HelloRequest(Wire):
    """``POST /agent/v1/hello``: first call of a session, and after any ``unknown session`` reply."""

    protocols: list[int]
    agent_version: str
    session: str = Field(description="one life of the agent's process: its number, a dot, and chance; or chance alone")
    capabilities: Capabilities
    owned: list[OwnedAttempt] = Field(default_factory=list)
    load: dict[str, float] = Field(default_factory=dict)
    renews: bool = Field(False, description="this session has said hello before")


class HelloReply(Wire):
    protocol: int
    mode: Literal["active", "drain"]
    resource_id: str
    name: str
    owner: str = Field("", description="whose resource it is, by name; empty: nobody's in particular")
    heartbeat_s: float
    lease_s: float
    accept_s: float
    server_time: float
    desired: dict[str, str] = Field(default_factory=dict)
    blob_dir: str | None = Field(None, description="the server's blob directory, where the agent may share its disk")
    blob_marker: str | None = Field(
        None, description="content of the file ``.marker`` in it, which proves that it is the same"
    )
    small_bytes: int = Field(
        0, description="so many bytes of files may travel in a final, in place of calls of their own"
    )
    task_api_url: str = Field(
        "", description="base URL of the REST API for the attempts' own tokens; empty: as the agent's"
    )


# ---------------------------------------------------------------- large blobs


class UploadRequest(Wire):
    """``POST /blobs/{sha256}/upload`` and ``/complete``: a large blob that an agent sends in parts."""

    size: int = Field(ge=0)
    direct: bool = Field(False, description="the agent can PUT pieces to the blob store itself")


class UploadPiece(Wire):
    """A part that is missing, and the signed address that it may be PUT to."""

    offset: int
    size: int
    url: str


class UploadReply(Wire):
    """How far a blob is. ``here``: it is there, nothing is to be sent."""

    here: bool = False
    offset: int = Field(0, description="PATCH the bytes from here on")
    pieces: list[UploadPiece] = Field(
        default_factory=list, description="where the blob store takes bytes itself: PUT these, then complete"
    )


class RegisterRequest(Wire):
    """``POST /blobs/local``: these lie in the server's own directory, where the agent has put them; sizes by digest."""

    blobs: dict[str, int] = Field(max_length=256)


class RegisterReply(Wire):
    """Those that are registered now; the agent sends the bytes of the others."""

    here: list[str] = Field(default_factory=list)


class SmallRequest(Wire):
    """``POST /blobs/small``: the bytes of many small blobs in one answer."""

    digests: list[str] = Field(max_length=256)


class SmallReply(Wire):
    """Those that are here, as base64 by digest, as far as they fit into ``SMALL_REPLY_BYTES``; the others are asked for singly."""

    files: dict[str, str] = Field(default_factory=dict)


# ---------------------------------------------------------------- sync: accepts, facts, claims


class Claim(Wire):
    """How much more the agent can take."""

    max_n: int
    wait_s: float = 0.0


class Started(Wire):
    key: str
    state: Literal["STAGING_IN", "RUNNING", "STAGING_OUT"]
    at: float
    resource_note: str = ""
    staging_at: float | None = None  # of one that runs: when its files began to be brought, and how long that took
    staged_in_s: float | None = None


class Message(Wire):
    """What a program says of itself while it runs; the latest of each kind wins."""

    key: str
    seq: int = Field(description="grows within an attempt, so that a resend is harmless")
    at: float
    text: str | None = None
    progress: float | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    waits: bool = Field(False, description="said by its agent, of what it waits for: it does not run yet")


class Stats(Wire):
    """Statistics of one attempt. Times in seconds, sizes in bytes. ``curve``: rows as in ``domain.usage.Row``."""

    cpu_user_s: float = 0.0
    cpu_system_s: float = 0.0
    max_rss_bytes: int = 0
    staged_in_bytes: int = 0
    staged_in_s: float | None = None  # a staged task may wait for a slot before it starts
    staged_out_bytes: int = 0
    curve: list[tuple[float, float, int]] = Field(default_factory=list)


class Usage(Wire):
    """What a running program has used of late: a gauge, which may be lost. The whole curve comes with the final.

    ``rows`` as in ``Stats.curve``. They replace those that were told before from the same first row on.
    """

    key: str
    rows: list[tuple[float, float, int]] = Field(min_length=1, max_length=USAGE_ROWS)


class Stream(Wire):
    """One of the program's streams at its end: up to 16 KiB inline, else a blob (head and tail with a gap when capped)."""

    size: int = 0
    text: str | None = None
    sha256: str | None = None
    omitted: int = Field(0, description="bytes left out of the middle under the cap")
    gap_at: int | None = Field(None, description="where in the blob the line stands that says so")
    tail_line: int | None = Field(None, description="newlines of the whole stream before what follows that line")
    seen: list[tuple[int, float | None]] | None = Field(
        None,
        description="from which byte of the whole stream on, and when (seconds since 1970) what stands there was first seen; "
        "null where nobody knows",
    )


class Final(Wire):
    """How an attempt ended. The blobs that ``outputs`` name are on the server already, or small ones in ``files``."""

    key: str
    reason: str
    message: str
    exit_code: int | None = None
    accepted_at: float | None = None
    staging_at: float | None = None
    started_at: float | None = None
    ended_at: float = Field(description="when the program ended")
    reported_at: float = Field(description="when staging out was over")
    outputs: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, str] = Field(
        default_factory=dict, description="digest -> base64: up to ``HelloReply.small_bytes`` in all"
    )
    debug: dict[str, Any] | None = Field(None, description="``$file`` of the whole working directory, where asked for")
    stdout: Stream = Field(default_factory=Stream)
    stderr: Stream = Field(default_factory=Stream)
    stats: Stats = Field(default_factory=Stats)
    code_version: str | None = Field(None, description="of code that lies on the resource, by its version command")
    environment: str | None = Field(None, description="what the program ran in: an image's digest, or a lock's")
    text: str | None = None
    progress: float | None = None
    metrics: dict[str, float] = Field(default_factory=dict)


class SyncRequest(Wire):
    """``POST /agent/v1/sync``: the one call of the steady state. Everything in it is committed before it is answered.

    With ``claim.wait_s`` and nothing else to say, the call is held until there is work, a wish, or the time is over.
    """

    session: str
    accepts: list[str] = Field(default_factory=list)
    refusals: dict[str, str] = Field(
        default_factory=dict, description="offers that the owner's policy refuses: key -> why"
    )
    started: list[Started] = Field(default_factory=list)
    messages: list[Message] = Field(default_factory=list)
    finals: list[Final] = Field(default_factory=list)
    usage: list[Usage] = Field(default_factory=list)
    given_back: list[str] = Field(
        default_factory=list, description="accepted attempts that were asked back: they have not started and never will"
    )
    claim: Claim | None = None
    blobs: list[str] | None = Field(
        None,
        max_length=256,
        description="beginnings (16 digits) of the digests of large blobs that lie here; None: as they were",
    )
    offers_held: list[str] = Field(
        default_factory=list, description="offers received and neither accepted nor refused yet"
    )


class Offer(Wire):
    """One attempt to run. ``inputs`` are merged over those of its job."""

    key: str
    inputs: dict[str, Any] = Field(default_factory=dict)
    secrets: dict[str, str] = Field(default_factory=dict)
    token: str = Field(description="the attempt's own bearer token for the REST API")


class OfferedJob(Wire):
    """What the attempts of one job have in common; sent with each batch that holds one of them."""

    program: str = Field(description="digest of the program, a key of ``programs``")
    inputs: dict[str, Any] = Field(default_factory=dict)
    resources: dict[str, Any] = Field(default_factory=dict)
    owner: str = Field("", description="who submitted it, by name")
    groups: str = Field("", description="the owner's groups, with commas between")
    app: str = ""
    app_owner: str = ""
    debug: bool = False
    code_version: str = ""
    files: list[tuple[str, str, int, int]] | None = Field(
        None, description="code resolved for this job: (path, sha256, size, mode), in place of the program's"
    )


class Program(Wire):
    """An app version as the agent needs it."""

    description: dict[str, Any]
    files: list[tuple[str, str, int, int]] = Field(default_factory=list, description="(path, sha256, size, mode)")


class SyncReply(Wire):
    accepted: list[str] = Field(default_factory=list, description="may start now")
    forget: list[str] = Field(
        default_factory=list, description="accepts and finals that came too late: drop them, report nothing more"
    )
    acked: list[str] = Field(
        default_factory=list,
        description="finals and ``given_back`` that are committed (also duplicates and superseded ones)",
    )
    offers: list[Offer] = Field(default_factory=list)
    jobs: dict[str, OfferedJob] = Field(default_factory=dict)
    programs: dict[str, Program] = Field(default_factory=dict)
    desired: dict[str, str] = Field(default_factory=dict, description="key -> cancel | forget | give_back")
    mode: Literal["active", "drain"] = "active"
    vars: list[tuple[str, str, str, int]] = Field(
        default_factory=list, description="shared variables that changed: (job, name, value, number of the change)"
    )


# ---------------------------------------------------------------- heartbeat


class HeartbeatRequest(Wire):
    """``POST /agent/v1/heartbeat``: renews the lease and compares what both sides believe."""

    session: str
    number: int = Field(
        0, description="grows within a session, so that one that comes twice, or late, compares nothing"
    )
    owned: list[OwnedAttempt]
    load: dict[str, float] = Field(
        default_factory=dict,
        description="load_1m, cpu_used (share of all processors since the last beat), cpus_free, memory_free_bytes,"
        " disk_free_bytes, disk_total_bytes, slots_free: those that the system tells",
    )
    labels: dict[str, str] | None = Field(
        None, description="the machine's labels, where they are not those of hello any more"
    )
    stops: bool = Field(
        False,
        description="the agent ends now; its programs run on, and its return is waited for as if it had fallen silent",
    )


class HeartbeatReply(Wire):
    lease_s: float
    desired: dict[str, str] = Field(description="key -> run | cancel | forget | give_back, for every owned attempt")
    mode: Literal["active", "drain"] = "active"
    server_time: float


# ---------------------------------------------------------------- the agent's owner


class GoodbyeRequest(Wire):
    """``POST /agent/v1/goodbye``: the agent's programs are ended, and it goes. ``leave``: its key shall be worth nothing."""

    session: str
    leave: bool = False


class ModeRequest(Wire):
    """``POST /agent/v1/mode``: take nothing new, or take work again."""

    mode: Literal["active", "drain"]


# ---------------------------------------------------------------- variables shared by the tasks of one job


class VarsRequest(Wire):
    """``POST /agent/v1/vars``: operations in order; ``op`` is get, set, or set_md (set if the number is smaller)."""

    job: str
    ops: list[tuple[Literal["get", "set", "set_md"], str, str | None]]
    all: bool = Field(False, description="tell all variables of the job, too: something may have been missed")


class VarsReply(Wire):
    values: list[str | None] = Field(description="one for each operation: the value after it")
    versions: list[int] = Field(
        default_factory=list, description="beside each: the number of its latest change, from 1"
    )
    all: list[tuple[str, str, int]] = Field(default_factory=list, description="where asked for: (name, value, version)")


class LogReply(Wire):
    """Answer to ``PUT /agent/v1/attempts/{key}/log/{stream}?offset=N`` (raw bytes): where the next chunk begins."""

    size: int


class UnknownSession(Wire):
    """Body of a 409: the server does not know the session (it restarted, or another one replaced it): say hello again."""

    code: Literal["unknown_session"] = "unknown_session"
