"""Plugins in Go, kept in the user's cache folder: one of our own, built there, and one of Pulumi's, as it was released.

An ordinary run of the tests uses what is there; `make soak` builds and fetches what is missing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from platformdirs import user_cache_path

from tests.e2e.commands import dstream

SOURCES = Path(__file__).parent / "go"
COMMAND = "1.2.1"
"""The release of pulumi-command that is fetched. (`go install` would build its main branch, without a version.)"""
GIVEN = "DSTREAM_TEST_PULUMI_COMMAND"
"""Names the executable of another pulumi-command, to try that one."""
_SECONDS = 1500


def own_plugin(*, build: bool) -> Path:
    """Return the plugin `gofiles`, which is written over the framework of Pulumi's own plugins in Go."""
    texts = b"".join((SOURCES / name).read_bytes() for name in ("main.go", "go.mod", "go.sum"))
    target = _cache() / f"gofiles-{hashlib.sha256(texts).hexdigest()[:16]}" / "pulumi-resource-gofiles"
    if target.is_file():
        return target
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not on this machine: nothing builds the plugin")
    if not build:
        pytest.skip(f"the plugin is not built: `make soak` builds it (minutes), and later runs find it in {target}")
    target.parent.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "CGO_ENABLED": "0"}
    command = [go, "build", "-trimpath", "-o", str(target), "."]
    done = subprocess.run(command, cwd=SOURCES, env=env, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode != 0 or not target.is_file():
        pytest.skip(f"the plugin cannot be built here: {done.stderr.strip().splitlines()[-1:]}")
    return target


def command_plugin(*, fetch: bool) -> Path:
    """Return Pulumi's plugin pulumi-command, got as users get it: by `dstream providers pull`.

    The lock file with the checksum of its archive stays in the cache folder, too.
    """
    given = os.environ.get(GIVEN)
    if given:
        return Path(given)
    home = _cache() / "pulumi"
    target = home / "plugins" / f"resource-command-v{COMMAND}" / "pulumi-resource-command"
    if target.is_file():
        return target
    if not fetch:
        pytest.skip(f"pulumi-command is not there: `make soak` fetches it, and later runs find it in {target}")
    home.mkdir(parents=True, exist_ok=True)
    env = {"PULUMI_HOME": str(home)}
    done = dstream(home, "providers", "pull", f"pulumi/command@{COMMAND}", env=env, timeout=_SECONDS)
    if done.code != 0 or not target.is_file():
        pytest.skip(f"pulumi-command cannot be fetched here: {' '.join(done.said.replace('│', ' ').split())}")
    return target


def _cache() -> Path:
    return Path(user_cache_path("dstream-tests"))
