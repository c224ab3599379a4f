"""resolve: finds the executable of a provider block, never in the current folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dstream.diagnostics import DiagnosticsError, error
from dstream.plugins.binary import Binary, ProviderSource, Role
from dstream.plugins.digest import digest_of

_PREFIX: dict[str, tuple[str, ...]] = {
    "input": ("dstream-in-",),
    "output": ("dstream-out-",),
    "resource": ("dstream-resource-", "dstream-in-", "dstream-out-"),
}


def resolve(source: ProviderSource, root: Path, role: Role) -> Binary:
    """Return the executable of `source`; raise DiagnosticsError if there is none.

    A path is relative to `root`, the configuration's folder. A name is looked up beside the running Python, then
    on PATH; empty and relative entries of PATH are passed over, so nothing in the current folder is ever started.
    """
    if not source.value:
        raise DiagnosticsError(error("Provider without a source", f"The {role} names an empty {source.argument}."))
    if source.kind == "path":
        return _binary(_at_path(source.value, root), source, root)
    if source.kind == "name":
        return _binary(_by_name(source.value, role), source, root)
    if source.kind == "ref":
        return _from_registry(source, root)
    return _image(source, root)


def locked(source: ProviderSource, root: Path) -> Binary | None:
    """Return a provider from a registry as the lock file describes it, None if it does not.

    Nothing is fetched: the result describes the provider, and cannot be started.
    """
    from dstream.registry.lockfile.lock_file import read_lock
    from dstream.registry.platforms import this_platform

    lock = read_lock(root)
    if source.kind == "ref":
        entry = lock.providers.get(source.value)
        digest = entry.platforms.get(str(this_platform()), entry.manifest) if entry is not None else ""
        return None if entry is None else Binary((source.value,), source, digest, None, entry.probe)
    image = lock.images.get(source.value)
    return None if image is None else Binary((source.value,), source, image.digest, None, image.probe)


def _binary(path: Path, source: ProviderSource, root: Path) -> Binary:
    return Binary((str(path),), source, digest_of(path, neighbours=source.kind == "path"), str(root.absolute()))


def _at_path(value: str, root: Path) -> Path:
    path = Path(os.path.normpath(root / Path(value).expanduser())).absolute()
    if path.is_dir():
        raise DiagnosticsError(
            error(
                "Provider path to a folder", f"provider_path {value!r} is the folder {path}. Name the executable in it."
            )
        )
    if not path.exists():
        detail = f"provider_path {value!r} (from the configuration's folder) means {path}, and there is no such file."
        raise DiagnosticsError(error("Provider not found", detail))
    if not os.access(path, os.X_OK):
        raise DiagnosticsError(
            error("Provider not executable", f"{path} may not be executed. To fix this, run: chmod +x {path}")
        )
    return path


def _by_name(name: str, role: Role) -> Path:
    if "/" in name or "\\" in name or name.startswith("."):
        detail = f"provider = {name!r} is a path. A name has no slash; for a path, write provider_path = {name!r}."
        raise DiagnosticsError(error("Path as a provider name", detail))
    found = _installed(name, role)
    if found is not None:
        return found
    short = next((name.removeprefix(p) for p in _PREFIX["resource"] if name.startswith(p) and name != p), name)
    executables = " or ".join(prefix + short for prefix in _PREFIX[role])
    if short != name:
        there = _installed(short, role)
        expected = str(there) if there is not None else f"the executable {executables}, which is not installed"
        detail = (
            f"provider = {name!r} has the prefix of an executable. Write provider = {short!r}: as {role} that means "
            f"{expected}."
        )
    else:
        detail = (
            f"provider = {name!r} as {role} means the executable {executables}, which is neither beside "
            f"{sys.executable} nor on PATH.{_similar(name, role)} Install it, correct the name, or use provider_path "
            "for a file of your own."
        )
    raise DiagnosticsError(error("Provider not found", detail))


def _folders() -> list[str]:
    entries = os.environ.get("PATH", "").split(os.pathsep)
    return [str(Path(sys.executable).parent), *(entry for entry in entries if Path(entry).is_absolute())]


def _similar(name: str, role: Role) -> str:
    """Return the hint with the installed provider whose name is closest, or with all of them."""
    import difflib

    found = {
        file.name.removeprefix(prefix)
        for prefix in _PREFIX[role]
        for folder in _folders()
        for file in Path(folder).glob(f"{prefix}*")
        if os.access(file, os.X_OK)
    }
    near = difflib.get_close_matches(name, sorted(found), 1)
    if near:
        return f" Did you mean {near[0]!r}?"
    return f" Installed are: {', '.join(sorted(found))}." if found else ""


def _installed(name: str, role: Role) -> Path | None:
    for prefix in _PREFIX[role]:
        for folder in _folders():
            found = Path(folder, prefix + name)
            if found.is_file() and os.access(found, os.X_OK):
                return found
    return None


def _from_registry(source: ProviderSource, root: Path) -> Binary:
    """Return the program that the lock file names, from the cache; fetch a missing one by its digest."""
    from dstream.registry.lockfile.installer import installer
    from dstream.registry.lockfile.lock_file import read_lock

    locked = read_lock(root).providers.get(source.value)
    if locked is None:
        raise DiagnosticsError(
            error(
                "Provider not locked",
                f"{source.value} is not in the lock file .dstream.lock.hcl, and nothing from a registry is executed "
                "that is not. Choose a version, and lock it, with: dstream init",
            )
        )
    here = installer()
    here.require_signed(here.reference_of(locked), source.trusted)
    path = here.executable(locked)
    return Binary((str(path),), source, locked.platforms[str(here.platform)], str(root.absolute()), locked.probe)


def _image(source: ProviderSource, root: Path) -> Binary:
    """Return an image that is on this machine: the one that the lock file names, or one that was built here.

    Containers that earlier, killed commands have left behind are removed first.
    """
    from dstream.plugins.container import Container, find_engine, find_image, remove_leftovers
    from dstream.registry.lockfile.lock_file import read_lock
    from dstream.registry.oci.image_names import image_name, references_of

    engine = find_engine()
    remove_leftovers(engine)
    locked = read_lock(root).images.get(source.value)
    if source.trusted:
        _require_signed_image(source, locked.digest if locked is not None else None)
    reference = source.value if locked is None else f"{image_name(source.value)}@{locked.digest}"
    found = find_image(engine, reference)
    if found is None and locked is not None:  # perhaps it came from a mirror: the same content under another name
        from dstream.registry.settings import load_settings

        for place in references_of(source.value, load_settings()):
            found = find_image(engine, f"{place}@{locked.digest}")
            if found is not None:
                reference = f"{place}@{locked.digest}"
                break
    if found is None:
        detail = f"{reference} is not on this machine. Pull it with: dstream init -pull-images"
        raise DiagnosticsError(error("Image not on this machine", detail))
    if locked is None and found.digests_at(image_name(source.value)):
        detail = (
            f"{source.value} is not in the lock file .dstream.lock.hcl, and nothing from a registry is executed that "
            "is not. Lock it with: dstream init"
        )
        raise DiagnosticsError(error("Image not locked", detail))
    container = Container(engine, found.id if locked is None else reference, source.container, root.absolute())
    answer = locked.probe if locked is not None else None
    return Binary((engine, reference), source, found.id, str(root.absolute()), answer, container)


def _require_signed_image(source: ProviderSource, digest: str | None) -> None:
    """Raise DiagnosticsError unless the image that the lock file names has the signatures that it needs."""
    from dstream.registry.lockfile.installer import installer
    from dstream.registry.oci.image_names import image_reference

    if digest is None:
        raise DiagnosticsError(
            error(
                "Unsigned provider",
                f"The trust block {source.trusted[0].pattern!r} requires a signature of {source.value}, which is not "
                "in the lock file. To lock it and verify its signature, run: dstream init",
            )
        )
    installer().require_signed(image_reference(source.value).at(digest=digest), source.trusted)
