"""Names of images, what a build sees, how far a pull is, what is removed when, and that work is done once."""

import asyncio
import base64
import json
from pathlib import Path

import pytest
from tests.unit.agent.test_containers import stand_in

from sirdar.agent.environments.base import EnvironmentFailed
from sirdar.agent.environments.containerfile import content, seen
from sirdar.agent.environments.image_store import ImageStore
from sirdar.agent.environments.images import Images
from sirdar.agent.environments.pulling import Progress, pull
from sirdar.agent.environments.registry import Credentials, Described, ImageName
from sirdar.domain.environment import Environment


@pytest.mark.parametrize(
    ("text", "whole", "plain"),
    [
        ("python:3.13", "docker.io/library/python:3.13", False),
        ("python", "docker.io/library/python:latest", False),
        ("anna/tool:2", "docker.io/anna/tool:2", False),
        ("ghcr.io/anna/tool@sha256:" + "a" * 64, "ghcr.io/anna/tool@sha256:" + "a" * 64, False),
        ("127.0.0.1:5000/x/y:1", "127.0.0.1:5000/x/y:1", True),
        ("localhost:5000/y", "localhost:5000/y:latest", True),
        ("localhost/y", "localhost/y:latest", True),
        ("10.0.0.1:5000/y", "10.0.0.1:5000/y:latest", False),
    ],
)
def test_names(text: str, whole: str, plain: bool) -> None:
    name = ImageName.parse(text)
    assert (str(name), name.is_plain_http) == (whole, plain)
    assert name.is_local == text.startswith("localhost/")


def test_the_most_exact_credentials_count(tmp_path: Path) -> None:
    kept = Credentials(tmp_path / "auth.json")
    assert kept.of(ImageName.parse("r.example:1/a/b")) == ""
    assert kept.ready().stat().st_mode & 0o777 == 0o600
    entries = {
        "r.example:1": {"auth": "all"},
        "r.example:1/a": {"auth": "some"},
        "https://index.docker.io/v1/": {"auth": "hub"},
    }
    kept.path.write_text(json.dumps({"auths": entries}))
    assert [kept.of(ImageName.parse(name)) for name in ("r.example:1/a/b", "r.example:1/c", "python")] == [
        "some",
        "all",
        "hub",
    ]
    kept.path.write_text("{")
    with pytest.raises(EnvironmentFailed, match=r"auth\.json, cannot be read"):
        kept.of(ImageName.parse("python"))


FILES = ["Containerfile", "main.py", "list.txt", "lib/a.py", "lib/deep/b.py", "data/c.csv"]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("FROM x\nRUN make", []),
        ("FROM x\n# COPY main.py /\nCOPY list.txt /", ["list.txt"]),
        ("FROM x\nCOPY --chown=1:1 ./lib \\\n  data/*.csv /", ["data/c.csv", "lib/a.py", "lib/deep/b.py"]),
        ('FROM x\nCOPY ["list.txt", "main.py", "/"]', ["list.txt", "main.py"]),
        ("FROM x\nCOPY --from=build /a /b\nADD https://x.example/y /y", []),
        ("FROM x\nCOPY . /app", FILES[1:]),
        ("FROM x\nARG A\nCOPY $A /", FILES[1:]),
        ("FROM x\nRUN --mount=type=bind,target=/x make", FILES[1:]),
        ("FROM x\nCOPY <<E /file\nhello\nE", FILES[1:]),
    ],
)
def test_what_a_build_sees(lines: str, found: list[str]) -> None:
    assert seen(lines, "Containerfile", FILES) == sorted(["Containerfile", *found])
    assert ".dockerignore" in seen(lines, "Containerfile", [*FILES, ".dockerignore"])


def test_a_build_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    first = content("a", {"a": tmp_path / "a"})
    assert first == content("a", {"a": tmp_path / "b"}), "wherever it lies"
    assert first != content("b", {"a": tmp_path / "a"})
    (tmp_path / "a").write_text("2")
    assert first != content("a", {"a": tmp_path / "a"})


def test_how_far_a_pull_is() -> None:
    progress = Progress(
        {"sha256:fdab8e082d55aaa": 30_000_000, "sha256:73a92fb32760bbb": 870_000_000, "sha256:" + "c" * 64: 100_000}
    )
    assert progress.words() == ", 0 of 900 MB"
    progress.hear("Copying blob fdab8e082d55 [====>----] 10.0MiB / 28.6MiB\r\nCopying blob 73a92fb3")
    assert progress.words() == ", 10 of 900 MB"
    progress.hear("2760 [>----] 300MB / 870MB | 20.0 MiB/s\r\nCopying config ef10a20196 [==] 948.0b / 948.0b\r\n")
    assert progress.words() == ", 310 of 900 MB"
    progress.hear("Copying blob fdab8e082d55 done  \r\n73a92fb32760: Pull complete\r\n")
    assert progress.words() == ", 900 of 900 MB"
    assert Progress({}).words() == ""


ENGINE = """echo "$@" >>{here}/asked
case "$*" in
--version*) echo apptainer version 1.3 ;;
*pull*) echo content >"$4" ;;
esac"""


def test_what_goes_when_there_is_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/bin")
    stand_in(tmp_path / "bin", "apptainer", ENGINE.format(here=tmp_path))

    async def body() -> None:
        store = ImageStore(tmp_path, engine="apptainer", bound_bytes=100)
        await store.open()
        for number, (size, own) in enumerate([(60, True), (60, True), (500, False), (30, True)]):
            path = store.folder / f"{number}.sif"
            path.write_text("x")
            store.add(f"image{number}", str(path), size, own=own).used_at = float(number)
        store.hold("image0")
        await store.collect()
        left = {path.name for path in store.folder.glob("*.sif")}
        assert left == {"0.sif", "2.sif", "3.sif"}, "the oldest is in use, the large one is the owner's"
        again = ImageStore(tmp_path, engine="apptainer", bound_bytes=0)
        await again.open()
        assert again.find("image3") is not None and again.find("image1") is None
        await again.collect()
        assert {path.name for path in store.folder.glob("*.sif")} == {"2.sif"}

    asyncio.run(body())


def test_a_registry_that_does_not_answer_may_answer_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/bin")
    stand_in(tmp_path / "bin", "apptainer", ENGINE.format(here=tmp_path))

    async def body() -> None:
        images = Images(ImageStore(tmp_path, engine="apptainer", bound_bytes=100), retry_s=60.0)
        wanted = Environment(image="127.0.0.1:9/a/b:1")
        with pytest.raises(EnvironmentFailed, match=r"the registry 127\.0\.0\.1:9 does not answer") as caught:
            await images.ensure(wanted, {}, lambda text: None, trusted=True)
        assert caught.value.transient and images.known(wanted, {}) is None
        with pytest.raises(EnvironmentFailed, match="no such image of its own"):
            await images.ensure(Environment(image="localhost/x"), {}, lambda text: None, trusted=True)

    asyncio.run(body())


APPTAINER = """case "$1" in
--version) echo apptainer version 1.3 ;;
*) echo "$@" "$APPTAINER_DOCKER_USERNAME $APPTAINER_DOCKER_PASSWORD" >>{here}/asked; for one; do :; done
   while [ "${{1#/}}" = "$1" ]; do shift; done; echo content >"$1" ;;
esac"""


def test_apptainer_pulls_into_a_file_with_the_agents_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/bin")
    monkeypatch.setenv("SINGULARITY_DOCKER_PASSWORD", "the owner's own")
    stand_in(tmp_path / "bin", "apptainer", APPTAINER.format(here=tmp_path))
    digest = "sha256:" + "d" * 64
    said: list[str] = []

    async def body() -> None:
        store = ImageStore(tmp_path, engine="apptainer", bound_bytes=100)
        await store.open()
        assert "SINGULARITY_DOCKER_PASSWORD" in store.engine.env
        auth = base64.b64encode(b"anna:se:same").decode()
        store.credentials.path.write_text(json.dumps({"auths": {"127.0.0.1:5": {"auth": auth}}}))
        for name in ("127.0.0.1:5/a/b:1", "r.example/a/b:1", "127.0.0.1:5/a/b:1"):
            kept = await pull(store, ImageName.parse(name), Described(digest, {}), said.append)
            assert kept.size_bytes == len("content\n") and kept.own
            assert kept.identity == f"{name.removesuffix(':1')}@{digest}"

    asyncio.run(body())
    first, second = (tmp_path / "asked").read_text().splitlines()
    assert first.startswith("pull --force --no-https /")
    assert first.endswith(f" docker://127.0.0.1:5/a/b@{digest} anna se:same")
    assert "--no-https" not in second and second.endswith(f" docker://r.example/a/b@{digest}  "), (
        "that one has no login"
    )
    assert said == ["pulling image 127.0.0.1:5/a/b:1", "pulling image r.example/a/b:1"]
