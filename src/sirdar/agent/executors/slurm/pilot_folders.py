"""The directories of pilots on the disk that the agent shares with the nodes.

``pilots/where.json``: where the agent listens, and the token; ``pilots/ID/``: ``pilot.json`` (what it is to be), ``job`` (Slurm's
id), ``claim``, ``begun`` and ``over`` (by the node), ``in/N.json`` (tasks that it was given: commands and environments),
``porter.log`` (what became of them), ``output`` (what the job wrote beside its programs).
"""

import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sirdar.agent.events import get_logger
from sirdar.agent.executors.slurm.node import claim
from sirdar.agent.executors.slurm.node.files import read_json, write_json
from sirdar.agent.executors.slurm.orders import AGENT, batch_script, noted_job
from sirdar.agent.porter import facts_log
from sirdar.agent.porter.facts_log import Past

log = get_logger(__name__)

Batch = Mapping[str, Any]  # as the porter takes it: ``op``, ``bases``, ``tasks``


class PilotFolders:
    """Of one agent's home."""

    def __init__(self, home: Path, python: str) -> None:
        self.root = home / "slurm" / "pilots"
        self.where = self.root / "where.json"
        self.script = self.root / "run-pilot.sh"
        self._python = python

    def make(self) -> None:
        """Raises OSError."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.script.write_text(batch_script(self._python, "pilot", '"$1"'))

    def token(self) -> str:
        """The home's own, which its pilots know."""
        return str(self._last().get("token") or secrets.token_hex(32))

    def last_port(self) -> int:
        return int(self._last().get("port", 0))

    def _last(self) -> Mapping[str, Any]:
        try:
            return read_json(str(self.where)) or {}
        except ValueError:  # pilots read the next one when they call in again
            return {}

    def say_where(self, address: str, port: int, token: str) -> None:
        write_json(str(self.where), {"address": address, "port": port, "token": token})

    def add(
        self,
        pilot: str,
        *,
        slots: int,
        idle_s: float,
        memory: str,
        time_s: float | None = None,
        asks: Sequence[str] = (),
    ) -> Path:
        """Before it is submitted. ``asks``: what Slurm is asked for."""
        folder = self.root / pilot
        (folder / "in").mkdir(mode=0o700, parents=True)
        given = {"id": pilot, "slots": slots, "idle_s": idle_s, "memory": memory, "where": str(self.where)}
        given |= {"time_s": time_s, "asks": list(asks)}
        write_json(f"{folder}/pilot.json", given, durable=True)
        return folder

    def load(self) -> dict[str, tuple[dict[str, Any], str]]:
        """What earlier lives of the agent have ordered: what each pilot is to be, and its job."""
        found = {}
        for folder in sorted(path for path in self.root.iterdir() if path.is_dir()):
            try:
                given = read_json(f"{folder}/pilot.json")
            except ValueError as error:
                log.warning("slurm_pilot_unreadable", pilot=folder.name, error=str(error))
                continue
            if given is None:
                self.remove(folder.name)
            else:
                found[folder.name] = (given, noted_job(folder))
        return found

    def note_job(self, pilot: str, job: str) -> None:
        write_json(f"{self.root}/{pilot}/job", job)

    def write_batch(self, pilot: str, number: int, batch: Batch) -> str:
        """The file's name. On the disk before the pilot hears of it."""
        name = f"{number}.json"
        write_json(f"{self.root}/{pilot}/in/{name}", batch)
        return name

    def batches(self, pilot: str) -> dict[str, Batch]:
        found = {}
        for path in sorted((self.root / pilot / "in").glob("*.json"), key=lambda path: int(path.stem)):
            try:
                found[path.name] = read_json(str(path))
            except ValueError as error:
                log.warning("slurm_batch_unreadable", pilot=pilot, batch=path.name, error=str(error))
        return found

    def drop_batch(self, pilot: str, name: str) -> None:
        (self.root / pilot / "in" / name).unlink(missing_ok=True)

    def claim(self, pilot: str) -> bool:
        """True if no node will ever run it."""
        path = f"{self.root}/{pilot}/claim"
        return claim.take(path, AGENT) or claim.owner(path) == AGENT

    def is_dropped(self, pilot: str) -> bool:
        """By the agent: no node will run it."""
        return claim.owner(f"{self.root}/{pilot}/claim") == AGENT

    def begun(self, pilot: str) -> dict[str, Any] | None:
        try:
            return read_json(f"{self.root}/{pilot}/begun")  # type: ignore[no-any-return]
        except ValueError:
            return None

    def note_over(self, pilot: str) -> None:
        """Slurm says so: the next life of the agent need not ask again."""
        if not self.is_over(pilot):
            write_json(f"{self.root}/{pilot}/over", {"at": None})

    def is_over(self, pilot: str) -> bool:
        return (self.root / pilot / "over").exists()

    def past(self, pilot: str) -> Past:
        """What became of its tasks, from its own log."""
        return Past(f"{self.root}/{pilot}/{facts_log.NAME}")

    def last_words(self, pilot: str) -> str:
        """The last line that its job wrote."""
        try:
            lines: Sequence[str] = (self.root / pilot / "output").read_text(errors="replace")[-2000:].splitlines()
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def remove(self, pilot: str) -> None:
        shutil.rmtree(self.root / pilot, ignore_errors=True)
