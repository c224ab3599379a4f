"""Conversion of values between configurations and Pulumi's properties, by the plugin's schema.

Unknown and secret values keep their markers. Assets are written as a path or URL, or as an object with `path`, `uri`,
`text` or `assets`; Pulumi requires a hash with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dstream_pulumi.inputs import has_unknown
from dstream_pulumi.shapes import ANY, Member, Shape
from dstream_pulumi.special_values import (
    ARCHIVE,
    ASSET,
    OUTPUT,
    RESOURCE,
    SECRET,
    SIGNATURE,
    UNKNOWN_TEXT,
    is_unknown,
    signature,
)
from dstream_sdk import UNKNOWN, WITHHELD, InvalidError

_SOURCES = frozenset({"path", "uri", "text", "assets"})
_NOTHING = hashlib.sha256(b"").hexdigest()
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".jar")


def to_properties(members: Mapping[str, Member], values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert attributes to properties. Nulls, withheld values and names that are not members are left out."""
    names = {member.name: (name, member.shape) for name, member in members.items()}
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name in names and value is not None and value is not WITHHELD:
            property_, shape = names[name]
            found[property_] = to_pulumi(shape, value)
    return found


def to_pulumi(shape: Shape, value: Any) -> Any:
    """Convert a value of a configuration. A value from an embedded program already has Pulumi's names."""
    if value is UNKNOWN:
        return UNKNOWN_TEXT
    if shape.kind == "asset":
        return _asset(value)
    if shape.kind == "object" and isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, Mapping):
        if shape.kind == "object":
            names = {name: (name, member.shape) for name, member in shape.members.items()}
            names |= {member.name: (name, member.shape) for name, member in shape.members.items()}
            pairs = [(*names.get(name, (name, ANY)), inner) for name, inner in value.items() if inner is not None]
            return {name: to_pulumi(inner_shape, inner) for name, inner_shape, inner in pairs if inner is not WITHHELD}
        item = shape.item if shape.kind == "map" and shape.item else ANY
        return {name: to_pulumi(item, inner) for name, inner in value.items() if inner is not WITHHELD}
    if isinstance(value, list | tuple):
        item = shape.item if shape.kind == "list" and shape.item else ANY
        return [to_pulumi(item, inner) for inner in value if inner is not WITHHELD]
    return value


def to_attributes(members: Mapping[str, Member], properties: Mapping[str, Any]) -> dict[str, Any]:
    """Convert properties to attributes. Properties that are not in the schema are left out."""
    return {
        members[name].name: from_pulumi(members[name].shape, value)
        for name, value in properties.items()
        if name in members
    }


def from_pulumi(shape: Shape, value: Any) -> Any:
    """Convert a value of Pulumi. Secret markers are removed."""
    if is_unknown(value):
        return UNKNOWN
    kind = signature(value)
    if kind in (SECRET, OUTPUT):
        return from_pulumi(shape, value["value"]) if "value" in value else UNKNOWN
    if kind == RESOURCE:
        return value.get("id") or value.get("urn")
    if kind in (ASSET, ARCHIVE):
        return _from_asset(kind, value)
    if isinstance(value, Mapping):
        if shape.kind == "object":
            pairs = [(shape.members.get(name), name, inner) for name, inner in value.items()]
            return {
                (member.name if member else name): from_pulumi(member.shape if member else ANY, inner)
                for member, name, inner in pairs
            }
        item = shape.item if shape.kind == "map" and shape.item else ANY
        return {name: from_pulumi(item, inner) for name, inner in value.items()}
    if isinstance(value, list):
        item = shape.item if shape.kind == "list" and shape.item else ANY
        return [from_pulumi(item, inner) for inner in value]
    return value


def _from_asset(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an asset or archive of Pulumi."""
    found = {name: inner for name, inner in value.items() if name != SIGNATURE}
    if isinstance(found.get("assets"), Mapping):
        found["assets"] = {name: from_pulumi(ANY, inner) for name, inner in found["assets"].items()}
    found = _without_empty_sources(found)
    if not _SOURCES & found.keys() and kind == ARCHIVE:
        found["assets"] = {}
    elif not _SOURCES & found.keys() and found.get("hash", _NOTHING) == _NOTHING:
        found["text"] = ""
    return found


def _without_empty_sources(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an asset without its unused sources, which Go plugins include as empty strings."""
    return {name: inner for name, inner in value.items() if name not in _SOURCES or inner}


def _asset(value: Any) -> Any:
    if isinstance(value, str):
        value = {"uri": value} if "://" in value else {"path": value}
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, Mapping) or not _SOURCES & value.keys():
        raise InvalidError("Invalid asset", "An asset is a path, a URL, or an object with path, uri, text or assets.")
    pruned = _without_empty_sources(value)
    value = pruned if _SOURCES & pruned.keys() else value
    if has_unknown(value):
        return UNKNOWN_TEXT
    if "assets" in value:
        inner = {name: _asset(each) for name, each in dict(value["assets"]).items()}
        digest = hashlib.sha256(repr(sorted((name, each.get("hash")) for name, each in inner.items())).encode())
        return {SIGNATURE: ARCHIVE, "assets": inner, "hash": digest.hexdigest()}
    if "text" in value:
        text = str(value["text"])
        return {SIGNATURE: ASSET, "text": text, "hash": hashlib.sha256(text.encode()).hexdigest()}
    if "uri" in value:
        kind = ARCHIVE if str(value["uri"]).endswith(_ARCHIVES) else ASSET
        return {SIGNATURE: kind, "uri": value["uri"], "hash": hashlib.sha256(str(value["uri"]).encode()).hexdigest()}
    path = Path(str(value["path"])).expanduser()
    if not path.exists():
        raise InvalidError("Asset not found", f"{path} (from the configuration's folder) does not exist.")
    kind = ARCHIVE if path.is_dir() or str(path).endswith(_ARCHIVES) else ASSET
    return {SIGNATURE: kind, "path": str(path), "hash": _digest(path)}


def _digest(path: Path) -> str:
    """Return the digest of a file, or of all files of a folder in order of their names."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    found = hashlib.sha256()
    for each in sorted(path.rglob("*")):
        if each.is_file():
            found.update(f"{each.relative_to(path)}\0".encode() + hashlib.sha256(each.read_bytes()).digest())
    return found.hexdigest()
