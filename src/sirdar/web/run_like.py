"""A form that is filled from a job: everything but its secrets; files are kept where they lie."""

import json
from typing import Any

from sirdar.domain.people import Caller
from sirdar.domain.units import format_duration, format_size
from sirdar.services.app_cache import LoadedVersion
from sirdar.services.context import Services
from sirdar.services.jobs import find_seen
from sirdar.store import jobs as job_store
from sirdar.store.job_views import JobView
from sirdar.store.people import Conn
from sirdar.web.form_fields import Given, given_values
from sirdar.web.form_options import OVER, slurm_text
from sirdar.web.run_sets import check_app, plain_set

MOST_ITEMS = 200  # of a job of many tasks, as text in a form; more are taken from the job as they are


async def filled(services: Services, caller: Caller, loaded: LoadedVersion, job_id: str) -> Given:
    """Raises ``not_found`` where the caller may not see the job, or it is of another application."""

    def read(conn: Conn) -> tuple[JobView, list[dict[str, Any]]]:
        job = find_seen(conn, caller, job_id)
        if not job.many or job.total > MOST_ITEMS:
            return job, []
        items = job_store.load_items(conn, job.id, range(job.total))
        return job, [items[no] for no in range(job.total)]

    job, items = await services.store.read(read)
    check_app(job, loaded)
    given = given_values(loaded.app.inputs, plain_set(job.inputs, job))
    given.texts |= {"name": job.name, "like": job.id}
    if job.retries != loaded.app.retries:
        given.texts["retries"] = str(job.retries)
    given.texts |= {OVER + name: text for name, text in _overrides(job.overrides).items()}
    given.chosen["resource"] = list(job.resources)
    if job.debug:
        given.texts["debug"] = "true"
    if items:
        sets = [plain_set(item, job, no) for no, item in enumerate(items)]
        given.texts["foreach"] = _written(sets)
    elif job.many:
        given.texts["foreach_job"] = job.id  # too many for a text: taken as they are
    if job.many:
        given.texts["on_failure"] = job.on_failure
    if job.criterion is not None:
        stop = job.criterion.stop
        given.texts |= {"criterion": job.criterion.key, "direction": job.criterion.direction}
        given.texts["stop_when"] = stop.text if stop is not None else ""
    return given


def _written(sets: list[dict[str, Any]]) -> str:
    """One on each line, as a list."""
    return "[" + ",\n ".join(json.dumps(one, ensure_ascii=False) for one in sets) + "]"


def _overrides(stored: dict[str, Any]) -> dict[str, str]:
    """As they are typed."""
    texts = {}
    for name, value in stored.items():
        if name == "keep_alive":  # the form does not ask for it
            continue
        if name in {"memory_bytes", "disk_bytes"}:
            texts[name.removesuffix("_bytes")] = format_size(int(value))
        elif name == "time_s":
            texts["time"] = format_duration(float(value))
        elif name == "slurm":
            texts[name] = slurm_text(value)
        else:
            texts[name] = str(value)
    return texts
