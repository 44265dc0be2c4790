"""The surroundings that a program needs: a container image, or packages of an interpreter. They change rarely and are slow to make;
the application's own files change often and travel apart from them. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

KINDS = ("image", "build", "requirements", "lock", "conda")
# By kind, the label of resources that can provide it. Agents set them; an application asks for its own without saying so.
LABELS = {
    "image": "environment-image",
    "build": "environment-build",
    "requirements": "environment-python",
    "lock": "environment-python",
    "python": "environment-python",
    "conda": "environment-conda",
}
LOCKS = ("uv.lock", "pylock.toml")


@dataclass(frozen=True, slots=True)
class Environment:
    """What ``environment:`` of a description says. Empty: the resource as it is.

    At most one of ``KINDS``: ``image``, a container image by name; ``build``, the path of a Containerfile; ``requirements``, of a
    list of Python packages; ``lock``, of a ``uv.lock`` or ``pylock.toml``; ``conda``, of an ``environment.yml``. Paths are of the
    application's own files. ``python``: which interpreters may be taken, as in ``>=3.11``. ``network``: whether the program may
    reach others.
    """

    image: str | None = None
    build: str | None = None
    requirements: str | None = None
    lock: str | None = None
    conda: str | None = None
    python: str | None = None
    network: bool = True

    @property
    def kind(self) -> str:
        """One of ``KINDS``, ``python`` for a bare interpreter, or empty where nothing has to be made or fetched."""
        made = next((kind for kind in KINDS if getattr(self, kind) is not None), "")
        return made or ("python" if self.python is not None else "")

    @property
    def is_container(self) -> bool:
        return self.image is not None or self.build is not None

    @property
    def labels(self) -> Mapping[str, str]:
        """What a resource must say of itself, that it can provide this: see ``LABELS``."""
        return {LABELS[self.kind]: "*"} if self.kind else {}

    def paths(self) -> Iterator[tuple[str, str]]:
        """(key, path) of the application's own files that it names."""
        for key in ("build", "requirements", "lock", "conda"):
            if (path := getattr(self, key)) is not None:
                yield key, path
        if self.lock is not None and self.lock.rpartition("/")[2] == "uv.lock":
            yield "lock", self.lock.removesuffix("uv.lock") + "pyproject.toml"


AS_IT_IS = Environment()
FIELDS = tuple(field.name for field in fields(Environment))
