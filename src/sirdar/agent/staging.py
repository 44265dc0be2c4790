"""Brings what tasks need to their directories, and hands them over to be started.

Tasks whose files are here are prepared in batches; the others get a coroutine each.
"""

import asyncio
import errno
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from sirdar.agent.attempts import Attempt, Attempts, Common
from sirdar.agent.blobs import Blobs
from sirdar.agent.code_version import CodeVersions
from sirdar.agent.directories import Directories
from sirdar.agent.environments.all import Environments
from sirdar.agent.environments.base import EnvironmentFailed
from sirdar.agent.events import get_logger
from sirdar.agent.executors.base import Launch
from sirdar.agent.fetch import BlobMissing
from sirdar.agent.finish import stream_of, without_program
from sirdar.agent.isolation import Isolation
from sirdar.agent.kept import Homes
from sirdar.agent.outbox import Outbox
from sirdar.agent.prepare import Surroundings, prepare
from sirdar.agent.settings import Settings
from sirdar.agent.stage_plan import Plan, StageError, plan
from sirdar.agent.work import Work
from sirdar.domain.outcome import Reason
from sirdar.domain.states import AttemptState
from sirdar.wire.agent import Final, Started

log = get_logger(__name__)

BATCH = 32
WISH_EVERY_S = 0.5  # between two looks at whether a task that waits for its environment is still wanted
QUICK_FILES = 20
QUICK_BYTES = 4 << 20


class Staging:
    """From the acceptance to a launch. ``hand_over`` and ``report`` take what comes of it."""

    def __init__(
        self,
        settings: Settings,
        *,
        attempts: Attempts,
        outbox: Outbox,
        blobs: Blobs,
        directories: Directories,
        versions: CodeVersions,
        environments: Environments,
        isolation: Isolation,
        homes: Homes,
        work: Work,
        surroundings: Callable[[], Surroundings],
        hand_over: Callable[[Sequence[Launch]], Coroutine[Any, Any, None]],
        report: Callable[[list[Final]], Coroutine[Any, Any, None]],
    ) -> None:
        self._settings = settings
        self._attempts = attempts
        self._outbox = outbox
        self._blobs = blobs
        self._directories = directories
        self._versions = versions
        self._environments = environments
        self._isolation = isolation
        self._homes = homes
        self._work = work
        self._surroundings = surroundings
        self._hand_over = hand_over
        self._report = report
        self._at_once = asyncio.Semaphore(settings.transfers)

    def begin(self, keys: Iterable[str]) -> None:
        """Those that wait to start are ours: they start as soon as their files are here."""
        quick: list[tuple[Attempt, Plan]] = []
        soon: list[tuple[Attempt, Plan]] = []
        now = time.time()
        for key in keys:
            attempt = self._attempts.get(key)
            if attempt is None or attempt.state is not AttemptState.OFFERED:
                continue
            attempt.state = AttemptState.ACCEPTED
            attempt.accepted_at = now
            log.info("attempt_taken", attempt=key)
            if attempt.wish == "cancel":
                self._work.spawn(
                    self._report([without_program(attempt, Reason.CANCELLED, "cancelled before it started")])
                )
                continue
            common = self._attempts.common(attempt)
            try:
                made = plan(attempt, common)
            except StageError as error:
                self._work.spawn(self._report([without_program(attempt, error.reason, str(error))]))
                continue
            version = self._versions.known(common)
            attempt.code_version = version or ""
            here = self._environments.known(common) is not None
            if version is not None and here and self._is_quick(made):
                quick.append((attempt, made))
            elif version is not None and here and _is_small(made):
                soon.append((attempt, made))
            else:
                self._work.spawn(self._stage_slowly(attempt, made), [attempt.key], Reason.STAGE_IN)
        if quick:
            self._work.spawn(self._stage_quickly(quick), [attempt.key for attempt, _ in quick], Reason.STAGE_IN)
        for first in range(0, len(soon), BATCH):
            part = soon[first : first + BATCH]
            self._work.spawn(self._stage_soon(part), [attempt.key for attempt, _ in part], Reason.STAGE_IN)

    def _is_quick(self, made: Plan) -> bool:
        return _is_small(made) and all(self._blobs.find(file.sha256) is not None for file in made.files)

    async def _stage_soon(self, soon: Sequence[tuple[Attempt, Plan]]) -> None:
        """Small files that are missing come for all of them together; whoever still lacks one gets it by itself."""
        sizes = {file.sha256: file.size_bytes for _, made in soon for file in made.files}
        for attempt, _ in soon:
            self._begin_staging(attempt)
        with self._blobs.hold(sizes.keys()):
            try:
                await self._blobs.fetch_small(sizes)
            except OSError as error:
                log.warning("small_blobs_not_kept", blobs=len(sizes), error=str(error))
            await self._stage_quickly(soon)

    def _begin_staging(self, attempt: Attempt) -> None:
        if attempt.state is AttemptState.ACCEPTED and not attempt.given_back:
            attempt.state = AttemptState.STAGING_IN
            attempt.staging_at = time.time()
            self._outbox.add_started(Started(key=attempt.key, state="STAGING_IN", at=attempt.staging_at))

    async def _stage_quickly(self, quick: Sequence[tuple[Attempt, Plan]]) -> None:
        for begin in range(0, len(quick), BATCH):
            launches, failed = [], []
            for attempt, made in quick[begin : begin + BATCH]:
                with self._blobs.hold([file.sha256 for file in made.files]):
                    if attempt.given_back:
                        continue
                    if not self._is_quick(made) or self._environments.known(self._attempts.common(attempt)) is None:
                        # the cache has given something up meanwhile
                        self._work.spawn(self._stage_slowly(attempt, made), [attempt.key], Reason.STAGE_IN)
                        continue
                    result = self._prepare(attempt, made)
                if isinstance(result, Launch):
                    launches.append(result)
                else:
                    failed.append(result)
            await self._hand_over(launches)
            if failed:
                await self._report(failed)

    async def _stage_slowly(self, attempt: Attempt, made: Plan) -> None:
        common = self._attempts.common(attempt)
        attempt.code_version = await self._versions.ask(common)
        if self._environments.known(common) is None and not await self._ensure(attempt, common):
            return
        async with self._at_once:
            if attempt.given_back:
                return
            self._begin_staging(attempt)
            sizes = {file.sha256: file.size_bytes for file in made.files}
            with self._blobs.hold(sizes.keys()):
                try:
                    await self._blobs.fetch_all(sizes)
                except (BlobMissing, OSError) as error:
                    await self._report([without_program(attempt, Reason.STAGE_IN, say(error))])
                    return
                result = await asyncio.to_thread(self._prepare, attempt, made)
        if isinstance(result, Launch):
            await self._hand_over([result])
        else:
            await self._report([result])

    async def _ensure(self, attempt: Attempt, common: Common) -> bool:
        """Has the environment made; False where the attempt has ended by that."""
        self._begin_staging(attempt)
        needed = self._environments.digests(common)
        with self._blobs.hold(needed.keys()):
            try:
                await self._blobs.fetch_all(needed)
                if not await self._made(attempt, common):
                    await self._report([without_program(attempt, Reason.CANCELLED, "cancelled before it started")])
                    return False
            except EnvironmentFailed as error:
                reason = Reason.START if error.transient else Reason.ENVIRONMENT
                final = without_program(attempt, reason, str(error))
                await self._report([final.model_copy(update={"stderr": stream_of(error.log)}) if error.log else final])
                return False
            except (BlobMissing, OSError) as error:
                await self._report([without_program(attempt, Reason.STAGE_IN, say(error))])
                return False
        return True

    async def _made(self, attempt: Attempt, common: Common) -> bool:
        """False where it was cancelled meanwhile; others may still want what is being made."""
        making = asyncio.ensure_future(self._environments.ensure(attempt, common))
        try:
            while not making.done() and attempt.wish == "run":
                await asyncio.wait([making], timeout=WISH_EVERY_S)
            if making.done():
                making.result()
            return making.done()
        finally:
            making.cancel()

    def _prepare(self, attempt: Attempt, made: Plan) -> Launch | Final:
        if attempt.wish != "run":
            return without_program(attempt, Reason.CANCELLED, "cancelled before it started")
        attempt.staging_at = attempt.staging_at or time.time()
        common = self._attempts.common(attempt)
        ready = self._environments.known(common)
        if ready is None:
            return without_program(
                attempt, Reason.STAGE_IN, "the environment was removed before the program could start"
            )
        try:
            attempt.folder = self._directories.take()
            launch = prepare(
                attempt,
                common,
                made,
                attempt.folder,
                find=self._blobs.find,
                settings=self._settings,
                surroundings=self._surroundings(),
                homes=self._homes,
                ready=ready,
                isolation=self._isolation,
            )
            self._environments.hold(attempt, common, ready)
            attempt.environment = ready.identity
            attempt.staged_in_s = max(0.0, time.time() - attempt.staging_at)
            return launch
        except StageError as error:
            return without_program(attempt, error.reason, str(error))
        except OSError as error:
            return without_program(attempt, Reason.STAGE_IN, say(error))


def _is_small(made: Plan) -> bool:
    """Whether its files, once they are here, are placed so quickly that no thread is worth it."""
    if not made.files:
        return True
    small = len(made.files) <= QUICK_FILES and made.size_bytes <= QUICK_BYTES
    return small and not any(file.unpack for file in made.files)


def say(error: Exception) -> str:
    """What went wrong with the files, for people."""
    if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or "No space left" in str(error):
        return "the files could not be brought to the task's directory: the disk of the resource is full"
    return f"the files could not be brought to the task's directory: {error}"
