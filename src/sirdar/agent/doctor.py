"""``sirdar doctor`` on a machine that runs jobs: what its programs can run in, and what is missing for it."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sirdar.agent.environments.base import EnvironmentFailed
from sirdar.agent.environments.conda import TOOLS, find_tool
from sirdar.agent.environments.engines import KINDS, find_engine
from sirdar.agent.environments.uv import find_uv, version_of
from sirdar.agent.executors.slurm.settings import FILE_NAME as SLURM_FILE
from sirdar.agent.executors.slurm.settings import SlurmFault, load_slurm
from sirdar.agent.policy import FILE_NAME, PolicyFault, load_policy
from sirdar.agent.wraps.bubblewrap import sandbox

SLURM_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. ``warning``: what is not ``ok`` hinders nothing, but has to be known."""

    name: str
    ok: bool
    detail: str
    hint: str | None = None
    warning: bool = False


def check(home: Path) -> list[Check]:
    """``home``: of the agent, whether it is there or not. Runs commands of what it finds; takes up to a minute where one hangs."""
    slurm = [_slurm(home)] if shutil.which("sinfo") else []
    return [_sandbox(home), _containers(), _environments(), *slurm]


def _sandbox(home: Path) -> Check:
    """What the agent does with programs that others than its owner publish or submit."""
    try:
        policy = load_policy(home / FILE_NAME).isolation
    except PolicyFault as fault:
        return Check("sandbox", False, str(fault), "The agent does not start before that is mended.")
    if policy.kind == "none":
        detail = "policy.yaml says isolation: none: whoever may publish here can read what you can read"
        return Check(
            "sandbox", False, detail, "Let only people publish whom you trust with this account.", warning=True
        )
    with tempfile.TemporaryDirectory() as place:
        why_not = sandbox(Path(place)).why_not
    if why_not:
        hint = (
            "Until then other people's jobs are refused here; yours run. See 'Isolation' in the how-to on the policy."
        )
        return Check("sandbox", False, f"none can be made: {why_not}", hint, warning=True)
    whose = "every program runs" if policy.kind == "bubblewrap" else "programs of others than you run"
    return Check("sandbox", True, f"{whose} in a sandbox of bubblewrap")


def _containers() -> Check:
    wanted = os.environ.get("SIRDAR_AGENT_CONTAINER_ENGINE") or "auto"
    if wanted == "auto" and not any(shutil.which(kind) for kind in KINDS):
        return Check("containers", True, f"none: {', '.join(KINDS)} are not here; jobs with an image run elsewhere")
    try:
        engine = find_engine(wanted)
    except EnvironmentFailed as fault:
        hint = "Until then jobs with an image wait for another machine."
        return Check("containers", False, str(fault), hint, warning=True)
    unlimited = sorted({"cpu", "memory", "pids"} - engine.controllers)
    limits = f"; it cannot limit {', '.join(unlimited)} here" if unlimited else ""
    whose = "without root" if engine.rootless else "as root"
    return Check("containers", True, f"by {engine.kind} {engine.version} ({engine.command}), {whose}{limits}")


def _environments() -> Check:
    """What makes environments of packages."""
    path, tool = find_uv(), find_tool()
    version = version_of(path) if path is not None else ""
    conda = (
        f"conda's by {tool.name} ({tool.path})"
        if tool is not None
        else f"none of conda ({', '.join(TOOLS)} are not here)"
    )
    if not version:
        hint = "pip install 'sirdar[agent]' brings uv. Until then jobs with requirements or a lock wait for another machine."
        return Check("environments", False, f"none of Python packages: uv is missing; {conda}", hint, warning=True)
    return Check("environments", True, f"of Python packages by uv {version} ({path}); {conda}")


def _slurm(home: Path) -> Check:
    """Whether jobs could be handed to the cluster that this is a login node of."""
    try:
        load_slurm(home / SLURM_FILE)
    except SlurmFault as fault:
        return Check("slurm", False, str(fault), "An agent with --executor slurm does not start before that is mended.")
    words = ["sinfo", "-h", "-o", "%P"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SLURM_PATIENCE_S, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return Check("slurm", False, f"sinfo gave no answer: {error}", "Ask those who run the cluster.", warning=True)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["no word why"])[-1]
        return Check("slurm", False, f"it is installed, and does not answer: {said}", warning=True)
    partitions = ", ".join(sorted(set(done.stdout.split()))) or "none"
    return Check(
        "slurm", True, f"it answers; partitions: {partitions}. `sirdar agent start --executor slurm` hands jobs to it"
    )
