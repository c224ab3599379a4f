"""Task settings: the providers of a task and their configuration, as plans show them and the state keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from dstream.engine.evaluate.coercion import converted
from dstream.engine.evaluate.desired import split_sensitive
from dstream.engine.evaluate.redaction import Path, redact
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.task_instance import Side, TaskInstance
from dstream.engine.providers.task_requirements import RequiredObjects
from dstream.plan.differences import differences, same
from dstream.plugins import ProviderInfo
from dstream_state import TaskState
from dstream_state.clock import now


def task_settings(task: TaskInstance, pool: ProviderPool, key: bytes) -> dict[str, Any]:
    """Return the settings of a task by side, `input`, `output` or `output["LABEL"]`: JSON values with Unknown inside.

    Each side has `version`, how the provider is found (as `provider_ref`), `config`, and `name` if the provider has
    another one for itself. A value that the configuration or the provider's schema marks as sensitive is a fingerprint
    under `key`.
    """
    return {side_label(side): _side(side, pool.installed(side.spec).info, key) for side in task.sides}


def task_state(task: TaskInstance, required: RequiredObjects, pool: ProviderPool, key: bytes) -> TaskState:
    """Return the record of a task that is applied now."""
    return TaskState(
        task.fingerprint(pool, key),
        now(),
        required.discovered,
        settings=task_settings(task, pool, key),
        streams=required.stream_names,
        columns=required.columns,
    )


def input_name(settings: Mapping[str, Any]) -> str | None:
    """Return the name of the input's provider in the settings of a task."""
    side = settings.get("input", {})
    name: str | None = side.get("name", side.get("provider"))
    return name


def is_applied(prior: TaskState, task: TaskInstance, pool: ProviderPool, key: bytes) -> bool:
    """Return whether a task is configured as it was applied, at this address or at an earlier one."""
    if prior.fingerprint == task.fingerprint(pool, key):
        return True
    return prior.settings is not None and same(prior.settings, task_settings(task, pool, key))


def changed_settings(prior: TaskState, task: TaskInstance, pool: ProviderPool, key: bytes) -> list[str]:
    """Return the paths of the settings that differ from the applied ones, as `input.config.tables[0]`."""
    if prior.settings is None:
        return []
    found = (each.path for each in differences(prior.settings, task_settings(task, pool, key)))
    return [
        "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".") for path in found
    ]


def with_settings(
    prior: TaskState, task: TaskInstance, required: RequiredObjects, pool: ProviderPool, key: bytes
) -> TaskState:
    """Return the record of an unchanged task with what an earlier version of dstream did not keep, and its streams."""
    return replace(
        prior, settings=task_settings(task, pool, key), streams=required.stream_names, columns=required.columns
    )


def side_label(side: Side) -> str:
    """Return the name of a side in the settings of its task, `input`, `output` or `output["LABEL"]`."""
    return side.role if side.label is None else f'{side.role}["{side.label}"]'


def _side(side: Side, info: ProviderInfo, key: bytes) -> dict[str, Any]:
    source = side.spec.source
    launch = "provider" if source.kind == "name" else f"provider_{source.kind}"
    config, sensitive = split_sensitive(converted(info.config_schema, side.spec.config))
    sensitive |= frozenset(_sensitive_settings(info.config_schema, config))
    clear = {launch: source.value, "version": info.version, "config": config}
    if info.name != clear.get("provider"):
        clear["name"] = info.name
    redacted: dict[str, Any] = redact(clear, {("config", *path) for path in sensitive}, key)
    return redacted


def _sensitive_settings(schema: Any, value: Any, here: Path = ()) -> Iterator[Path]:
    """Yield the paths of the values that a JSON Schema marks with `x-sensitive`."""
    if not isinstance(schema, Mapping):
        return
    if schema.get("x-sensitive") is True:
        yield here
    elif isinstance(value, Mapping):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        for name, inner in value.items():
            yield from _sensitive_settings(properties.get(name, others), inner, (*here, name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _sensitive_settings(schema.get("items"), item, (*here, index))
