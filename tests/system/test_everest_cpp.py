"""Everest's C++ library against Sirdar: a client with libcurl that is compiled here, through the whole sequence."""

import subprocess
from pathlib import Path

import pytest
from tests.system.product import ADMIN_PASSWORD, Product

SOURCE = Path(__file__).with_name("everest_client.cpp")
PROGRAM = (
    'cat "$files" > all.txt; echo "$((n * 2))" > n.txt; sleep "$wait"; '
    "python3 -c \"import zipfile; zipfile.ZipFile('results.zip', 'w').write('all.txt')\""
)

pytestmark = pytest.mark.needs("c++", "libcurl")


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cpp") / "everest_client"
    subprocess.run(["c++", "-Wall", "-Wextra", "-Werror", "-o", made, SOURCE, "-lcurl"], check=True)
    return made


@pytest.mark.parametrize(("file", "name"), [("part.txt", "a.set"), ("данные & co.txt", 'все "задачи" 100% + 1/2')])
def test_the_whole_sequence(sirdar: Product, binary: Path, tmp_path: Path, file: str, name: str) -> None:
    sirdar.publish(
        "cpp.set", PROGRAM, shell=True, name="Набор задач",
        inputs={"files": {"type": "files", "required": True}, "n": {"type": "integer"}, "wait": {"type": "integer", "default": 0}},
        outputs={"results": {"type": "file", "from": "results.zip"}, "twice": {"type": "number", "from": "n.txt"}},
    )  # fmt: skip
    (resource,) = (one["id"] for one in sirdar.admin.get("/api/resources").json())
    (tmp_path / file).write_text("seven")
    words = [binary, sirdar.url, "admin", ADMIN_PASSWORD, "admin/cpp.set", resource, tmp_path / file, name]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == "sign in"
    assert [line for line in said if line.split()[0] in {"alias", "state", "twice", "bytes", "on", "says", "deleted", "app"}] == [
        "alias cpp.set", "state DONE", "twice 42", "app Набор задач", "bytes PK", "on resource 1",
        'says inputs.n: "many" is not an integer', "state CANCELLED", "deleted 2",
    ]  # fmt: skip
    assert "input seven" in said
    assert said[-1] == "signed out"
