"""Plugins in Go, built once for each content and kept in the user's cache folder: building takes minutes.

An ordinary run of the tests uses what is there; `make soak` builds what is missing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from platformdirs import user_cache_path

SOURCES = Path(__file__).parent / "go"
COMMAND = "github.com/pulumi/pulumi-command/provider/cmd/pulumi-resource-command"
_SECONDS = 1500


def own_plugin(*, build: bool) -> Path:
    """Return the plugin `gofiles`, which is written over the framework of Pulumi's own plugins in Go."""
    texts = b"".join((SOURCES / name).read_bytes() for name in ("main.go", "go.mod", "go.sum"))
    target = _place("gofiles", hashlib.sha256(texts).hexdigest()[:16])
    return _made(target, ["build", "-trimpath", "-o", str(target), "."], SOURCES, build=build)


def command_plugin(*, build: bool) -> Path:
    """Return Pulumi's own plugin pulumi-command, as it was released last."""
    target = _place("command", "latest")
    return _made(target, ["install", "-trimpath", f"{COMMAND}@latest"], SOURCES.parent, build=build)


def _place(name: str, key: str) -> Path:
    return Path(user_cache_path("dstream-tests")) / f"{name}-{key}" / f"pulumi-resource-{name}"


def _made(target: Path, arguments: list[str], folder: Path, *, build: bool) -> Path:
    if target.is_file():
        return target
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not on this machine: nothing builds the plugin")
    if not build:
        pytest.skip(f"{target.name} is not built: `make soak` builds it (minutes), and later runs find it in {target}")
    target.parent.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "GOBIN": str(target.parent), "CGO_ENABLED": "0"}
    done = subprocess.run(
        [go, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    if done.returncode != 0 or not target.is_file():
        pytest.skip(f"{target.name} cannot be built here: {done.stderr.strip().splitlines()[-1:]}")
    return target
