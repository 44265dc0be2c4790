"""Whether a job that was just submitted can run nowhere as things stand: it is kept all the same, with a warning."""

import json
from collections.abc import Collection
from dataclasses import replace

from sirdar.domain.ids import JobId
from sirdar.domain.placement import Place, Wanted, misfits, welcome
from sirdar.services.context import Services
from sirdar.services.places import places_now
from sirdar.store import resource_use
from sirdar.store.job_views import JobView
from sirdar.store.jobs import NewJob
from sirdar.store.people import Conn

SHOWN_PLACES = 3
# The same words whether others have resources or nobody has: nobody learns of those that are not shared with them.
NOWHERE = "There is no resource that the job's owner may use. It waits until one is attached, or shared with its owner."


async def warnings_of(services: Services, job: NewJob | JobView) -> list[str]:
    """What to tell whoever submitted it. What needs one cpu and nothing else fits wherever its owner is welcome."""
    starting = services.hub.starts_agent
    labels = json.loads(job.labels_json) if isinstance(job, NewJob) else job.labels
    secrets_of = job.secrets_of or "" if isinstance(job, NewJob) else ""
    if job.cpus <= 1 and not job.memory_bytes and not job.gpus and job.nodes <= 1 and not labels:
        welcome_somewhere = await services.store.read(
            lambda conn: resource_use.is_welcome(conn, job.owner_id, secrets_of or job.owner_id, starting=starting)
        )
        return [] if welcome_somewhere else [NOWHERE]
    chosen = frozenset(json.loads(job.resources_json) if isinstance(job, NewJob) else job.resources)
    wanted = Wanted(
        JobId(job.id),
        job.owner_id,
        1,
        cpus=job.cpus,
        memory_bytes=job.memory_bytes,
        gpus=job.gpus,
        nodes=job.nodes,
        labels=frozenset(labels.items()),
        secrets_of=secrets_of,
    )
    return await services.store.read(lambda conn: warnings_now(conn, wanted, chosen, starting=starting))


def warnings_now(conn: Conn, wanted: Wanted, chosen: Collection[str], *, starting: bool) -> list[str]:
    """A warning where none of the resources that it may use, online or not, could run it as they are."""
    if not resource_use.is_welcome(conn, wanted.owner, wanted.secrets_of or wanted.owner, starting=starting):
        return [NOWHERE]
    places = [place for place in places_now(conn) if (not chosen or place.id in chosen) and welcome(wanted, place)]
    wrong = [misfits(wanted, _at_its_best(place)) for place in places]
    if not places or not all(wrong):
        return []
    reasons = "; ".join(", ".join(texts) for texts in wrong[:SHOWN_PLACES])
    more = f"; and {len(wrong) - SHOWN_PLACES} more cannot either" if len(wrong) > SHOWN_PLACES else ""
    which = "resources that it was sent to can run it as it is now"
    which = which if chosen else "resources that are attached now, and that it may use, can run it"
    return [f"None of the {which}: {reasons}{more}. It waits until one can."]


def _at_its_best(place: Place) -> Place:
    return replace(place, reachable=True, draining=False)
