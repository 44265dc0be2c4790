"""``file ...``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sirdar.cli import draw
from sirdar.cli.numbers import size
from sirdar.cli.reply import Reply
from sirdar.cli.session import UsageError, current
from sirdar.client.flows.uploads import upload_path
from sirdar.client.requests import files as requests

Uri = Annotated[str, Parameter(help="an address as the server gives it, /api/files/...")]


def upload(*path: Path) -> Reply:
    """Upload files; each is there until an input names it, or it expires.

    Parameters
    ----------
    path
        files here
    """
    client = current().client
    if not path:
        raise UsageError("which file?", "sirdar file upload a.csv")
    found = [client.driver.run(upload_path(one, None, client.limits)) for one in path]
    lines = [f"{one['uri']}  {size(one.get('length'))}" for one in found]
    return Reply(found, [one["uri"] for one in found], lambda: lines)


def download(uri: Uri, /, *, to: Annotated[Path, Parameter(help="a file, or a folder that exists")] = Path()) -> Reply:
    """Download a file."""
    path = current().client.file(uri).download(to)
    return Reply({"path": str(path), "size": path.stat().st_size}, [str(path)], lambda: [str(path)])


def list_members(uri: Uri, /) -> Reply:
    """What an archive holds, without downloading it."""
    session = current()
    found = session.client.call(requests.list_archive(uri, session.client.url))
    rows = [("" if one.get("isDir") else size(one.get("size")), one["name"]) for one in found]
    names = [one["name"] for one in found]
    return Reply(found, names, lambda: draw.table(("size>", "name"), rows, session.terminal))


def delete(*uri: Uri) -> Reply:
    """Remove files."""
    client = current().client
    if not uri:
        raise UsageError("which file?", "sirdar file delete /api/files/temp/...")
    for one in uri:
        client.send(requests.delete(one, client.url))
    return Reply({"deleted": list(uri)}, list(uri), lambda: [f"deleted {one}" for one in uri])
