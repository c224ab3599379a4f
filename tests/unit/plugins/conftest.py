"""Providers written on the spot: a few lines of shell or Python, as an executable file."""

import sys

import pytest

from dstream.plugins import ProviderSource, resolve


@pytest.fixture
def shell(tmp_path):
    """Return a function that writes a provider of a few lines of shell and resolves it."""

    def make(body, name="provider", role="output"):
        path = tmp_path / name
        path.write_text("#!/bin/sh\n" + body)
        path.chmod(0o755)
        return resolve(ProviderSource("path", name), tmp_path, role)

    return make


@pytest.fixture
def python(tmp_path):
    """Return a function that writes a provider in Python, standard library only, and resolves it."""

    def make(body, name="provider", role="resource"):
        script = tmp_path / f"{name}.py"
        script.write_text("import json, os, sys, time\n" + body)
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\nexec '{sys.executable}' -S '{script}'\n")
        path.chmod(0o755)
        return resolve(ProviderSource("path", name), tmp_path, role)

    return make
