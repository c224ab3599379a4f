"""The lock file `.dstream.lock.hcl`: the digests of the providers that a configuration executes, on every platform.

`dstream init` and `dstream providers lock` write it (`dstream providers pull` for Pulumi plugins). It belongs in
version control. Only registry content in this file is executed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from dstream.config.syntax.parser import parse_text
from dstream.config.syntax.tree import Block
from dstream.diagnostics import DiagnosticsError
from dstream.registry.errors import RegistryError
from dstream.registry.hcl_literal import literal, quoted, written
from dstream.registry.oci.reference import DIGEST

LOCK_FILE = ".dstream.lock.hcl"
_HEAD = (
    "# Which providers this configuration runs, by the digest of their content. Written by `dstream init` and\n"
    "# `dstream providers lock`; commit it. `dstream init -upgrade` looks for newer versions.\n"
)


class Locked(Struct, frozen=True):
    """One provider from a registry."""

    source: str
    """The source as in the configuration: a reference, or the source of a required provider."""
    manifest: str
    """The digest of the manifest or index."""
    platforms: Mapping[str, str]
    """The digest of the executable for each platform, by names such as `linux_amd64`."""
    version: str = ""
    tag: str = ""
    constraints: str = ""
    signed_by: str = ""
    """Who has signed it, as the trust policy found; empty without a policy."""
    probe: Mapping[str, Any] | None = None
    """The answer to the provider's probe."""


class LockedImage(Struct, frozen=True):
    """One container image."""

    source: str
    digest: str
    """The digest of its manifest or index in the registry."""
    signed_by: str = ""
    """Who has signed it, as the trust policy found; empty without a policy."""
    probe: Mapping[str, Any] | None = None


class LockedPlugin(Struct, frozen=True):
    """One plugin of Pulumi, as `pulumi/azure-native@3.29.0`."""

    source: str
    archives: Mapping[str, str]
    """The digest of the release archive for each platform that it was fetched for."""
    contents: Mapping[str, str] = field(default_factory=dict)
    """The digest of the unpacked files for each platform; the provider compares it before it starts the plugin."""

    def with_archive(self, platform: str, digest: str, content: str) -> LockedPlugin:
        """Return the plugin with the archive of one platform, and its unpacked content, added or replaced."""
        return replace(
            self, archives={**self.archives, platform: digest}, contents={**self.contents, platform: content}
        )


class LockFile(Struct, frozen=True):
    """Everything that is locked, by source."""

    providers: Mapping[str, Locked] = field(default_factory=dict)
    images: Mapping[str, LockedImage] = field(default_factory=dict)
    plugins: Mapping[str, LockedPlugin] = field(default_factory=dict)

    def text(self) -> str:
        """Return the file's text; equal contents give equal texts."""
        blocks = [_HEAD]
        for source, locked in sorted(self.providers.items()):
            values: dict[str, Any] = {
                "version": locked.version,
                "tag": locked.tag,
                "constraints": locked.constraints,
                "manifest": locked.manifest,
                "signed_by": locked.signed_by,
                "platforms": dict(sorted(locked.platforms.items())),
                "probe": locked.probe,
            }
            blocks.append(_block("provider", source, values))
        for source, image in sorted(self.images.items()):
            values = {"digest": image.digest, "signed_by": image.signed_by, "probe": image.probe}
            blocks.append(_block("image", source, values))
        for source, plugin in sorted(self.plugins.items()):
            digests: dict[str, Any] = {"archives": dict(sorted(plugin.archives.items()))}
            if plugin.contents:
                digests["contents"] = dict(sorted(plugin.contents.items()))
            blocks.append(_block("plugin", source, digests))
        return "\n".join(blocks)

    def with_provider(self, locked: Locked) -> LockFile:
        """Return the lock file with one provider added or replaced."""
        return replace(self, providers={**self.providers, locked.source: locked})

    def with_image(self, image: LockedImage) -> LockFile:
        """Return the lock file with one image added or replaced."""
        return replace(self, images={**self.images, image.source: image})

    def with_plugin(self, plugin: LockedPlugin) -> LockFile:
        """Return the lock file with one plugin of Pulumi added or replaced."""
        return replace(self, plugins={**self.plugins, plugin.source: plugin})


def read_lock(root: Path) -> LockFile:
    """Return the lock file in a folder, empty if there is none; raise DiagnosticsError if it is damaged."""
    path = root / LOCK_FILE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return LockFile()
    except (OSError, UnicodeDecodeError) as problem:
        raise RegistryError("Unreadable lock file", f"{path}: {problem}.") from problem
    parsed = parse_text(text, str(path))
    if parsed.diagnostics:
        raise DiagnosticsError(parsed.diagnostics)
    found = LockFile()
    for block in parsed.body.blocks:
        if len(block.labels) != 1 or block.type not in ("provider", "image", "plugin"):
            raise _wrong(path, f"line {block.range.start.line} does not start a provider, image or plugin block")
        values = {name: literal(attribute.expr) for name, attribute in block.body.attributes.items()}
        if block.type == "provider":
            found = found.with_provider(_provider(path, block, values))
        elif block.type == "plugin":
            found = found.with_plugin(_plugin(path, block, values))
        else:
            found = found.with_image(_image(path, block, values))
    return found


def write_lock(root: Path, lock: LockFile) -> bool:
    """Write the lock file atomically if it changed; return whether it was written."""
    path = root / LOCK_FILE
    text = lock.text()
    try:
        if path.read_text("utf-8") == text:
            return False
    except OSError:
        if not lock.providers and not lock.images and not lock.plugins:
            return False
    with tempfile.NamedTemporaryFile("w", dir=root, prefix=LOCK_FILE, delete=False, encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)
    return True


def _block(kind: str, label: str, values: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in values.items() if value not in (None, "")}
    width = max(map(len, kept))
    lines = [f"  {name:<{width}} = {written(value, 1)}" for name, value in kept.items()]
    return f"{kind} {quoted(label)} {{\n" + "\n".join(lines) + "\n}\n"


def _provider(path: Path, block: Block, values: Mapping[str, Any]) -> Locked:
    source = block.labels[0]
    platforms = values.get("platforms")
    if not isinstance(platforms, dict) or not all(_is_digest(each) for each in platforms.values()):
        raise _wrong(path, f"the platforms of {source} are not digests")
    return Locked(
        source,
        _digest(path, source, values.get("manifest")),
        platforms,
        str(values.get("version") or ""),
        str(values.get("tag") or ""),
        str(values.get("constraints") or ""),
        str(values.get("signed_by") or ""),
        _probe(values),
    )


def _plugin(path: Path, block: Block, values: Mapping[str, Any]) -> LockedPlugin:
    found: list[dict[str, str]] = []
    for name in ("archives", "contents"):
        digests = values.get(name, {} if name == "contents" else None)
        if not isinstance(digests, dict) or not all(map(_is_digest, digests.values())):
            raise _wrong(path, f"the {name} of {block.labels[0]} are not digests")
        found.append(digests)
    return LockedPlugin(block.labels[0], *found)


def _image(path: Path, block: Block, values: Mapping[str, Any]) -> LockedImage:
    source = block.labels[0]
    digest = _digest(path, source, values.get("digest"))
    return LockedImage(source, digest, str(values.get("signed_by") or ""), _probe(values))


def _probe(values: Mapping[str, Any]) -> Mapping[str, Any] | None:
    probe = values.get("probe")
    return probe if isinstance(probe, dict) and isinstance(probe.get("protocol"), int) else None


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and DIGEST.fullmatch(value) is not None


def _digest(path: Path, source: str, value: Any) -> str:
    if not _is_digest(value):
        raise _wrong(path, f"{source} has no digest")
    return str(value)


def _wrong(path: Path, why: str) -> RegistryError:
    detail = f"{path}: {why}. Restore the file from version control, or delete it and run: dstream init"
    return RegistryError("Damaged lock file", detail)
