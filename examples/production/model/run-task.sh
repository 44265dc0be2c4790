#!/bin/sh
# Runs the model on one order: version, files, environment, arguments, the model with a watcher beside it, then the archives.
#
#     sh source/run-task.sh VERSION PLANT.zip DEBUG        in the task's directory, which holds inputs.json
set -eu
asked=$1 plant=$2 debug=$3
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p work/results work/debug

# The version that people will quote: what was asked for, what it is called in git, of which day.
described=$(git -C "$here" describe --tags --always)
commit=$(git -C "$here" rev-parse --short=7 HEAD)
echo "$asked: $described ($commit), $(git -C "$here" log -1 --format=%cs)" >VERSION
echo "version $(cat VERSION)"

python3 -m zipfile -e "$plant" work/plant

# One thread for each processor that the task got, whatever the machine has.
export OMP_NUM_THREADS="${SIRDAR_CPUS:-1}"
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

# {"gap": 0.01, "time_limit_s": 60} becomes --gap=0.01 --time-limit-s=60, one a line; the model checks them.
python3 "$here/to_arguments.py" inputs.json parameters >work/arguments
set --
while IFS= read -r word; do set -- "$@" "$word"; done <work/arguments
[ "$debug" = false ] || set -- "$@" --debug work/debug

# The watcher tells the agent what the model writes to status.txt. It ends with us, however we end.
: >status.txt
python3 "$here/watch.py" status.txt work/debug/memory.csv "$$" &
watcher=$!
finish() {
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
}
trap finish EXIT
trap 'exit 143' TERM INT

code=0
python3 "$here/measure.py" statistics.json python3 "$here/plan.py" work/plant work/results --status status.txt "$@" || code=$?

finish # it delivers the last message first
(cd work/results && python3 -m zipfile -c ../../results.zip .)
if [ "$debug" = true ]; then
    cp inputs.json work/arguments VERSION statistics.json work/debug
    (cd work && python3 -m zipfile -c ../debug.zip debug)
fi
exit "$code"
