"""Code from git and GitLab: fetched by the server, once at publishing or once for each job that asks for it."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from sirdar.domain.app import App, FileEntry
from sirdar.domain.people import Caller
from sirdar.services import appsecrets
from sirdar.services.code.cache import ArchiveCache
from sirdar.services.code.resolve import Resolved, resolve
from sirdar.services.code.sources import Sources
from sirdar.services.code_tokens import token_of_environment
from sirdar.services.context import Services
from sirdar.services.outbound.addresses import AddressPolicy
from sirdar.services.settings import Settings
from sirdar.store import apps as rows
from sirdar.store import blobs as blob_rows
from sirdar.store.engine import Tx
from sirdar.store.people import Conn

__all__ = ["Resolved", "fetch_code", "register_blobs", "resolve_code"]

REGISTERED_AT_ONCE = 500  # blobs in one transaction, so that others get their turn


async def resolve_code(services: Services, app: App, values: Mapping[str, Any], secrets: Mapping[str, str]) -> Resolved:
    """The application's code as it is now: a commit, its version for people, its files (registered, and young).

    ``values``: checked inputs, for a ref such as ``${version}``. ``secrets``: the application's, in clear; where its token is not
    among them, the server's environment may have it. Once per job: all its
    tasks and retries use the same answer. Raises what ``services.code.resolve`` raises.
    """

    async def put_blob(path: Path) -> tuple[str, int]:
        blob = await services.blobs.put_path(path)
        return blob.sha256, blob.size_bytes

    wanted = app.code.token_secret
    if wanted is not None and not secrets.get(wanted) and (token := token_of_environment(app.code)):
        secrets = {**secrets, wanted: token}
    resolved = await resolve(
        app.code,
        values=values,
        secrets=secrets,
        sources=sources_of(services.settings),
        cache=_cache(services.settings.home / "code"),
        put_blob=put_blob,
    )
    await register_blobs(services, resolved.files)
    return resolved


async def fetch_code(
    services: Services, caller: Caller, app: App, secrets: Mapping[str, str] | None = None
) -> tuple[tuple[FileEntry, ...], str]:
    """Files and version for a publication. The token: of ``secrets`` that come with it, else of those kept with the application."""
    wanted = app.code.token_secret
    known = dict(secrets or {})
    if wanted is not None and wanted not in known:

        def kept(conn: Conn) -> Mapping[str, str]:
            found = rows.find_app(conn, caller.name, app.alias)
            return appsecrets.open_secrets(services, conn, found.id, [wanted]) if found else {}

        known.update(await services.store.read(kept))
    resolved = await resolve_code(services, app, {}, known)
    return resolved.files, resolved.version


async def register_blobs(services: Services, files: Sequence[FileEntry]) -> None:
    """Write down that the bytes of these files were put into the blob store; makes them young."""

    def register(tx: Tx, part: Sequence[FileEntry]) -> None:
        for file in part:
            blob_rows.register(tx, file.sha256, file.size_bytes)

    for first in range(0, len(files), REGISTERED_AT_ONCE):
        part = files[first : first + REGISTERED_AT_ONCE]
        await services.store.write(partial(register, part=part))


def sources_of(settings: Settings) -> Sources:
    """The server's rules for fetching code."""
    return Sources(
        policy=AddressPolicy.from_lines(settings.fetch_allow),
        git_schemes=settings.git_schemes,
        max_bytes=settings.publish_bytes,
        max_files=settings.publish_files,
        timeout_s=settings.fetch_s,
    )


@lru_cache(maxsize=16)
def _cache(directory: Path) -> ArchiveCache:
    """One for each directory, so that requests for the same commit wait for one another."""
    return ArchiveCache(directory)
