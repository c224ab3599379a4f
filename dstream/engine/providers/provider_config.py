"""Provider specs: the provider of a block, its source and its configuration.

A *spec* is one provider with one configuration: a `provider` block, or one side of a task. Its name in the state is
`provider.postgres`, `task.copy.input` or `task.copy.output["audit"]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from dstream.config import Body, Config, Launch, ProviderBlock, ResourceBlock, parse_expression
from dstream.diagnostics import DiagnosticsError, SourceRange, error
from dstream.engine.evaluate.coercion import converted
from dstream.engine.evaluate.desired import plain
from dstream.lang import (
    Scope,
    contains_unknown,
    evaluate,
    evaluate_body,
    inline_locals,
    sensitive_paths,
    strip_sensitive,
    to_json_value,
    value_at,
)
from dstream.lang.convert import to_string
from dstream.lang.markers import expression_marker, expression_text
from dstream.plugins import (
    ProviderInfo,
    ProviderSource,
)
from dstream.plugins.container import Limits
from dstream_state import ProviderState

Role = Literal["input", "output", "resource"]


class ProviderSpec(Struct, frozen=True):
    """One provider with one configuration."""

    name: str
    source: ProviderSource
    role: Role
    config: Any = field(default_factory=dict)
    """Evaluated; may hold Unknown and Sensitive values."""
    expressions: Mapping[str, str] = field(default_factory=dict)
    """The text of each argument that holds a sensitive value, for the state."""
    range: SourceRange | None = None
    body: Body | None = None
    """The body of the configuration, for the ranges of errors."""

    @property
    def unknown(self) -> bool:
        """Whether some of the configuration is known only after apply."""
        return contains_unknown(self.config)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The sensitive texts of the configuration, for the redactor of the provider's stderr."""
        found: list[str] = []
        for path, _ in sensitive_paths(self.config):
            _texts(value_at(strip_sensitive(self.config), path), found)
        return tuple(found)

    def wire(self, info: ProviderInfo) -> dict[str, Any]:
        """Return the configuration in wire form: JSON values converted to its schema, secrets in clear."""
        value = to_json_value(strip_sensitive(converted(info.config_schema, self.config)))
        return value if isinstance(value, dict) else {}

    def to_state(self, version: str) -> ProviderState:
        """Return the form for the state: sensitive arguments as expressions, never as values."""
        origins: dict[str, set[str]] = {}
        for path, from_ in sensitive_paths(self.config):
            origins.setdefault(str(path[0]), set()).update(from_)
        clear: dict[str, Any] = plain(strip_sensitive(self.config))
        config = {
            name: expression_marker(self.expressions.get(name, ""), sorted(origins[name])) if name in origins else value
            for name, value in clear.items()
        }
        source: dict[str, Any] = {"kind": self.source.kind, "value": self.source.value, "env": list(self.source.env)}
        if self.source.container != Limits():
            source["container"] = asdict(self.source.container)
        return ProviderState(source=source, version=version, config=config, role=self.role)


def _texts(value: Any, into: list[str]) -> None:
    if isinstance(value, str):
        into.append(value)
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        into.append(to_string(value))  # a provider may get it as a text
    elif isinstance(value, Mapping):
        for inner in value.values():
            _texts(inner, into)
    elif isinstance(value, list | tuple):
        for inner in value:
            _texts(inner, into)


def make_spec(
    name: str, launch: Launch, body: Body, role: Role, scope: Scope, config: Config, *, default: str | None = None
) -> ProviderSpec:
    """Evaluate a launch and a `config` block to a spec; `default` is the provider's name if none is given."""
    source = source_of(launch, scope, config, default)
    values = evaluate_body(body, scope)
    expressions = {}
    for path, _ in sensitive_paths(values):
        argument = str(path[0])
        attribute = body.attributes.get(argument)
        if attribute is not None:
            expressions[argument] = inline_locals(attribute.expr, config)
        elif body.expr is not None:
            expressions[argument] = f"({inline_locals(body.expr, config)}).{argument}"
    return ProviderSpec(name, source, role, values, expressions, launch.range, body)


def provider_spec(block: ProviderBlock, scope: Scope, config: Config) -> ProviderSpec:
    """Evaluate a `provider` block to a spec; without a launch, its label is the provider's name."""
    name = f"provider.{block.name}"
    return make_spec(name, block.launch, block.config, "resource", scope, config, default=block.name)


def default_spec(name: str, block: ResourceBlock, config: Config) -> ProviderSpec:
    """Return the spec of a provider that has no block: found by its name, without settings."""
    return ProviderSpec(f"provider.{name}", _named(name, (), config), "resource", range=block.range)


def _named(name: str, env: tuple[str, ...], config: Config) -> ProviderSource:
    """Return the source of a provider name: from `required_providers`, otherwise an installed program."""
    required = config.settings.required_providers.get(name) if config.settings is not None else None
    if required is None:
        return ProviderSource("name", name, env)
    return _trusting(ProviderSource("ref", required.source, env), config)


def _trusting(source: ProviderSource, config: Config) -> ProviderSource:
    """Return a source with the policies of the `trust` blocks for it, if it comes from a registry."""
    if source.kind not in ("ref", "image"):
        return source
    from dstream.engine.providers.trust_policy import policies_of

    return replace(source, trusted=policies_of(source, config))


def source_of(launch: Launch, scope: Scope, config: Config, default: str | None = None) -> ProviderSource:
    """Evaluate the source of a provider; `default` is its name if none is given."""
    if launch.kind is None or launch.source is None:
        if default is None:
            raise DiagnosticsError(
                error(
                    "No provider",
                    'Say which program this is: provider = "NAME" for an installed one, provider_path for a file, '
                    "provider_ref for an OCI artifact or provider_image for a container image.",
                    launch.range,
                )
            )
        return _named(default, _env(launch, scope), config)
    value = evaluate(launch.source, scope)
    if sensitive_paths(value):
        raise DiagnosticsError(
            error(
                "Sensitive provider source",
                "A provider's source is shown in plans and logs, so it may not be sensitive. "
                "If it is not secret, write nonsensitive(...).",
                launch.source.range,
            )
        )
    if not isinstance(value, str) or not value:
        raise DiagnosticsError(
            error("Wrong provider source", "A provider's source is a text that is known at plan.", launch.source.range)
        )
    if launch.kind == "name":
        return _named(value, _env(launch, scope), config)
    limits = Limits() if launch.container is None else _container(launch.container, scope)
    return _trusting(ProviderSource(launch.kind, value, _env(launch, scope), limits), config)


def _container(body: Body, scope: Scope) -> Limits:
    """Evaluate a `container` block."""
    values = to_json_value(strip_sensitive(evaluate_body(body, scope)))
    try:
        return _limits(values if isinstance(values, dict) else {})
    except (TypeError, ValueError) as problem:
        detail = (
            f"{problem}. A container block takes network, memory (as 512m), cpus, user (as 1000:1000), pids, read_only "
            'and volumes (as ["./data:/data"]), with values that are known at plan.'
        )
        raise DiagnosticsError(error("Wrong container block", detail, body.range)) from problem


def _limits(form: Mapping[str, Any]) -> Limits:
    """Parse limits from JSON values; raise TypeError or ValueError if they are invalid."""
    known = {"network": str, "memory": str, "cpus": str, "user": str, "pids": int, "read_only": bool}
    given: dict[str, Any] = {}
    for name, value in form.items():
        if name == "volumes":
            if not isinstance(value, list | tuple) or not all(isinstance(v, str) and ":" in v for v in value):
                raise ValueError("volumes is a list of texts with a colon")
            given[name] = tuple(value)
        elif name not in known:
            raise ValueError(f"{name} is not known")
        elif isinstance(value, known[name]) and isinstance(value, bool) == (name == "read_only"):
            given[name] = value
        elif known[name] is str and isinstance(value, int | float) and not isinstance(value, bool):
            given[name] = str(value)
        else:
            raise ValueError(f"{name} has the wrong type")
    return Limits(**given)


def _env(launch: Launch, scope: Scope) -> tuple[str, ...]:
    if launch.env is None:
        return ()
    names = to_json_value(strip_sensitive(evaluate(launch.env, scope)))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DiagnosticsError(
            error("Wrong env", 'env lists names of environment variables, as ["AWS_REGION"].', launch.env.range)
        )
    return tuple(names)


def spec_from_state(name: str, recorded: ProviderState, scope: Scope, config: Config) -> ProviderSpec:
    """Return the spec of a recorded provider, whose block may have been removed.

    Its signature policy comes from the configuration, as for any other provider.
    """
    values: dict[str, Any] = {}
    expressions: dict[str, str] = {}
    for argument, value in recorded.config.items():
        if (text := expression_text(value)) is not None:
            expressions[argument] = text
            try:
                values[argument] = evaluate(parse_expression(text, f"state of {name}"), scope)
            except DiagnosticsError as problem:
                reason = "; ".join(f"{d.summary}: {d.detail}" for d in problem.diagnostics)
                raise DiagnosticsError(
                    error(
                        "Missing secret of a recorded provider",
                        f"{name} is no longer in the configuration, and its objects are still in the state. Its "
                        f"argument {argument} is a secret, which the state does not hold; it came from "
                        f"{', '.join(value.get('origins', [])) or 'an expression'}: provide that again. ({reason})",
                    )
                ) from problem
        else:
            values[argument] = value
    role: Any = recorded.role  # written by `recorded` above
    return ProviderSpec(name, source_from_state(recorded, config), role, values, expressions)


def source_from_state(recorded: ProviderState, config: Config) -> ProviderSource:
    """Return the source of a recorded provider, with the policy for its signature."""
    form = recorded.source
    limits = _limits(form.get("container") or {})
    return _trusting(ProviderSource(form["kind"], form["value"], tuple(form.get("env", ())), limits), config)
