"""Backends: from the `backend` and `encryption` blocks of a configuration to the place where its state lives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from dstream.config import BackendBlock, Config
from dstream.diagnostics import DiagnosticsError, SourceRange, error
from dstream.engine.setup.backend_record import CREDENTIALS, BackendRecord
from dstream.lang import Module, contains_unknown, evaluate_body, sensitive_paths, strip_sensitive, to_json_value
from dstream_state import Backend, Encryption, open_backend, open_encryption

KEYS = frozenset(("passphrase", "fallback_passphrases", "client_secret"))
"""Arguments of `encryption` and its blocks that are secrets; all others may show in messages."""


def configured_encryption(config: Config, module: Module) -> Encryption | None:
    """Return the encryption that the configuration asks for, None where the state is in clear."""
    if config.settings is None or config.settings.encryption is None:
        return None
    body = config.settings.encryption
    settings = evaluate_body(body, module.scope(strict=True))
    if contains_unknown(settings):
        missing = ", ".join(f"var.{name}" for name in module.missing)
        detail = f"The arguments of `encryption` are not known. Set what they use of: {missing}."
        raise DiagnosticsError(error("Missing encryption value", detail, body.range))
    for path, origins in sensitive_paths(settings):
        if KEYS.isdisjoint(path):
            raise _shows("Sensitive encryption argument", str(path[-1]), origins, body.range)
    return open_encryption(to_json_value(strip_sensitive(settings)))


class ConfiguredBackend(Struct, frozen=True):
    """The backend that a configuration names, and how it was opened."""

    backend: Backend
    record: BackendRecord


def open_configured(
    config: Config,
    module: Module,
    workspace: str,
    encryption: Encryption | None,
    overrides: Mapping[str, str],
) -> ConfiguredBackend:
    """Return the backend of a configuration, local where it names none; nothing is read or made yet.

    `overrides` are values of `-backend-config`, which replace those of the block.
    """
    kind, arguments = configured_arguments(config, module)
    arguments = {**arguments, **overrides}
    backend = open_backend(kind, arguments, workspace=workspace, root=config.root, encryption=encryption)
    return ConfiguredBackend(backend, BackendRecord.of(kind, arguments, overrides, backend))


def configured_arguments(config: Config, module: Module) -> tuple[str, dict[str, Any]]:
    """Return type and arguments of the `backend` block."""
    block = config.settings.backend if config.settings is not None else None
    return ("local", {}) if block is None else (block.type, _arguments(block, module))


def _arguments(block: BackendBlock, module: Module) -> dict[str, Any]:
    values = evaluate_body(block.body, module.scope(strict=True))
    if contains_unknown(values):
        missing = ", ".join(f"var.{name}" for name in module.missing)
        detail = f"The arguments of `backend` are not known. Set what they use of: {missing}."
        raise DiagnosticsError(error("Missing backend value", detail, block.range))
    for path, origins in sensitive_paths(values):
        name = str(path[0])
        if name not in CREDENTIALS:
            argument = block.body.attributes.get(name)
            where = argument.range if argument is not None else block.range
            raise _shows("Sensitive backend argument", name, origins, where)
    settings: dict[str, Any] = to_json_value(strip_sensitive(values))
    return settings


def _shows(summary: str, name: str, origins: frozenset[str], where: SourceRange) -> DiagnosticsError:
    detail = (
        f"The value of {name} is sensitive (from {', '.join(sorted(origins))}), and {name} shows in messages. If it is "
        f"not secret, write {name} = nonsensitive(...)."
    )
    return DiagnosticsError(error(summary, detail, where))
