"""``environment:`` of a description, and options of Slurm's: read, written, and what is wrong with them."""

import pytest

from sirdar.domain.app import SLURM_FIELDS, slurm_fault
from sirdar.domain.environment import AS_IT_IS, Environment
from sirdar.domain.problems import Problem
from sirdar.wire.description import check_files, parse_document, parse_yaml, to_document

HEAD = "sirdar: 1\nalias: a\ncommand: python3 a.py\n"


@pytest.mark.parametrize(
    ("text", "environment", "kind", "labels"),
    [
        ("", AS_IT_IS, "", {}),
        ("environment: {network: false}", Environment(network=False), "", {}),
        ("environment: {image: 'docker.io/library/python:3.12'}", Environment("docker.io/library/python:3.12"), "image",
         {"environment-image": "*"}),
        ("environment: {build: docker/Containerfile}", Environment(build="docker/Containerfile"), "build",
         {"environment-build": "*"}),
        ("environment: {python: '>=3.11,<3.13', requirements: requirements.txt}",
         Environment(python=">=3.11,<3.13", requirements="requirements.txt"), "requirements", {"environment-python": "*"}),
        ("environment: {lock: uv.lock}", Environment(lock="uv.lock"), "lock", {"environment-python": "*"}),
        ("environment: {conda: environment.yml}", Environment(conda="environment.yml"), "conda", {"environment-conda": "*"}),
        ("environment: {python: 3.12}", Environment(python="3.12"), "python", {"environment-python": "*"}),
    ],
)  # fmt: skip
def test_what_it_says(text: str, environment: Environment, kind: str, labels: dict[str, str]) -> None:
    app = parse_yaml(HEAD + text)
    assert app.environment == environment and environment.kind == kind
    assert app.labels == labels
    assert parse_document(to_document(app)) == app


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("environment: python:3", "environment", "not a mapping"),
        ("environment: {images: a}", "environment.images", "image"),
        ("environment: {image: a, conda: b.yml}", "environment", "has image and conda"),
        ("environment: {image: 'a b'}", "environment.image", "names no image"),
        ("environment: {image: a, python: '3.12'}", "environment.python", "brings its own"),
        ("environment: {python: newest}", "environment.python", "no set of versions"),
        ("environment: {lock: poetry.lock}", "environment.lock", "no lock that is known"),
        ("environment: {requirements: ../r.txt}", "environment.requirements", "not a path of the application"),
        ("environment: {build: /Containerfile}", "environment.build", "not a path of the application"),
        ("environment: {network: off}", "environment.network", "not true or false"),
        ("resources: {slurm: {partition: 'a b'}}", "resources.slurm.partition", "has ' ' in it"),
        ("resources: {slurm: {partitions: a}}", "resources.slurm.partitions", "no option that may be given"),
    ],
)
def test_what_is_wrong(text: str, field: str, words: str) -> None:
    with pytest.raises(Problem) as told:
        parse_yaml(HEAD + text)
    found = {error.field: error.detail for error in told.value.errors or ()}
    assert words in found[field], found


def test_files_that_it_names_are_published() -> None:
    app = parse_yaml(HEAD + "environment: {lock: env/uv.lock}")
    check_files(app, ["a.py", "env/uv.lock", "env/pyproject.toml"])
    with pytest.raises(Problem, match=r"no file env/pyproject.toml"):
        check_files(app, ["a.py", "env/uv.lock"])


def test_options_of_slurm() -> None:
    app = parse_yaml(HEAD + "resources: {slurm: {partition: long, constraint: 'intel&gpu'}, override: [slurm]}")
    assert app.resources.slurm == {"partition": "long", "constraint": "intel&gpu"}
    assert parse_document(to_document(app)) == app
    assert "partition" in SLURM_FIELDS and slurm_fault("") and slurm_fault("a;b") and slurm_fault("x" * 201)
    assert slurm_fault("gpu:a100:2") is None
