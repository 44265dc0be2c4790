"""``agent ...``: this machine as a resource. Thin doors to the agent's own code, which is imported only here."""

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from cyclopts import Parameter

from sirdar.cli import draw
from sirdar.cli.reply import Reply
from sirdar.cli.session import Refused, UsageError, current

Home = Annotated[Path | None, Parameter(help="the agent's directory", env_var="SIRDAR_AGENT_HOME")]
Slots = Annotated[
    int | None, Parameter(help="tasks side by side; as many as there are cpus without it", env_var="MAX_TASKS")
]
Labels = Annotated[
    list[str] | None, Parameter(name="--label", help="NAME=VALUE; may be repeated", consume_multiple=False, negative="")
]
Executor = Annotated[
    Literal["process", "slurm"],
    Parameter(help="what runs them: this machine, or the cluster that this is a login node of"),
]
PolicyFile = Annotated[Path | None, Parameter(help="what its owner allows; policy.yaml in the home without it")]
FOLLOW_S = 0.2
KEPT = tuple(
    name
    for word in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SIRDAR_SOLVERS")
    for name in ((word,) if sys.platform == "win32" else (word, word.lower()))
)


def default_home() -> Path:
    """``$XDG_DATA_HOME/sirdar-agent``, else ``~/.local/share/sirdar-agent``."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "sirdar-agent"


def join(
    url: str,
    /,
    *,
    token: Annotated[str, Parameter(help="as `sirdar resource create` printed it; - reads it from standard input")],
    home: Home = None,
) -> Reply:
    """Attach this machine to a server. The token works once, within 15 minutes.

    Parameters
    ----------
    url
        of the server
    """
    place = home or default_home()
    text = sys.stdin.readline().strip() if token == "-" else token  # noqa: S105
    identity = _do("join", place, url, text)
    document = {"name": identity.name, "resource": identity.resource_id, "server": url, "home": str(place)}
    following = [f"sirdar agent start{_home_words(home)}", f"sirdar agent install{_home_words(home)}"]
    return Reply(document, [identity.resource_id], lambda: [f"this machine is {identity.name} at {url}"], following)


def start(
    *,
    home: Home = None,
    slots: Slots = None,
    label: Labels = None,
    policy: PolicyFile = None,
    executor: Executor = "process",
) -> int:
    """Run jobs on this machine, until Ctrl-C. Programs run on; the next start takes them up again.

    Where no agent has joined and SIRDAR_TOKEN (or EVEREST_TOKEN) is set, as in a container: attach by it, and keep nothing.
    """
    _module("operate")  # says what to install
    place = home or default_home()
    options = _options(slots, label, policy, executor)
    joined = _module("identity").kept_identity(place) is not None
    if not joined and not any(os.environ.get(name) for name in ("SIRDAR_TOKEN", "EVEREST_TOKEN", "SIRDAR_JOIN")):
        raise Refused("not_joined", f"no agent has joined with {place}", hint="sirdar agent join URL --token TOKEN")
    if joined or home is not None:
        options = ["--home", str(place), *options]
    if sys.platform != "win32":
        _become([sys.executable, "-m", "sirdar.agent", *options])
    return int(_module("__main__").main(options))


def _become(words: list[str]) -> NoReturn:
    """The agent is small, and does not need the command line's modules."""
    sys.stdout.flush()
    os.execv(words[0], words)  # noqa: S606


def _options(slots: int | None, labels: list[str] | None, policy: Path | None, executor: str) -> list[str]:
    if slots is not None and slots < 1:
        raise UsageError("an agent needs at least one slot", "--slots 4")
    for label in labels or ():
        if not label.partition("=")[2]:
            raise UsageError(f"{label!r} is no label", "--label site=lab")
    if policy is not None and not policy.is_file():  # else it would be an open one
        raise UsageError(f"there is no file {policy}", "docs/how-to/attach-policy.md says what a policy holds")
    words = ["--slots", str(slots)] if slots is not None else []
    words += [word for label in labels or () for word in ("--label", label)]
    words += ["--executor", executor] if executor != "process" else []
    return [*words, "--policy", str(policy.resolve())] if policy is not None else words


def install(
    *,
    home: Home = None,
    slots: Slots = None,
    label: Labels = None,
    policy: PolicyFile = None,
    executor: Executor = "process",
) -> Reply:
    """Write a systemd user unit that runs the agent, also after a restart of the machine.

    Variables of a proxy that are set now (HTTPS_PROXY, NO_PROXY and so on) stand in the unit, which only you may read.
    """
    place = home or default_home()
    options = _options(slots, label, policy, executor)
    if policy is not None:
        _check_policy(policy)
    unit = _do("install_unit", place, options)
    _keep_proxies(unit)
    following = [
        "systemctl --user daemon-reload",
        f"systemctl --user enable --now {unit.name}",
        "loginctl enable-linger  # so that it runs while nobody is logged in",
    ]
    return Reply({"unit": str(unit)}, [str(unit)], lambda: [f"wrote {unit}"], following)


def _check_policy(path: Path) -> None:
    """A unit with a policy that nobody can read would fail where nobody looks."""
    module = _module("policy")
    try:
        module.load_policy(path)
    except module.PolicyFault as fault:
        raise Refused("agent", str(fault), hint="docs/how-to/attach-policy.md says what a policy holds") from None


def _keep_proxies(unit: Path) -> None:
    """What stands in the environment now, for a service that gets none of it. It may hold a password."""
    lines = [f"Environment={_as_systemd_reads(name, os.environ[name])}\n" for name in KEPT if os.environ.get(name)]
    if lines:
        unit.chmod(0o600)
        unit.write_text(unit.read_text().replace("[Service]\n", "[Service]\n" + "".join(lines), 1))


def _as_systemd_reads(name: str, value: str) -> str:
    plain = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return f'"{name}={plain}"'


def status(*, home: Home = None) -> Reply:
    """How the agent on this machine stands. The exit code is 0 only if it is attached."""
    found = _do("standing", _place(home))
    document = asdict(found)
    exit_code = 0 if found.state == "attached" else 1
    shown = {**document, "slurm": _slurm_words(document["slurm"])}
    return Reply(document, [found.state], lambda: draw.pairs(shown, current().terminal), (), exit_code)


def _slurm_words(told: dict[str, Any]) -> str:
    """How the agent's watching of a cluster goes; empty where it watches none."""
    if not told:
        return ""
    words = [f"asked {told['queries']} times, the last answer took {told['last_query_s']:g} s"]
    if told["failed_in_row"]:
        words.append(f"the last {told['failed_in_row']} failed: {told['last_error']}")
    words.append(f"accounting {told['accounting']}")
    if "pilots" in told:
        words.append(
            f"{told['pilots_connected']} of {told['pilots']} pilots have called in, {told['waiting']} tasks wait"
        )
    if told.get("trouble"):
        words.append(told["trouble"])
    return "; ".join(words)


def logs(
    *,
    home: Home = None,
    follow: Annotated[bool, Parameter(name=("--follow", "-f"), help="wait for more", negative="")] = False,
    lines: Annotated[int, Parameter(name=("--lines", "-n"), help="so many of the last")] = 200,
) -> int:
    """What the agent on this machine did."""
    path = _place(home) / "agent.log"
    if not path.exists():
        raise Refused("no_log", f"there is no {path}", hint="sirdar agent start")
    for line in _log_lines(path, max(0, lines), follow=follow):
        print(line if current().options.json else _readable(line), flush=True)
    return 0


def _log_lines(path: Path, last: int, *, follow: bool) -> Iterator[str]:
    file = path.open(encoding="utf-8", errors="replace")
    try:
        yield from (line.rstrip("\n") for line in file.readlines()[-last or None :] if last)
        begun = ""
        while follow:
            begun += file.readline()
            if begun.endswith("\n"):
                yield begun.rstrip("\n")
                begun = ""
            elif path.exists() and path.stat().st_ino != os.fstat(file.fileno()).st_ino:  # a new log was begun
                file.close()
                file = path.open(encoding="utf-8", errors="replace")
            else:
                time.sleep(FOLLOW_S)
    finally:
        file.close()


def _readable(line: str) -> str:
    try:
        event = json.loads(line)
    except ValueError:
        return line
    at, level, what = (str(event.pop(key, "")) for key in ("timestamp", "level", "event"))
    more = " ".join(f"{key}={value}" for key, value in event.items())
    return f"{at[:19].replace('T', ' ')} {level:<7} {what} {more}".rstrip()


def drain(*, home: Home = None, undo: Annotated[bool, Parameter(help="take work again", negative="")] = False) -> Reply:
    """Take nothing new on this machine; what is here is finished."""
    mode = "active" if undo else "drain"
    identity = _do("change_mode", _place(home), mode)
    said = f"{identity.name} takes work again" if undo else f"{identity.name} takes nothing new"
    return Reply({"name": identity.name, "mode": mode}, [identity.name], lambda: [said])


def leave(
    *, home: Home = None, force: Annotated[bool, Parameter(help="end programs that run here", negative="")] = False
) -> Reply:
    """Detach this machine from its server for good."""
    identity = _do("leave", _place(home), force=force)
    lines = [f"{identity.name} has left {identity.server}; its key is worth nothing any more"]
    return Reply({"name": identity.name, "server": identity.server}, [identity.name], lambda: lines)


def _place(home: Path | None) -> Path:
    """The agent's directory that is meant."""
    place: Path = home or _do("home_here", default_home())
    return place


def _home_words(home: Path | None) -> str:
    return f" --home {home}" if home is not None else ""


def _do(name: str, *arguments: Any, **options: Any) -> Any:
    """Calls a function of the agent's."""
    operate = _module("operate")
    try:
        return getattr(operate, name)(*arguments, **options)
    except operate.Unable as error:
        raise Refused("agent", str(error), hint=error.hint) from error


def _module(name: str) -> Any:
    """A module of the agent. Says what to install where the agent's extras are missing."""
    try:
        return import_module(f"sirdar.agent.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sirdar"):
            raise
        hint = "install sirdar[agent]: `uv tool install 'sirdar[agent]'`"
        raise Refused("not_installed", f"the agent needs the package {error.name}", hint=hint) from error
