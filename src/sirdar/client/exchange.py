"""What a flow asks of its driver: requests, streams, pauses. No I/O here.

A *flow* is a generator that yields effects and is sent their answers. All logic of the client (retries, uploads that
resume, waiting) is written once as flows; ``driver_sync`` and ``driver_async`` only carry effects out.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from json import loads
from typing import Any, BinaryIO, Protocol, TypeVar

T = TypeVar("T")
NO_STRINGS: Mapping[str, str] = {}
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
DEFAULT_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class FilePart:
    """``length`` bytes of an open binary file from ``offset`` on; None: all that is left of a file that cannot seek."""

    file: BinaryIO
    offset: int | None = None
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the REST API. ``path`` begins with a slash and is relative to the server's address.

    ``timeout_s`` bounds each wait for bytes, not the whole call. ``repeatable`` None: by method and Idempotency-Key.
    """

    method: str
    path: str
    params: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    json: Any = None
    body: bytes | FilePart | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = DEFAULT_TIMEOUT_S
    repeatable: bool | None = None

    @property
    def may_repeat(self) -> bool:
        """True where sending it twice does no more than sending it once."""
        if isinstance(self.body, FilePart) and self.body.offset is None:
            return False
        if self.repeatable is not None:
            return self.repeatable
        return self.method in IDEMPOTENT or "Idempotency-Key" in self.headers


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. ``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """The body as JSON; None where it is empty. Raises ValueError where it is something else."""
        return loads(self.body) if self.body else None

    def document(self) -> dict[str, Any]:
        """The body as a JSON object. Raises ValueError where it is something else."""
        value = self.json()
        if not isinstance(value, dict):
            raise ValueError("the server's reply is not a JSON object")
        return value


class Sink(Protocol):
    """Where downloaded bytes go. ``start`` is called with status and headers before the first byte."""

    def start(self, head: Reply) -> None: ...

    def write(self, chunk: bytes, /) -> None: ...


class OpenStream(Protocol):
    """A reply whose body is being read; made by a driver, passed back in ``Read``."""

    @property
    def head(self) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Once:
    """Send a request once, without retries; errors of the API are answered as replies."""

    request: Request


@dataclass(frozen=True, slots=True)
class Fetch:
    """Send once and stream the body of a 2xx reply into a sink; the body of any other is in the reply."""

    request: Request
    sink: Sink


@dataclass(frozen=True, slots=True)
class Open:
    """Send once and keep the body open for ``Read``. Answered by an ``OpenStream``, closed when the flow ends."""

    request: Request


@dataclass(frozen=True, slots=True)
class Read:
    """Next bytes of an open stream; empty at its end."""

    stream: OpenStream


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand a value to whoever iterates over the flow."""

    value: Any


Effect = Request | Once | Fetch | Open | Read | Pause | Emit
Flow = Generator[Effect, Any, T]
Clock = Callable[[], float]
