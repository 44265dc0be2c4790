"""What is removed when its time is over: temporary files, unfinished uploads, unnamed blobs, jobs past their retention.

Rows go first, in transactions; bytes after the commit. A crash in between leaves bytes without a row, which ``remove_orphans``
finds: it looks at the whole directory, so it runs once at the start and once a day.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sirdar.blobs.base import AGENT_UPLOAD, PARTS
from sirdar.services.context import Services
from sirdar.store import apps, grants, idempotency, tokens
from sirdar.store import blobs as blobs_store
from sirdar.store import files as files_store
from sirdar.store.engine import Tx

BATCH = 500
UNUSED_VERSIONS_S = 86400.0  # hidden versions that no job has any more
DEAD_TOKENS_S = 30 * 86400.0  # dead tokens are shown that long

DeleteJobs = Callable[[Tx, Sequence[str]], object]


@dataclass(frozen=True, slots=True)
class Removed:
    """What one sweep removed, in numbers."""

    files: int = 0
    uploads: int = 0
    blobs: int = 0
    jobs: int = 0

    def __bool__(self) -> bool:
        return bool(self.files or self.uploads or self.blobs or self.jobs)


async def sweep(services: Services, delete_jobs: DeleteJobs) -> Removed:
    """Remove all that has expired by now. ``delete_jobs`` removes the rows of ended jobs, within the transaction it is given."""
    jobs = await _in_batches(lambda: _remove_jobs(services, delete_jobs))
    files = await _in_batches(lambda: _remove_files(services))
    uploads = await _in_batches(lambda: _remove_uploads(services))
    blobs = await _in_batches(lambda: _remove_blobs(services))
    dead_before = services.store.clock() - DEAD_TOKENS_S
    await services.store.write(lambda tx: tokens.remove_dead(tx, before=dead_before))
    await services.store.write(grants.remove_expired)
    unused_before = services.store.clock() - UNUSED_VERSIONS_S
    await services.store.write(lambda tx: apps.drop_derived(tx, unused_before))
    await services.store.write(lambda tx: idempotency.forget_before(tx, tx.now - services.settings.idempotency_s))
    return Removed(files=files, uploads=uploads, blobs=blobs, jobs=jobs)


async def remove_orphans(services: Services) -> int:
    """Remove blobs and uploads without a row that are older than the grace, and drafts of dead processes; gives their number."""
    older_than = services.store.clock() - services.settings.blob_grace_s
    removed = await services.blobs.in_thread(services.blobs.clean_drafts)
    for part in PARTS:
        names = await services.blobs.in_thread(services.blobs.listing, part)
        for at in range(0, len(names), BATCH):
            removed += await _discard_unknown(services, names[at : at + BATCH], older_than)
    return removed + await _discard_lost_uploads(services)


async def _remove_jobs(services: Services, delete_jobs: DeleteJobs) -> int:
    now = services.store.clock()
    ids = await services.store.read(lambda conn: files_store.expired_jobs(conn, now=now, limit=BATCH))
    if ids:
        await services.store.write(lambda tx: delete_jobs(tx, ids))
    return len(ids)


async def _remove_files(services: Services) -> int:
    now = services.store.clock()
    ids = await services.store.read(lambda conn: files_store.expired_files(conn, now=now, limit=BATCH))
    if ids:
        await services.store.write(lambda tx: files_store.delete_files(tx, *ids))
    return len(ids)


async def _remove_uploads(services: Services) -> int:
    now = services.store.clock()
    ids = await services.store.read(lambda conn: files_store.expired_uploads(conn, now=now, limit=BATCH))
    if ids:
        await services.store.write(lambda tx: [files_store.delete_upload(tx, upload_id) for upload_id in ids])
    for upload_id in ids:
        await services.blobs.uploads.discard(upload_id)
    return len(ids)


async def _remove_blobs(services: Services) -> int:
    older_than = services.store.clock() - services.settings.blob_grace_s
    gone = await services.store.write(lambda tx: blobs_store.collect(tx, older_than=older_than, limit=BATCH))
    if gone:
        await services.blobs.in_thread(services.blobs.discard, gone, older_than=older_than)
    return len(gone)


async def _discard_unknown(services: Services, names: Sequence[str], older_than: float) -> int:
    rows = await services.store.read(lambda conn: blobs_store.registered(conn, names))
    unknown = [name for name in names if name not in rows]
    return await services.blobs.in_thread(services.blobs.discard, unknown, older_than=older_than) if unknown else 0


async def _discard_lost_uploads(services: Services) -> int:
    """Files of uploads whose row is gone: of a crash after the row's removal. Agents' uploads have none, and go with their age."""
    names = await services.blobs.in_thread(services.blobs.uploads.listing)
    given_up = services.store.clock() - services.settings.upload_s
    known = await services.store.read(lambda conn: files_store.uploads_known(conn, list(names)))
    lost = [
        name
        for name, grown_at in names.items()
        if name not in known and (grown_at < given_up or not name.startswith(AGENT_UPLOAD))
    ]
    for name in lost:
        await services.blobs.uploads.discard(name)
    return len(lost)


async def _in_batches(remove: Callable[[], Awaitable[int]]) -> int:
    """Batch after batch until one was not full: the writer is never held for long."""
    total = 0
    while count := await remove():
        total += count
        if count < BATCH:
            break
    return total
