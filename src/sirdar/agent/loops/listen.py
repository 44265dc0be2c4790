"""Reads the message files of running programs, and passes on what they say."""

import asyncio

from sirdar.agent.attempts import Attempt
from sirdar.agent.journal import Journal
from sirdar.agent.messages import read_messages, say
from sirdar.agent.outbox import Outbox
from sirdar.agent.records import said_record
from sirdar.agent.run_task import RunTask
from sirdar.agent.settings import Settings
from sirdar.wire.agent import Message


class ListenLoop:
    """Also takes the status messages of the task port."""

    def __init__(self, settings: Settings, outbox: Outbox, journal: Journal, run_task: RunTask) -> None:
        self._settings = settings
        self._outbox = outbox
        self._journal = journal
        self._run_task = run_task

    async def run(self) -> None:
        while True:
            for attempt in await self._run_task.running():
                if attempt.folder is not None and read_messages(attempt, f"{attempt.folder}/messages"):
                    self._pass_on(attempt)
            await asyncio.sleep(self._settings.message_poll_s)

    def take_status(self, attempt: Attempt, text: str) -> None:
        say(attempt, {"text": text})
        self._pass_on(attempt)

    def note(self, attempt: Attempt, text: str) -> None:
        """What it waits for, before its program has begun; empty when it has."""
        say(attempt, {"text": text})
        attempt.said.waits = bool(text)
        self._pass_on(attempt)

    def _pass_on(self, attempt: Attempt) -> None:
        said = attempt.said
        self._journal.note([said_record(attempt)])
        self._outbox.add_message(
            Message(
                key=attempt.key,
                seq=said.seq,
                at=said.at,
                text=said.text,
                progress=said.progress,
                metrics=dict(said.metrics),
                waits=said.waits,
            )
        )
