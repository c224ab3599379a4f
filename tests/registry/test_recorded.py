"""A provider that only the state names is held to the lock file and the trust blocks as any other, before it starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.registry.conftest import HERE, User
from tests.registry.test_trust import make_keys
from tests.services.recorder.recorder import PROGRAM, ROOT, Recorder
from tests.services.registry import Registry
from tests.services.shebang import shebang

COMMANDS = (("plan",), ("apply", "-auto-approve"), ("destroy", "-auto-approve"), ("drift",))


class Recorded:
    """Somebody whose provider, of a registry, has made an object; then its blocks went from the configuration."""

    def __init__(self, user: User, server: Registry, test: str) -> None:
        self.user, self.repository = user, f"{server.host}/{test}/dstream-resource-rec"
        self.starts = user.home / "starts"
        user.folder.mkdir()
        self.recorder = Recorder(user.home)
        self.publish("one")
        self.write("")
        user.done("init")
        user.done("apply", "-auto-approve")
        assert self.recorder.names() == ["a"]
        (user.folder / "dstream.hcl").write_text("")

    def publish(self, mark: str, *options: str) -> str:
        """Publish the provider, which notes each of its starts; return the digest of its manifest."""
        text = shebang("-S") + PROGRAM.format(root=str(ROOT), sdk=str(ROOT / "providers/sdk"), role="resource")
        note = f"open({str(self.starts)!r}, 'a').write({mark!r})\nimport sys\n"
        program = self.user.home / "program"
        program.write_text(text.replace("import sys\n", note, 1))
        said = self.user.done(
            "providers", "publish", f"{self.repository}:v1.0.0", "-force", "-binary", f"{HERE}={program}", *options
        )
        return next(word for word in said.split() if word.startswith("sha256:"))

    def write(self, head: str) -> None:
        """Write a configuration with the blocks of the object."""
        (self.user.folder / "dstream.hcl").write_text(
            f'{head}\nprovider "rec" {{\n  provider_ref = "{self.repository}:v1.0.0"\n'
            f'  config {{\n    folder = "{self.recorder.folder}"\n  }}\n}}\n'
            'resource "rec_planned" "a" {\n  name = "a"\n}\n'
        )

    def trusting(self, key: Path) -> None:
        """Write a configuration that has nothing but a trust block."""
        trust = f'dstream {{\n  trust "*" {{\n    keys = ["{key}"]\n  }}\n}}\n'
        (self.user.folder / "dstream.hcl").write_text(trust)

    def refused(self, summary: str) -> None:
        """Expect that every command which would start the provider refuses to, saying why and what to do."""
        started = self.starts.read_text()
        for command in COMMANDS:
            ended = self.user.dstream(*command)
            said = " ".join(ended.said.replace("│", " ").split())
            assert ended.code == 1, command
            assert summary in said, (command, said)
            assert "dstream state rm" in said and "dstream init" in said, (command, said)
        assert self.starts.read_text() == started, "it was started"
        assert self.recorder.names() == ["a"]


@pytest.fixture
def recorded(user: User, open_registry: Registry, request: pytest.FixtureRequest) -> Recorded:
    return Recorded(user, open_registry, f"recorded-{abs(hash(request.node.name))}")


def test_what_is_locked_and_needs_no_signature_goes_on_being_used(recorded: Recorded) -> None:
    assert "for objects that only the state has" in recorded.user.done("init")
    recorded.user.done("init", "-lockfile=readonly")
    assert "rec_planned.a" in recorded.user.done("plan")
    recorded.user.done("apply", "-auto-approve")
    assert recorded.recorder.names() == []
    recorded.user.done("init")
    assert recorded.repository not in recorded.user.lock.read_text()


def test_one_that_is_not_locked_is_not_started_until_init_has_locked_it(recorded: Recorded) -> None:
    recorded.user.lock.unlink()
    recorded.refused("Provider not locked")
    assert "Outdated lock file" in recorded.user.dstream("init", "-lockfile=readonly").said
    recorded.user.done("init")
    recorded.user.done("apply", "-auto-approve")
    assert recorded.recorder.names() == []


def test_one_without_the_signature_that_is_wanted_now_is_not_started(recorded: Recorded) -> None:
    secret, public = make_keys(recorded.user.home, "ed25519")
    recorded.trusting(public)
    recorded.refused("Missing signature")
    ended = recorded.user.dstream("init")
    said = " ".join(ended.said.replace("│", " ").split())
    assert ended.code == 1
    assert "Missing signature" in said and "dstream state rm" in said
    recorded.user.done("providers", "sign", f"{recorded.repository}:v1.0.0", "-key", str(secret))
    assert "signed by key SHA256:" in recorded.user.done("init")
    _, other = make_keys(recorded.user.home, "ecdsa")
    recorded.trusting(other)
    recorded.refused("Missing signature")
    recorded.trusting(public)
    recorded.user.done("apply", "-auto-approve")
    assert recorded.recorder.names() == []


def test_one_whose_content_is_not_what_was_locked_is_not_started(recorded: Recorded) -> None:
    user, started = recorded.user, recorded.starts.read_text()
    first = next(path for path in user.cached() if path.read_bytes().startswith(b"#!/bin/sh"))
    good = first.read_bytes()
    first.chmod(0o755)
    first.write_bytes(good.replace(b"'one'", b"'bad'"))
    for command in COMMANDS:
        ended = user.dstream(*command)
        assert ended.code == 1, command
        assert "Modified provider in cache" in ended.said, ended.said
    assert recorded.starts.read_text() == started
    # The tag was moved meanwhile: what is locked is fetched again, by its digest, until somebody takes the new one.
    recorded.publish("two")
    shutil.rmtree(user.cache)
    ended = user.dstream("init")
    assert ended.code == 1
    assert "Changed provider version" in ended.said
    user.done("plan")
    assert "two" not in recorded.starts.read_text()
    user.done("init", "-upgrade")
    user.done("apply", "-auto-approve")
    assert recorded.starts.read_text().endswith("two")
    assert recorded.recorder.names() == []


def test_forgetting_its_objects_is_a_way_out(recorded: Recorded) -> None:
    _, public = make_keys(recorded.user.home, "ed25519")
    recorded.trusting(public)
    recorded.user.done("state", "rm", "rec_planned.a")
    recorded.user.done("init")
    recorded.user.done("plan")
    assert recorded.recorder.names() == ["a"]
