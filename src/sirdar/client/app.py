"""An application that can be run."""

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sirdar.client.flows import jobs as flows
from sirdar.client.flows.basic import document, value
from sirdar.client.job import Job
from sirdar.client.requests import apps as requests
from sirdar.client.requests.jobs import Options

if TYPE_CHECKING:
    from sirdar.client.client import Client


class App:
    """An application by its address. Nothing is asked of the server before it is run or looked at."""

    def __init__(self, ref: str, client: "Client") -> None:
        requests.app_path(ref)
        self.ref = ref
        self._client = client
        self._description: dict[str, Any] | None = None

    @property
    def description(self) -> dict[str, Any]:
        """What the server says of it; asked once."""
        if self._description is None:
            self._description = self._client.driver.run(document(requests.describe(self.ref)))
        return self._description

    @property
    def inputs(self) -> dict[str, Any]:
        """Declared inputs as JSON Schema properties."""
        return self.description.get("inputs") or {}

    @property
    def outputs(self) -> dict[str, Any]:
        return self.description.get("outputs") or {}

    @property
    def versions(self) -> list[dict[str, Any]]:
        return list(self._client.driver.run(value(requests.versions(self.ref))))

    def run(self, /, **inputs: Any) -> Job:
        """Submit a job; arguments are inputs, those that begin with an underscore are options of ``submit``.

        ``app.run(data=Path("a.csv"), power=2, _name="first", _wait=30)``. A ``Path`` or an open binary file is
        uploaded; a string never is.
        """
        given, options = split_options(inputs)
        return self.submit(given, **options)

    def submit(
        self,
        inputs: Mapping[str, Any],
        *,
        foreach: Iterable[Mapping[str, Any]] | None = None,
        sweep: Mapping[str, Any] | None = None,
        wait: float | None = None,
        key: str | None = None,
        **options: Any,
    ) -> Job:
        """Submit a job.

        ``foreach``: one task for each member, merged over ``inputs``. ``sweep``: one for each combination of
        ``{"parameters": {name: values}, "where": [...], "mode": "product" or "zip"}``.

        ``wait``: seconds for which the answer may be held until the job has ended. ``key``: the same key submits
        once. ``options``: name, resources, on_failure, overrides, retries, debug, after, priority, notify,
        retention_s, criterion, stop_when (see ``sirdar.client.requests.jobs.Options``); ``after`` takes jobs and ids.
        """
        flow = flows.submit(
            self.ref,
            inputs,
            read_options(options),
            key=key or uuid4().hex,
            limits=self._client.limits,
            foreach=None if foreach is None else list(foreach),
            sweep=sweep,
            wait_s=wait,
        )
        return Job(self._client.driver.run(flow), self._client)

    def map(self, inputs: Iterable[Mapping[str, Any]], /, **common: Any) -> Job:
        """One job with a task for each member of ``inputs``, merged over ``common``; its result is a list in that order.

        The job is DONE when all tasks have ended: a task that failed has None in the result, unless ``_on_failure`` is
        ``continue`` or ``stop``. Options begin with an underscore, as in ``run``.
        """
        shared, options = split_options(common)
        return self.submit(shared, foreach=inputs, **{"on_failure": "ignore", **options})

    def sweep(
        self,
        /,
        *,
        _where: str | Sequence[str] = (),
        _zip: bool = False,
        _inputs: Mapping[str, Any] | None = None,
        **inputs: Any,
    ) -> Job:
        """One job with a task for each combination: what is given as a list, a range or an array is a parameter of the sweep.

        ``app.sweep(a=range(1, 11), b=["x", "y"], data=path, _where="a*2 < 15")``. ``_where``: conditions that a combination
        has to meet. ``_zip``: the first values go together, then the second ones, and so on. ``_inputs``: inputs that all tasks
        have and that are lists themselves. Other options begin with an underscore, as in ``run``. ``job.table()`` is its table.
        """
        given, options = split_options(inputs)
        common, sweep = split_sweep(given, where=_where, paired=_zip)
        return self.submit({**common, **(_inputs or {})}, sweep=sweep, **options)

    def _repr_html_(self) -> str:
        return app_html(self.description)

    def __repr__(self) -> str:
        return f"<App {self.ref}>"


def split_options(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs, and the options that begin with an underscore, without it."""
    inputs = {name: value for name, value in arguments.items() if name[:1] != "_"}
    return inputs, {name[1:]: value for name, value in arguments.items() if name[:1] == "_"}


def split_sweep(
    given: Mapping[str, Any], *, where: str | Sequence[str], paired: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs that all tasks have, and the sweep as it is submitted. Raises ValueError where no input has several values."""
    axes = {name: listed for name, value in given.items() if (listed := _values(value)) is not None}
    if not axes:
        raise ValueError("a sweep needs an input with several values, such as a=[1, 2, 3]")
    common = {name: value for name, value in given.items() if name not in axes}
    conditions = [where] if isinstance(where, str) else list(where)
    return common, {"parameters": axes, "where": conditions, "mode": "zip" if paired else "product"}


def _values(value: Any) -> list[Any] | None:
    """The values of a parameter: of a list, a range, a generator, a NumPy array or a pandas series; None for one value."""
    if hasattr(value, "tolist") and getattr(value, "ndim", 0) == 1:
        value = value.tolist()
    return list(value) if isinstance(value, list | tuple | range | Set | Iterator) else None


def read_options(options: Mapping[str, Any]) -> Options:
    """Options from keyword arguments. Raises TypeError for a name that is none."""
    known = dict(options)
    after = known.get("after")
    if after is not None:
        known["after"] = [getattr(job, "id", job) for job in (after if isinstance(after, list | tuple) else [after])]
    for name in ("resources", "notify"):
        if isinstance(known.get(name), str | Mapping):
            known[name] = [known[name]]
    try:
        return Options(**known)
    except TypeError:
        names = ", ".join(Options.__dataclass_fields__)
        unknown = ", ".join(sorted(set(known) - set(Options.__dataclass_fields__)))
        raise TypeError(f"no option is named {unknown}; there are: wait, key, {names}") from None


def app_html(description: Mapping[str, Any]) -> str:
    """A small table of the inputs, for notebooks."""
    ref = f"{description.get('owner')}/{description.get('alias')}@{description.get('version')}"
    rows = [
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(str(spec.get('type', '')))}</td>"
        f"<td>{html.escape(str(spec.get('title') or ''))}</td></tr>"
        for name, spec in (description.get("inputs") or {}).items()
    ]
    title = html.escape(str(description.get("name") or ref))
    return f"<b>{title}</b> <code>{html.escape(ref)}</code><table>{''.join(rows)}</table>"
