"""Schemas: caches a plugin's schema in SQLite, so that reading a type takes a millisecond. A schema can have 50 MB.

The schema is fetched once for each version of the executable, and stored below `~/.cache`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dstream_pulumi.names import snake, type_name
from dstream_pulumi.plugin import Plugin

_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Schema:
    """A plugin's schema in an open cache file."""

    connection: sqlite3.Connection
    name: str
    version: str

    def resource(self, type_: str) -> tuple[str, dict[str, Any]] | None:
        """Return the token and the entry of a resource type, by its name in configurations or its token."""
        row = self.connection.execute(
            "SELECT token, body FROM entry WHERE kind = 'resource' AND (name = ? OR token = ?)", (type_, type_)
        ).fetchone()
        return None if row is None else (row[0], json.loads(row[1]))

    def has_component(self, type_: str) -> bool:
        """Return whether a type, by its name in configurations or its token, is a component."""
        found = self.connection.execute(
            "SELECT 1 FROM entry WHERE kind = 'component' AND (name = ? OR token = ?)", (type_, type_)
        ).fetchone()
        return found is not None

    def type(self, token: str) -> dict[str, Any] | None:
        """Return an entry of `types`."""
        row = self.connection.execute("SELECT body FROM entry WHERE kind = 'type' AND token = ?", (token,)).fetchone()
        return None if row is None else json.loads(row[0])

    def settings(self) -> dict[str, Any]:
        """Return the properties of the plugin's configuration."""
        found: dict[str, Any] = json.loads(
            self.connection.execute("SELECT body FROM entry WHERE kind = 'config'").fetchone()[0]
        )
        return found

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


def open_schema(plugin: Plugin, executable: Path, ask: Callable[[], str]) -> Schema:
    """Return the schema of a plugin from the cache. `ask` returns its JSON text, to fill the cache."""
    stat = executable.resolve().stat()
    mark = f"{_FORMAT} {executable.resolve()} {stat.st_size} {stat.st_mtime_ns} {plugin.version}"
    name = f"{plugin.name}-{hashlib.sha256(mark.encode()).hexdigest()[:24]}.sqlite"
    folder = Path("~/.cache/dstream/pulumi").expanduser()
    file = folder / name
    if not file.exists():
        text = ask()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            folder = Path(tempfile.mkdtemp(prefix="dstream-pulumi-"))  # the home is read-only: cache for this process
            file = folder / name
        _write(file, json.loads(text))
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, check_same_thread=False)
    about = json.loads(connection.execute("SELECT body FROM entry WHERE kind = 'about'").fetchone()[0])
    return Schema(connection, about["name"], about["version"])


def _write(file: Path, schema: Mapping[str, Any]) -> None:
    """Write the file atomically, because several processes may do so at the same time."""
    descriptor, temporary = tempfile.mkstemp(dir=file.parent)
    os.close(descriptor)
    provider = schema.get("provider") or {}
    config = {**(schema.get("config") or {}).get("variables", {}), **provider.get("inputProperties", {})}
    rows = [
        ("about", "", "", json.dumps({"name": schema.get("name", ""), "version": schema.get("version", "")})),
        ("config", "", "", json.dumps(config)),
        *(("type", token, "", json.dumps(body)) for token, body in (schema.get("types") or {}).items()),
        *(
            ("component" if body.get("isComponent") else "resource", token, type_name(token), json.dumps(body))
            for token, body in (schema.get("resources") or {}).items()
        ),
    ]
    with contextlib.closing(sqlite3.connect(temporary)) as connection, connection:
        connection.execute("CREATE TABLE entry (kind TEXT, token TEXT, name TEXT, body TEXT)")
        connection.executemany("INSERT INTO entry VALUES (?, ?, ?, ?)", rows)
        connection.execute("CREATE INDEX by_token ON entry (kind, token)")
        connection.execute("CREATE INDEX by_name ON entry (kind, name)")
    Path(temporary).replace(file)


def settings_as_pulumi(schema: Schema, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plugin's settings with the names of its schema; snake_case is accepted."""
    names = {snake(name): name for name in schema.settings()}
    return {names.get(name, name): value for name, value in settings.items() if value is not None}
