"""Whether a job that was just submitted asks for more than any resource has: it is kept all the same, with a warning."""

import json
from collections.abc import Collection
from dataclasses import replace

from sirdar.domain.ids import JobId
from sirdar.domain.placement import Place, Wanted, misfits, welcome
from sirdar.services.context import Services
from sirdar.services.places import places_now
from sirdar.store.job_views import JobView
from sirdar.store.jobs import NewJob
from sirdar.store.people import Conn

SHOWN_PLACES = 3


async def warnings_of(services: Services, job: NewJob | JobView) -> list[str]:
    """What to tell whoever submitted it. What needs one cpu and nothing else fits everywhere, and is not looked at."""
    labels = json.loads(job.labels_json) if isinstance(job, NewJob) else job.labels
    if job.cpus <= 1 and not job.memory_bytes and not job.gpus and job.nodes <= 1 and not labels:
        return []
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
    )
    return await services.store.read(lambda conn: warnings_now(conn, wanted, chosen))


def warnings_now(conn: Conn, wanted: Wanted, chosen: Collection[str]) -> list[str]:
    """A warning where none of the resources that it may use, online or not, could ever run it."""
    everywhere = places_now(conn)
    places = [place for place in everywhere if (not chosen or place.id in chosen) and welcome(wanted, place)]
    if everywhere and not places and not chosen:
        return ["None of the resources that are attached is shared with the job's owner. It waits until one is."]
    wrong = [misfits(wanted, _at_its_best(place)) for place in places]
    if not places or not all(wrong):
        return []
    reasons = "; ".join(", ".join(texts) for texts in wrong[:SHOWN_PLACES])
    more = f"; and {len(wrong) - SHOWN_PLACES} more cannot either" if len(wrong) > SHOWN_PLACES else ""
    which = "resources that it was sent to" if chosen else "resources that it may use"
    return [f"None of the {which} can ever run it: {reasons}{more}. It waits until one can."]


def _at_its_best(place: Place) -> Place:
    return replace(place, reachable=True, draining=False)
