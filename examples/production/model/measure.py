"""Runs a command and writes what it took: python3 measure.py statistics.json COMMAND ... (its exit code is the command's)"""

import json
import os
import sys
import time
from pathlib import Path

target, *command = sys.argv[1:]
begun = time.monotonic()
child = os.posix_spawnp(command[0], command, os.environ)
_, status, used = os.wait4(child, 0)
in_kib = 1 if sys.platform != "darwin" else 1024
statistics = {
    "wall_s": round(time.monotonic() - begun, 3),
    "cpu_s": round(used.ru_utime + used.ru_stime, 3),
    "user_s": round(used.ru_utime, 3),
    "system_s": round(used.ru_stime, 3),
    "memory_mib": round(used.ru_maxrss / in_kib / 1024, 1),
    "read_blocks": used.ru_inblock,
    "written_blocks": used.ru_oublock,
}
Path(target).write_text(json.dumps(statistics, indent=1) + "\n")
code = os.waitstatus_to_exitcode(status)
sys.exit(code if code >= 0 else 128 - code)
