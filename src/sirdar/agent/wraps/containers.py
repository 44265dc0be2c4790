"""Containers: a program runs in an image of its own, and sees of this machine its task's directory alone.

The engine's command runs outside of the container, as the agent does: it gets the engine's own variables only. What the program
is to find in its environment lies in a file that only the agent's user reads; nothing of it stands on a command line.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sirdar.agent.environments.base import EnvironmentFailed
from sirdar.agent.environments.engines import Engine
from sirdar.agent.environments.image_store import ImageStore
from sirdar.agent.executors.base import Launch, Wrap

LABEL = "sirdar.home"
MOST_PIDS = 1024
TMP_BYTES = 1 << 30  # of /tmp, /var/tmp, /run and /dev/shm, which lie in memory
PATIENCE_S = 60.0
# Of the agent's own surroundings: they name places of this machine, and the image has its own.
NOT_PASSED = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "LANG",
        "LC_ALL", "LC_CTYPE",
    }
)  # fmt: skip
# What has more than one line does not fit into the file. It goes by the engine's own environment, so what changes how that runs
# is left out.
_UNSAFE = re.compile(
    r"(LD|DYLD|GLIBC|MALLOC|CONTAINERS?|DOCKER|BUILDAH|STORAGE|REGISTRY|XDG|GO|NOTIFY|LISTEN|DBUS|SSL|APPTAINER\w*|SINGULARITY\w*)_?.*"
    r"|PATH|HOME|TMPDIR|.*_(PROXY|proxy)|LOCPATH|NLSPATH|GCONV_PATH|BASH_ENV|ENV|IFS|PYTHON.*"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def contain(launch: Launch, engine: Engine, home: Path, *, image: str, network: bool) -> Launch:
    """The same launch, inside of a container. Writes the file of its environment beside the task's directory. Raises OSError.

    Limits are the container's own: the porter need not limit the engine's command.
    """
    folder = Path(launch.cwd).parent
    messages = folder / "messages"
    messages.touch(mode=0o600)
    inside = {name: value for name, value in launch.base_env.items() if name not in NOT_PASSED}
    inside |= {**launch.env, "HOME": "/tmp", "TMPDIR": "/tmp"}  # noqa: S108
    inside = {name: value for name, value in inside.items() if _NAME.fullmatch(name)}
    own = {"SIRDAR_TASK_ID": launch.key}  # by which leftovers are found
    if engine.kind == "apptainer":
        own |= {f"APPTAINERENV_{name}": value for name, value in inside.items()}
        wrap = Wrap("apptainer", apptainer_words(engine, launch, image, str(messages), network=network), inside=True)
        return replace(launch, env=own, base_env=engine.env, wrap=wrap)
    passed = {name: value for name, value in inside.items() if "\n" in value and not _UNSAFE.fullmatch(name)}
    environment = folder / "environment"
    _write_environment(environment, {name: value for name, value in inside.items() if "\n" not in value})
    words = _words(engine, launch, home, environment, messages, network=network)
    words += [word for name in passed for word in ("--env", name)]
    name = container_name(launch.key)
    wrap = Wrap(engine.kind, [*words, image], inside=True, end=[engine.command, *_remove_words(engine), name])
    return replace(launch, env={**passed, **own}, base_env=engine.env, memory_bytes=None, wrap=wrap)


def container_name(key: str) -> str:
    return f"sirdar-{re.sub(r'[^A-Za-z0-9_.-]', '-', key)}"


def _words(
    engine: Engine, launch: Launch, home: Path, environment: Path, messages: Path, *, network: bool
) -> list[str]:
    words = [engine.command, "run", "--rm", "--init", "--pull", "never", "--name", container_name(launch.key)]
    words += ["--label", f"{LABEL}={home}", "--log-driver", "none", "--entrypoint", "", "--read-only"]
    words += ["--cap-drop", "all", "--security-opt", "no-new-privileges"]
    if os.path.isdir("/sys/fs/selinux"):  # noqa: PTH112
        words += ["--security-opt", "label=disable"]  # it would have to give every task's directory a label of its own
    words += ["--interactive"] if launch.stdin is not None else []
    words += ["--network", "host" if network else "none", *user_words(engine)]
    if engine.kind == "podman":
        words += ["--conmon-pidfile", f"{environment.parent}/monitor"]
        words += ["--security-opt", f"seccomp={engine.seccomp}"] if engine.seccomp else []
        words += ["--read-only-tmpfs=false", "--image-volume", "ignore", "--http-proxy=false"]
    for path in ("/tmp", "/var/tmp", "/run"):  # noqa: S108
        words += ["--tmpfs", f"{path}:rw,size={TMP_BYTES},mode=1777"]
    # What leads to the task's directory may lie in one of these, and is made on the way.
    words += ["--tmpfs", f"{home}:ro,size=64k,mode=755"]
    words += ["--shm-size", str(TMP_BYTES), *limit_words(engine, launch)]
    for path in (launch.cwd, str(messages)):
        words += ["--mount", f"type=bind,source={path},target={path}"]
    return [*words, "--workdir", launch.cwd, "--env-file", str(environment)]


def user_words(engine: Engine) -> list[str]:
    """As the agent's user, to whom what the program writes belongs then. Without root, the engine maps that user to itself."""
    if sys.platform == "win32":
        return []
    uid, gid = os.getuid(), os.getgid()
    return [*(["--userns", "keep-id"] if engine.rootless else []), "--user", f"{uid}:{gid}"]


def limit_words(engine: Engine, launch: Launch) -> list[str]:
    """Those that the engine can set here; one that it cannot set would be refused with the whole container."""
    words: list[str] = []
    if "cpu" in engine.controllers:
        words += ["--cpus", str(launch.cpus)]
    if "pids" in engine.controllers:
        words += ["--pids-limit", str(MOST_PIDS)]
    if "memory" in engine.controllers and launch.memory_bytes:
        words += ["--memory", str(launch.memory_bytes), "--memory-swap", str(launch.memory_bytes)]
    return words


def apptainer_words(engine: Engine, launch: Launch, image: str, messages: str, *, network: bool) -> list[str]:
    """It has no limits that an ordinary user could set."""
    words = [
        engine.command,
        "--silent",
        "exec",
        "--containall",
        "--cleanenv",
        "--no-home",
        "--no-privs",
        "--pwd",
        launch.cwd,
    ]
    for path in (launch.cwd, messages):
        words += ["--bind", f"{path}:{path}"]
    words += [] if network else ["--net", "--network", "none"]
    return [*words, image]


def with_gpus(wrap: Wrap, ids: Iterable[str]) -> Wrap:
    """By CDI, so that the program sees these alone, and counts them from 0. NVIDIA's own option, with apptainer."""
    at = list(wrap.words).index("exec" if wrap.kind == "apptainer" else "run") + 1
    found = [one for one in ids if one]
    if not found:
        return wrap
    more = ["--nv"] if wrap.kind == "apptainer" else [w for one in found for w in ("--device", f"nvidia.com/gpu={one}")]
    return replace(wrap, words=[*wrap.words[:at], *more, *wrap.words[at:]])


def end_containers(images: ImageStore) -> int:
    """Ends this agent's containers that nobody waits for any more, since the porter is dead; returns how many. Blocks."""
    if not images.folder.exists():  # it has never had any
        return 0
    try:
        engine = images.probe()
    except EnvironmentFailed:
        return 0
    if engine.kind == "apptainer":  # its containers are processes of ours, and end with them
        return 0
    label = f"label={LABEL}={images.home}"
    names = _ask([engine.command, "ps", "--all", "--filter", label, "--format", "{{.Names}}"], engine.env).split()
    if names:
        _ask([engine.command, *_remove_words(engine), *names], engine.env)
    return len(names)


def _ask(words: Sequence[str], env: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            env=dict(env),
            timeout=PATIENCE_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def _remove_words(engine: Engine) -> list[str]:
    return ["rm", "--force", "--time", "0"] if engine.kind == "podman" else ["rm", "--force"]


def _write_environment(path: Path, variables: Mapping[str, str]) -> None:
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(number, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(f"{name}={value}\n" for name, value in variables.items())
