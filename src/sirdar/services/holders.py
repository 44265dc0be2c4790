"""Which jobs hold the slots of a resource, as far as somebody who waits for one may know it."""

from collections.abc import Iterable

from sirdar.domain.people import Caller
from sirdar.store import resources as resource_store
from sirdar.store.people import Conn
from sirdar.store.resources import Holder

MOST_PLACES = 3
MOST_JOBS = 3


def words_of_holders(conn: Conn, caller: Caller | None, job_id: str, resource_ids: Iterable[str]) -> list[str]:
    """A sentence for each resource that is at work: the caller's own jobs by their ids, those of others as a number."""
    sentences = []
    for resource_id in sorted(resource_ids)[:MOST_PLACES]:
        row = resource_store.find_resource(conn, resource_id)
        by_task = row is not None and bool(row.capabilities.get("batch"))
        holding = resource_store.holders(conn, resource_id, by_task=by_task)
        if row is None or not holding:
            continue
        slots = int(row.capabilities.get("slots", 0)) or int(row.capabilities.get("cpus", 1))
        held = min(slots, sum(holder.slots for holder in holding))
        by = ", ".join(_parts(holding, caller, job_id))
        sentences.append(f"{held} of {slots} slot(s) of {row.name} are held: by {by}.")
    return sentences


def _parts(holding: list[Holder], caller: Caller | None, job_id: str) -> list[str]:
    """Who holds how much: this job, a few of the caller's own (an administrator sees all as these), the rest in numbers."""
    parts = [f"this job {holder.slots}" for holder in holding if holder.job_id == job_id]
    rest = [holder for holder in holding if holder.job_id != job_id]
    seen = [
        holder for holder in rest if caller is not None and (caller.administers or holder.owner_id == caller.user_id)
    ]
    parts += [f"job {holder.job_id} {holder.slots}" for holder in seen[:MOST_JOBS]]
    for words, more in (("more job(s)", seen[MOST_JOBS:]), ("job(s) of others", _without(rest, seen))):
        if more:
            parts.append(f"{len(more)} {words} {sum(holder.slots for holder in more)}")
    return parts


def _without(all_of: list[Holder], some: list[Holder]) -> list[Holder]:
    return [holder for holder in all_of if holder not in some]
