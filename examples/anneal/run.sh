#!/bin/sh
# Runs anneal.py and passes lines like "sweep 400 of 4000: length 57.8" on as the job's status message and progress. The
# program itself knows nothing of Sirdar; outside of it, where there is no job to tell, the lines are only printed.
set -eu
mkfifo progress
python3 -u anneal.py "$@" >progress &
program=$!
while read -r line; do
    echo "$line"
    case $line in
    sweep*)
        part=$(echo "$line" | awk '{print $2 / $4}')
        [ -z "${SIRDAR_TASK_ID-}" ] || sirdar status "$line" --progress "$part"
        ;;
    esac
done <progress
rm progress
wait "$program"
