"""From launches to orders, and from orders to Slurm's jobs: each at most once, launches of one job that are alike as one array."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from sirdar.agent.events import get_logger
from sirdar.agent.executors.base import Launch
from sirdar.agent.executors.process import order_of
from sirdar.agent.executors.slurm.commands import CommandFailed, Commands, Refused, Unsure
from sirdar.agent.executors.slurm.options import Needs, chunks, comment_of, job_of, other_time, words_of
from sirdar.agent.executors.slurm.orders import Order, Orders
from sirdar.agent.executors.slurm.settings import SlurmSettings

log = get_logger(__name__)

AGAIN_LEAST_S, AGAIN_MOST_S = 1.0, 60.0


class Submitting:
    """Takes launches at once, and gives them to Slurm in its own time.

    ``on_order``: an order was written, and is about to be submitted; ``on_refused``: Slurm does not take it, with its words;
    ``on_failed``: it could not be written; ``on_note``: the orders wait, and why; ``on_submitted``: an order has its job;
    ``on_unsure``: nobody knows whether it has.
    """

    def __init__(
        self,
        settings: SlurmSettings,
        commands: Commands,
        orders: Orders,
        *,
        on_order: Callable[[Order], None],
        on_refused: Callable[[Order, str], None],
        on_failed: Callable[[Sequence[str], OSError], None],
        on_note: Callable[[Order, str], None],
        on_submitted: Callable[[Order], None],
        on_unsure: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._commands = commands
        self._orders = orders
        self._on_order, self._on_refused, self._on_failed = on_order, on_refused, on_failed
        self._on_note, self._on_submitted, self._on_unsure = on_note, on_submitted, on_unsure
        self._fresh: dict[str, Launch] = {}
        self._queue: list[Order] = []
        self._work = asyncio.Event()
        self.array_most = settings.array_most
        self.writing: set[str] = set()  # keys on their way to the disk

    def add(self, launches: Sequence[Launch]) -> None:
        self._fresh.update({launch.key: launch for launch in launches})
        self._work.set()

    def again(self, order: Order) -> None:
        """Slurm has not got it."""
        order.unsure = False
        self._queue.append(order)
        self._work.set()

    def take_back(self, key: str) -> bool:
        """True if it was not ordered yet, and will not be."""
        return self._fresh.pop(key, None) is not None

    def busy(self) -> bool:
        return bool(self._fresh or self._queue)

    async def run(self) -> None:
        """For ever. What arrives within a moment is submitted together."""
        rest_s = AGAIN_LEAST_S
        while True:
            await self._work.wait()
            await asyncio.sleep(self._settings.gather_s)
            self._work.clear()
            fresh, self._fresh = self._fresh, {}
            self.writing = set(fresh)
            for group in self._groups(list(fresh.values())):
                keys = [launch.key for launch in group]
                try:
                    order = await asyncio.to_thread(self._write, group)
                except OSError as error:
                    self._on_failed(keys, error)
                    continue
                finally:
                    self.writing -= set(keys)
                self._on_order(order)
                self._queue.append(order)
            if await self._submit_all():
                rest_s = AGAIN_LEAST_S
            else:
                await self._wait_again(rest_s)
                rest_s = min(AGAIN_MOST_S, 2 * rest_s)

    async def _wait_again(self, rest_s: float) -> None:
        """New work does not shorten it: what keeps the first from Slurm keeps the next."""
        await asyncio.sleep(rest_s)
        self._work.set()

    async def _submit_all(self) -> bool:
        """False where Slurm is not to be had: the rest stays in the queue."""
        while self._queue:
            order = self._queue[0]
            if all(self._orders.is_claimed(order, index) for index in range(len(order.keys))):
                self._queue.pop(0)  # all of it was taken back
                continue
            try:
                job = await self._give(order)
                log.info("slurm_submitted", job=job, attempts=len(order.keys), first=order.keys[0])
                await self.note_job(order, job)
            except Refused as error:
                log.warning("slurm_refused", order=order.name, error=str(error))
                self._on_refused(order, str(error))
            except Unsure as error:
                log.warning("slurm_submission_unsure", order=order.name, error=str(error))
                order.unsure = True
                self._on_note(order, f"waits for Slurm: {error}")
                self._on_unsure()
            except CommandFailed as error:
                log.warning("slurm_not_submitted", order=order.name, error=str(error))
                for waiting in self._queue:
                    self._on_note(waiting, f"waits for Slurm: {error}")
                return False
            self._queue.pop(0)
        return True

    async def _give(self, order: Order) -> str:
        """The new job's id; where Slurm refuses the way in which the time is asked for, it is asked for in another."""
        order.given_at = time.monotonic()
        try:
            return await self._commands.submit(order.command(self._orders.script))
        except Refused as error:
            if (words := other_time(order.words, str(error))) is None:
                raise
            order.words = words
            return await self._commands.submit(order.command(self._orders.script))

    async def note_job(self, order: Order, job: str) -> None:
        """It is in Slurm under this number. Where that cannot be written down, the agent's next life asks for it by name."""
        order.job, order.unsure = job, False
        try:
            await asyncio.to_thread(self._orders.note_job, order)
        except OSError as error:  # also where all of it was taken back, and its folder is gone
            log.warning("slurm_job_not_noted", order=order.name, job=job, error=str(error))
        self._on_submitted(order)

    def _groups(self, launches: Sequence[Launch]) -> list[Sequence[Launch]]:
        """Those of one job whose needs are equal, in parts that an array may have: whoever ends or changes an array in Slurm means
        that job."""
        alike: dict[tuple[str, Needs], list[Launch]] = {}
        for launch in launches:
            alike.setdefault((job_of(launch.key), Needs.of(launch, self._settings.options)), []).append(launch)
        return [
            [group[number] for number in part]
            for group in alike.values()
            for part in chunks(len(group), max(1, self.array_most))
        ]

    def _write(self, group: Sequence[Launch]) -> Order:
        needs = Needs.of(group[0], self._settings.options)
        first = group[0].key
        comment = comment_of([launch.key for launch in group])
        tasks = {launch.key: _task(launch) for launch in group}
        return self._orders.write(
            tasks, words_of(needs, name=first, comment=comment), limit=self._settings.limit_memory
        )


def _task(launch: Launch) -> Mapping[str, object]:
    """As the node runs it: a batch job keeps no program for later."""
    task = {name: value for name, value in order_of(launch, 0).items() if name not in {"keep", "base"}}
    return {"task": task, "base": dict(launch.base_env)}
