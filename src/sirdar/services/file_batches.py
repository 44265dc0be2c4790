"""Many small files in one call: brought (only what the server does not have from the same user), or read."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from sirdar.blobs.base import check_sha256, wrong_digest
from sirdar.domain.app import FileRef
from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services import files
from sirdar.services.access import seen_job
from sirdar.services.context import Services
from sirdar.services.files import JOBS_PREFIX, TEMP_PREFIX, check_name, find_file, room
from sirdar.services.job_files import InlineFile, look_in
from sirdar.services.quotas import check_bytes
from sirdar.store import files as files_store
from sirdar.store.engine import Tx
from sirdar.store.files import File, JobOfFiles
from sirdar.store.people import Conn

MOST_FILES = 2000
READ_BYTES = 8 * 2**20  # of one answer
SMALL_BYTES = 64 << 10  # files that are read together
Found = FileRef | InlineFile | Problem
LASTING_S = 3600.0  # a file that is given again must outlast what is done with it


@dataclass(frozen=True, slots=True)
class Brought:
    """A file that a client brings. ``content`` None: the server may have these bytes from the same user.

    ``place``: where it stands in the call, for errors.
    """

    name: str
    sha256: str
    content: bytes | None
    place: str


@dataclass(frozen=True, slots=True)
class Contents:
    """A file that was asked for: its bytes, or why they are not here. Both None: it did not fit into this answer."""

    uri: str
    content: bytes | None = None
    problem: Problem | None = None


# ---------------------------------------------------------------- bring


async def bring(services: Services, caller: Caller, brought: Sequence[Brought]) -> list[File | None]:
    """Temporary files for all of them, None for those whose bytes are wanted. A file that the user has already is given again.

    Digests of others' files are answered as those of no file. Raises Problem.
    """
    _check(brought)
    contents = {one.sha256: one.content for one in brought if one.content is not None}
    await room(services, caller, sum(map(len, contents.values())))
    here = await _known(services, caller, brought)
    new = {sha256: content for sha256, content in contents.items() if sha256 not in {file.sha256 for file in here}}
    if new:
        await services.blobs.put_all(new)
    sizes = {file.sha256: file.size_bytes for file in here} | {sha: len(content) for sha, content in new.items()}
    named = {(file.sha256, file.name): file for file in here}
    wanted = {(one.sha256, one.name) for one in brought if one.sha256 in sizes} - named.keys()
    if wanted:
        named |= await services.store.write(lambda tx: _add(tx, services, caller, sorted(wanted), sizes, new))
    return [named.get((one.sha256, one.name)) for one in brought]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def _known(services: Services, caller: Caller, brought: Sequence[Brought]) -> list[File]:
    lasting_to = services.store.clock() + LASTING_S
    digests = {one.sha256 for one in brought}
    return await services.store.read(
        lambda conn: files_store.files_with(conn, caller.user_id, digests, lasting_to=lasting_to)
    )


def _add(
    tx: Tx,
    services: Services,
    caller: Caller,
    wanted: Collection[tuple[str, str]],
    sizes: Mapping[str, int],
    new: Mapping[str, bytes],
) -> dict[tuple[str, str], File]:
    settings = services.settings
    check_bytes(tx.conn, caller.user_id, sum(map(len, new.values())), settings, now=tx.now)
    named = [(name, sha256, sizes[sha256]) for sha256, name in wanted]
    made = files_store.add_files(tx, owner_id=caller.user_id, named=named, lifetime_s=settings.temp_file_s)
    return {(file.sha256, file.name): file for file in made}


def _check(brought: Sequence[Brought]) -> None:
    _check_number(len(brought))
    for one in brought:
        check_name(one.name, field=f"{one.place}.filename")
        check_sha256(one.sha256, field=f"{one.place}.sha256")
        if one.content is not None and (found := digest(one.content)) != one.sha256:
            raise wrong_digest(one.sha256, found, field=f"{one.place}.sha256")


# ---------------------------------------------------------------- read


async def read(services: Services, caller: Caller, uris: Sequence[str]) -> list[Contents]:
    """The files at these URIs of this server, up to ``READ_BYTES`` in all; what is larger alone has the problem ``too_large``."""
    _check_number(len(uris))
    found = await _find(services, caller, uris)
    fits = _fitting(found)
    small = {what.sha256 for what in fits.values() if isinstance(what, FileRef) and what.size_bytes <= SMALL_BYTES}
    at_hand = await services.blobs.read_small(small) if small else {}
    return [
        await _content(services, uri, what, at_hand) if number in fits else _left_out(uri, what)
        for number, (uri, what) in enumerate(zip(uris, found, strict=True))
    ]


def _fitting(found: Sequence[Found]) -> dict[int, Found]:
    """Those that go into one answer, by their places: what comes first goes first."""
    fits: dict[int, Found] = {}
    left = READ_BYTES
    for number, what in enumerate(found):
        if (size := _size_of(what)) <= left:
            fits[number] = what
            left -= size
    return fits


def _size_of(what: Found) -> int:
    if isinstance(what, FileRef):
        return what.size_bytes
    return len(what.content) if isinstance(what, InlineFile) else 0


def _left_out(uri: str, what: Found) -> Contents:
    if _size_of(what) <= READ_BYTES:
        return Contents(uri)
    detail = f"{uri} has {_size_of(what)} bytes, more than the {READ_BYTES} of one answer."
    return Contents(uri, problem=Problem("too_large", detail, hint="Download it by itself."))


async def _content(services: Services, uri: str, what: Found, at_hand: Mapping[str, bytes]) -> Contents:
    if isinstance(what, Problem):
        return Contents(uri, problem=what)
    if isinstance(what, InlineFile):
        return Contents(uri, what.content)
    if what.sha256 in at_hand:
        return Contents(uri, at_hand[what.sha256])
    try:
        return Contents(uri, b"".join([piece async for piece in services.blobs.read(what.sha256)]))
    except Problem as problem:
        return Contents(uri, problem=problem)


async def _find(services: Services, caller: Caller, uris: Sequence[str]) -> list[Found]:
    of_jobs = await services.store.read(lambda conn: _of_jobs(conn, caller, uris))
    return [of_jobs[uri] if uri in of_jobs else await _temporary(services, caller, uri) for uri in uris]


async def _temporary(services: Services, caller: Caller, uri: str) -> FileRef | Problem:
    if not uri.startswith(TEMP_PREFIX):
        return _no_file(uri)
    file_id, _, name = uri.removeprefix(TEMP_PREFIX).partition("/")
    try:
        file = await find_file(services, caller, file_id, unquote(name) if name else None)
    except Problem as problem:
        return problem
    return FileRef(file.name, file.sha256, file.size_bytes)


def _of_jobs(conn: Conn, caller: Caller, uris: Sequence[str]) -> dict[str, Found]:
    """The files of jobs among them; each job is looked at once."""
    jobs: dict[str, JobOfFiles | Problem] = {}
    found: dict[str, Found] = {}
    for uri in uris:
        if not uri.startswith(JOBS_PREFIX):
            continue
        job_id, _, rest = uri.removeprefix(JOBS_PREFIX).partition("/")
        job = jobs.get(job_id) or jobs.setdefault(job_id, _job(conn, caller, job_id))
        found[uri] = job if isinstance(job, Problem) else look_in(conn, job, unquote(rest)) or _no_file(uri)
    return found


def _job(conn: Conn, caller: Caller, job_id: str) -> JobOfFiles | Problem:
    try:
        return files_store.job_of_files(conn, seen_job(conn, caller, job_id).id)
    except Problem as problem:
        return problem


def _no_file(uri: str) -> Problem:
    return Problem("not_found", f"{uri[:200]!r} is no address of a file on this server.")


def _check_number(number: int) -> None:
    if number > MOST_FILES:
        raise Problem(
            "too_large", f"{number} files are too many for one call.", field="files", expected=f"at most {MOST_FILES}"
        )


to_json = files.to_json
