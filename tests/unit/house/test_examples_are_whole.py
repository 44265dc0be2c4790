"""Each example is a program that knows nothing of Sirdar, with its description, an input and an expected result."""

from pathlib import Path

import pytest
import samples

from sirdar.wire.description import check_files, parse_yaml

NAMES = samples.names()


def test_there_are_examples_of_the_promised_kinds() -> None:
    assert {"growth", "heat", "logs"} <= set(NAMES)
    folders = {path for path in samples.EXAMPLES.iterdir() if path.is_dir()}
    published = {path.name for path in folders if (path / "sirdar.yaml").is_file()}
    assert published == set(NAMES), "every application has a sample.json"
    told = {path.name for path in folders if (path / "README.md").is_file()}
    assert {path.name for path in folders} - published <= told, "a script that is none says how it is run"


@pytest.mark.parametrize("name", NAMES)
def test_the_description_and_the_sample_fit_together(name: str) -> None:
    sample = samples.load(name)
    app = parse_yaml((sample.folder / "sirdar.yaml").read_text())
    made = [name, "sir"] if (sample.folder / "Makefile").is_file() else []  # a program that is built first
    check_files(app, [*made, *(path.name for path in sample.folder.iterdir())])
    assert app.alias == name
    assert set(sample.inputs) <= {spec.name for spec in app.inputs}
    assert set(sample.expect) == {spec.name for spec in app.outputs}
    for value in sample.inputs.values():
        assert not value.startswith("@") or (sample.folder / value[1:]).is_file()
    assert sample.foreach is None or sample.foreach.is_file()


@pytest.mark.parametrize("name", NAMES)
def test_the_program_knows_nothing_of_us(name: str) -> None:
    programs = [path for path in (samples.EXAMPLES / name).iterdir() if path.suffix in {".py", ".c"}]
    assert [path.name for path in programs if "sirdar" in path.read_text().lower()] == []


@pytest.mark.parametrize(
    ("expected", "values", "fits"),
    [
        (3, [3], True),
        (3, [4], False),
        ({"about": 1.0, "within": 0.1}, [1.05], True),
        ({"about": 1.0, "within": 0.1}, [1.2], False),
        ({"mean": 2.0, "within": 0.1}, [1.0, 3.0], True),
        ({"below": 5}, [4.9], True),
        ({"least": 1}, [{"a": 1}], True),
        ({"least": 1}, [{}], False),
        ({"matches": "v[0-9]"}, ["v1"], True),
        ({"matches": "v[0-9]"}, ["v10"], False),
        ({"file": "a.png"}, ["/api/files/jobs/x/a.png"], True),
        ({"file": "a.png"}, ["/api/files/jobs/x/b.png"], False),
        (3, [None], False),
    ],
)
def test_expectations(expected: object, values: list[object], fits: bool) -> None:
    sample = samples.Sample(Path("x"), {}, {"out": expected})
    assert (sample.faults([{"out": value} for value in values]) == []) is fits
