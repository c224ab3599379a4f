"""A provider that is written by hand, with one type for each argument, and keeps what it was told in `told.jsonl`."""

import json
import os
import sys
from pathlib import Path

INTEGER = {"type": "integer"}
PROPERTIES = {
    "name": {"type": "string"},
    "port": INTEGER,
    "ratio": {"type": ["number", "null"]},
    "enabled": {"type": "boolean"},
    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    "ports": {"type": "array", "items": INTEGER},
    "limits": {"type": "array", "items": {"type": "object", "properties": {"cpus": INTEGER}}},
    "either": {"type": ["integer", "string"]},
    "said": {"type": "string"},
}
PROBE = {
    "protocol": 2,
    "provider": {"name": "typed", "version": "1.0"},
    "roles": ["resource"],
    "capabilities": [],
    "schema": {
        "config": {"type": "object", "properties": {"region": {"type": "string"}, "retries": INTEGER, "pin": INTEGER}},
        "resources": {
            "typed_server": {
                "schema": {"type": "object", "properties": PROPERTIES, "additionalProperties": False},
                "computed": ["said"],
                "identity": "assigned",
            }
        },
    },
}


def say(form: object) -> None:
    """Write one line to the host."""
    print(json.dumps(form), flush=True)


def main() -> None:
    """Answer the probe, or serve."""
    if os.environ.get("DSTREAM_PROBE"):
        say(PROBE)
        return
    say({"status": "ready", "protocol": 2} if keep(sys.stdin.readline()) else {"status": "error"})
    for line in sys.stdin:
        request = keep(line)
        if request["command"] == "init":
            attributes = {**request["desired"], "said": "7"}
            say({"id": request["id"], "status": "ok", "identity": {"id": request["key"]}, "attributes": attributes})
        elif request["command"] == "status":
            say({"id": request["id"], "status": "ok", "attributes": request["prior"]})
        else:
            say({"id": request["id"], "status": "ok"})


def keep(line: str) -> dict[str, object]:
    """Return what was told, and keep it."""
    with Path("told.jsonl").open("a") as file:
        file.write(line)
    found: dict[str, object] = json.loads(line)
    return found


main()
