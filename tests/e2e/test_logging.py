"""DSTREAM_LOG shows what providers say although all goes well, and what becomes of their processes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.e2e.commands import dstream

SAYING = """
import os, sys
import dstream_sdk as sdk
from dataclasses import dataclass

print("starting up", file=sys.stderr, flush=True)

@dataclass(frozen=True)
class Settings:
    password: str = sdk.setting("", sensitive=True)

@dataclass
class Thing:
    name: str
    token: str | None = None

class Things(sdk.ResourceType[Settings]):
    type = "say_thing"
    attributes = Thing
    computed = ("token",)
    sensitive = {"token": "readable"}
    identity = "planned"
    identity_attributes = ("name",)

    def read(self, ctx, identity, prior):
        return None

    def create(self, ctx, desired, intent):
        print("making", desired["name"], "with", ctx.config.password, file=sys.stderr, flush=True)
        print("the token is", "t0k" + "en-of-it", file=sys.stderr, flush=True)
        return sdk.Object({"name": desired["name"]}, {"name": desired["name"], "token": "t0k" + "en-of-it"})

    def update(self, ctx, prior, desired):
        raise AssertionError

    def delete(self, ctx, prior):
        pass

sdk.main(sdk.Provider("say", "1.0", resources=(Things(),)))
"""
CONFIGURATION = """
provider "say" {
  provider_path = "./say"
  config { password = env("PLANTED") }
}
resource "say_thing" "a" {
  name = "a"
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "say.py").write_text(SAYING)
    (tmp_path / "say").write_text(f"#!/bin/sh\nexec '{sys.executable}' '{tmp_path}/say.py'\n")
    (tmp_path / "say").chmod(0o755)
    (tmp_path / "dstream.hcl").write_text(CONFIGURATION)
    return tmp_path


def applied(folder: Path, **env: str) -> str:
    done = dstream(folder, "apply", "-auto-approve", env={"PLANTED": "p4ss-word", **env})
    assert done.code == 0, done.said
    assert "p4ss-word" not in done.said
    assert "t0ken-of-it" not in done.said
    return done.err


def test_nothing_that_a_provider_says_is_shown_unless_it_is_asked_for(folder: Path) -> None:
    assert "making a" not in applied(folder)


def test_info_shows_what_providers_say_without_secrets_that_they_were_told_or_tell(folder: Path) -> None:
    said = applied(folder, DSTREAM_LOG="INFO")
    assert re.search(
        r"^\d{4}-\d\d-\d\dT[\d:.]+Z \[INFO\] provider\.say: making a with \(sensitive value\)$", said, re.M
    )
    assert "[INFO] provider.say: the token is (sensitive value)" in said
    assert "[INFO] say: starting up" in said  # the probe
    assert "DEBUG" not in said


def test_debug_shows_the_processes_as_well(folder: Path) -> None:
    said = applied(folder, DSTREAM_LOG="debug")
    started = re.findall(r"\[DEBUG\] say: process (\d+) is started: .*/say$", said, re.M)
    assert len(started) == 2  # the probe and the session
    for pid in started:
        assert f"[DEBUG] say: process {pid} ended with exit code 0" in said


def test_the_log_may_go_to_a_file_which_only_its_owner_reads(folder: Path) -> None:
    said = applied(folder, DSTREAM_LOG="debug", DSTREAM_LOG_PATH="my.log")
    assert "making a" not in said
    log = folder / "my.log"
    first = log.read_text()
    assert "making a with (sensitive value)" in first
    assert log.stat().st_mode & 0o077 == 0
    assert dstream(folder, "plan", env={"PLANTED": "x", "DSTREAM_LOG": "debug", "DSTREAM_LOG_PATH": "my.log"}).code == 0
    assert log.read_text().startswith(first) and len(log.read_text()) > len(first)


def test_a_wrong_word_or_place_is_an_error(folder: Path) -> None:
    done = dstream(folder, "plan", env={"DSTREAM_LOG": "loud"})
    assert done.code == 1
    assert "DSTREAM_LOG is 'loud'; use one of off, error, warn, info, debug, trace" in done.said
    done = dstream(folder, "plan", env={"DSTREAM_LOG": "info", "DSTREAM_LOG_PATH": "no/such/folder"})
    assert done.code == 1
    assert "DSTREAM_LOG_PATH" in done.said
    assert dstream(folder, "version", env={"DSTREAM_LOG": "off"}).code == 0
