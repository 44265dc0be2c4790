"""What an owner allows: read from a file, asked of a job and of a command."""

import pytest

from sirdar.agent.policy import NotAllowed, Policy, PolicyFault, parse_policy
from sirdar.domain.app import App
from sirdar.wire.agent import OfferedJob
from sirdar.wire.description_document import parse_document

APP = parse_document({"sirdar": 1, "alias": "svf", "command": "true", "resources": {"cpus": 2, "memory": 1 << 30}})


def job(owner: str = "anna", groups: str = "", **resources: float) -> OfferedJob:
    return OfferedJob(program="p", owner=owner, groups=groups, app="svf", app_owner="anna", resources=resources)


def refusal(text: str, offered: OfferedJob, app: App = APP) -> str:
    try:
        parse_policy(text).check_job(offered, app)
    except NotAllowed as why:
        return str(why)
    return ""


def test_without_a_policy_all_is_allowed() -> None:
    assert parse_policy("") == Policy()
    assert refusal("", job()) == ""


@pytest.mark.parametrize(
    ("text", "offered", "word"),
    [
        ("allow: {users: [anna]}", job(), ""),
        ("allow: {users: [anna]}", job("boris"), "boris"),
        ("allow: {users: []}", job(), "anna"),
        ("allow: {groups: [lab]}", job(groups="a,lab"), ""),
        ("allow: {groups: [lab]}", job(groups="labs"), "anna"),
        ("allow: {users: [boris], groups: [lab]}", job(groups="lab"), ""),
        ("deny: {users: ['an*']}", job(), "anna"),
        ("deny: {groups: lab}", job(groups="lab"), "anna"),
        ("{allow: {users: [anna]}, deny: {groups: [lab]}}", job(groups="lab"), "anna"),
        ("allow: {apps: [anna/svf]}", job(), ""),
        ("allow: {apps: [anna/*]}", job(), ""),
        ("allow: {apps: [svf]}", job(), "anna/svf"),
        ("limits: {cpus: 2, memory: 1 GiB}", job(), ""),
        ("limits: {cpus: 1}", job(), "asks for 2 cpus; its owner allows 1 cpus"),
        ("limits: {memory: 512 MiB}", job(), "asks for 1 GiB of memory; its owner allows 512 MiB of memory"),
        ("limits: {time: 1 h}", job(time_s=7200.0), "asks for 2 h; its owner allows 1 h"),
        ("limits: {gpus: 0}", job(gpus=1), "gpus"),
    ],
)
def test_who_and_what_may_run(text: str, offered: OfferedJob, word: str) -> None:
    said = refusal(text, offered)
    assert word in said and bool(said) == bool(word)


def test_a_policy_in_sentences() -> None:
    who = "allow: {users: [anna], groups: [lab], apps: ['anna/*']}, deny: {commands: [rm]}"
    text = f"{{{who}, tasks: 4, limits: {{memory: 2 GiB}}}}"
    assert parse_policy(text).sentences() == [
        "jobs of anna, the group lab only",
        "jobs of the applications anna/* only",
        "no programs of the names rm",
        "at most 4 side by side",
        "at most 2 GiB of memory for a task",
    ]
    assert parse_policy("allow: {users: []}").sentences() == ["jobs of nobody only"]
    assert parse_policy("").sentences() == []


def test_a_job_without_a_limit_gets_the_owners() -> None:
    policy = parse_policy("limits: {time: 10 min, memory: 2 GiB}")
    assert policy.limited(job(), APP).resources == {"time_s": 600.0}
    assert policy.limited(job(time_s=5.0), APP).resources == {"time_s": 5.0}


def test_commands_are_those_that_start() -> None:
    policy = parse_policy("allow: {commands: [sh, /usr/bin/env]}")
    found = policy.checked_command(["sh", "-c", "true"], "/usr/bin:/bin")
    assert found[0] in {"/usr/bin/sh", "/bin/sh"} and found[1:] == ["-c", "true"]
    assert policy.checked_command(["env"], "/usr/bin:/bin") == ["/usr/bin/env"]
    assert policy.checked_command(["/usr/bin/env"], "/bin") == ["/usr/bin/env"]
    for argv in (["./sh"], ["tools/sh"], ["true"], ["/tmp/sh"], ["none-such"]):
        with pytest.raises(NotAllowed, match=f"does not let the command {argv[0]}"):
            policy.checked_command(argv, "/usr/bin:/bin")


def test_a_denied_program_is_denied_by_every_name() -> None:
    policy = parse_policy("deny: {commands: [/usr/bin/env]}")
    for word in ("env", "/usr/bin/env", "/usr/bin/../bin/env"):
        with pytest.raises(NotAllowed):
            policy.checked_command([word], "/usr/bin")
    assert policy.checked_command(["true"], "/usr/bin") == ["/usr/bin/true"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("allow: {user: [anna]}", "allow: there is no 'user'; known are users, groups, apps, commands"),
        ("users: [anna]", "the policy: there is no 'users'"),
        ("allow: anna", "allow: users, groups, apps, commands are expected here"),
        ("allow: {users: [1]}", "allow.users: a list of names is expected"),
        ("tasks: 0", "tasks: 0 is not a number of tasks"),
        ("tasks: true", "tasks: True is not"),
        ("limits: {memory: lots}", "limits.memory: 'lots' is not"),
        ("limits: {cpus: -1}", "limits.cpus: -1 is less than 0"),
        ("limits: {cpus: []}", "limits.cpus: [] is no limit"),
        ("isolation: podman", "isolation: 'podman' is not known here; known are auto, bubblewrap, none"),
        ("isolation: {network: off-ish}", "isolation.network: 'off-ish' is not true or false"),
        ("isolation: {read: [data]}", "isolation.read: data is not an absolute path"),
        ("isolation: {kinds: none}", "isolation: there is no 'kinds'; known are kind, network, read"),
        ("allow: [", "it is not YAML"),
        ("- 1", "the policy: allow, deny, tasks, limits, isolation, environments are expected here"),
        ("environments: {downloads: 1}", "environments.downloads: 1 is not true or false"),
        ("environments: {builds: mine}", "environments.builds: 'mine' is not known here; known are own, all, none"),
    ],
)
def test_a_policy_that_is_none_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(PolicyFault) as told:
        parse_policy(text)
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("allow: {commands: [/usr/bin/*]}", "/usr/bin/../../tmp/evil"),
        ("allow: {commands: ['python*']}", "python3/evil"),
        ("allow: {commands: [solve]}", "solve"),  # found by nobody but the application's own PATH
        ("allow: {commands: ['./*']}", "./../../evil"),
        ("deny: {commands: [/bin/sh, /usr/bin/sh]}", "../../../../../../../../../../bin/sh"),
    ],
)
def test_a_path_that_only_looks_like_an_allowed_one_is_refused(text: str, word: str) -> None:
    with pytest.raises(NotAllowed, match="does not let the command"):
        parse_policy(text).checked_command([word], "/usr/sbin")


def test_what_the_application_brings_is_named_from_its_directory() -> None:
    policy = parse_policy("allow: {commands: ['./tools/*']}")
    for word in ("./tools/run", "tools/run", "tools//./run"):
        assert policy.checked_command([word], "/usr/bin") == [word]


@pytest.mark.parametrize("nothing", [0, -1, float("nan")])
def test_asking_for_nothing_is_no_way_around_a_limit(nothing: float) -> None:
    policy = parse_policy("limits: {cpus: 2, memory: 2 GiB, time: 10 min}")
    limited = policy.limited(job(memory_bytes=nothing, time_s=nothing), APP)
    assert (limited.resources["memory_bytes"], limited.resources["time_s"]) == (2 << 30, 600.0)
    large = parse_document({"sirdar": 1, "alias": "svf", "command": "true", "resources": {"cpus": 64}})
    with pytest.raises(NotAllowed, match="64 cpus"):  # of no cpus the agent makes as many as the application wants
        policy.check_job(job(cpus=0), large)


@pytest.mark.parametrize("text", [f"limits: {{{one}}}" for one in ("time: 0", "memory: 0", "disk: 0", "cpus: .nan")])
def test_a_limit_that_would_mean_none_is_refused(text: str) -> None:
    with pytest.raises(PolicyFault, match="limits"):
        parse_policy(text)
