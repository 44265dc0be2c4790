"""The log's viewer without a browser: its modules, run by Node, on what a real server gives."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sirdar.domain.ids import AttemptKey, JobId

UI = Path(__file__).resolve().parents[2] / "ui"
NODE = shutil.which("node")
ESBUILD = UI / "node_modules/.bin/esbuild"
pytestmark = pytest.mark.skipif(
    NODE is None or not ESBUILD.exists(), reason="needs Node and ui/node_modules, which are missing here"
)
Run = Callable[[str], Any]


@pytest.fixture
def bundled(tmp_path: Path) -> Callable[[str], list[str]]:
    """Makes a command of TypeScript that imports modules of ui/src."""

    def bundle_it(source: str) -> list[str]:
        script, bundle = tmp_path / "script.ts", tmp_path / "script.mjs"
        script.write_text(
            "const told = (value: unknown) => console.log(JSON.stringify(value));\n"
            + source.replace("@/", f"{UI}/src/")
        )
        made = subprocess.run(
            [ESBUILD, script, "--bundle", "--format=esm", "--platform=node", f"--outfile={bundle}", "--log-level=error"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        assert NODE is not None
        return [NODE, str(bundle)]

    return bundle_it


@pytest.fixture
def run(bundled: Callable[[str], list[str]]) -> Run:
    """Runs TypeScript; gives what it hands to ``told``."""

    def run_it(source: str) -> Any:
        done = subprocess.run(bundled(source), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run_it


def test_colours_and_carriage_returns(run: Run) -> None:
    got = run(
        r"""
        import { lastWritten, parts, readable } from "@/log_ansi";
        told([
          parts("\x1b[1;31mbold red\x1b[0m plain \x1b[38;5;208morange\x1b[39m \x1b[48;2;1;2;300mback"),
          parts("\x1b]0;title\x07a\x1b[2Kb\x00c\u202e"),
          parts("\x1b[94mbright\x1b[m \x1b[38;5;9mnine \x1b[38;5;255mgrey"),
          [lastWritten("  5 %\r 50 %\r100 %\r"), lastWritten("plain\r"), lastWritten("no")],
          ["rgb(255, 135, 0)", "rgb(0, 0, 0)", "rgb(255, 255, 255)"].map((one) => [readable(one, false), readable(one, true)]),
        ]);
        """
    )
    first, second, third, returns, colours = got
    assert [(part["text"], part["classes"]) for part in first] == [
        ("bold red", ["bold", "fg1"]), (" plain ", []), ("orange", []), (" ", []), ("back", []),
    ]  # fmt: skip
    assert first[2]["color"] == "rgb(255, 135, 0)" and first[4]["background"] == "rgb(1, 2, 255)"
    assert "".join(part["text"] for part in second) == "ab\ufffdc\ufffd"
    assert (
        third[0]["classes"] == ["fg12"] and third[2]["classes"] == ["fg9"] and third[3]["color"] == "rgb(238, 238, 238)"
    )
    assert colours[0][0] != "rgb(255, 135, 0)" == colours[0][1]  # orange cannot be read on white
    assert colours[1][0] == "rgb(0, 0, 0)" != colours[1][1] and colours[2][1] == "rgb(255, 255, 255)" != colours[2][0]
    assert returns == ["100 %", "plain", "no"]


READ = r"""
import { LogText } from "@/log_text";
const text = new LogText("%(index)s", "%(bytes)s", () => undefined);
const line = async (number: number) => {
  for (let i = 0; i < 200; i++) {
    const found = text.line(number);
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return undefined;
};
const all = async () => {
  const found: string[] = [];
  for (let number = 0; number < text.lines; number++) found.push((await line(number))!.text);
  return found;
};
"""


@pytest.fixture
def live(site: Any) -> Any:
    """A log that a program writes, and what a viewer needs to read it."""
    job = site.jobs["running"]
    key = AttemptKey(JobId(job), 0, 1)
    with site.browser("anna") as browser:
        share = browser.post(f"/api/jobs/{job}/share/link").json()["url"].partition("?")[2]

    def append(content: bytes) -> int:
        _, size = site.services.logs.read(key, "stderr", 0, 0)
        return int(site.services.logs.append(key, "stderr", size, content, 10**8))

    addresses = {
        "index": f"{site.url}/jobs/{job}/log/stderr/index?task=0&{share}",
        "bytes": f"{site.url}/api/jobs/{job}/stderr?task=0&{share}",
    }
    yield append, addresses
    path = site.services.logs.path(key, "stderr")
    path.unlink(missing_ok=True)
    shutil.rmtree(f"{path}.newest", ignore_errors=True)


def test_lines_of_a_long_log_come_in_blocks(run: Run, live: Any) -> None:
    append, addresses = live
    lines = [f"line {number} " + "x" * (number % 300) for number in range(3000)]
    lines[1500] = "y" * 200_000
    lines[1600] = "\r".join(f"{number} %" for number in range(30_000))
    lines[1700] = "Ошибка " * 20
    append("\n".join(lines).encode())
    got = run(
        READ % addresses
        + "await text.refresh(); told({ lines: text.lines, all: await all(), cut: (await line(1500))!.cutBytes });"
    )
    assert got["lines"] == len(lines) and got["cut"] == 200_000
    for number, line in enumerate(lines):
        shown = got["all"][number]
        assert shown == line if len(line) < 16_000 else line.startswith(shown) or line.endswith(shown), number


def test_what_a_program_adds_is_counted_on(bundled: Callable[[str], list[str]], live: Any) -> None:
    """As it grows, across the border of a block; then by more than is fetched at once; what was there stays right."""
    append, addresses = live
    script = (
        READ % addresses
        + """
    import { createInterface } from "node:readline";
    for await (const size of createInterface({ input: process.stdin })) {
      await text.refresh(Number(size));
      const last = text.lines - 1;
      told([text.size, text.lines, (await line(last))!.text.slice(0, 20), (await line(Math.floor(last / 2)))!.text.slice(0, 20)]);
    }
    """
    )
    content = b""
    with subprocess.Popen(bundled(script), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as viewer:
        assert viewer.stdin is not None and viewer.stdout is not None
        for piece in (b"first\nsec", b"ond\n", b"x" * 65_530 + b"\nab", b"cd\n\n", b"z\n" * 200_000, b"end", b"ing\n"):
            content += piece
            viewer.stdin.write(f"{append(piece)}\n")
            viewer.stdin.flush()
            lines = content.decode().split("\n")
            lines = lines[: len(lines) - (not lines[-1])]
            shown = [lines[-1][:20], lines[(len(lines) - 1) // 2][:20]]
            assert json.loads(viewer.stdout.readline()) == [len(content), len(lines), *shown]
        viewer.stdin.close()
        assert viewer.wait(20) == 0


def test_behind_a_gap_lines_keep_their_numbers(bundled: Callable[[str], list[str]], live: Any, site: Any) -> None:
    """The middle goes while somebody reads: the text is counted anew, and what was cached of the old one is shown no more."""
    append, addresses = live
    key = AttemptKey(JobId(site.jobs["running"]), 0, 1)
    lines = [b"line %d of it\n" % number for number in range(20_000)]
    append(b"".join(lines[:1000]))
    addresses["bytes"] = addresses["index"].replace("/index?", "/bytes?")
    script = (
        READ % addresses
        + """
    import { createInterface } from "node:readline";
    for await (const given of createInterface({ input: process.stdin })) {
      const [size, omitted] = JSON.parse(given);
      await text.refresh(size, omitted);
      const shown: (string | null)[] = [];
      for (const number of [999, 15_000, text.total! - 1]) shown.push((await line(text.lineOf(number)))?.text ?? null);
      const numbers = [text.total, text.missing, text.lineOf(5_000), text.numberOf(1_000), text.generation];
      told([...numbers.map((one) => one ?? null), ...shown]);
    }
    """
    )
    with subprocess.Popen(bundled(script), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as viewer:
        assert viewer.stdin is not None and viewer.stdout is not None
        got = []
        for begin, stop in ((1000, 2000), (14_000, 16_000), (16_000, 20_000)):
            offset = len(b"".join(lines[:begin]))
            site.services.logs.append_newest(key, "stderr", offset, begin, b"".join(lines[begin:stop]))
            text = site.services.logs.live(key, "stderr")
            viewer.stdin.write(f"[{text.size}, {text.omitted}]\n")
            viewer.stdin.flush()
            got.append(json.loads(viewer.stdout.readline()))
        viewer.stdin.close()
        assert viewer.wait(20) == 0
    assert got[0] == [2000, None, 5000, 1000, 0, "line 999 of it", None, "line 1999 of it"]
    assert got[1] == [16_000, 13_000, 1000, None, 1, "line 999 of it", "line 15000 of it", "line 15999 of it"]
    assert got[2] == [20_000, 13_000, 1000, None, 1, "line 999 of it", "line 15000 of it", "line 19999 of it"]


def test_a_time_is_shown_where_it_is_known(run: Run) -> None:
    got = run(
        """
        import { clock, Times, utc } from "@/log_times";
        globalThis.fetch = async () => new Response(JSON.stringify({ seen: [[0, 100.5], [50, null], [90, 103.25]] }));
        globalThis.window = globalThis as never;
        await new Promise<void>((resolve) => {
          const times = new Times("/times", () => {
            const asked = [[0, undefined], [20, 0], [60, 40], [95, 80], [120, 95], [undefined, 3]] as const;
            told([times.any, ...asked.map(([start, before]) => times.of(start, before) ?? null), utc(100.5), clock(100.5).length]);
            resolve();
          });
          times.look();
        });
        """
    )
    assert got == [True, 100.5, None, None, 103.25, None, None, "1970-01-01 00:01:40.5 UTC", 8]
