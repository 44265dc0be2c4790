"""The body of a submission: ``POST /api/apps/{app}``."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.alias_generators import to_camel

LONGEST_S = 100 * 366 * 86400.0


def printable(name: str | None) -> str | None:
    """The name, if it has no control characters. Raises ValueError."""
    if name is not None and any(ord(char) < 32 or ord(char) == 127 for char in name):
        raise ValueError("holds control characters")
    return name


class Body(BaseModel):
    """Base of request bodies: camelCase names, unknown ones refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Notify(Body):
    """Who is told when the job ends: a webhook (signed with ``secret``) or an e-mail address."""

    webhook: str | None = Field(None, max_length=2000)
    secret: str | None = Field(None, max_length=200)
    email: str | None = Field(None, max_length=320)


class ForeachUri(Body):
    """Input sets from a file of JSON lines."""

    uri: str = Field(max_length=4000)


class Sweep(Body):
    """One task for each combination of the parameters' values.

    ``parameters``: an input's values, as a list or as a text such as ``1..10:2``, ``0.001..10:*10`` or ``x,y``. ``where``:
    conditions that a combination has to meet, such as ``a*2 < b``. ``mode``: ``product`` takes each value of one with each of the
    others, ``zip`` the first ones together, then the second ones, and so on.
    """

    parameters: dict[str, list[Any] | str] = Field(min_length=1, max_length=100)
    mode: Literal["product", "zip"] = "product"
    where: str | list[str] = Field(default_factory=list)

    @property
    def conditions(self) -> list[str]:
        return [self.where] if isinstance(self.where, str) else self.where


class Overrides(Body):
    """What the submission changes of the app's resources, where the app allows it. Sizes as ``2 GiB``, times as ``10 min``."""

    cpus: int | None = Field(None, ge=1, le=100_000)
    memory: int | str | None = None
    time: float | str | None = None
    gpus: int | None = Field(None, ge=0, le=10_000)
    nodes: int | None = Field(None, ge=1, le=100_000)
    disk: int | str | None = None
    keep_alive: bool | None = None
    slurm: dict[str, str] | None = Field(None, description="Options of Slurm's, such as partition and account")


class Criterion(Body):
    """Which task of many is the best: by the least or the greatest value of an output, or of a number that tasks report."""

    minimize: str | None = Field(None, min_length=1, max_length=100)
    maximize: str | None = Field(None, min_length=1, max_length=100)

    @model_validator(mode="after")
    def _one(self) -> "Criterion":
        if (self.minimize is None) == (self.maximize is None):
            raise ValueError("takes either minimize or maximize")
        return self


class SubmitRequest(Body):
    """One submission. Everest's clients send ``name``, ``inputs`` and perhaps ``resources``."""

    name: str = Field("", max_length=500)
    inputs: dict[str, Any] = Field(
        default_factory=dict,
        description='a file as its URI, or with its bytes: {"filename", and "text", "base64", or "sha256" of one that is here}',
    )
    resources: list[str] = Field(default_factory=list, max_length=1000)
    foreach: list[dict[str, Any]] | ForeachUri | None = None
    sweep: Sweep | None = None
    on_failure: Literal["continue", "stop", "ignore"] | None = Field(
        None, description="Of one task among many; a sweep's default is ignore, any other's continue"
    )
    overrides: Overrides | None = None
    retries: int | None = Field(None, ge=0, le=100)
    debug: bool = False
    after: str | list[str] = Field(default_factory=list)
    priority: int = Field(0, ge=-100, le=100)
    notify: list[Notify] = Field(default_factory=list, max_length=20)
    retention_s: float | None = Field(None, gt=0, le=LONGEST_S)
    criterion: Criterion | None = Field(None, description="of many tasks: which one is the best")
    stop_when: str | None = Field(
        None, max_length=4000, description="of many tasks: the rest is called off when this holds for one that is done"
    )
    open: bool = Field(
        False,
        description="more tasks come while it runs, by POST /api/jobs/{id}/tasks; it ends when the last have come",
    )

    _printable = field_validator("name")(printable)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.sweep is not None and self.foreach is not None:
            raise ValueError("sweep and foreach exclude one another")
        return self

    @field_validator("open")
    @classmethod
    def _has_first_tasks(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("foreach", ()) is None:
            raise ValueError("goes with foreach, the first tasks of the job")
        return value

    @property
    def waits(self) -> list[str]:
        return [self.after] if isinstance(self.after, str) else self.after


class AddRequest(Body):
    """``POST /api/jobs/{id}/tasks``: more tasks of an open job, and whether they are the last.

    ``first``: the number that the first of them gets, which is how many the job has by now.
    """

    foreach: list[dict[str, Any]] | ForeachUri = Field(description="input sets, as of the submission; may be empty")
    first: int = Field(ge=0, lt=2**31)
    last: bool = Field(False, description="no more come: the job ends when all its tasks have ended")


class ResubmitRequest(Body):
    """``POST /api/jobs/{id}/resubmit``: the inputs to change, over those of the job.

    ``only`` and ``tasks`` take some tasks of a job of many: those that failed (``not_done``: and those that were cancelled, most of
    which never ran), or those of these numbers.
    """

    inputs: dict[str, Any] = Field(default_factory=dict)
    only: Literal["failed", "not_done"] | None = None
    tasks: list[Annotated[int, Field(ge=0, lt=2**31)]] | None = Field(None, min_length=1)
    name: str | None = Field(None, max_length=500)
    version: Literal["same", "latest"] = "same"
    debug: bool | None = None

    _printable = field_validator("name")(printable)
