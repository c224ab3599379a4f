"""Plan file: saves a plan, and checks that its inputs have not changed since.

A saved plan is bound to the state (lineage and serial, or its absence), the workspace, the content of the
configuration, the values of variables and the providers. It has one salted scrypt digest over all sensitive values, so
that no single value can be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, ValidationError, convert
from msgspec.structs import asdict

from dstream.config.config_hash import config_digest
from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.evaluate.desired import plain
from dstream.engine.evaluate.redaction import Path as Place
from dstream.engine.plan.plan_result import PlanOptions, PlanResult
from dstream.engine.plan.planner import make_plan
from dstream.engine.plan.recorded_answers import answers_form, answers_from
from dstream.engine.providers.pool import Installed, ProviderPool
from dstream.engine.setup.operation import Operation
from dstream.lang import Unknown, sensitive_paths, strip_sensitive, value_at
from dstream.lang.markers import WITHHELD
from dstream.plan.file import PlanFile, damaged_plan
from dstream.plan.plan_hash import essence, lasting
from dstream.plugins.type_schemas import DESCRIBES
from dstream_state import Snapshot
from dstream_state.codec import dumps, loads
from dstream_state.fingerprints import canonical
from dstream_state.passphrase import LEAST_N, MOST_MEMORY, SCRYPT_N, SCRYPT_P, SCRYPT_R

_DAMAGE = (KeyError, TypeError, AttributeError, ValueError, IndexError)
"""What members of other types lead to."""
_MOST_P = 16
_NAMED = 5
"""The number of objects that a message names."""


class _CommandForm(Struct, frozen=True):
    """The JSON form of a command."""

    destroy: bool
    refresh: bool
    refresh_only: bool
    targets: tuple[str, ...]
    exclude: tuple[str, ...]
    replace: tuple[str, ...]
    variables: dict[str, str]
    variable_files: tuple[str, ...]


class Command(Struct, frozen=True):
    """The options of the command that made the plan."""

    options: PlanOptions
    variables: Mapping[str, str]
    """Values of `-var` for variables that are not sensitive."""
    variable_files: tuple[Path, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        options = self.options
        return {
            "destroy": options.destroy,
            "refresh": options.refresh,
            "refresh_only": options.refresh_only,
            "targets": options.targets,
            "exclude": options.exclude,
            "replace": options.replace,
            "variables": dict(self.variables),
            "variable_files": [str(path) for path in self.variable_files],
        }

    @classmethod
    def from_json(cls, form: Mapping[str, Any]) -> Command:
        """Return the command from the result of `to_json`; raise DiagnosticsError if it has members of other types."""
        try:
            given = convert(form, _CommandForm)
        except ValidationError as problem:
            raise damaged_plan(problem) from problem
        options = PlanOptions(
            destroy=given.destroy,
            refresh=given.refresh,
            refresh_only=given.refresh_only,
            targets=given.targets,
            exclude=given.exclude,
            replace=given.replace,
        )
        return cls(options, given.variables, tuple(map(Path, given.variable_files)))


def saved_plan(operation: Operation, prepared: PlanResult, pool: ProviderPool, command: Command) -> PlanFile:
    """Return the content of a plan file."""
    plan = prepared.plan
    secret = _secret_paths(prepared)
    pairs = list(_pairs(operation, prepared))
    kept = {
        name: value
        for name, value in command.variables.items()
        if name in operation.config.variables and not operation.config.variables[name].sensitive
    }
    return PlanFile(
        plan=plan,
        form=plan.to_json(),
        made_from={
            "lineage": plan.lineage,
            "serial": plan.serial,
            "configuration": config_digest(operation.config),
            "providers": _identities(prepared, pool),
        },
        command=Command(command.options, kept, command.variable_files).to_json(),
        secrets=_digest(pairs, os.urandom(16), SCRYPT_N, SCRYPT_R, SCRYPT_P) if pairs else None,
        answers=answers_form(prepared.answers, secret),
    )


def _secret_paths(prepared: PlanResult) -> dict[str, set[Place]]:
    """Return the paths of sensitive attributes of desired and recorded objects, by address."""
    found: dict[str, set[Place]] = {}
    for address, item in prepared.snapshot.resources.items():
        found[address] = set(item.sensitive)
    for address, desired in prepared.desired.items():
        found.setdefault(address, set()).update(desired.sensitive)
    for change in prepared.plan.changes:
        if change.moved_from is not None and change.address in found:
            found.setdefault(change.moved_from, found[change.address])
    return found


# -- secrets ---------------------------------------------------------------------------------------------


def _pairs(operation: Operation, prepared: PlanResult) -> Iterator[tuple[list[Any], Any]]:
    """Yield the path and value of each sensitive input of the plan.

    A secret that a provider generated for the plan is not an input: it may differ each time.
    """
    planned_changes = prepared.answers.planned_changes
    for name, value in operation.module.variables.items():
        yield from _of(["var", name], value)
    for name, spec in prepared.specs.items():
        yield from _of(["provider", name], spec.config)
    for address, desired in prepared.desired.items():
        desired_attributes = planned_changes[address].proposed if address in planned_changes else desired.attributes
        for path in desired.sensitive:
            yield from _known(["object", address, *path], value_at(desired_attributes, path))
    for address, paths in _secret_paths(prepared).items():
        refreshed = prepared.refreshed_objects.get(address)
        if refreshed is not None and refreshed.attributes is not None:
            for path in paths:
                yield from _known(["real", address, *path], value_at(refreshed.attributes, path))


def _of(where: list[Any], value: Any) -> Iterator[tuple[list[Any], Any]]:
    clear = plain(strip_sensitive(value))
    for path, _ in sensitive_paths(value):
        yield from _known([*where, *path], value_at(clear, path))


def _known(where: list[Any], value: Any) -> Iterator[tuple[list[Any], Any]]:
    if value is not None and value != WITHHELD and not _unknown(value):
        yield where, value


def _unknown(value: Any) -> bool:
    from dstream.lang import contains_unknown

    return isinstance(value, Unknown) or contains_unknown(value)


def _digest(pairs: list[tuple[list[Any], Any]], salt: bytes, n: int, r: int, p: int) -> dict[str, Any]:
    ordered = sorted((dumps([place, canonical(value)]) for place, value in pairs), key=bytes)
    made = hashlib.scrypt(b"\n".join(ordered), salt=salt, n=n, r=r, p=p, maxmem=2 * 128 * n * r, dklen=32)
    return {"kind": "scrypt", "n": n, "r": r, "p": p, "salt": salt.hex(), "digest": made.hex()}


def _same_secrets(saved: Mapping[str, Any] | None, pairs: list[tuple[list[Any], Any]]) -> bool:
    if saved is None or not pairs:
        return saved is None and not pairs
    n, r, p = (int(saved[cost]) for cost in "nrp")  # those of the file: another release may have others
    if n < LEAST_N or r < 1 or 128 * n * r > MOST_MEMORY or not 1 <= p <= _MOST_P:
        return False
    again = _digest(pairs, bytes.fromhex(saved["salt"]), n, r, p)
    return hmac.compare_digest(again["digest"], str(saved["digest"]))


# -- providers -------------------------------------------------------------------------------------------


def _identities(prepared: PlanResult, pool: ProviderPool) -> dict[str, Any]:
    return {name: _identity(pool.installed(spec)) for name, spec in sorted(prepared.specs.items())}


def _identity(found: Installed) -> dict[str, Any]:
    """Return the identity of a provider: its digest in a registry, otherwise name, version and schema.

    The digest of a local program is not used, since it differs between machines.
    """
    info, source = found.info, found.binary.source
    form: dict[str, Any] = {"source": source.value, "protocol": info.protocol, "name": info.name}
    if info.protocol < 2:
        from dstream.plugins.digest import digest_of

        in_image = found.binary.container is not None or source.kind == "ref"
        return form | {"digest": info.digest if in_image else digest_of(Path(found.binary.argv[0]))}
    form["version"] = info.version
    if source.kind in ("ref", "image"):
        return form | {"digest": info.digest}
    types = () if DESCRIBES in info.capabilities else sorted(info.resources)
    schema = [info.config_schema, [asdict(info.resources[name]) for name in types]]
    text = json.dumps(schema, sort_keys=True, default=_plainly)
    return form | {"schema": hashlib.sha256(text.encode()).hexdigest()}


def _plainly(value: Any) -> Any:
    if isinstance(value, Struct):
        return asdict(value)
    return sorted(value, key=str) if isinstance(value, set | frozenset) else str(value)


# -- applying --------------------------------------------------------------------------------------------


def check_plan_target(operation: Operation, file: PlanFile) -> None:
    """Raise DiagnosticsError if a saved plan does not belong to this workspace and configuration."""
    problems: list[str] = []
    if file.plan.workspace != operation.workspace:
        problems.append(
            f"it was made in the workspace {file.plan.workspace}, and {operation.workspace} is selected "
            f"(DSTREAM_WORKSPACE={file.plan.workspace} selects the other)"
        )
    if file.made_from["configuration"] != config_digest(operation.config):
        problems.append("the configuration says something else now")
    try:
        problems += _moved_variables(operation, file)
    except _DAMAGE as problem:
        raise damaged_plan(problem) from problem
    _refuse(problems)


def _moved_variables(operation: Operation, file: PlanFile) -> Iterator[str]:
    before = file.form["variables"]
    for name, value in operation.module.variables.items():
        clear = plain(strip_sensitive(value))
        saved = before.get(name)
        if saved is None or saved.get("sensitive") or sensitive_paths(value):
            continue
        if canonical(loads(dumps(clear), name)) != canonical(saved["value"]):
            yield f"var.{name} has another value now"


def replan_saved(operation: Operation, snapshot: Snapshot, pool: ProviderPool, file: PlanFile) -> PlanResult:
    """Return a saved plan ready to apply; raise DiagnosticsError if its inputs have changed."""
    made_from, plan = file.made_from, file.plan
    lineage = snapshot.lineage if snapshot.serial else None
    if plan.pending:
        _refuse(["an apply was in progress or interrupted when it was made"])
    if made_from["lineage"] is None and lineage is not None:
        _refuse(["a state has been created since it was made"])
    if made_from["lineage"] != lineage:
        _refuse(["the state is now a different one" if lineage else "the state that it was made from no longer exists"])
    if made_from["serial"] != snapshot.serial:
        _refuse([f"the state had serial {made_from['serial']}, and has {snapshot.serial} now"])
    try:
        command, answers = Command.from_json(file.command), answers_from(file.answers)
        before = {str(name): found for name, found in made_from["providers"].items()}
    except _DAMAGE as problem:
        raise damaged_plan(problem) from problem
    prepared = make_plan(operation, snapshot, pool, command.options, saved=answers)
    now = _identities(prepared, pool)
    _refuse([f"the provider {name} is another one now" for name in sorted(now) if now[name] != before.get(name)])
    try:
        same = _same_secrets(file.secrets, list(_pairs(operation, prepared)))
    except _DAMAGE as problem:
        raise damaged_plan(problem) from problem
    if not same:
        _refuse(["a secret is not what it was (an environment variable, a sensitive variable, or one of an object)"])
    again = loads(dumps(prepared.plan.to_json()), "plan")
    if essence(again) != essence(file.form):
        others = _other_changes(file.form, again)
        which = f" ({', '.join(others)})" if others else ""
        _refuse([f"what the configuration reads, such as files, would give another plan now{which}"])
    return prepared


def _other_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the first addresses whose changes differ between two plans."""
    first, second = ({each["address"]: lasting(each) for each in form["resource_changes"]} for form in (before, after))
    found = sorted(address for address in first.keys() | second.keys() if first.get(address) != second.get(address))
    return found if len(found) <= _NAMED else [*found[:_NAMED], f"and {len(found) - _NAMED} more"]


def _refuse(problems: list[str]) -> None:
    if problems:
        raise DiagnosticsError(
            error(
                "Stale saved plan",
                f"This is not as it was when the plan was made: {'; '.join(problems)}. Nothing was changed. "
                "Plan again with dstream plan -out=FILE, and look at what it says.",
            )
        )
