"""What an application is: its inputs, how they reach the program, its outputs, its needs, where its code comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sirdar.domain.environment import AS_IT_IS, Environment
from sirdar.domain.keep_alive import KeepAlive

# Words that stand in the API's addresses where an owner or an alias could stand (/api/apps/OWNER/ALIAS, /api/apps/ID/WORD).
RESERVED_OWNERS = frozenset({"sirdar", "me", "publish", "import", "search"})
RESERVED_ALIASES = frozenset({"search", "archive", "export", "openapi.json", "secrets", "share", "source", "versions"})
DEFAULT_RETRIES = 5


class InputType(StrEnum):
    """Kind of an input.

    STRING: one line. TEXT: many lines. ENUM: one of ``values``. FILE: a file, staged under its name or at ``path``.
    FILES: a list of files. DIRECTORY: an archive that is unpacked. JSON: any object. LIST: a list of ``items``.
    SECRET: a string that is never stored in clear, logged or shown.
    """

    STRING = "string"
    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    ENUM = "enum"
    FILE = "file"
    FILES = "files"
    DIRECTORY = "directory"
    JSON = "json"
    LIST = "list"
    SECRET = "secret"  # noqa: S105  (a kind, not a password)


class OutputType(StrEnum):
    """Kind of an output: FILE, FILES (by a shell pattern), DIRECTORY (archived as zip), or a value read from somewhere.

    VALUES: a file of ``KEY = VALUE`` lines, or a JSON object; each of its keys is a value of its own.
    """

    FILE = "file"
    FILES = "files"
    DIRECTORY = "directory"
    NUMBER = "number"
    INTEGER = "integer"
    STRING = "string"
    BOOLEAN = "boolean"
    JSON = "json"
    VALUES = "values"


FILE_OUTPUTS = frozenset({OutputType.FILE, OutputType.FILES, OutputType.DIRECTORY})
FILE_INPUTS = frozenset({InputType.FILE, InputType.FILES, InputType.DIRECTORY})


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One declared input. Sizes are in bytes; ``minimum`` and ``maximum`` bound numbers, lengths bound strings and lists."""

    name: str
    type: InputType
    title: str = ""
    description: str = ""
    required: bool = False
    default: Any = None
    has_default: bool = False
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None  # regular expression that the whole value must match
    values: tuple[Any, ...] = ()  # of an enum
    suffixes: tuple[str, ...] = ()  # of a file's name, with the dot
    max_size_bytes: int | None = None  # of one file
    items: "InputSpec | None" = None  # of a list
    writable: bool = False  # the program may change the file: it is copied, never linked
    path: str | None = None  # where a file (or a value, as text) is put, relative to the task's directory
    env: str | None = None  # environment variable that carries the value
    unit: str | None = None  # of a number, as people write it: a form shows it beside the number
    advanced: bool = False  # a form folds it away
    staged: bool = True  # a file is put into the task's directory; False: it was read when the job was made


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One declared output.

    ``source`` is a path or shell pattern relative to the task's directory, or ``stdout``/``stderr``; ``${name}`` in it stands for
    the value of an input. For values: ``key``
    names a key of a JSON or ``KEY = VALUE`` file (dots go deeper in JSON); ``regex`` finds the value in text, its first
    group if it has one, the last match if there are several.
    """

    name: str
    type: OutputType
    source: str
    title: str = ""
    description: str = ""
    required: bool = True
    key: str | None = None
    regex: str | None = None
    max_size_bytes: int | None = None
    unit: str | None = None  # of a number, as people write it: pages show it beside the number


@dataclass(frozen=True, slots=True)
class Resources:
    """What one task needs, and its limits. ``memory_bytes`` and ``time_s`` None: no limit of the app's own.

    ``only``: names or ids of the resources that the app is bound to (empty: any); ``labels``: what they must say of themselves,
    with ``${input}`` in keys and values, and ``*`` for any value. ``slurm``: where a Slurm runs it: ``partition``, ``account``, ...
    """

    cpus: int = 1
    memory_bytes: int | None = None
    time_s: float | None = None
    gpus: int = 0
    nodes: int = 1
    disk_bytes: int | None = None  # size of all that the program may write in its directory
    override: frozenset[str] = frozenset()  # which of the above a submitter may change
    only: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    slurm: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Example:
    """Inputs that show what the application does, as a form is filled with them. What it leaves out has its default, or is left to
    the submitter: files of one's own cannot stand in it, only addresses that the server fetches."""

    title: str
    annotation: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)


RESOURCE_FIELDS = ("cpus", "memory", "time", "gpus", "nodes", "disk", "slurm")
MOST_SLURM_CHARS = 200
SLURM_FIELDS = ("partition", "account", "qos", "constraint", "reservation", "gres", "exclusive", "nice", "comment")


def slurm_fault(text: str) -> str | None:
    """Why this cannot be a value of Slurm's, or None. It becomes one word of a command line, never of a shell's."""
    if not 0 < len(text) <= MOST_SLURM_CHARS:
        return f"has {len(text)} characters"
    bad = next((sign for sign in text if not (sign.isascii() and (sign.isalnum() or sign in "._-:,=|&*@()[]+/"))), None)
    return None if bad is None else f"has {bad!r} in it"


class CodeKind(StrEnum):
    """Where an application's files come from: the published FOLDER, GIT, GITLAB's REST API, or a PATH on the resource."""

    FOLDER = "folder"
    GIT = "git"
    GITLAB = "gitlab"
    PATH = "path"


@dataclass(frozen=True, slots=True)
class Code:
    """Where the code comes from. ``at_submission``: the ref (which may hold ``${input}``) is resolved for each job."""

    kind: CodeKind = CodeKind.FOLDER
    url: str | None = None  # of the git repository, or of the GitLab server
    project: str | None = None  # GitLab: path or number of the project
    ref: str | None = None
    path: str | None = None  # sub-folder of the repository, or the absolute path on the resource
    artifact: str | None = None  # GitLab: path of the artifact, with ``job``
    job: str | None = None
    token_secret: str | None = (
        None  # name of the app's secret, or of a variable of the resource, with the private token
    )
    at_submission: bool = False
    version_command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One of the application's own files. ``path`` is relative with forward slashes; ``mode`` has permission bits."""

    path: str
    sha256: str
    size_bytes: int
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class App:
    """The whole description of an application (``sirdar.yaml``)."""

    alias: str
    name: str = ""
    annotation: str = ""
    description: str = ""  # Markdown
    keywords: tuple[str, ...] = ()
    inputs: tuple[InputSpec, ...] = ()
    outputs: tuple[OutputSpec, ...] = ()
    examples: tuple[Example, ...] = ()
    command: tuple[str, ...] = ()  # words with ``${name}`` in them; empty where ``shell`` is given
    shell: str | None = None  # a script for /bin/sh; values arrive as environment variables
    env: Mapping[str, str] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)  # path to write -> the app's file with ``${name}`` in it
    params: str | None = None  # path of the JSON file that gets all inputs
    keep_alive: KeepAlive | None = None  # the program can serve many tasks from one process
    stdin: str | None = None  # name of a file input, or text with ``${name}``
    secrets: tuple[str, ...] = ()  # names of the app's secrets that the program sees as environment variables
    resources: Resources = Resources()
    retries: int = DEFAULT_RETRIES
    grace_s: float = 10.0  # between SIGTERM and SIGKILL when cancelled
    code: Code = Code()
    retention_s: float | None = None  # how long ended jobs are kept; None: the server's setting
    environment: Environment = AS_IT_IS

    @property
    def labels(self) -> Mapping[str, str]:
        """What a resource must say of itself: what its description asks for, and what its environment does."""
        return {**self.environment.labels, **self.resources.labels} if self.environment.kind else self.resources.labels

    def input(self, name: str) -> InputSpec | None:
        return next((spec for spec in self.inputs if spec.name == name), None)

    def output(self, name: str) -> OutputSpec | None:
        return next((spec for spec in self.outputs if spec.name == name), None)


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file as a value of an input or output: a name and the digest and size of its bytes."""

    name: str
    sha256: str
    size_bytes: int

    def to_json(self) -> dict[str, Any]:
        """``{"$file": {...}}``: how a file stands in stored inputs and results, and on the agent's wire."""
        return {"$file": {"name": self.name, "sha256": self.sha256, "size": self.size_bytes}}

    @classmethod
    def from_json(cls, value: object) -> "FileRef | None":
        """The file that a stored value stands for, or None where the value is no file."""
        if isinstance(value, dict) and len(value) == 1 and isinstance(inner := value.get("$file"), dict):
            return cls(str(inner["name"]), str(inner["sha256"]), int(inner["size"]))
        return None
