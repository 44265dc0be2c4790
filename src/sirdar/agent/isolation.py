"""Whose programs run in a sandbox on this machine: the owner's policy, and what can be done here."""

import os
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import sirdar
from sirdar.agent.attempts import Attempt, Common
from sirdar.agent.environments.base import Ready
from sirdar.agent.environments.image_store import ImageStore
from sirdar.agent.executors.base import Launch, Wrap
from sirdar.agent.policy import IsolationPolicy, NotAllowed
from sirdar.agent.wraps.bubblewrap import Sandbox, sandbox
from sirdar.agent.wraps.containers import contain
from sirdar.domain.app import CodeKind
from sirdar.wire.solvers import solvers_directory

PLATFORM = "sirdar"  # owner of the built-in applications


class Isolation:
    """``owner``: whose resource this is, as the server says; until it has said so, everybody is a stranger."""

    def __init__(self, policy: IsolationPolicy, home: Path, images: ImageStore | None = None) -> None:
        self._images = images
        self._policy = policy
        self._home = home
        self.owner = ""

    @cached_property
    def sandbox(self) -> Sandbox:
        """Tried when it is first asked for, since few agents need it."""
        return sandbox(self._home)

    @cached_property
    def _tools(self) -> tuple[str, ...]:
        """Where this interpreter, our own commands and the machine's solvers lie, which tasks may use."""
        package = Path(sirdar.__file__).resolve().parent
        solvers = solvers_directory(os.environ)
        found = [sys.prefix, sys.base_prefix, os.path.realpath(sys.base_prefix), str(package), str(solvers)]
        return tuple(path for path in found if not path.startswith("/usr/"))

    def is_stranger(self, common: Common) -> bool:
        """Whether somebody else than this machine's owner submitted it, or published what it runs."""
        job = common.job
        return not self.owner or job.owner != self.owner or job.app_owner not in {self.owner, PLATFORM}

    def is_wanted(self, common: Common) -> bool:
        """Whether its tasks run in a sandbox. A container is one already."""
        if common.app.environment.is_container or self._policy.kind == "none":
            return False
        return self._policy.kind == "bubblewrap" or self.is_stranger(common)

    def may_build(self, common: Common, builds: str) -> bool:
        """Whether code of its packages may run outside of a sandbox while its environment is made: ``builds`` of the policy."""
        return builds == "all" or (builds == "own" and (self._policy.kind == "none" or not self.is_stranger(common)))

    def check(self, common: Common) -> None:
        """Raises NotAllowed where a sandbox is wanted and none can be made."""
        if self.is_wanted(common) and self.sandbox.why_not:
            who = "programs" if self._policy.kind == "bubblewrap" else "other people's programs"
            raise NotAllowed(
                f"its owner lets {who} run in a sandbox only, and none can be made there: {self.sandbox.why_not}"
            )

    def why_no_strangers(self) -> str:
        """Why the programs of others than the owner cannot run here; empty where they can."""
        return "" if self._policy.kind == "none" else self.sandbox.why_not

    def wrap(
        self, attempt: Attempt, common: Common, ready: Ready, folder: Path, environment: Mapping[str, str]
    ) -> Wrap | None:
        """What the task's program is started inside of; None for nothing. Raises OSError and NotAllowed."""
        if not self.is_wanted(common):
            return None
        self.check(common)
        code = common.app.code
        read = [*self._policy.read, *self._tools, *ready.read]
        if code.kind is CodeKind.PATH and code.path is not None:
            read.append(code.path)
        read += [path for path in environment.get("PATH", "").split(os.pathsep) if self._may_be_shown(path)]
        network = self._policy.network and common.app.environment.network
        return self.sandbox.wrap(folder, read=read, network=network, devices=_devices(attempt))

    def contain(self, launch: Launch, common: Common, ready: Ready) -> Launch:
        """The same, in a container of the image that is ready. Raises OSError."""
        assert self._images is not None, "an image is ready where there is a store of them"
        network = self._policy.network and common.app.environment.network
        return contain(launch, self._images.engine, self._home, image=ready.image, network=network)

    def wrap_command(self, folder: Path, path: str) -> Wrap:
        """For a command that a stranger's application has run in a directory of this machine. Raises OSError and NotAllowed."""
        if self.sandbox.why_not:
            raise NotAllowed(f"no sandbox can be made there: {self.sandbox.why_not}")
        return self.sandbox.wrap(folder, read=[*self._policy.read, *self._tools, path], network=False, start_in=path)

    def _may_be_shown(self, path: str) -> bool:
        """A folder of programs, and not one that the agent's own home lies in, or a whole home directory."""
        if not path.startswith("/") or path.startswith(("/usr/", "/bin", "/sbin")):
            return False
        real = Path(os.path.realpath(path))
        return real.is_dir() and not self._home.is_relative_to(real) and real != Path.home()


def _devices(attempt: Attempt) -> list[str]:
    """NVIDIA's, where the task has some of them."""
    if not attempt.gpus:
        return []
    common = ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset"]
    return [*common, *(f"/dev/nvidia{gpu}" for gpu in attempt.gpus if gpu.isdecimal())]
