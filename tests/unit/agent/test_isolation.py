"""Who is a stranger, what a sandbox shows him, and what its filter of system calls says."""

import errno
import itertools
import struct
from pathlib import Path

import pytest

from sirdar.agent.attempts import Attempt, Common
from sirdar.agent.environments.base import Ready
from sirdar.agent.isolation import Isolation
from sirdar.agent.policy import IsolationPolicy, NotAllowed, parse_policy
from sirdar.agent.wraps.bubblewrap import Sandbox
from sirdar.agent.wraps.seccomp import ALLOW, ERRNO, filter_for
from sirdar.wire.agent import OfferedJob, Program
from sirdar.wire.description_document import parse_document


def common(owner: str, publisher: str, **document: object) -> Common:
    app = parse_document({"sirdar": 1, "alias": "a", "command": ["true"], **document})
    return Common(OfferedJob(program="p", owner=owner, app_owner=publisher), Program(description={}), app)


def isolation(home: Path, kind: str = "auto", owner: str = "anna", why_not: str = "") -> Isolation:
    made = Isolation(IsolationPolicy(kind, read=("/data",)), home)
    made.owner = owner
    made.__dict__["sandbox"] = Sandbox(home, ["bwrap"], ((9, "/filter"),), why_not)
    return made


@pytest.mark.parametrize(
    ("kind", "job_owner", "publisher", "wanted"),
    [
        ("auto", "anna", "anna", False),
        ("auto", "anna", "sirdar", False),
        ("auto", "anna", "boris", True),
        ("auto", "boris", "anna", True),
        ("bubblewrap", "anna", "anna", True),
        ("none", "boris", "boris", False),
    ],
)
def test_whose_programs_are_isolated(tmp_path: Path, kind: str, job_owner: str, publisher: str, wanted: bool) -> None:
    assert isolation(tmp_path, kind).is_wanted(common(job_owner, publisher)) is wanted


def test_until_the_server_has_said_whose_it_is_everybody_is_a_stranger(tmp_path: Path) -> None:
    assert isolation(tmp_path, owner="").is_wanted(common("anna", "anna"))


def test_a_container_needs_no_sandbox(tmp_path: Path) -> None:
    in_image = common("boris", "boris", environment={"image": "busybox"})
    assert not isolation(tmp_path, "bubblewrap").is_wanted(in_image)


def test_without_a_sandbox_nothing_of_a_stranger_starts(tmp_path: Path) -> None:
    made = isolation(tmp_path, why_not="bubblewrap is not installed")
    assert made.why_no_strangers() == "bubblewrap is not installed"
    with pytest.raises(
        NotAllowed, match=r"other people's programs run in a sandbox only.* bubblewrap is not installed"
    ):
        made.check(common("boris", "anna"))
    made.check(common("anna", "anna"))
    assert isolation(tmp_path, "none", why_not="missing").why_no_strangers() == ""
    with pytest.raises(NotAllowed, match="lets programs run"):
        isolation(tmp_path, "bubblewrap", why_not="missing").check(common("anna", "anna"))


def test_what_a_sandbox_shows(tmp_path: Path) -> None:
    home, tools = tmp_path / "agent", tmp_path / "tools"
    folder = home / "work" / "slot-1"
    for place in (folder / "dir", tools, home / "environments" / "e1"):
        place.mkdir(parents=True)
    made = isolation(home)
    ready = Ready("lock", read=(str(home / "environments" / "e1"),))
    attempt = Attempt("j-0-0", "j", {}, {}, "t", gpus=("1",))
    path = f"/usr/bin:{tools}:{tmp_path}:{tmp_path / 'absent'}:relative"
    without = common("boris", "boris", environment={"network": False})
    wrap = made.wrap(attempt, without, ready, folder, {"PATH": path})
    assert wrap is not None and (wrap.kind, wrap.inside, wrap.opens) == ("bubblewrap", False, {9: "/filter"})
    words = list(wrap.words)
    pairs = list(itertools.pairwise(words))
    assert ("--ro-bind-try", "/data") in pairs and ("--ro-bind-try", str(tools)) in pairs
    assert ("--ro-bind-try", str(tmp_path)) not in pairs, "a folder that the agent's home lies in"
    covered = pairs.index(("--tmpfs", str(home)))
    assert pairs.index(("--ro-bind-try", "/data")) < covered
    assert covered < pairs.index(("--ro-bind-try", str(home / "environments" / "e1")))
    assert covered < pairs.index(("--bind", str(folder / "dir"))) < pairs.index(("--remount-ro", str(home)))
    assert "--unshare-net" in words and ("--dev-bind-try", "/dev/nvidia1") in pairs and words[-1] == "--"
    assert (folder / "messages").stat().st_mode & 0o777 == 0o600
    assert made.wrap(attempt, common("anna", "anna"), ready, folder, {"PATH": path}) is None


def test_the_policys_words() -> None:
    given = parse_policy("isolation: {network: false, read: [/data]}").isolation
    assert given == IsolationPolicy("auto", network=False, read=("/data",))
    assert parse_policy("isolation: bubblewrap").sentences() == ["every program in a sandbox"]
    assert parse_policy("isolation: none").sentences() == ["other people's programs without a sandbox"]
    assert parse_policy("tasks: 1").isolation == IsolationPolicy()


def evaluate(program: bytes, number: int, first: int = 0, second: int = 0, architecture: int = 0xC000003E) -> int:
    """What the kernel would do, by the steps that are used here."""
    memory = {0: number, 4: architecture, 16: first & 0xFFFFFFFF, 24: second & 0xFFFFFFFF}
    steps = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at, value = 0, 0
    while True:
        code, yes, no, k = steps[at]
        at += 1
        if code == 0x20:
            value = memory[k]
        elif code == 0x06:
            return int(k)
        else:
            holds = {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[code]
            at += yes if holds else no


def test_the_filter_of_system_calls() -> None:
    program = filter_for("x86_64")
    assert program is not None and filter_for("pdp11") is None
    no = ERRNO | errno.EPERM
    assert evaluate(program, 0) == evaluate(program, 59) == evaluate(program, 9) == ALLOW  # read, execve, mmap
    for denied in (101, 155, 165, 272, 308, 321):  # ptrace, pivot_root, mount, unshare, setns, bpf
        assert evaluate(program, denied) == no
    assert evaluate(program, 56, 0x11) == ALLOW, "clone of a thread or a child"
    assert evaluate(program, 56, 0x10000000 | 17) == no, "clone into a user namespace"
    assert evaluate(program, 435) == ERRNO | errno.ENOSYS, "clone3: libraries go back to clone"
    assert evaluate(program, 16, 0, 0x5401) == ALLOW and evaluate(program, 16, 0, 0x5412) == no  # TCGETS, TIOCSTI
    assert evaluate(program, 16, 0, 0x541C) == no
    assert evaluate(program, 0x40000000 | 1) == no, "x32"
    assert evaluate(program, 1, architecture=0x40000003) == no, "32 bits"
    assert evaluate(filter_for("aarch64") or b"", 117, architecture=0xC00000B7) == no
