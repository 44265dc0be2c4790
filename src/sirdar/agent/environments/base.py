"""What a provider of environments is, and what it gives."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sirdar.domain.environment import Environment

Files = Mapping[str, Path]
Say = Callable[[str], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class Ready:
    """An environment that is here.

    ``identity``: what it is, and what the job shows: the digest of an image or of a lock. ``env``: variables over the agent's own;
    ``path``: folders before its PATH; ``read``: folders that a sandbox must show; ``image``: what a container is made of.
    """

    identity: str
    env: Mapping[str, str] = field(default_factory=dict)
    path: Sequence[str] = ()
    read: Sequence[str] = ()
    image: str = ""


AS_IT_IS = Ready("")


class EnvironmentFailed(Exception):
    """It cannot be made or fetched: a sentence. ``log``: what the tool wrote. ``transient``: it may go better later."""

    def __init__(self, message: str, *, log: str = "", transient: bool = False) -> None:
        super().__init__(message)
        self.log = log
        self.transient = transient


class Provider(Protocol):
    """Makes environments of one kind. Each is made once by its content, however many ask for it."""

    def labels(self) -> Mapping[str, str]:
        """Labels of this machine that say what it can provide (``domain.environment.LABELS``), with a version. Empty: nothing."""

    def handles(self, wanted: Environment) -> bool:
        """Whether it is of this kind."""

    def known(self, wanted: Environment, files: Files) -> Ready | None:
        """It, if it is here already. Quick: asked for each task."""

    async def ensure(self, wanted: Environment, files: Files, say: Say, *, trusted: bool) -> Ready:
        """Fetches or makes it, telling how far it is. Raises EnvironmentFailed.

        ``trusted``: whoever asks may run code outside of a sandbox here, as the making of some packages does.
        """

    def hold(self, identity: str) -> None:
        """A task uses it: it must stay. Once for each task."""

    def release(self, identity: str) -> None:
        """The task has ended."""

    async def collect(self) -> None:
        """Removes what has not been used for longest, until the rest keeps within its bound."""
