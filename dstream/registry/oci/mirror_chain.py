"""Mirror chain: the mirrors of a registry in order, then the registry itself, as one source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dstream.registry.errors import Denied, NotThere, RegistryError, Unreachable
from dstream.registry.mirror_names import host_of, is_folder, place_in
from dstream.registry.oci.client import RegistryClient
from dstream.registry.oci.content import Descriptor, Manifest
from dstream.registry.oci.layout_folder import Folder
from dstream.registry.oci.source import Progress, Source
from dstream.registry.oci.transport import Transport
from dstream.registry.settings import Settings

T = TypeVar("T")


class Chain:
    """Queries one source after the other until one has the content. Content with a wrong digest ends the search."""

    def __init__(self, sources: list[Source]) -> None:
        """Query `sources`, at least one, in this order."""
        self.sources = sources

    @property
    def place(self) -> str:
        """Its name in messages: that of the last source, the registry itself unless only mirrors are allowed."""
        return self.sources[-1].place

    def manifest(self, repository: str, identifier: str) -> Manifest:
        """Return a manifest by tag or digest."""
        return self._first(lambda source: source.manifest(repository, identifier))

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository, of the first source that has it."""
        return self._first(lambda source: _some_tags(source, repository))

    def blob(self, repository: str, descriptor: Descriptor, target: Path, progress: Progress | None = None) -> None:
        """Write a blob to a file."""
        self._first(lambda source: source.blob(repository, descriptor, target, progress))

    def blob_bytes(self, repository: str, descriptor: Descriptor) -> bytes:
        """Return a small blob."""
        return self._first(lambda source: source.blob_bytes(repository, descriptor))

    def referrers(self, repository: str, digest: str) -> list[Descriptor]:
        """Return the referrers of a manifest, from the first source that has any."""
        for source in self.sources[:-1]:
            try:
                if found := source.referrers(repository, digest):
                    return found
            except (NotThere, Unreachable, Denied):
                continue
        return self.sources[-1].referrers(repository, digest)

    def _first(self, ask: Callable[[Source], T]) -> T:
        problems: list[RegistryError] = []
        for source in self.sources:
            try:
                return ask(source)
            except (NotThere, Unreachable, Denied) as problem:
                problems.append(problem)
        last = problems[-1]
        if len(problems) == 1:
            raise last
        details = " ".join(problem.diagnostics[0].detail for problem in problems)
        raise type(last)(last.diagnostics[0].summary, details)


def _some_tags(source: Source, repository: str) -> list[str]:
    tags = source.tags(repository)
    if not tags:
        raise NotThere("Not found in the registry", f"{source.place} has no tags of {repository}.")
    return tags


def source_of(registry: str, settings: Settings, transport: Transport, *, newest: bool = False) -> Chain:
    """Return the source for a registry's content by the settings of the machine.

    With `newest`, the registry itself comes before its mirrors if it is allowed: a mirror has tags and versions only as
    of the time of copying.
    """
    own = settings.of(registry)
    sources: list[Source] = [_mirror(text, registry, transport) for text in own.mirrors]
    if not own.only_mirrors or not sources:
        sources.insert(0 if newest else len(sources), RegistryClient(host_of(registry), transport))
    return Chain(sources)


def _mirror(text: str, registry: str, transport: Transport) -> Source:
    if is_folder(text):
        return Folder(Path(text).expanduser(), registry)
    host, prefix = place_in(text, registry)
    return RegistryClient(host_of(host), transport, prefix)
