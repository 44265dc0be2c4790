#!/bin/sh
# Reads a web server's access log (common log format) and reports on it.
#
#     sh report.sh access.log [TOP]
#
# Writes pages.tsv (the TOP most wanted pages), hours.tsv (requests in each hour) and summary.txt (KEY = VALUE).
set -eu
log=$1
top=${2:-10}

tab=$(printf '\t')
most_frequent() { sort | uniq -c | sort -k1,1nr -k2 | head -n "$1" | awk '{print $2 "\t" $1}'; }

awk '$9 < 400 {print $7}' "$log" | sed 's/?.*//' | most_frequent "$top" >pages.tsv
awk '{split($4, at, ":"); print at[2]}' "$log" | sort | uniq -c | awk '{print $2 "\t" $1}' >hours.tsv

{
    echo "requests = $(awk 'END {print NR}' "$log")"
    echo "visitors = $(awk '{print $1}' "$log" | sort -u | awk 'END {print NR}')"
    echo "errors = $(awk '$9 >= 400 {n++} END {print n + 0}' "$log")"
    echo "megabytes = $(awk '{n += $10} END {printf "%.3f", n / 1e6}' "$log")"
    echo "busiest_hour = $(sort -t "$tab" -k2,2nr -k1,1 hours.tsv | head -n 1 | cut -f 1)"
    echo "top_page = $(head -n 1 pages.tsv | cut -f 1)"
} >summary.txt
cat summary.txt
