"""Twenty random deaths under a varied load. The seed is printed; ``SIRDAR_LONG`` asks for more of them."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.chaos import Chaos
from tests.faults.rig import Rig

KILLS = 20


@pytest.mark.timeout(600)
def test_every_job_reaches_one_true_end_whoever_dies(rig: Callable[..., Rig], tmp_path: Path) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(1_000_000))
    print(f"seed {seed}")
    chaos = Chaos(rig(slots=4), tmp_path / "diary", seed)
    print(chaos.run(KILLS))
