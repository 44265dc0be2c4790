"""Runs the benches and writes their tables: ``python -m bench.run [--only NAME] [--rounds N] [--quick]``.

A bench is a module ``bench/bench_NAME.py`` with ``run(config: Config) -> list[Row]``. The exit code is 1 where a bench
broke, or, with ``--strict``, where a goal was not reached.
"""

import argparse
import importlib
import sys
import tempfile
import time
import traceback
from pathlib import Path

from bench.report import Config, Row, write

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


def discover(only: list[str]) -> list[str]:
    """Names of the benches, all or those asked for. Exits where one of these does not exist."""
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    if unknown := set(only) - set(names):
        sys.exit(f"no such bench: {', '.join(sorted(unknown))}; there are: {', '.join(names) or 'none'}")
    return [name for name in names if not only or name in only]


def run_one(name: str, config: Config, results: Path) -> list[Row] | None:
    """Runs one bench in a directory of its own. None where it broke; the traceback has been printed."""
    print(f"== {name}", flush=True)
    began = time.monotonic()
    try:
        rows: list[Row] = importlib.import_module(f"bench.bench_{name}").run(config)
    except Exception:
        traceback.print_exc()
        return None
    write(results, name, rows, took_s=time.monotonic() - began, config=config)
    for row in rows:
        ratio = f", {row.ratio:.2f} of {row.limit_what}" if row.ratio is not None else ""
        verdict = {True: "reached", False: "NOT REACHED", None: "no goal"}[row.reached]
        print(f"   {row.what}: {row.value:.4g} {row.unit}{ratio} [{verdict}{': ' if row.goal() else ''}{row.goal()}]")
    return rows


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.run", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this bench; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="alternated runs of each figure (5)")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, one round: for a first look")
    parser.add_argument("--strict", action="store_true", help="exit code 1 where a goal is not reached")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the tables (bench/results)")
    parser.add_argument("--work", type=Path, help="where the benches write (a temporary directory)")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="passed on to the bench")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    asked = parse(arguments)
    options = dict(option.split("=", 1) for option in asked.option)
    broken, missed = [], []
    for name in discover(asked.only):
        with tempfile.TemporaryDirectory(prefix=f"sirdar-bench-{name}-", dir=asked.work) as work:
            rounds = 1 if asked.quick else asked.rounds
            rows = run_one(name, Config(Path(work), rounds, asked.quick, options), asked.results)
        if rows is None:
            broken.append(name)
        else:
            missed += [f"{name}: {row.what}" for row in rows if row.reached is False]
    for title, names in (("broken", broken), ("goals not reached", missed)):
        if names:
            print(f"{title}: {'; '.join(names)}")
    return 1 if broken or (asked.strict and missed) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
