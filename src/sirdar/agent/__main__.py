"""``python -m sirdar.agent --home DIR [--server URL --join TOKEN] [--slots N]``: runs the agent until SIGTERM.

Every setting can be given as ``--set NAME=VALUE`` or, below that, as ``SIRDAR_AGENT_NAME`` in the environment. Prints
``agent ready NAME`` when the server has answered, and at the end how many programs run on.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

from sirdar.agent import events
from sirdar.agent.agent import Agent
from sirdar.agent.control import Ending
from sirdar.agent.home import Home, HomeHeld
from sirdar.agent.settings import Settings

# Exit codes: 0 ended as asked; 2 usage; 3 another agent holds the home; 1 anything else.
EXIT_HELD = 3


def main(argv: list[str] | None = None) -> int:
    """Parses the arguments and lives. Returns the exit code."""
    options = _parser().parse_args(argv)
    settings = _settings(options)
    try:
        home = Home(settings.home)
    except HomeHeld as held:
        print(f"sirdar agent: {held}", file=sys.stderr)  # noqa: T201
        return EXIT_HELD
    events.configure(options.log_level, home.path / "agent.log")
    runner = asyncio.Runner(loop_factory=_loop_factory())
    try:
        with runner:
            return runner.run(_live(settings, home, with_parent=options.with_parent))
    except ValueError as error:
        print(f"sirdar agent: {error}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        home.close()


async def _live(settings: Settings, home: Home, *, with_parent: bool) -> int:
    agent = Agent(settings, home)
    _obey_signals(agent)
    if with_parent:
        _leave_with_parent(agent)
    left = await agent.run(lambda name: _say(f"agent ready {name}"))
    programs = f"; {left} programs run on, the next agent takes them up again" if left else ""
    _say(f"agent ended{programs}")
    return 0


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
        nonlocal interrupts
        interrupts += 1
        agent.end(Ending.LEAVE if interrupts == 1 else Ending.CANCEL)

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
    parser.add_argument("--home", type=Path, required=True, help="the agent's directory; nobody else may use it")
    parser.add_argument("--server", default="", help="address of the server (also SIRDAR_URL)")
    parser.add_argument(
        "--join",
        default=os.environ.get("SIRDAR_JOIN", ""),
        help="single-use token, needed once (also SIRDAR_JOIN)",
    )
    parser.add_argument("--slots", type=int, default=int(os.environ.get("MAX_TASKS", "0")) or os.cpu_count() or 1)
    parser.add_argument("--executor", choices=["process", "mock"], default="process")
    parser.add_argument("--label", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--task-address", default="127.0.0.1", help="address at which tasks reach the agent")
    parser.add_argument("--task-port", type=int, default=0)
    parser.add_argument("--with-parent", action="store_true", help="leave when standard input ends")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=NUMBER", help="any other setting, by its name"
    )
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    kinds = {field.name: field.type for field in fields(Settings)}
    join = options.join or os.environ.get("SIRDAR_JOIN", "")
    extra: dict[str, float | int | str] = {}
    for name, value in [*_from_environment(kinds), *(text.partition("=")[::2] for text in options.set)]:
        if name not in kinds:
            raise SystemExit(f"sirdar agent: there is no setting {name}")
        kind = kinds[name]
        extra[name] = value if kind is str else (int(value) if kind is int else float(value))
    return Settings(
        home=options.home,
        server=options.server or os.environ.get("SIRDAR_URL", ""),
        join=join,
        token="" if join or (options.home / "identity.json").exists() else _resource_token(),
        slots=options.slots,
        executor=options.executor,
        labels=dict(label.partition("=")[::2] for label in options.label),
        task_address=options.task_address,
        task_port=options.task_port,
        **extra,  # type: ignore[arg-type]
    )


def _from_environment(kinds: Mapping[str, object]) -> list[tuple[str, str]]:
    """Settings that stand in the environment; those that have an option of their own are not among them."""
    own = {"home", "server", "join", "token", "slots", "executor", "labels", "task_address", "task_port", "pass_env"}
    given = ((name, os.environ.get(f"SIRDAR_AGENT_{name.upper()}")) for name in kinds if name not in own)
    return [(name, value) for name, value in given if value]


def _resource_token() -> str:
    """A token that attaches an agent which has not joined by a key, as in a throw-away container."""
    return os.environ.get("SIRDAR_TOKEN") or os.environ.get("EVEREST_TOKEN") or ""


if __name__ == "__main__":
    sys.exit(main())
