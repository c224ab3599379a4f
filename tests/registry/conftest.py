"""Real registries, and a user with a home, a cache and a configuration of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dstream.registry.platforms import this_platform
from tests.e2e.commands import Ended, dstream
from tests.services.registry import Registry, RegistryMissing, registry
from tests.services.shebang import shebang

HERE = this_platform()
ELSEWHERE = "linux_s390x"


@pytest.fixture(scope="session")
def open_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry on loopback without TLS and without a login."""
    try:
        with registry(tmp_path_factory.mktemp("open")) as server:
            yield server
    except RegistryMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def guarded_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry with TLS by an authority of its own, and a login."""
    try:
        with registry(tmp_path_factory.mktemp("guarded"), login=("ada", "s3cret pass"), tls=True) as server:
            yield server
    except RegistryMissing as missing:
        pytest.skip(str(missing))


def counting(text: str) -> str:
    """A program that is our counter; `text` makes its content, and so its digest, another one."""
    return f'{shebang()}# {text}\nimport runpy\n\nrunpy.run_module("dstream_counter", run_name="__main__")\n'


@dataclass
class User:
    """Somebody who types commands: a home, a cache and a configuration."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder of the configuration."""
        return self.home / "configuration"

    @property
    def cache(self) -> Path:
        """Where fetched providers are."""
        return self.home / ".dstream" / "plugins"

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.folder / ".dstream.lock.hcl"

    def reaches(self, server: Registry) -> User:
        """Give the user the certificate authority and the login of a registry."""
        self.environment.update(server.environment)
        if server.login is not None:
            self.environment["DOCKER_CONFIG"] = str(server.docker_config(self.home / "docker"))
        return self

    def dstream(self, *arguments: str, **env: str) -> Ended:
        """Type a command in the folder of the configuration."""
        self.folder.mkdir(exist_ok=True)
        return dstream(self.folder, *arguments, env={**self.environment, **env}, timeout=280)

    def done(self, *arguments: str, **env: str) -> str:
        """Type a command that has to succeed; return what it printed."""
        ended = self.dstream(*arguments, **env)
        assert ended.code == 0, ended.said
        return ended.said

    def configure(self, launch: str, *, head: str = "", count: int = 3) -> None:
        """Write a configuration with a task whose input is started by `launch`."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "dstream.hcl").write_text(
            f"{head}\n"
            'task "t" {\n'
            "  input {\n"
            f"    {launch}\n"
            "    config {\n      interval = 0\n"
            f"      max_count = {count}\n    }}\n  }}\n"
            '  output {\n    provider = "console"\n  }\n}\n'
        )

    def require(self, source: str, version: str) -> None:
        """Write a configuration that requires a version of a provider."""
        head = (
            f'dstream {{\n  required_providers {{\n    c = {{ source = "{source}", version = "{version}" }}\n  }}\n}}'
        )
        self.configure('provider = "c"', head=head)

    def publish(self, reference: str, text: str, *options: str, elsewhere: bool = True) -> str:
        """Publish a counter for this platform, and another program for another one; return the manifest's digest.

        A version that is there already is replaced, as by a publisher who moves tags.
        """
        program = self.home / "program"
        program.write_text(counting(text))
        other = self.home / "elsewhere"
        other.write_text(f"not for this machine: {text}\n")
        more = ("-binary", f"{ELSEWHERE}={other}") if elsewhere else ()
        said = self.done("providers", "publish", reference, "-force", "-binary", f"{HERE}={program}", *more, *options)
        return next(word for word in said.split() if word.startswith("sha256:"))

    def cached(self) -> list[Path]:
        """The files of the cache by digest."""
        return sorted(self.cache.glob("blobs/sha256/*"))


@pytest.fixture
def user(tmp_path: Path) -> User:
    """Somebody at a new machine."""
    home = tmp_path / "home"
    home.mkdir()
    found = User(home)
    found.environment.update(HOME=str(home), DSTREAM_CACHE_DIR=str(found.cache))
    for name in ("DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        if name in os.environ:
            found.environment[name] = str(home / "none")
    return found


@pytest.fixture(params=["open", "guarded"])
def server(request: pytest.FixtureRequest, user: User) -> Registry:
    """Each registry, which the user reaches."""
    found: Registry = request.getfixturevalue(f"{request.param}_registry")
    user.reaches(found)
    return found
