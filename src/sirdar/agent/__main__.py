"""``python -m sirdar.agent --home DIR [--server URL --join TOKEN] [--slots N]``: runs the agent until SIGTERM.

Without ``--home`` it keeps nothing: ``SIRDAR_URL``, ``SIRDAR_TOKEN`` (or ``EVEREST_TOKEN``) and ``MAX_TASKS`` attach it, as in a
container that is thrown away; its programs end with it, and their tasks are tried elsewhere.

Every setting can be given as ``--set NAME=VALUE`` or, below that, as ``SIRDAR_AGENT_NAME`` in the environment. Prints
``agent ready NAME`` when the server has answered, and at the end how many programs run on.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

from sirdar.agent import events
from sirdar.agent.agent import Agent
from sirdar.agent.control import Ending
from sirdar.agent.executors.slurm.settings import FILE_NAME as SLURM_FILE
from sirdar.agent.executors.slurm.settings import SlurmSettings, load_slurm
from sirdar.agent.home import THROWAWAY, Home, HomeHeld
from sirdar.agent.identity import kept_identity
from sirdar.agent.link import Detached, Refused
from sirdar.agent.policy import FILE_NAME, load_policy
from sirdar.agent.porter.launch import PorterStartError
from sirdar.agent.settings import Settings
from sirdar.agent.sweep import sweep_throwaways

# Exit codes: 0 ended as asked; 2 usage; 3 another agent holds the home; 4 detached by the server; 1 anything else.
EXIT_HELD = 3
SLURM_SLOTS = 256  # how many run side by side is the cluster's to say
LEAST_ROOM_BYTES = 1 << 18
EXIT_DETACHED = 4
SECOND_INTERRUPT_S = 1.5


def main(argv: list[str] | None = None) -> int:
    """Parses the arguments and lives. Returns the exit code."""
    options = _parser().parse_args(argv)
    if options.home is not None:
        return _live_at(options.home, options, throwaway=False)
    if not _resource_token():
        _complain(
            "give it a home that has joined (sirdar agent join), or SIRDAR_URL and SIRDAR_TOKEN in the environment"
        )
        return 2
    with tempfile.TemporaryDirectory(prefix=THROWAWAY) as place:
        return _live_at(Path(place), options, throwaway=True)


def _live_at(place: Path, options: argparse.Namespace, *, throwaway: bool) -> int:
    try:
        home = Home(place)
    except HomeHeld as held:
        _complain(str(held))
        return EXIT_HELD
    except OSError as error:
        return _without_room(place, error)
    try:
        settings = _settings(home.path, options, throwaway=throwaway)
        events.configure(options.log_level, home.path / "agent.log")
        if throwaway:
            sweep_throwaways()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_live(settings, home, with_parent=options.with_parent))
    except ValueError as error:
        _complain(str(error))
        return 1
    except Refused as error:
        _complain(f"{error.detail} {error.hint}")
        return EXIT_DETACHED if isinstance(error, Detached) else 1
    except (OSError, PorterStartError) as error:
        return _without_room(place, error)
    finally:
        home.close()


def _without_room(place: Path, error: Exception) -> int:
    """A full disk is said in words; anything else that the system refuses is raised again."""
    if shutil.disk_usage(place).free >= LEAST_ROOM_BYTES:
        raise error
    _complain(f"there is no room left in {place}; an agent begins there when there is some")
    return 1


async def _live(settings: Settings, home: Home, *, with_parent: bool) -> int:
    agent = Agent(settings, home)
    _obey_signals(agent)
    if with_parent:
        _leave_with_parent(agent)
    left = await agent.run(lambda name: _say(f"agent ready {name}"), _complain)
    if agent.detached is not None:
        return EXIT_DETACHED
    programs = f"; {left} programs run on, the next agent takes them up again" if left else ""  # `sirdar up` reads it
    _say(f"agent ended{programs}")
    return 0


def _complain(text: str) -> None:
    with contextlib.suppress(OSError):
        print(f"sirdar agent: {text}", file=sys.stderr, flush=True)  # noqa: T201


def _say(text: str) -> None:
    """Prints a line, where somebody still reads it: whoever started the agent may be dead."""
    try:
        print(text, flush=True)  # noqa: T201
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer must not break the end either


def _leave_with_parent(agent: Agent) -> None:
    """The parent holds the other end of standard input. When it dies, however it dies, this end can be read."""
    loop = asyncio.get_running_loop()

    def gone() -> None:
        loop.remove_reader(0)
        agent.end(Ending.LEAVE)

    loop.add_reader(0, gone)


def _obey_signals(agent: Agent) -> None:
    if sys.platform == "win32":
        return
    loop = asyncio.get_running_loop()
    interrupts = 0

    def interrupt() -> None:
        """The first leaves the programs to the next agent, after a moment in which a second one ends them."""
        nonlocal interrupts
        interrupts += 1
        if interrupts > 1:
            agent.end(Ending.CANCEL)
        elif programs := agent.attempts.left():
            text = f"{programs} programs run on" if programs > 1 else "1 program runs on"
            _say(f"{text}; Ctrl-C again ends what runs")
            loop.call_later(SECOND_INTERRUPT_S, agent.end, Ending.LEAVE)
        else:
            agent.end(Ending.LEAVE)

    loop.add_signal_handler(signal.SIGTERM, agent.end, Ending.LEAVE)
    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGUSR1, agent.end, Ending.CANCEL)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sirdar.agent", description=__doc__)
    parser.add_argument("--home", type=Path, help="the agent's directory; nobody else may use it")
    parser.add_argument("--server", default="", help="address of the server (also SIRDAR_URL)")
    parser.add_argument(
        "--join",
        default=os.environ.get("SIRDAR_JOIN", ""),
        help="single-use token, needed once (also SIRDAR_JOIN)",
    )
    parser.add_argument("--slots", type=int, default=int(os.environ.get("MAX_TASKS", "0")))
    parser.add_argument("--executor", choices=["process", "mock", "slurm"], default="process")
    parser.add_argument("--label", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--policy", type=Path, help="what its owner allows; policy.yaml in the home without it")
    parser.add_argument("--task-address", default="", help="address at which tasks reach the agent")
    parser.add_argument("--task-port", type=int, default=0)
    parser.add_argument("--with-parent", action="store_true", help="leave when standard input ends")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=NUMBER", help="any other setting, by its name"
    )
    return parser


def _settings(home: Path, options: argparse.Namespace, *, throwaway: bool) -> Settings:
    """Raises ValueError (PolicyFault is one)."""
    kinds = {field.name: field.type for field in fields(Settings)}
    join = options.join or os.environ.get("SIRDAR_JOIN", "")
    extra: dict[str, float | int | str] = {}
    for name, value in [*_from_environment(kinds), *(text.partition("=")[::2] for text in options.set)]:
        if name not in kinds:
            raise SystemExit(f"sirdar agent: there is no setting {name}")
        kind = kinds[name]
        extra[name] = value if kind is str else (int(value) if kind is int else float(value))
    identity = kept_identity(home)
    policy = load_policy(options.policy or home / FILE_NAME)
    known = identity.server if identity is not None else ""
    with_slurm = options.executor == "slurm"
    slurm = load_slurm(home / SLURM_FILE) if with_slurm else SlurmSettings()
    slots = options.slots or (SLURM_SLOTS if with_slurm else os.cpu_count() or 1)
    return Settings(
        home=home,
        server=options.server or known or os.environ.get("SIRDAR_URL", ""),
        join=join,
        token="" if join or identity is not None else _resource_token(),
        slots=min(slots, policy.tasks or slots),
        throwaway=throwaway,
        policy=policy,
        slurm=slurm,
        executor=options.executor,
        labels=dict(label.partition("=")[::2] for label in options.label),
        task_address=options.task_address or (slurm.address or socket.gethostname() if with_slurm else "127.0.0.1"),
        task_port=options.task_port,
        **extra,  # type: ignore[arg-type]
    )


def _from_environment(kinds: Mapping[str, object]) -> list[tuple[str, str]]:
    """Settings that stand in the environment; those that have an option of their own are not among them."""
    own = {"home", "server", "join", "token", "slots", "executor", "labels", "task_address", "task_port", "pass_env"}
    own |= {"throwaway", "policy", "slurm"}
    given = ((name, os.environ.get(f"SIRDAR_AGENT_{name.upper()}")) for name in kinds if name not in own)
    return [(name, value) for name, value in given if value]


def _resource_token() -> str:
    """A token that attaches an agent which has not joined by a key, as in a throw-away container."""
    return os.environ.get("SIRDAR_TOKEN") or os.environ.get("EVEREST_TOKEN") or ""


if __name__ == "__main__":
    sys.exit(main())
