"""Credentials for registries: from the environment, Docker's or Podman's files, and their credential helpers.

In this order: `DSTREAM_AUTH_<host>` with `user:password` (dots and colons of the host become `_`, dashes `__`);
`DOCKER_AUTH_CONFIG`, a whole config.json; `config.json` of docker (`DOCKER_CONFIG` names its folder); `auth.json`
of podman (`REGISTRY_AUTH_FILE`). Within a file: the helper of the host, then `auths`, then the general helper.
https://docs.docker.com/reference/cli/docker/login/#credential-stores
"""

from __future__ import annotations

import base64
import binascii
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from dstream.bounded_json import InvalidJson, parse_object
from dstream.programs import find_program
from dstream.registry.errors import RegistryError

_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
_HELPER_SECONDS = 30
_LARGEST = 16 << 20
_TOKEN_USER = "<token>"  # noqa: S105 - what a helper says instead of a user name when the secret is a token


class Credentials(Struct, frozen=True):
    """A user name and password, or an identity token to exchange for access tokens."""

    username: str
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        """Show only the user name, never secrets."""
        return f"Credentials({self.username!r})"

    @property
    def basic(self) -> str:
        """Return the value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def find_credentials(host: str, environment: Mapping[str, str] | None = None) -> Credentials | None:
    """Return the credentials for a registry, or None; raise RegistryError if a helper or file is broken."""
    environment = os.environ if environment is None else environment
    given = environment.get(f"DSTREAM_AUTH_{_variable(host)}")
    if given:
        username, colon, password = given.partition(":")
        if not colon:
            raise RegistryError(
                "Invalid credentials", f"DSTREAM_AUTH_{_variable(host)} must have the form user:password."
            )
        return Credentials(username, password)
    for where, form in _files(environment):
        found = _in_file(form, host, where, environment)
        if found is not None:
            return found
    return None


def _variable(host: str) -> str:
    return host.replace("-", "__").replace(".", "_").replace(":", "_")


def _files(environment: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    text = environment.get("DOCKER_AUTH_CONFIG")
    if text:
        yield "DOCKER_AUTH_CONFIG", _parse(text, "DOCKER_AUTH_CONFIG")
    home = Path(environment.get("HOME") or "~").expanduser()
    folder = Path(environment.get("DOCKER_CONFIG") or home / ".docker")
    paths = [folder / "config.json"]
    if environment.get("REGISTRY_AUTH_FILE"):
        paths.append(Path(environment["REGISTRY_AUTH_FILE"]))
    if environment.get("XDG_RUNTIME_DIR"):
        paths.append(Path(environment["XDG_RUNTIME_DIR"]) / "containers" / "auth.json")
    paths.append(home / ".config" / "containers" / "auth.json")
    for path in paths:
        try:
            with path.open("rb") as file:
                raw = file.read(_LARGEST + 1)
        except OSError:
            continue
        yield str(path), _parse(raw, str(path))


def _parse(text: bytes | str, where: str) -> Mapping[str, Any]:
    try:
        return parse_object(text, limit=_LARGEST)
    except InvalidJson as problem:
        raise RegistryError("Invalid credentials", f"{where}: {problem}.") from problem


def _in_file(form: Mapping[str, Any], host: str, where: str, environment: Mapping[str, str]) -> Credentials | None:
    names = _names(host)
    helpers = form.get("credHelpers")
    if isinstance(helpers, dict):
        for name in names:
            if isinstance(helpers.get(name), str):
                return _ask_helper(helpers[name], name, environment)
    auths = form.get("auths")
    if isinstance(auths, dict):
        for name in names:
            if isinstance(auths.get(name), dict) and (found := _entry(auths[name], name, where)) is not None:
                return found
    store = form.get("credsStore")
    if isinstance(store, str) and store:
        for name in names:
            if (found := _ask_helper(store, name, environment)) is not None:
                return found
    return None


def _names(host: str) -> list[str]:
    names = [
        host,
        f"https://{host}",
        f"http://{host}",
        f"https://{host}/",
        f"https://{host}/v1/",
        f"https://{host}/v2/",
    ]
    if host in _DOCKER_HUB:
        names = ["https://index.docker.io/v1/", *(name for each in _DOCKER_HUB for name in (each, f"https://{each}"))]
    return names


def _entry(entry: Mapping[str, Any], name: str, where: str) -> Credentials | None:
    token = entry.get("identitytoken")
    token = token if isinstance(token, str) else ""
    username, password = entry.get("username"), entry.get("password")
    if isinstance(username, str) and isinstance(password, str):
        return Credentials(username, password, token)
    auth = entry.get("auth")
    if isinstance(auth, str) and auth:
        try:
            username, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as problem:
            detail = f"The auth of {name} in {where} is not base64 of user:password. Log in again: docker login {name}"
            raise RegistryError("Invalid credentials", detail) from problem
        if colon:
            return Credentials(username, password.rstrip("\0"), token)
    return Credentials("", "", token) if token else None


def _ask_helper(name: str, server: str, environment: Mapping[str, str]) -> Credentials | None:
    """Run `docker-credential-NAME get`; return None if it has no credentials for the server."""
    program = None if os.sep in name else find_program(f"docker-credential-{name}", environment)
    if program is None:
        raise RegistryError(
            "Credential helper not found",
            f"The docker configuration names docker-credential-{name} for {server}, but this program is not on the "
            "PATH. Install it, or remove it from the configuration.",
        )
    try:
        done = subprocess.run(
            [program, "get"],
            input=server.encode(),
            capture_output=True,
            timeout=_HELPER_SECONDS,
            env=dict(environment),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise RegistryError("Credential helper failure", f"{program} get, for {server}: {problem}.") from problem
    output = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode:
        if "not found" in output.lower() or "no credentials" in output.lower():
            return None
        detail = f"{program} get, for {server}, exited with code {done.returncode}: {output[:300]}"
        raise RegistryError("Credential helper failure", detail)
    try:
        form = parse_object(output, limit=_LARGEST)
    except InvalidJson as problem:
        detail = f"{program} get, for {server}, returned no Username and Secret."
        raise RegistryError("Credential helper failure", detail) from problem
    username, secret = form.get("Username"), form.get("Secret")
    if not isinstance(username, str) or not isinstance(secret, str):
        detail = f"{program} get, for {server}, returned a Username or Secret that is not a text."
        raise RegistryError("Credential helper failure", detail)
    if username == _TOKEN_USER:
        return Credentials("", "", secret)
    return Credentials(username, secret)
