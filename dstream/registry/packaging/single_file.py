"""Single file: builds a Python provider package into one executable file, with an SBOM.

The file is a zip application (https://docs.python.org/3/library/zipapp.html): it runs on every platform with Python. A
package with compiled parts needs an executable for each platform instead (`freeze.py`). Builds are reproducible: the
same source gives the same digest.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from msgspec import Struct

from dstream.programs import find_program, python_module
from dstream.registry.errors import RegistryError
from dstream.registry.oci.content import digest_of

_COMPILED = (".so", ".pyd", ".dylib")
_LEFT_OUT = ("__pycache__", "bin", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
_PREFIXES = ("dstream-in-", "dstream-out-", "dstream-resource-")
_SDK = "dstream-sdk"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_NO_TIME = "1980-01-01T00:00:00Z"
"""SPDX requires a time."""
_MAIN = "import {module}\n\n{module}.{function}()\n"


class Part(Struct, frozen=True):
    """One distribution in an executable."""

    name: str
    version: str
    license: str


class Built(Struct, frozen=True):
    """One executable of a package."""

    name: str
    """Of the program, as `dstream-in-orders`."""
    version: str
    description: str
    path: Path
    parts: tuple[Part, ...]


def build(package: Path, target: Path, program: str | None = None) -> Built:
    """Build a package's program into the folder `target`; `program` selects one of several.

    Raise RegistryError if the package cannot be installed, has no provider, or has compiled parts. The configuration of
    pip and its environment (an index, links) apply.
    """
    with installed(package) as site:
        compiled = sorted(str(each.relative_to(site)) for each in site.rglob("*") if each.suffix in _COMPILED)
        if compiled:
            raise RegistryError(
                "Compiled parts in a package",
                f"{compiled[0]} is built for one platform, so one file of {package} cannot run on all platforms. Use "
                "-freeze to build a file for this platform with PyInstaller, and -binary OS_ARCH=FILE for files "
                "built elsewhere.",
            )
        found = list(distributions(path=[str(site)]))
        distribution, (script, reference) = program_of(found, package, program)
        module, _, function = reference.partition(":")
        raw = _zip(site, _MAIN.format(module=module, function=function))
        # Metadata is read when it is asked for, so while the folder is there.
        parts = _parts(found)
        version, summary = distribution.version, metadata_field(distribution, "Summary")
    target.mkdir(parents=True, exist_ok=True)
    path = target / script
    path.write_bytes(raw)
    path.chmod(0o755)
    return Built(script, version, summary, path, parts)


def parts_of(package: Path) -> tuple[Part, ...]:
    """Return the distributions that installing a Python package would install; empty for any other folder."""
    if not (package / "pyproject.toml").is_file():
        return ()
    with installed(package) as site:
        return parts_of_folder(site)


def parts_of_folder(site: Path) -> tuple[Part, ...]:
    """Return the distributions that are installed in a folder."""
    return _parts(list(distributions(path=[str(site)])))


@contextlib.contextmanager
def installed(package: Path) -> Iterator[Path]:
    """Yield a temporary folder in which a package and its dependencies are installed."""
    if not (package / "pyproject.toml").is_file():
        raise RegistryError("Not a provider package", f"{package} has no pyproject.toml.")
    with tempfile.TemporaryDirectory() as name:
        site = Path(name, "site")
        _install(package.absolute(), site)
        yield site


def _install(package: Path, site: Path) -> None:
    """Install a package and its dependencies into a folder, with pip or uv."""
    options = ["install", "--quiet", "--no-compile", "--target", str(site), str(package)]
    uv = find_program("uv")
    if uv is not None and not _has_pip():
        command = [uv, "pip", *options]
    else:
        command = python_module("pip", *options, "--disable-pip-version-check", "--no-warn-conflicts")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode and _SDK in done.stderr and (source := _sdk_source()) is not None:
        # No index has the SDK; this environment has it from a folder.
        again = [*command, source]
        done = subprocess.run(again, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        output = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        raise RegistryError("Package installation failure", f"{' '.join(command[:4])} ... {package}:\n{output}")


def _sdk_source() -> str | None:
    """Return the folder from which this environment has the SDK; None if it has none, or from an index."""
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        origin = json.loads(distribution(_SDK).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    url = urlsplit(str(origin.get("url", "")))
    folder = url2pathname(url.path)
    return folder if url.scheme == "file" and Path(folder, "pyproject.toml").is_file() else None


def _has_pip() -> bool:
    from importlib.util import find_spec

    return find_spec("pip") is not None


def program_of(found: list[Distribution], package: Path, program: str | None) -> tuple[Distribution, tuple[str, str]]:
    """Return the installed distribution of a package, and its program: name and entry point."""
    import tomllib

    try:
        project = tomllib.loads((package / "pyproject.toml").read_text("utf-8")).get("project", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise RegistryError("Not a provider package", f"{package}/pyproject.toml: {problem}.") from problem
    name = _normal(str(project.get("name", "")))
    distribution = next((each for each in found if _normal(each.metadata["Name"]) == name), None)
    scripts = {
        each.name: each.value
        for each in (distribution.entry_points if distribution is not None else ())
        if each.group == "console_scripts" and each.name.startswith(_PREFIXES)
    }
    if distribution is None or not scripts or (program and program not in scripts):
        there = ", ".join(sorted(scripts)) or "none"
        detail = (
            f"[project.scripts] of {package} must contain {program or 'a program named dstream-in-NAME'} "
            f"(or dstream-out-, dstream-resource-). It contains: {there}."
        )
        raise RegistryError("Not a provider package", detail)
    if program is None and len(scripts) > 1:
        detail = f"{package} has {', '.join(sorted(scripts))}. An artifact holds one program: choose it with -program."
        raise RegistryError("Ambiguous program", detail)
    chosen = program or next(iter(scripts))
    return distribution, (chosen, scripts[chosen])


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _parts(found: list[Distribution]) -> tuple[Part, ...]:
    return tuple(sorted((_part(each) for each in found), key=lambda part: part.name))


def _part(found: Distribution) -> Part:
    license_ = metadata_field(found, "License-Expression") or metadata_field(found, "License") or "NOASSERTION"
    return Part(metadata_field(found, "Name"), found.version, license_)


def metadata_field(found: Distribution, field: str) -> str:
    """Return the first line of a field of a distribution's metadata, empty if it is missing."""
    given = found.metadata.get_all(field) or [""]
    return next(iter(str(given[0]).strip().splitlines()), "")


def _zip(site: Path, main: str) -> bytes:
    """Return a zip application of a folder: the same files give the same bytes."""
    buffer = io.BytesIO()
    buffer.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(site.rglob("*")):
            inside = path.relative_to(site)
            if path.is_file() and not set(_LEFT_OUT) & set(inside.parts):
                archive.writestr(_entry(inside.as_posix()), path.read_bytes())
        archive.writestr(_entry("__main__.py"), main)
    return buffer.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def created() -> str | None:
    """Return SOURCE_DATE_EPOCH (https://reproducible-builds.org) as a time, None if it is not set.

    The time of a build is left out otherwise: the same content has the same digest.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not (epoch and epoch.isascii() and epoch.isdigit()):
        return None
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sbom(name: str, version: str, parts: tuple[Part, ...], files: Mapping[str, str]) -> bytes:
    """Return an SBOM of distributions and files in SPDX 2.3 JSON (https://spdx.github.io/spdx-spec/v2.3/).

    `files` has the digest of each file by its name.
    """
    digests = {title: digest.partition(":")[2] for title, digest in sorted(files.items())}
    identity = digest_of("".join(digests.values()).encode()).partition(":")[2][:32]
    packages: list[dict[str, Any]] = [
        {
            "SPDXID": f"SPDXRef-Package-{position}",
            "name": part.name,
            "versionInfo": part.version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False,
            "licenseDeclared": part.license,
            "externalRefs": [
                {
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": f"pkg:pypi/{_normal(part.name)}@{part.version}",
                }
            ],
        }
        for position, part in enumerate(parts)
    ]
    form = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{name}-{version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/{name}-{version}-{identity}",
        "creationInfo": {"created": created() or _NO_TIME, "creators": ["Tool: dstream"]},
        "packages": packages,
        "files": [
            {
                "SPDXID": f"SPDXRef-File-{position}",
                "fileName": f"./{title}",
                "checksums": [{"algorithm": "SHA256", "checksumValue": digest}],
            }
            for position, (title, digest) in enumerate(digests.items())
        ],
    }
    return json.dumps(form, indent=1).encode()
