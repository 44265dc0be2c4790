"""What the owner of a machine does with its agent from outside: join, look, drain, leave, write a unit for systemd."""

import asyncio
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from sirdar.agent.control import Ending, request_end
from sirdar.agent.executors.base import Executor
from sirdar.agent.executors.process import ProcessExecutor
from sirdar.agent.executors.slurm.jobs import SlurmExecutor
from sirdar.agent.executors.slurm.pilots import PilotExecutor
from sirdar.agent.executors.slurm.settings import FILE_NAME as SLURM_FILE
from sirdar.agent.executors.slurm.settings import load_slurm
from sirdar.agent.home import STATUS, Home, holder, peek_status, throwaway_homes, write_private
from sirdar.agent.identity import FILE_NAME, Identity, kept_identity, load_identity, save_identity
from sirdar.agent.journal import replay
from sirdar.agent.link import Link, LinkError, Refused
from sirdar.agent.policy import FILE_NAME as POLICY
from sirdar.agent.policy import load_policy
from sirdar.agent.programs import programs_here, programs_running
from sirdar.agent.records import recover
from sirdar.agent.seal import Seal
from sirdar.agent.settings import Settings
from sirdar.wire.agent import GoodbyeRequest, ModeRequest

T = TypeVar("T")
STOP_S = 30.0
LOOPBACK = "127.0.0.1"
LOOK_S = 0.05
UNIT_NAME = "sirdar-agent.service"
UNIT = """\
[Unit]
Description=Sirdar agent: runs jobs for {server}
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={command}
Restart=always
RestartSec=5
# 2: wrong usage, 3: another agent holds the home, 4: the server has detached this machine
RestartPreventExitStatus=2 3 4
# The programs belong to the porter, which outlives the agent: a restart or upgrade of the agent kills nothing.
KillMode=process

[Install]
WantedBy=default.target
"""


class Unable(Exception):
    """It cannot be done; the message says why, ``hint`` what to try."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


# ---------------------------------------------------------------- joining


def join(home: Path, server: str, token: str) -> Identity:
    """Make the key of this home the resource's that the token was made for. Raises Unable."""
    before = kept_identity(home)
    if holder(home) is not None:
        raise Unable(f"an agent runs with {home}", "end it first, or give another --home")
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = home / "joining"  # until it is accepted, an identity that works stays as it is
    draft.mkdir(mode=0o700, exist_ok=True)
    identity = replace(load_identity(draft), server=server)
    reply = _run(_with_link(home, identity, lambda link: link.join(token, socket.gethostname())))
    joined = replace(identity, resource_id=reply.resource_id, name=reply.name)
    save_identity(home, joined)
    shutil.rmtree(draft)
    (home / STATUS).unlink(missing_ok=True)  # what it says of an access before is over
    if before is not None and before.resource_id != joined.resource_id:
        asyncio.run(_end_programs(home))  # nobody would take them up again
        _forget_work(home)
    return joined


# ---------------------------------------------------------------- looking


@dataclass(frozen=True, slots=True)
class Standing:
    """How the agent of a home stands. ``state``: attached, waiting (for the server), stopped, detached, not joined."""

    state: str
    home: str
    name: str = ""
    server: str = ""
    pid: int | None = None
    slots: int | None = None
    running: int | None = None
    mode: str = ""
    trouble: str = ""
    slurm: Mapping[str, Any] = field(default_factory=dict)  # how its watching of a cluster goes


def standing(home: Path) -> Standing:
    """From what lies in the home, and from what the system says of its programs; the server is not asked."""
    identity = kept_identity(home)
    pid = holder(home)
    status = peek_status(home)
    if identity is None and pid is None:
        return Standing("not joined", str(home))
    name, server = (identity.name, identity.server) if identity is not None else ("", "")
    trouble = str(status.get("trouble", ""))
    running = programs_running(home)
    if pid is None:
        state = "detached" if _is_detached(home) else "stopped"
        return Standing(
            state, str(home), name, server, running=running, trouble=trouble if state == "detached" else _left(home)
        )
    return Standing(
        "waiting" if trouble or status.get("pid") != pid else "attached",
        str(home),
        str(status.get("name") or name),
        str(status.get("server") or server),
        pid,
        status.get("slots"),
        running + int(status.get("running", 0)),
        str(status.get("mode", "")),
        trouble,
        dict(status.get("slurm", {})),
    )


def _left(home: Path) -> str:
    """Of programs that run on without their agent."""
    left = programs_here(home)
    programs = "1 program runs" if left == 1 else f"{left} programs run"
    return f"{programs} on without the agent: sirdar agent start takes up what runs" if left else ""


def home_here(default: Path) -> Path:
    """The home that is meant where none is named: the default one, else that of the only throw-away agent of this user."""
    if kept_identity(default) is not None or holder(default) is not None:
        return default
    living = [place for place in throwaway_homes() if holder(place) is not None]
    return living[0] if len(living) == 1 else default


# ---------------------------------------------------------------- draining and leaving


def change_mode(home: Path, mode: Literal["active", "drain"]) -> Identity:
    """Tell the server that this machine takes nothing new, or takes work again. Raises Unable."""
    identity = _joined(home)
    _run(_with_link(home, identity, lambda link: link.change_mode(ModeRequest(mode=mode))))
    if status := peek_status(home):  # the agent hears of it with its next heartbeat, and writes the same then
        write_private(home / STATUS, json.dumps({**status, "mode": mode}, indent=1) + "\n")
    return identity


def leave(home: Path, *, force: bool) -> Identity:
    """Detach this machine for good: its key is worth nothing then, here and on the server. Raises Unable.

    ``force``: also where programs run (they are ended, and tried elsewhere) and where the server does not answer.
    """
    identity = _joined(home)
    if not force:
        _check_idle(home)  # while the agent lives: where it is refused, nothing changes
    _stop(home)
    held = Home(home)
    try:
        if not force:
            _check_idle(home, "; the agent was stopped: sirdar agent start")  # something came meanwhile
        asyncio.run(_end_programs(home))  # before the server lets others begin them again
        try:
            goodbye = GoodbyeRequest(session="", leave=True)
            _run(_with_link(home, identity, lambda link: link.goodbye(goodbye)))
        except Unable as error:
            if not force and not isinstance(error.__cause__, Refused):  # refused: it is detached already
                raise Unable(str(error), "try again later, or detach this side alone: --force") from error
        _forget_work(home)
        (home / FILE_NAME).unlink()
        (home / STATUS).unlink(missing_ok=True)
    finally:
        held.close()
    return identity


def _stop(home: Path) -> None:
    last = time.monotonic() + STOP_S
    asked = 0
    while (pid := holder(home)) is not None:
        if pid and pid != asked:
            asked = pid
            request_end(pid, Ending.LEAVE)
        if time.monotonic() > last:
            raise Unable(f"the agent with process id {pid} does not end", "end it by hand")
        time.sleep(LOOK_S)


def _check_idle(home: Path, more: str = "") -> None:
    """Raises Unable where programs run, or where the server would not hear how one has ended."""
    if running := programs_here(home):
        programs = "1 program runs" if running == 1 else f"{running} programs run"
        raise Unable(
            f"{programs} on this machine{more}",
            "sirdar agent drain lets what runs finish (it needs the agent); --force ends it",
        )
    if _is_detached(home):
        return  # the server has given all of it to others
    known = recover(replay(home / "journal", mend=False), Seal(home))
    if untold := [key for key in known.handles if key not in known.finals]:
        tasks = "1 task has ended" if len(untold) == 1 else f"{len(untold)} tasks have ended"
        raise Unable(
            f"{tasks} here, and the server has not heard how{more}",
            "the agent tells it as soon as it can: sirdar agent status; --force gives it up",
        )


def _is_detached(home: Path) -> bool:
    return str(peek_status(home).get("trouble", "")).startswith("detached")


async def _end_programs(home: Path) -> None:
    settings = Settings(home=home)
    known = recover(replay(home / "journal"), Seal(home))
    if not known.handles:
        return
    for executor in _executors(home, settings):
        await executor.recover(known.handles)
        await executor.close(end_programs=True)


def _executors(home: Path, settings: Settings) -> Sequence[Executor]:
    """Those that the home's agents have used."""
    found: list[Executor] = [ProcessExecutor(home, 1, idle_s=settings.porter_idle_s, memory=settings.memory_limit_by)]
    if (home / "slurm" / "orders").exists():
        found.append(SlurmExecutor(home, 1, load_slurm(home / SLURM_FILE)))
    if (home / "slurm" / "pilots").exists():
        found.append(PilotExecutor(home, 1, load_slurm(home / SLURM_FILE), address=LOOPBACK))
    return found


def _forget_work(home: Path) -> None:
    for name in ("journal", "journal.key"):
        (home / name).unlink(missing_ok=True)
    for name in ("work", "cache"):
        shutil.rmtree(home / name, ignore_errors=True)


# ---------------------------------------------------------------- systemd


def unit_text(home: Path, options: Sequence[str]) -> str:
    """A user unit that runs the agent of this home. Raises Unable, also where its policy cannot be read."""
    identity = _joined(home)
    try:
        load_policy(home / POLICY)
    except ValueError as error:
        raise Unable(str(error), "docs/how-to/attach-policy.md says what a policy holds") from None
    words = [sys.executable, "-m", "sirdar.agent", "--home", str(home.resolve()), *options]
    return UNIT.format(server=identity.server, command=" ".join(_quoted(word) for word in words))


def install_unit(home: Path, options: Sequence[str]) -> Path:
    """Write it where systemd looks for a user's units; where. Raises Unable."""
    text = unit_text(home, options)
    base = os.environ.get("XDG_CONFIG_HOME")
    folder = (Path(base) if base else Path.home() / ".config") / "systemd" / "user"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / UNIT_NAME).write_text(text)
    return folder / UNIT_NAME


def _quoted(word: str) -> str:
    """As systemd reads a word: ``%`` and ``$`` would mean something to it."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{plain}"' if any(c in word for c in " \t\"'\\;") else plain


# ---------------------------------------------------------------- calls


def _joined(home: Path) -> Identity:
    identity = kept_identity(home)
    if identity is None and holder(home) is not None:
        name = str(peek_status(home).get("name", "")) or "NAME"
        raise Unable(
            f"{name} is attached by a resource token, which only its agent has",
            f"sirdar resource drain {name}, where you are signed in; to leave, end the agent (SIGTERM)",
        )
    if identity is None:
        raise Unable(f"no agent has joined with {home}", "sirdar agent join URL --token TOKEN")
    return identity


async def _with_link(home: Path, identity: Identity, call: Any) -> Any:
    link = Link(Settings(home=home, server=identity.server), identity)
    try:
        return await call(link)
    finally:
        await link.close()


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except Refused as error:
        raise Unable(error.detail, error.hint or "ask who keeps the server") from error
    except LinkError as error:
        raise Unable(f"the server cannot be reached: {error}", "check the address and the network") from error
    except ValueError as error:
        raise Unable(str(error), "sirdar agent join --help") from error
