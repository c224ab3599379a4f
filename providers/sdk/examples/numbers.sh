#!/bin/bash
# A version 2 input in ten lines: the numbers to 5, from the checkpoint on; SIGTERM stops it between two.
[ "$DSTREAM_PROBE" ] && { echo '{"protocol":2,"provider":{"name":"numbers","version":"1.0.0"},"roles":["input"],"capabilities":["checkpoint"],"schema":{"config":{"type":"object"},"resources":{}}}'; exit; }
read -r opening; trap stop=1 TERM
[[ $opening == *'"command":"plan"'* ]] && { echo '{"stream":{"name":"numbers","key":["n"]}}'; echo '{"status":"done"}'; exit; }
control() { [[ $opening == *'"acks":true'* ]] && echo "$1"; }
[[ $opening =~ \"checkpoint\":\{\"n\":([0-9]+) ]]; n=${BASH_REMATCH[1]:-0}
echo '{"status":"ready","protocol":2}'
for ((k = 1; n < 5 && !stop; k++)); do
  echo "{\"data\":{\"n\":$((++n))},\"metadata\":{\"TableName\":\"numbers\"}}"
  control "{\"checkpoint\":{\"n\":$n},\"n\":$k}"
done; control '{"end":true}'; exit 0
