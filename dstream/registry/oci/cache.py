"""Cache: fetched content by digest, shared by all configurations of a user.

    ~/.dstream/plugins/blobs/sha256/<hex>          manifests, and executables as they are started:
    ~/.dstream/plugins/bin/<hex>/dstream-in-orders  the same file under the name that people see
    ~/.dstream/plugins/tags/<registry>/<repository>/_tags/<tag>  what a tag meant when it was last asked for

No part of a repository starts with `_`, so the tag `c` of `a/b` and a repository `a/b/c` do not meet.

`DSTREAM_CACHE_DIR` names another folder. Content is checked each time before it is executed: a cache is a file that
anything may have written to.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from dstream.bounded_json import InvalidJson, parse_object
from dstream.files import make_folder, writable_by_others
from dstream.registry.errors import RegistryError, Tampered
from dstream.registry.oci.content import (
    MAX_MANIFEST,
    Descriptor,
    Manifest,
    check,
    digest_of,
    matches,
    parse_manifest,
)
from dstream.registry.oci.reference import DIGEST, Reference
from dstream.registry.oci.source import Progress, Source


class Cached(Struct, frozen=True):
    """One entry of the cache: digest, size, time of last use, and the display name if it is executable."""

    digest: str
    size: int
    used: float
    name: str | None


class Cache:
    """A folder of content by digest. Safe for several processes."""

    def __init__(self, root: Path) -> None:
        """Use `root`, which need not exist."""
        self.root = root

    def path(self, digest: str) -> Path:
        """Return the path for content with this digest."""
        algorithm, _, encoded = digest.partition(":")
        return self.root / "blobs" / algorithm / encoded

    def manifest(self, digest: str) -> Manifest | None:
        """Return a cached manifest that matches its digest, or None."""
        try:
            with self.path(digest).open("rb") as file:
                raw = file.read(MAX_MANIFEST + 1)
            check(raw, digest, None, str(self.path(digest)))
        except (OSError, Tampered):
            return None
        return parse_manifest(raw, "", str(self.path(digest)))

    def keep(self, raw: bytes) -> None:
        """Store small content."""
        path = self.path(digest_of(raw))
        make_folder(path.parent)
        _write(path, raw)

    def has(self, digest: str) -> bool:
        """Return whether content exists, without checking it."""
        return self.path(digest).is_file()

    def fetch(self, source: Source, repository: str, descriptor: Descriptor, progress: Progress | None = None) -> Path:
        """Return the path of content, fetched from `source` unless it is cached and matches its digest."""
        path = self.path(descriptor.digest)
        if path.exists():
            if matches(path, descriptor.digest):
                return path
            path.unlink(missing_ok=True)  # damaged: fetched again
        source.blob(repository, descriptor, path, progress)
        return path

    def executable(self, digest: str, name: str) -> Path:
        """Return an executable under its display name; raise Tampered if it does not match its digest."""
        path = self.path(digest)
        shown = self.root / "bin" / digest.partition(":")[2] / name
        make_folder(shown.parent)
        for each in (self.root, path.parent.parent, path.parent, shown.parent.parent, shown.parent, path):
            _check_owner(each)
        if not matches(path, digest):
            raise Tampered(
                "Modified provider in cache",
                f"{path} does not match the digest in its name: the file was modified or damaged. It was not "
                "executed. To download it again, run: dstream init",
            )
        path.chmod(0o755)
        if not shown.exists() or not shown.samefile(path):
            with tempfile.TemporaryDirectory(dir=shown.parent, prefix=".") as folder:
                link = Path(folder, name)
                try:
                    os.link(path, link)
                except OSError:  # a file system without links
                    shutil.copy2(path, link)
                link.replace(shown)
            if not matches(shown, digest):
                raise Tampered("Modified provider in cache", f"{shown} was modified while it was being prepared.")
        with contextlib.suppress(OSError):
            os.utime(path)
        return shown

    # What tags meant

    def remember(self, reference: Reference, digest: str) -> None:
        """Record the digest of a tag."""
        path = self._ref(reference)
        make_folder(path.parent)
        _write(path, json.dumps({"digest": digest, "at": int(time.time())}).encode())

    def remembered(self, reference: Reference) -> str | None:
        """Return the last recorded digest of a tag."""
        try:
            digest = parse_object(self._ref(reference).read_bytes())["digest"]
        except (OSError, InvalidJson, KeyError):
            return None
        return digest if isinstance(digest, str) and DIGEST.fullmatch(digest) else None

    def tags(self, reference: Reference) -> list[str]:
        """Return the recorded tags of a repository."""
        folder = self._ref(reference.at(tag="x")).parent
        try:
            return sorted(each.name for each in folder.iterdir() if each.is_file() and not each.name.startswith("."))
        except OSError:
            return []

    def refs(self) -> Iterator[tuple[str, str]]:
        """Yield each recorded reference and its digest."""
        folder = self.root / "tags"
        for path in sorted(each for each in folder.rglob("_tags/*") if not each.name.startswith(".")):
            registry, *repository, _, tag = path.relative_to(folder).parts
            reference = Reference(registry.replace("_", ":"), "/".join(repository), tag)
            digest = self.remembered(reference)
            if digest:
                yield str(reference), digest

    # What it holds, and getting rid of it

    def content(self) -> list[Cached]:
        """Return everything in the cache."""
        names = {each.parent.name: each.name for each in self.root.glob("bin/*/*")}
        found = []
        for path in sorted(self.root.glob("blobs/*/*")):
            if DIGEST.fullmatch(f"{path.parent.name}:{path.name}"):
                stat = path.stat()
                found.append(
                    Cached(f"{path.parent.name}:{path.name}", stat.st_size, stat.st_mtime, names.get(path.name))
                )
        return found

    def drop_unfinished(self, before: float) -> int:
        """Remove partial downloads without progress since `before`; return the freed bytes."""
        freed = 0
        for path in self.root.glob("blobs/*/*.partial"):
            with contextlib.suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while it is being downloaded
                stat = os.fstat(file.fileno())
                if stat.st_mtime <= before:
                    path.unlink()
                    freed += stat.st_size
        return freed

    def remove(self, digest: str) -> None:
        """Remove content and its executable; a running provider continues to run."""
        shutil.rmtree(self.root / "bin" / digest.partition(":")[2], ignore_errors=True)
        self.path(digest).unlink(missing_ok=True)

    def _ref(self, reference: Reference) -> Path:
        if not reference.tag:
            raise RegistryError("Invalid reference", f"{reference} has no tag.")
        registry = reference.registry.replace(":", "_")
        return self.root / "tags" / registry / reference.repository / "_tags" / reference.tag


def default_cache(environment: Mapping[str, str] | None = None) -> Cache:
    """Return the cache of this user."""
    environment = os.environ if environment is None else environment
    return Cache(Path(environment.get("DSTREAM_CACHE_DIR") or "~/.dstream/plugins").expanduser().absolute())


def _check_owner(path: Path) -> None:
    """Raise Tampered if another user could replace what is executed from a cache, even after it was checked."""
    try:
        why = writable_by_others(path)
    except OSError:
        return  # what is missing is reported by who looks for it
    if why is not None:
        detail = (
            f"{path} is in the cache of providers, and {why}. Nothing was executed from there. To use another cache, "
            f"set DSTREAM_CACHE_DIR; to keep this one, delete its content, and run: chmod go-w {path}"
        )
        raise Tampered("Cache writable by other users", detail)


def _write(path: Path, raw: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        file.write(raw)
    Path(file.name).replace(path)
