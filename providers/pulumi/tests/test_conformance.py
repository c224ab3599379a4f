"""The rules of the protocol, held against the executable by `dstream providers test`."""

import json
import os

from tests.e2e.commands import PROGRAMS, dstream


def test_the_executable_keeps_the_rules_of_the_protocol(executable, asked, tmp_path):
    config = {"plugin": "acme", "settings": {"folder": str(asked.folder)}}
    path = f"{PROGRAMS}{os.pathsep}{executable.parent}{os.pathsep}{os.environ['PATH']}"
    arguments = ("providers", "test", "pulumi", "-role", "resource", "-provider-config", json.dumps(config))
    done = dstream(tmp_path, *arguments, env={"PATH": path}, timeout=300)
    assert done.code == 0 and "0 failed" in done.out, done.said
