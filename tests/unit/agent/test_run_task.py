"""A fault of the agent itself: no attempt stays for ever in a state that nobody works on."""

import asyncio
import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from sirdar.agent.attempts import Attempt, Attempts, Common
from sirdar.agent.environments.all import Environments
from sirdar.agent.isolation import Isolation
from sirdar.agent.outbox import Outbox
from sirdar.agent.policy import IsolationPolicy
from sirdar.agent.run_task import RunTask
from sirdar.agent.settings import Settings
from sirdar.domain.outcome import Reason
from sirdar.wire.agent import OfferedJob, Program
from sirdar.wire.description_document import parse_document

DOCUMENT = {
    "sirdar": 1,
    "alias": "a",
    "command": ["true"],
    "inputs": [{"name": "given", "type": "file", "path": "given"}],
}
GIVEN = {"given": {"$file": {"name": "given", "sha256": "0" * 64, "size": 1 << 30}}}


class OddBlobs:
    """Breaks in a way that nothing is prepared for."""

    def find(self, sha256: str) -> None:
        return None

    @contextlib.contextmanager
    def hold(self, names: Any) -> Any:
        yield

    async def fetch_all(self, sizes: Any) -> None:
        raise RuntimeError("the handler is closed")


def test_what_breaks_in_the_agent_ends_the_attempt_and_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        attempts, outbox = Attempts(), Outbox(started_delay_s=0.0, finals_per_sync=10)
        program = Program(description=DOCUMENT)
        attempts.commons["job"] = Common(OfferedJob(program="p"), program, parse_document(DOCUMENT))
        attempts.add(Attempt("job-0-0", "job", GIVEN, {}, "t"))
        run_task = RunTask(
            Settings(home=tmp_path),
            attempts=attempts,
            outbox=outbox,
            journal=cast(Any, SimpleNamespace(write=lambda records: None)),
            executor=cast(Any, None),
            blobs=cast(Any, OddBlobs()),
            directories=cast(Any, None),
            capacity=cast(Any, SimpleNamespace(changed=lambda: None)),
            homes=cast(Any, None),
            environments=Environments([], lambda sha256: None, lambda attempt, text: None, lambda common: True),
            isolation=Isolation(IsolationPolicy(), tmp_path),
        )
        run_task.accept(["job-0-0"])
        async with asyncio.timeout(10):
            while not outbox.finals:  # noqa: ASYNC110
                await asyncio.sleep(0)
        final = outbox.finals["job-0-0"]
        assert final.reason == Reason.STAGE_IN
        assert "fault of its own" in final.message and "the handler is closed" in final.message
        await run_task.close()

    asyncio.run(scenario())
