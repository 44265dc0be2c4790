"""One task through an executor that the bench has in its own process."""

import time

from sirdar.agent.executors.base import Launch
from sirdar.agent.executors.process import ProcessExecutor


async def one_task(executor: ProcessExecutor, launch: Launch) -> float:
    """From its hand-over to the news of its end, which must be a success. Milliseconds."""
    began = time.perf_counter()
    await executor.start([launch])
    while True:
        facts = await executor.facts()
        if any(end.key == launch.key for end in facts.ended):
            took = time.perf_counter() - began
            assert all(end.exit_code == 0 for end in facts.ended), facts.ended
            await executor.destroy([launch.key])
            return 1000 * took
