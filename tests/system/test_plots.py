"""A job as a picture: what the server puts together, and the file that the command line draws of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from own_server import BIN, surroundings
from tests.system.product import Product, problem

SCRIPT = '[ "$a" != 7 ] || exit 3\necho "loss = $(( (a - 4) * (a - 4) + b ))"\necho "note = $a"\n'


@pytest.fixture(scope="module")
def job(sirdar: Product) -> str:
    """Sixty tasks over a and b; those of a = 7 failed."""
    sirdar.publish(
        "bowl",
        SCRIPT,
        shell=True,
        inputs={
            "a": {"type": "integer", "default": 0, "title": "Angle", "unit": "deg"},
            "b": {"type": "integer", "default": 0},
        },
        outputs={
            "loss": {"type": "number", "title": "Loss", "unit": "J", "from": "stdout", "key": "loss"},
            "note": {"type": "string", "from": "stdout", "key": "note"},
        },
    )
    items = [{"a": a, "b": b} for a in range(10) for b in range(6)]
    return str(sirdar.run("me/bowl", foreach=items, state="FAILED", wait=120)["id"])


def plot(sirdar: Product, job: str, **wish: str) -> dict[str, Any]:
    reply = sirdar.admin.get(f"/api/jobs/{job}/plot", params=wish)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def draw(sirdar: Product, place: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    profile = surroundings(place) | {"SIRDAR_URL": sirdar.url, "SIRDAR_TOKEN": sirdar.token()}
    return subprocess.run(
        [BIN / "sirdar", "plot", *words], env=profile, cwd=place, capture_output=True, text=True, check=False
    )


def test_two_parameters_are_a_heat_map_and_failed_tasks_are_left_out_and_counted(sirdar: Product, job: str) -> None:
    found = plot(sirdar, job, best="min")
    assert (found["kind"], found["shown"], found["total"]) == ("heatmap", 54, 60)
    assert found["leftOut"] == {"failed": 6, "cancelled": 0, "notEnded": 0, "withoutValue": 0}
    assert found["y"] == {"name": "outputs.loss", "kind": "number", "title": "Loss", "unit": "J"}
    grid = found["grid"]
    assert (grid["x"], grid["y"]) == ([0, 1, 2, 3, 4, 5, 6, 8, 9], list(range(6)))
    assert grid["values"] == [[float((a - 4) ** 2 + b) for a in grid["x"]] for b in grid["y"]]
    assert found["best"] == {"no": 24, "values": [4, 0], "y": 0.0}


def test_series_over_one_parameter_by_another(sirdar: Product, job: str) -> None:
    found = plot(sirdar, job, x="a", y="loss", by="b")
    assert (found["kind"], [one["label"] for one in found["series"]]) == ("line", list(range(6)))
    assert found["series"][2]["y"] == [18.0, 11.0, 6.0, 3.0, 2.0, 3.0, 6.0, 18.0, 27.0]
    assert found["series"][2]["no"][1] == 8
    assert plot(sirdar, job, x="a")["kind"] == "scatter"
    assert len(plot(sirdar, job, kind="parallel")["lines"]) == 54


@pytest.mark.parametrize(
    ("wish", "field", "said"),
    [
        ({"x": "alpha"}, "x", "no column 'alpha'"),
        ({"y": "note"}, "y", "outputs.note holds no numbers"),
        ({"kind": "pie"}, "kind", "pie"),
        ({"best": "most"}, "best", "most"),
    ],
)
def test_what_cannot_be_shown_is_said_at_its_field(
    sirdar: Product, job: str, wish: dict[str, str], field: str, said: str
) -> None:
    reply = sirdar.admin.get(f"/api/jobs/{job}/plot", params=wish)
    found = problem(reply, reply.status_code, "invalid_field", field)
    assert reply.status_code in {400, 422}
    assert said in json.dumps(found)


def test_without_a_number_among_the_outputs_the_columns_that_are_left_are_named(sirdar: Product) -> None:
    sirdar.publish("mute", "true", inputs={"a": {"type": "integer", "default": 0}})
    mute = sirdar.run("me/mute", foreach=[{"a": a} for a in range(3)])["id"]
    found = problem(sirdar.admin.get(f"/api/jobs/{mute}/plot"), 422, "invalid_field", "y")
    assert "None of the outputs is a number." in found["detail"]
    assert plot(sirdar, mute, y="runS")["kind"] == "line"


def test_others_see_no_plot(sirdar: Product, job: str) -> None:
    problem(sirdar.user("plot-reader").get(f"/api/jobs/{job}/plot"), 404, "not_found")


def test_the_command_line_draws_it(sirdar: Product, job: str, tmp_path: Path) -> None:
    heat = draw(sirdar, tmp_path, job, "--best", "min", "--json", "-o", "heat.png")
    assert heat.returncode == 0, heat.stderr
    assert (tmp_path / "heat.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    told = json.loads(heat.stdout)
    assert (told["file"], told["kind"], told["best"]["values"]) == ("heat.png", "heatmap", [4, 0])
    for _ in range(2):
        lines = draw(sirdar, tmp_path, job, "--x", "a", "--y", "loss", "--by", "b")
        assert lines.stdout == f"{job}.svg: line, 54 of 60 tasks\n", lines.stderr
    assert ElementTree.parse(tmp_path / f"{job}.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--x", "alpha"], 2, "The table has no column 'alpha'"),
        (["--log", "y"], 1, "Loss has no logarithmic scale here: its smallest value is 0"),
        (["-o", "x.gif"], 1, "x.gif has none of the suffixes .png, .svg, .pdf"),
        (["-o", "none/x.png"], 1, "none/x.png: No such file or directory"),
        (["--kind", "pie"], 2, "pie"),
    ],
)
def test_the_command_line_says_what_is_wrong(
    sirdar: Product, job: str, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    ran = draw(sirdar, tmp_path, job, *words)
    assert (ran.returncode, said in ran.stderr, "Traceback" in ran.stderr) == (code, True, False), ran.stderr
    assert [path.name for path in tmp_path.iterdir() if path.suffix] == []


def test_without_the_extra_it_says_what_to_install(sirdar: Product, job: str, tmp_path: Path) -> None:
    """Here matplotlib is installed, so it is hidden from the process."""
    hide = "import sys; sys.modules['matplotlib'] = None; from sirdar.cli.main import main; sys.exit(main())"
    profile = surroundings(tmp_path) | {"SIRDAR_URL": sirdar.url, "SIRDAR_TOKEN": sirdar.token()}
    words = [sys.executable, "-c", hide, "plot", job]
    ran = subprocess.run(words, env=profile, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stdout
    assert "pictures need the package matplotlib" in ran.stderr
    assert "sirdar[plots]" in ran.stderr
