"""From an accepted attempt with its files at hand to what the executor starts."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sirdar.agent.attempts import Attempt, Common, cpus_of
from sirdar.agent.environments.base import Ready
from sirdar.agent.executors.base import Launch
from sirdar.agent.isolation import Isolation
from sirdar.agent.kept import Homes, constant_env, keep_of, wanted
from sirdar.agent.outcomes import Limits
from sirdar.agent.policy import NotAllowed
from sirdar.agent.proxies import proxy_for, variables
from sirdar.agent.settings import Settings
from sirdar.agent.stage_in import Find, link_code, own_file, place, render_task, write_rendered
from sirdar.agent.stage_out import mark_untouched, with_values
from sirdar.agent.stage_plan import Plan, StageError
from sirdar.domain.app import CodeKind
from sirdar.domain.outcome import Reason
from sirdar.wire.solvers import search_path, solvers_directory

NEVER_BYTES = 1 << 62
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(slots=True)
class Surroundings:
    """What every task finds in its environment; changes when the server's address or the task port does."""

    base: Mapping[str, str]
    resource: str = ""  # what the server calls this machine

    @classmethod
    def of(cls, settings: Settings, *, api_url: str, port: int, resource: str = "") -> "Surroundings":
        base = {name: os.environ[name] for name in settings.pass_env if name in os.environ}
        base |= {
            "PATH": _path(base.get("PATH")),
            "PYTHONUNBUFFERED": "1",  # so that what a Python program prints is seen while it runs
            "EVEREST_AGENT_ADDRESS": settings.task_address,
            "EVEREST_AGENT_PORT": str(port),
            "SIRDAR_URL": api_url,
        }
        if proxy_for(api_url, os.environ) is not None:
            base |= variables(os.environ)
        base |= {name: os.environ[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if name in os.environ}
        return cls(base, resource)


def _path(given: str | None) -> str:
    """Our own commands come last, so that ``sirdar status`` works in a task and no other program is hidden by ours.

    Solvers that are installed while the agent runs are found at once: their directory is there from the beginning.
    """
    folders = (given or DEFAULT_PATH).split(os.pathsep)
    own = str(Path(sys.executable).parent)
    words = folders if own in folders else [*folders, own]
    return search_path(os.pathsep.join(words), solvers_directory(os.environ))


def limits_of(common: Common, *, address_space_only: bool) -> Limits:
    """The task's limits: the job's, which the server has checked, or else the application's."""
    asked, own = common.job.resources, common.app.resources
    memory = asked.get("memory_bytes", own.memory_bytes)
    time_s = asked.get("time_s", own.time_s)
    disk = asked.get("disk_bytes", own.disk_bytes)
    return Limits(
        memory_bytes=int(memory) if memory else None,
        time_s=float(time_s) if time_s else None,
        disk_bytes=int(disk) if disk else None,
        address_space_only=address_space_only,
    )


def prepare(
    attempt: Attempt,
    common: Common,
    made: Plan,
    folder: Path,
    *,
    find: Find,
    settings: Settings,
    surroundings: Surroundings,
    homes: Homes,
    ready: Ready,
    isolation: Isolation,
) -> Launch:
    """Fills the task's directory and says what to start in it. Raises StageError or OSError."""
    isolated = isolation.is_wanted(common) or bool(ready.image)
    if made.files:
        link_over = NEVER_BYTES if isolated else settings.link_over_bytes  # no stranger gets the cache's own bytes
        attempt.shared = place(made, folder / "dir", find, link_over_bytes=link_over)
        attempt.staged_in_bytes = made.size_bytes
    rendered = render_task(common.app, made)
    try:
        inside = {**ready.env, **_with_path(surroundings, ready)}
        search = inside.get("PATH", surroundings.base["PATH"])
        argv = rendered.argv if ready.image else settings.policy.checked_command(rendered.argv, search)
        wrap = isolation.wrap(attempt, common, ready, folder, {"PATH": search})
    except NotAllowed as why:
        named = f"{surroundings.resource}: {why}" if surroundings.resource else str(why)
        raise StageError(Reason.REFUSED, named) from None
    stdin = write_rendered(rendered, folder, partial(own_file, common, find))
    mark_untouched(with_values(common.app, made.values), folder)
    if common.app.code.kind is CodeKind.PATH:
        link_code(common.app, folder / "dir")
    limits = limits_of(common, address_space_only=False)
    base = str(folder)
    keep = None
    if wanted(common) and wrap is None and not ready.image:
        keep = keep_of(
            attempt,
            common,
            homes.root,
            argv,
            base_env=surroundings.base,
            own_env={**inside, **constant_env(common), **_app_secrets(attempt, common)},
            limits=(cpus_of(common), limits.memory_bytes),
        )
        attempt.kept = Path(keep.home).name
        homes.ensure(keep, common, find, settings)
    launch = Launch(
        key=attempt.key,
        argv=argv,
        env={**inside, **_own_env(attempt, common, base), **rendered.env, **_app_secrets(attempt, common)},
        base_env=surroundings.base,
        cwd=base + "/dir",
        stdout=base + "/stdout",
        stderr=base + "/stderr",
        stdin=str(stdin) if stdin is not None else None,
        cpus=cpus_of(common),
        memory_bytes=limits.memory_bytes,
        time_s=limits.time_s,
        grace_s=common.app.grace_s,
        keep=keep,
        wrap=wrap,
        site=site_of(common),
    )
    return isolation.contain(launch, common, ready) if ready.image else launch


def site_of(common: Common) -> Mapping[str, str]:
    """Options for a batch system: the job's, or else the application's."""
    asked = common.job.resources.get("slurm")
    return asked if isinstance(asked, dict) else common.app.resources.slurm


def _with_path(surroundings: Surroundings, ready: Ready) -> dict[str, str]:
    return {"PATH": os.pathsep.join([*ready.path, surroundings.base["PATH"]])} if ready.path else {}


def _own_env(attempt: Attempt, common: Common, base: str) -> dict[str, str]:
    return {
        "EVEREST_AGENT_TASK_ID": attempt.key,
        "EVEREST_TASK_TOKEN": attempt.token,
        "SIRDAR_TOKEN": attempt.token,
        "SIRDAR_JOB_ID": attempt.job,
        "SIRDAR_TASK_ID": attempt.key,
        "SIRDAR_MESSAGE_FILE": base + "/messages",
        "SIRDAR_CPUS": str(cpus_of(common)),
    }


def _app_secrets(attempt: Attempt, common: Common) -> dict[str, str]:
    """The application's own secrets, which its program sees as environment variables."""
    return {name: attempt.secrets[name] for name in common.app.secrets if name in attempt.secrets}
