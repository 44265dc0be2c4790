"""The server itself, and what is done with a whole one: thin doors to the server's own code, which is imported only here."""

import os
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from sirdar.cli.agent import default_home as agent_home
from sirdar.cli.draw import paint
from sirdar.cli.numbers import size
from sirdar.cli.reply import Reply
from sirdar.cli.session import Refused, current

Home = Annotated[Path | None, Parameter(help="the server's home", env_var="SIRDAR_HOME")]


def default_home() -> Path:
    """``$XDG_DATA_HOME/sirdar``, else ``~/.local/share/sirdar``."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "sirdar"


def up(
    *,
    home: Home = None,
    host: Annotated[str, Parameter(help="address to listen on", env_var="SIRDAR_HOST")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="0 takes a free one", env_var="SIRDAR_PORT")] = 8200,
    slots: Annotated[
        int | None, Parameter(help="tasks side by side on this machine; 0 runs none here", env_var="SIRDAR_SLOTS")
    ] = None,
    insecure: Annotated[bool, Parameter(help="allow tokens over plain HTTP from other machines", negative="")] = False,
    browser: Annotated[bool, Parameter(name="--open", help="open the browser", negative="")] = False,
) -> int:
    """Start a server with its home, and an agent that runs jobs on this machine. Ctrl-C ends both."""
    main = _server("up", "main", "up")
    return int(
        main(home=home or default_home(), host=host, port=port, slots=slots, insecure=insecure, open_browser=browser)
    )


def serve(
    *,
    home: Home = None,
    database: Annotated[
        str | None,
        Parameter(help="postgresql://USER@HOST/NAME; without it SQLite in the home", env_var="SIRDAR_DATABASE"),
    ] = None,
    host: Annotated[str, Parameter(help="address to listen on", env_var="SIRDAR_HOST")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="0 takes a free one", env_var="SIRDAR_PORT")] = 8200,
    insecure: Annotated[bool, Parameter(help="allow tokens over plain HTTP from other machines", negative="")] = False,
) -> int:
    """Start a server without an agent. Several may share one PostgreSQL and one home, behind any load balancer.

    The home holds what they share beside the database: the key, logs of running tasks, and blobs where these are not in S3.
    A password in the address of the database is seen by everybody on the machine; SIRDAR_DATABASE keeps it to yourself.
    """
    main = _server("serve", "main")
    return int(main(home=home or default_home(), database=database, host=host, port=port, insecure=insecure))


def doctor(
    *,
    home: Home = None,
    fix: Annotated[bool, Parameter(help="repair what can be", negative="")] = False,
) -> Reply:
    """Check the installation, the profile, the home of the server on this machine, and what jobs can run in here."""
    checks = [*_client_checks(), *_home_checks(home or default_home(), fix=fix)]
    rows = [_as_json(check) for check in checks]
    terminal = current().terminal

    def lines() -> list[str]:
        found = []
        for row in rows:
            mark = paint(*_mark(row), terminal)
            found.append(f"{mark} {row['name']}: {row['detail']}")
            if row.get("hint") and not row["ok"]:
                found.append(f"  try: {row['hint']}")
        return found

    failed = [row["name"] for row in rows if not row["ok"] and not row.get("warning")]
    return Reply(rows, failed, lines, ["sirdar doctor --fix"] if failed and not fix else [], 1 if failed else 0)


def _mark(row: dict[str, Any]) -> tuple[str, str]:
    """Sign and colour of a check."""
    if row["ok"]:
        return "✓", "32"
    return ("!", "33") if row.get("warning") else ("✕", "31")


Database = Annotated[
    str | None,
    Parameter(help="postgresql://USER:PASSWORD@HOST/NAME; none: SQLite in the home", env_var="SIRDAR_DATABASE"),
]


def migrate(
    *,
    home: Home = None,
    database: Database = None,
    check: Annotated[bool, Parameter(help="only look: exit code 1 where it is behind", negative="")] = False,
) -> Reply:
    """Bring a server's database to the schema of this release. `sirdar up` does so by itself when it starts."""
    found = _server("keep", "migrate")(home or default_home(), database, check=check)
    document = {**_as_json(found), "behind": found.behind}
    was, now = found.schema_was or "empty", found.schema or "empty"

    def lines() -> list[str]:
        if found.behind:
            return [f"{found.database}: schema {now}, behind this release's {found.newest}"]
        if was == now:
            return [f"{found.database}: schema {now}, the newest"]
        copy = [f"as it was before: {found.copy}"] if found.copy else []
        return [f"{found.database}: schema {was} -> {now}", *copy]

    return Reply(document, [now], lines, ["sirdar migrate"] if found.behind else [], 1 if found.behind else 0)


def backup(
    to: Path,
    /,
    *,
    home: Home = None,
    database: Database = None,
    without_blobs: Annotated[bool, Parameter(help="leave out the bytes of files", negative="")] = False,
) -> Reply:
    """Copy all that a server keeps: rows, files, logs, key; also while it runs.

    Parameters
    ----------
    to
        a file that does not exist yet, NAME.tar, or a folder that does not exist yet or is empty
    """
    found = _server("keep", "backup")(home or default_home(), to, database, with_blobs=not without_blobs)
    report = _dated(_as_json(found))
    return Reply(
        report,
        [str(to)],
        lambda: _report_lines(report),
        [f"sirdar restore {to} --home NEW_HOME"],
        1 if found.missing_blobs else 0,
    )


def restore(backup: Path, /, *, home: Home = None, database: Database = None) -> Reply:
    """Make a home of a backup, and with --database a PostgreSQL database; what is not empty is not touched.

    Parameters
    ----------
    backup
        the file or folder that `sirdar backup` made
    """
    target = home or default_home()
    found = _server("keep", "restore")(backup, target, database)
    report = _dated(_as_json(found))
    return Reply(report, [str(target)], lambda: _report_lines(report), [f"sirdar up --home {target}"])


def promote(
    *,
    database: Annotated[
        str, Parameter(help="an empty one: postgresql://USER:PASSWORD@HOST/NAME", env_var="SIRDAR_DATABASE")
    ],
    home: Home = None,
) -> Reply:
    """Move a stopped server's home from SQLite to PostgreSQL. Running programs go on, and are delivered there."""
    where = home or default_home()
    report = _as_json(_server("keep", "promote")(where, database))
    return Reply(report, [report["database"]], lambda: _report_lines(report), [f"sirdar up --home {where}"])


def _server(module: str, *names: str) -> Any:
    """A function of the server. Says what to install where the server's extras are missing."""
    try:
        found = import_module(f"sirdar.server.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sirdar"):
            raise
        hint = "install sirdar[server,agent]: `uv tool install 'sirdar[server,agent]'`"
        raise Refused("not_installed", f"the server needs the package {error.name}", hint=hint) from error
    return next(getattr(found, name) for name in names if hasattr(found, name))


def _client_checks() -> list[dict[str, Any]]:
    """What can be said without the server's code: profile, its mode, whether the server answers."""
    from sirdar.client import profile
    from sirdar.client.errors import ApiError, NotConfigured, ServerUnreachable
    from sirdar.client.requests import people

    path = profile.config_dir() / profile.PROFILE_FILE
    checks = []
    if path.exists() and os.name == "posix":
        private = not path.stat().st_mode & 0o077
        checks.append({"name": "profile", "ok": private, "detail": str(path), "hint": f"chmod 600 {path}"})
    try:
        client = current().client
        name = client.call(people.me())["name"]
        checks.append({"name": "server", "ok": True, "detail": f"{client.url} answers; you are {name}", "hint": None})
    except NotConfigured as error:
        checks.append({"name": "server", "ok": not path.exists(), "detail": error.message, "hint": error.hint})
    except (ApiError, ServerUnreachable) as error:
        checks.append({"name": "server", "ok": False, "detail": error.message, "hint": error.hint})
    return checks


def _home_checks(home: Path, *, fix: bool) -> list[Any]:
    """Of the server's home and its agent; where no server is installed, of the agent that has joined, or may join, from here."""
    own_agent = home / "agent"
    joined = agent_home()
    try:
        found = list(_server("doctor", "check")(home, fix=fix))
    except Refused:
        if home.exists():
            raise
        found = []
    here = own_agent if own_agent.exists() or not joined.exists() else joined
    return [*found, *import_module("sirdar.agent.doctor").check(here)]


def _as_json(value: Any) -> dict[str, Any]:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return dict(value) if isinstance(value, dict) else {"result": value}


def _dated(report: dict[str, Any]) -> dict[str, Any]:
    """The report with its time as the API writes times (ISO-8601, UTC)."""
    taken = datetime.fromtimestamp(report["taken_at"], UTC).isoformat(timespec="milliseconds")
    return {**report, "taken_at": taken.replace("+00:00", "Z")}


def _report_lines(report: dict[str, Any]) -> list[str]:
    return [
        f"{name.removesuffix('_bytes').replace('_', ' ')}: {_shown(name, value)}"
        for name, value in report.items()
        if value is not None and (name, value) not in _UNEVENTFUL
    ]


_UNEVENTFUL = (("missing_blobs", 0), ("blobs_included", True))  # what is said only where it is otherwise


def _shown(name: str, value: Any) -> str:
    if name == "taken_at":
        return datetime.fromisoformat(value).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return size(value) if name.endswith("_bytes") else str(value)
