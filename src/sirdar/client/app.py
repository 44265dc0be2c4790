"""An application that can be run."""

import html
from collections.abc import Iterable, Mapping
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
        wait: float | None = None,
        key: str | None = None,
        **options: Any,
    ) -> Job:
        """Submit a job.

        ``wait``: seconds for which the answer may be held until the job has ended. ``key``: the same key submits
        once. ``options``: name, resources, on_failure, overrides, retries, debug, after, priority, notify,
        retention_s (see ``sirdar.client.requests.jobs.Options``); ``after`` takes jobs and ids.
        """
        flow = flows.submit(
            self.ref,
            inputs,
            read_options(options),
            key=key or uuid4().hex,
            limits=self._client.limits,
            foreach=None if foreach is None else list(foreach),
            wait_s=wait,
        )
        return Job(self._client.driver.run(flow), self._client)

    def map(self, inputs: Iterable[Mapping[str, Any]], /, **common: Any) -> Job:
        """One job with a task for each member of ``inputs``, merged over ``common``; its result is a list in that order.

        Options begin with an underscore, as in ``run``.
        """
        shared, options = split_options(common)
        return self.submit(shared, foreach=inputs, **options)

    def _repr_html_(self) -> str:
        return app_html(self.description)

    def __repr__(self) -> str:
        return f"<App {self.ref}>"


def split_options(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs, and the options that begin with an underscore, without it."""
    inputs = {name: value for name, value in arguments.items() if name[:1] != "_"}
    return inputs, {name[1:]: value for name, value in arguments.items() if name[:1] == "_"}


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
