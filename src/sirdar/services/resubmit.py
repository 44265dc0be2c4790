"""Submitting a job again, with some inputs changed; of many tasks all, those that failed, those that are not done, or some."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sirdar.domain.app import App
from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.domain.values import check
from sirdar.services.apps import load_version, resolve_app
from sirdar.services.context import Services
from sirdar.services.inline_files import bring_inline
from sirdar.services.jobs import find_seen
from sirdar.services.once import Once
from sirdar.services.submit import submit_again
from sirdar.store import jobs as job_store
from sirdar.store.job_views import JobView
from sirdar.store.people import Conn
from sirdar.store.task_table import cancelled_numbers, failed_numbers
from sirdar.wire.submit import ResubmitRequest


async def resubmit(
    services: Services, caller: Caller, job_id: str, request: ResubmitRequest, *, key: str | None = None
) -> str:
    """The id of a new job like that one. ``inputs`` replace those of the same name; null takes one away. Raises Problem.

    Of many tasks these are the inputs in common: what a task's own input set gives stays. The new job says which one it repeats.
    Somebody with whom the job is shared has to give its secrets anew: they are not theirs to use.
    """

    def read(conn: Conn) -> tuple[JobView, list[dict[str, Any]] | None, Sequence[int]]:
        job = find_seen(conn, caller, job_id)
        numbers = _chosen(conn, job, request)
        if not job.many:
            return job, None, ()
        items = job_store.load_items(conn, job.id, numbers)
        return job, [items[no] for no in numbers], numbers if len(numbers) < job.total else ()

    body = request.model_dump_json().encode()
    once = Once.of(services, caller, key, f"resubmit {job_id}", body)
    if once is not None and (known := await once.earlier()):
        return known
    job, items, some = await services.store.read(read)
    loaded = await load_version(services, job.version_id)
    (inputs,) = await bring_inline(services, caller, loaded.app, [("inputs", request.inputs)])
    request = request.model_copy(update={"inputs": inputs})
    number = f"@{job.version}" if request.version == "same" else ""
    if loaded.version.is_hidden and request.inputs:
        anew = f"{loaded.version.reference}{number}"
        return await _planned_anew(services, caller, anew, job, loaded.app, request, once)
    _check_changes(loaded.app, request)
    _refuse_idle(request.inputs, items)
    own = job.owner_id == caller.user_id
    inputs = {**_again(job.inputs, services, with_secrets=own), **request.inputs}
    return await submit_again(
        services,
        caller,
        f"{loaded.version.reference}{number}",
        job,
        {name: value for name, value in inputs.items() if value is not None},
        None if items is None else [_again(item, services, with_secrets=own) for item in items],
        name=request.name,
        debug=request.debug,
        once=once,
        tasks=some,
    )


async def _planned_anew(
    services: Services,
    caller: Caller,
    reference: str,
    job: JobView,
    hidden: App,
    request: ResubmitRequest,
    once: Once | None,
) -> str:
    """A job of a plan with other inputs: its tasks are made anew. Raises Problem where only some were wanted."""
    if request.only is not None or request.tasks is not None:
        raise Problem(
            "invalid_field",
            "Another plan or other files make other tasks: all of them are run.",
            field="only" if request.only is not None else "tasks",
            hint="Leave it out, or leave plan and files as they are.",
        )
    base = (await resolve_app(services, caller, reference)).app
    _check_changes(base, request)
    own = _again(job.inputs, services, with_secrets=job.owner_id == caller.user_id)
    inputs = {name: value for name, value in own.items() if _is_of(base, hidden, name)} | request.inputs
    given = {name: value for name, value in inputs.items() if value is not None}
    return await submit_again(
        services, caller, reference, job, given, None, name=request.name, debug=request.debug, once=once
    )


def _is_of(base: App, hidden: App, name: str) -> bool:
    """Whether an input of a plan's job was given to the application, and is no parameter of the plan."""
    asked, has = base.input(name), hidden.input(name)
    return asked is not None and has is not None and asked == replace(has, staged=asked.staged, required=asked.required)


def _check_changes(app: App, request: ResubmitRequest) -> None:
    """Raises Problem ``invalid_input`` for inputs that are none, or wrong."""
    unknown = [name for name in request.inputs if app.input(name) is None]
    if unknown:
        raise Problem(
            "invalid_input", f"The application has no input {unknown[0][:80]!r}.", field=f"inputs.{unknown[0][:80]}"
        )
    _, errors = check(app.inputs, request.inputs, partial=True, file_refs=False)  # nobody names another's blob
    if errors:
        raise Problem(
            "invalid_input", errors[0].detail, field=errors[0].field, expected=errors[0].expected, errors=errors
        )


def _chosen(conn: Conn, job: JobView, request: ResubmitRequest) -> Sequence[int]:
    """Numbers of the tasks whose input sets the new job takes, in order. Raises Problem where there are none."""
    numbers: Sequence[int] = range(job.total)
    if request.tasks is not None:
        numbers = sorted(set(request.tasks))
        if numbers[-1] >= job.total:
            raise Problem(
                "invalid_field",
                f"Job {job.id} has no task {numbers[-1]}.",
                field="tasks",
                expected=f"numbers from 0 to {job.total - 1}",
            )
    if request.only is not None:
        found = failed_numbers(conn, job)
        if request.only == "not_done":
            found = sorted({*found, *cancelled_numbers(conn, job)})
        numbers = found if request.tasks is None else sorted(set(found).intersection(numbers))
        if not numbers:
            told = "has failed" if request.only == "failed" else "has failed or was cancelled"
            raise Problem(
                "conflict",
                f"No task of job {job.id} {told}{'' if request.tasks is None else ' among these'}.",
                field="only",
                hint="Leave 'only' out to submit all of it again." if job.ended_at else "The job has not ended yet.",
            )
    return numbers


def _refuse_idle(changes: dict[str, Any], items: list[dict[str, Any]] | None) -> None:
    """A change that no task would see is a mistake: whoever asked for it would wait for the same results again."""
    for name in changes:
        if items and all(item.get(name) is not None for item in items):
            raise Problem(
                "invalid_input",
                f"Each of the {len(items)} input sets of foreach gives {name} itself, so that the change would do nothing.",
                field=f"inputs.{name}",
                expected="an input that the tasks have in common",
                hint="Leave it out, or submit a new job with other input sets.",
            )


def _again(inputs: dict[str, Any], services: Services, *, with_secrets: bool) -> dict[str, Any]:
    """Stored inputs as a submission gives them: addresses as they were; secrets in clear, for nobody but their owner."""
    kept = {name: value for name, value in inputs.items() if with_secrets or not _is_secret(value)}
    return {name: _value(value, services) for name, value in kept.items()}


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and "$secret" in value


def _value(value: Any, services: Services) -> Any:
    if isinstance(value, list):
        return [_value(item, services) for item in value]
    if _is_secret(value):
        return services.keys.unseal(value["$secret"])
    if isinstance(value, dict) and len(value) == 1 and "$url" in value:
        return value["$url"]
    return value
