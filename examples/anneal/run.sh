#!/bin/sh
# Runs anneal.py and passes each line that it prints on as the job's status message. The program itself knows nothing of
# Sirdar; outside of it, where there is no `sirdar status`, the lines are only printed.
set -eu
mkfifo progress
python3 -u anneal.py "$@" >progress &
program=$!
while read -r line; do
    echo "$line"
    case $line in
    sweep*) [ -z "${SIRDAR_TASK_ID-}" ] || sirdar status "$line" ;;
    esac
done <progress
rm progress
wait "$program"
