"""Two hundred random deaths (``kill -9`` of server, agent, porter, all of them, programs, starting servers) under a varied load.

It breaks where a job does not reach its one true end; see ``tests/faults/chaos.py`` for what is checked. ``--option
seed=N`` repeats the choices of a run, ``--option kills=N`` changes how many there are.
"""

import os
import random
import sys

from bench.product import ROOT
from bench.report import Config, Row

KILLS = 200
SEGMENT = 50  # deaths for each product: what they leave is looked at more than once


def run(config: Config) -> list[Row]:
    """Figures of the run; raises AssertionError with the job's whole story where something does not hold."""
    sys.path.insert(0, str(ROOT))
    from tests.faults.chaos import Chaos
    from tests.faults.rig import Rig

    kills = int(config.options.get("kills", 20 if config.quick else KILLS))
    seed = int(config.options.get("seed", random.randrange(1_000_000)))
    print(f"   seed {seed}", flush=True)
    os.environ["SIRDAR_CONFIG_DIR"] = str(config.work / "config")
    total: dict[str, float] = {}
    for number, first in enumerate(range(0, kills, SEGMENT)):
        root = config.work / f"run{number}"
        root.mkdir()
        product = Rig(root / "up", slots=4)
        product.root.mkdir()
        product.start()
        chaos = Chaos(product, root / "diary", seed + number)
        try:
            figures = chaos.run(min(SEGMENT, kills - first))
        finally:
            product.again()
            product.close()
        print(f"   {figures}", flush=True)
        for name, value in figures.items():
            total[name] = total.get(name, 0) + value
    return _rows(total, kills, seed)


def _rows(total: dict[str, float], kills: int, seed: int) -> list[Row]:
    victims = ("server", "agent", "porter", "all", "program", "start")
    by = ", ".join(f"{name} {total.get(name, 0):.0f}" for name in victims)
    note = f"seed {seed}; by victim: {by}"
    return [
        Row("random deaths", sum(total.get(name, 0) for name in victims), "deaths", at_least=kills * 0.9, note=note),
        Row("jobs, each with its one true end", total["jobs"], "jobs",
            note=f"{total['tasks']:.0f} tasks; the bench breaks at the first that has none"),
        Row("time of the whole run", total["took_s"], "s", note="the last wait for all ends included"),
    ]  # fmt: skip
