#!/bin/bash
# A version 1 input in four lines: one record for each name.
read -r _opening
for name in Ada Grace Edsger; do
  echo "{\"data\":{\"name\":\"$name\"},\"metadata\":{\"TableName\":\"names\"}}"
done
