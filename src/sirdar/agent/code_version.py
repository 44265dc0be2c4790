"""The version of code that lies on the resource: what its own ``version_command`` says, asked at most once a minute."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from secrets import token_hex

from sirdar.agent.attempts import Common
from sirdar.agent.directories import Directories
from sirdar.agent.events import get_logger
from sirdar.agent.executors.base import Executor, Launch, ProgramEnd, Wrap
from sirdar.agent.isolation import Isolation
from sirdar.agent.policy import NotAllowed, Policy
from sirdar.agent.prepare import Surroundings
from sirdar.domain.app import CodeKind

log = get_logger(__name__)

KEPT_S = 60.0
TIME_LIMIT_S = 10.0
MOST_CHARS = 200
READ_BYTES = 4096
KEPT_ANSWERS = 256

Question = tuple[str, tuple[str, ...], bool]  # path, command, whether in a sandbox


class CodeVersions:
    """Runs version commands through the executor, as any program, and keeps their answers."""

    def __init__(
        self,
        executor: Executor,
        directories: Directories,
        surroundings: Callable[[], Surroundings],
        policy: Policy,
        isolation: Isolation,
    ) -> None:
        self._isolation = isolation
        self._policy = policy
        self._executor = executor
        self._directories = directories
        self._surroundings = surroundings
        self._known: dict[Question, tuple[float, str]] = {}
        self._asked: dict[Question, asyncio.Task[str]] = {}
        self._running: dict[str, asyncio.Future[ProgramEnd]] = {}

    def known(self, common: Common) -> str | None:
        """The version as far as no command has to run for it: empty where there is none, None where it must be asked."""
        question = self._question(common)
        if question is None:
            return ""
        asked_at, answer = self._known.get(question, (0.0, None))
        return answer if time.monotonic() - asked_at < KEPT_S else None

    async def ask(self, common: Common) -> str:
        """The version; all who ask for it at one time wait for the same answer. It never fails: ``unknown (why)``."""
        question = self._question(common)
        known = self.known(common)
        if question is None or known is not None:
            return known or ""
        if question not in self._asked:
            self._asked[question] = asyncio.create_task(self._answer(question))
        return await asyncio.shield(self._asked[question])

    def _question(self, common: Common) -> Question | None:
        code = common.app.code
        if code.kind is not CodeKind.PATH or not code.version_command or code.path is None:
            return None
        return code.path, code.version_command, self._isolation.is_wanted(common)

    def take_end(self, end: ProgramEnd) -> bool:
        """True if this was the end of a version command."""
        future = self._running.get(end.key)
        if future is not None and not future.done():
            future.set_result(end)
        return future is not None

    async def close(self) -> None:
        """Nobody waits any more. What runs ends by its time limit."""
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)

    async def _answer(self, question: Question) -> str:
        try:
            answer = await self._run(question)
        except OSError as error:
            answer = f"unknown ({error.strerror or error})"
        except NotAllowed as why:
            answer = f"unknown ({why})"
        finally:
            del self._asked[question]
        if len(self._known) >= KEPT_ANSWERS:
            self._known.clear()
        self._known[question] = (time.monotonic(), answer)
        return answer

    async def _run(self, question: Question) -> str:
        path, command, isolated = question
        surroundings = self._surroundings()
        argv = self._policy.checked_command(command, surroundings.base["PATH"])
        key = f"version-{token_hex(8)}"
        folder = self._directories.take()
        self._running[key] = asyncio.get_running_loop().create_future()
        try:
            wrap = self._isolation.wrap_command(folder, path) if isolated else None
            await self._executor.start([_launch(key, path, argv, folder, surroundings, wrap)])
            end = await self._running[key]
            answer = _read(end, folder / "stdout")
            await self._executor.destroy([key])
        finally:
            del self._running[key]
            if not self._directories.give(folder):
                await asyncio.to_thread(self._directories.give_slowly, folder)
        if answer.startswith("unknown"):
            log.warning("code_version_unknown", path=path, command=list(command), answer=answer)
        return answer


def _launch(
    key: str, path: str, command: Sequence[str], folder: Path, surroundings: Surroundings, wrap: Wrap | None
) -> Launch:
    return Launch(
        key=key,
        argv=command,
        env={"SIRDAR_TASK_ID": key},
        base_env=surroundings.base,
        cwd=path,
        stdout=str(folder / "stdout"),
        stderr=str(folder / "stderr"),
        time_s=TIME_LIMIT_S,
        grace_s=1.0,
        wrap=wrap,
    )


def _read(end: ProgramEnd, stdout: Path) -> str:
    """Its first line that says something; or why there is none."""
    if end.lost:
        return "unknown (the version command was lost with the process that carries the tasks)"
    if end.error_number is not None:
        return f"unknown ({end.error})"
    if end.by == "time":
        return f"unknown (the version command took longer than {TIME_LIMIT_S:g} s)"
    if end.exit_code != 0:
        return f"unknown (the version command ended with exit code {end.exit_code})"
    with stdout.open("rb") as file:
        text = file.read(READ_BYTES).decode("utf-8", errors="replace")
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    shown = "".join(char for char in line if char.isprintable())[:MOST_CHARS]
    return shown or "unknown (the version command printed nothing)"
