"""The command. OpenBLAS reads its number of threads while it is loaded, so that is said before anything else."""

import os
import sys

if not any(name in os.environ for name in ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")):
    os.environ["OPENBLAS_NUM_THREADS"] = "1"

from sirdar.optim.casadi_driver.command import main

sys.exit(main(sys.argv[1:]))
