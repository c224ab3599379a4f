#!/usr/bin/env bash
# The first line on stdin is the order and the configuration; each line on stdout is one record.
IFS= read -r opening
beats=$(grep -o '"beats":[0-9]*' <<<"$opening" | cut -d: -f2)
echo '{"status":"ready"}'
for ((beat = 1; beat <= ${beats:-3}; beat++)); do
    echo '{"data":{"beat":'$beat'},"metadata":{"TableName":"clock","OperationType":"Insert"}}'
    sleep 0.1
done
echo "clock: that was all" >&2   # what goes to stderr is the log
