"""Containers: a provider in an image, run by docker or podman with stdin and stdout as the protocol.

What is relied on of the two command lines (docker 20.10, podman 4.3 and later agree on it): `run --rm -i --name
--label --log-driver --network --memory --cpus --pids-limit --user --read-only --tmpfs --volume --cap-drop
--security-opt --env NAME`, `ps -a --filter label= --format`, `stats`, `rm -f`, `pull`, `build`, `push`, and the JSON of
`image inspect` and `container inspect` (their templates differ).

Each run has a unique name, so that it can be removed even if the client has died: killing that does not end a container
which ignores the end of its input. A container also carries who has started it; the next command removes those whose
starter has exited. No log driver: the default one writes all of stdout to a file, at a sixth of the speed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from dstream.diagnostics import DiagnosticsError, error
from dstream.programs import find_program

_OWNER = "dev.dstream.owner"
_PASSED = frozenset({"TZ", "LANG", "LANGUAGE"})
_PASSED_PREFIXES = ("DSTREAM_", "LC_")
_CLIENT = ("DOCKER_", "CONTAINER_", "CONTAINERS_", "XDG_RUNTIME_DIR", "BUILDAH_", "STORAGE_")
_ASK_SECONDS = 60
_NO_LOGIN = re.compile(r"unauthorized|authentication required|no basic auth|denied", re.IGNORECASE)


class Limits(Struct, frozen=True):
    """The permissions of a container, from the `container` block of a provider; empty means the engine's default."""

    network: str = ""
    memory: str = ""
    cpus: str = ""
    user: str = ""
    pids: int = 1024
    read_only: bool = True
    volumes: tuple[str, ...] = ()
    """As `./data:/data` or `./data:/data:ro`; relative to the configuration's folder."""

    def arguments(self, root: Path) -> list[str]:
        """Return the options of `run` for these limits."""
        found = ["--pids-limit", str(self.pids)]
        for option in ("network", "memory", "cpus", "user"):
            if value := getattr(self, option):
                found += [f"--{option}", value]
        if self.read_only:
            found += ["--read-only", "--tmpfs", "/tmp"]  # noqa: S108 - inside the container
        for volume in self.volumes:
            source, _, rest = volume.partition(":")
            place = str((root / source).absolute()) if source.startswith((".", "/")) else source
            found += ["--volume", f"{place}:{rest}"]
        return found


class Container(Struct, frozen=True):
    """How to start an image: the program of the engine, the image by its digest, its limits."""

    engine: str
    image: str
    limits: Limits
    root: Path

    def command(self, environment: Mapping[str, str], allowed: tuple[str, ...]) -> Run:
        """Return one run: its command line, under a name that nothing else has.

        `environment` is the environment that the provider would have as a process: of that, the container gets the
        variables that its block names (`allowed`), locale and time zone, and ours. They are named, not written out, on
        the command line.
        """
        name = f"dstream-{uuid.uuid4().hex[:16]}"
        argv = [self.engine, "run", "--rm", "--interactive", "--name", name, "--log-driver", "none"]
        argv += ["--label", f"{_OWNER}={_me()}", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        argv += self.limits.arguments(self.root)
        for variable in sorted(environment):
            if variable in allowed or variable in _PASSED or variable.startswith(_PASSED_PREFIXES):
                argv += ["--env", variable]
        client = {key: value for key, value in os.environ.items() if key.startswith(_CLIENT)}
        return Run(name, (*argv, self.image), {**environment, **client}, lambda: remove(self.engine, name))


class Run(Struct, frozen=True):
    """One run of a container: `remove` ends and removes it without waiting."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    remove: Callable[[], None]


def remove(engine: str, name: str) -> None:
    """Let the engine remove a container; it does so even if this program ends before."""
    with contextlib.suppress(OSError):
        subprocess.Popen(
            [engine, "rm", "-f", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


@cache
def find_engine() -> str:
    """Return the program of docker or podman, whichever answers; raise DiagnosticsError if none does.

    DSTREAM_CONTAINER_ENGINE names one, and then no other is tried.
    """
    engine = os.environ.get("DSTREAM_CONTAINER_ENGINE")
    problems = []
    for name in (engine,) if engine else ("docker", "podman"):
        program = find_program(name)
        if program is None:
            problems.append(f"{name} is not installed.")
            continue
        done = _ask(
            program, "version", "--format", "{{.Server.Version}}" if "docker" in name else "{{.Client.Version}}"
        )
        if done.returncode == 0:
            return program
        problems.append(f"{name}: {_last_line(done.stderr) or 'does not answer'}")
    detail = (
        f"A provider_image needs docker or podman. {' '.join(problems)} Start the engine, or name the one to use with "
        "DSTREAM_CONTAINER_ENGINE."
    )
    raise DiagnosticsError(error("No container engine", detail))


def is_podman(engine: str) -> bool:
    """Return whether an engine's program is podman."""
    return "podman" in Path(engine).name


class Image(Struct, frozen=True):
    """An image on this machine: its id, and the digests under which registries have it."""

    id: str
    digests: tuple[str, ...]

    def digests_at(self, name: str) -> tuple[str, ...]:
        """Return the digests under which the repository `name` has it: of itself, or of an index that names it.

        `localhost/...` is no registry, but where podman puts what it has built, with a digest.
        """
        found: list[str] = []
        if name.startswith("localhost/"):
            return ()
        for each in self.digests:
            repository, _, digest = each.partition("@")
            # docker.io/library/x is called x by docker.
            if repository == name or f"/{repository}".endswith(f"/{name}") or f"/{name}".endswith(f"/{repository}"):
                found.append(digest)
        return tuple(found)


def find_image(engine: str, image: str) -> Image | None:
    """Return an image if it is on this machine."""
    found = _inspect(engine, "image", image)
    if not found:
        return None
    name = str(found[0]["Id"])
    return Image(name if ":" in name else f"sha256:{name}", tuple(found[0].get("RepoDigests") or ()))


def pull_image(engine: str, image: str) -> None:
    """Let the engine pull an image, with its own login."""
    command = [engine, "pull", "--quiet", *plain_http(engine, image), image]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        detail = f"{Path(engine).name} pull {image}: {_last_line(done.stderr)}"
        if _NO_LOGIN.search(done.stderr):
            from dstream.registry.oci.image_names import image_reference

            login = f"{Path(engine).name} login {image_reference(image).registry}"
            detail += f" The engine pulls with its own login: {login}"
        raise DiagnosticsError(error("Image pull failure", detail))


def plain_http(engine: str, image: str) -> tuple[str, ...]:
    """Return the option of `pull` and `push` for a registry that may be spoken to without TLS, as the settings say.

    podman takes it with each command, loopback included. docker's daemon takes it from its own configuration, and
    always accepts loopback.
    """
    from dstream.registry.oci.image_names import image_reference
    from dstream.registry.oci.transport import is_loopback
    from dstream.registry.settings import load_settings

    if not is_podman(engine):
        return ()
    host = image_reference(image).registry
    return ("--tls-verify=false",) if is_loopback(host) or load_settings().insecure(host) else ()


def pull_first(engine: str, images: Iterable[str]) -> str:
    """Let the engine pull the first of several images that it can get; return its name."""
    problems = []
    for image in images:
        try:
            pull_image(engine, image)
        except DiagnosticsError as problem:
            problems.append(problem.diagnostics[0].detail)
        else:
            return image
    raise DiagnosticsError(error("Image pull failure", " ".join(problems)))


@cache
def remove_leftovers(engine: str) -> tuple[str, ...]:
    """Remove the containers of commands on this machine that have ended; return their names. Once per command."""
    from dstream_state.processes import alive, this_host

    names = _ask(engine, "ps", "-a", "--filter", f"label={_OWNER}", "--format", "{{.Names}}").stdout.split()
    gone = []
    for form in _inspect(engine, "container", *names):
        host, pid, started = (*form["Config"]["Labels"][_OWNER].rsplit(" ", 2), "", "")[:3]
        if host == this_host() and pid.isdigit() and not alive(int(pid), int(started) if started.isdigit() else None):
            gone.append(form["Name"].removeprefix("/"))
    if gone:
        _ask(engine, "rm", "-f", *gone)
    return tuple(gone)


def running_of(engine: str, pid: int, started: int | None) -> tuple[str, ...]:
    """Return the containers that a process of this machine has started, each as a line: id, image, memory, name."""
    label = f"label={_OWNER}={_owner(pid, started)}"
    done = _ask(engine, "ps", "--no-trunc", "--filter", label, "--format", "{{.ID}} {{.Image}} {{.Names}}")
    found = [line.split(" ") for line in done.stdout.splitlines()]
    if not found:
        return ()
    ids = [each[0] for each in found]
    stats = _ask(engine, "stats", "--no-stream", "--no-trunc", "--format", "{{.ID}} {{.MemUsage}}", *ids)
    memory = dict(line.split(" ", 1) for line in stats.stdout.splitlines() if " " in line)
    return tuple(
        f"container {id_[:12]} of {image[:19] if image.startswith('sha256:') else image}, "
        f"{memory.get(id_, 'memory unknown')}, {name}"
        for id_, image, name in found
    )


def _inspect(engine: str, kind: str, *names: str) -> list[Any]:
    """Return the engine's description of images or containers, without those that no longer exist."""
    if not names:
        return []
    try:
        found = json.loads(_ask(engine, kind, "inspect", *names).stdout or "[]")
    except ValueError:
        return []
    return found if isinstance(found, list) else []


def _owner(pid: int, started: int | None) -> str:
    from dstream_state.processes import this_host

    return f"{this_host()} {pid} {started}"


@cache
def _me() -> str:
    from dstream_state.processes import start_time

    return _owner(os.getpid(), start_time(os.getpid()))


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_ASK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return subprocess.CompletedProcess(command, 1, "", str(problem))


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else ""
