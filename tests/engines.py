"""Stand-ins for container engines that are not installed: scripts that take their command lines, and refuse what is none."""

import sys
from pathlib import Path

# Podman takes docker's own options, and refuses those that it does not know.
DOCKER = """#!/bin/sh
case "$1" in
version) echo 27.3.1; exit 0 ;;
pull) shift; set -- pull --tls-verify=false "$@" ;;
esac
exec podman "$@"
"""

# There is no other root directory: what it is asked for is checked, and the program started where and with what it is to be.
APPTAINER = """#!{python}
import os, sys

words = sys.argv[1:]
if words == ["--version"]:
    print("apptainer version 1.3.4")
    sys.exit(0)
assert words[:2] == ["--silent", "exec"], words
del words[:2]
flags, valued = {{"--containall", "--cleanenv", "--no-home", "--no-privs", "--net", "--nv"}}, {{"--bind", "--network", "--pwd"}}
folder = ""
while words[0].startswith("-"):
    word = words.pop(0)
    assert word in flags or word in valued, word
    folder = words.pop(0) if word == "--pwd" else folder
    if word in {{"--bind", "--network"}}:
        words.pop(0)
if not os.path.exists(words[0]):
    sys.exit(f"FATAL:   could not open image {{words[0]}}: no such file or directory")
env = {{"PATH": "/usr/local/bin:/usr/bin:/bin"}}
env |= {{name[13:]: value for name, value in os.environ.items() if name.startswith("APPTAINERENV_")}}
os.chdir(folder)
try:
    os.execvpe(words[1], words[1:], env)
except FileNotFoundError:
    print(f'FATAL:   "{{words[1]}}": executable file not found in $PATH', file=sys.stderr)
    sys.exit(255)
"""


def stand_in(folder: Path, kind: str) -> Path:
    """The command, in a directory that is made for it."""
    folder.mkdir(exist_ok=True)
    path = folder / kind
    path.write_text({"docker": DOCKER, "apptainer": APPTAINER.format(python=sys.executable)}[kind])
    path.chmod(0o755)
    return path
