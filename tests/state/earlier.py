"""Local state as earlier versions wrote it: no checksums, and no serial in the checkpoints of tasks."""

import json
from pathlib import Path


def as_earlier_versions_wrote_it(folder: Path) -> None:
    """Rewrite the files of one workspace's state."""
    for path in [*folder.rglob("*.json"), *folder.rglob("*.log")]:
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        for form in lines:
            del form["checksum"]
            if path.parent.name == "task":
                del form["serial"]
        path.write_text("".join(f"{json.dumps(form, separators=(',', ':'))}\n" for form in lines))
    for path in folder.rglob("*.meta"):
        form = json.loads(path.read_bytes())
        form["meta"] = {name: text for name, text in form["meta"].items() if name not in ("checksum", "sha256")}
        path.write_text(json.dumps(form))
