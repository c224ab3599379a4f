"""Output values: the values of `output` blocks, and their changes in a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dstream.config import OutputBlock
from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.evaluate.desired import split_sensitive
from dstream.engine.evaluate.errors import secret_not_kept
from dstream.engine.evaluate.redaction import has_withheld, redact
from dstream.lang import Scope, evaluate, sensitive_paths, strip_sensitive
from dstream.plan import Action, OutputChange, has_unknown_part
from dstream.plan.differences import same
from dstream_state import OutputState


def output_change(block: OutputBlock, recorded: OutputState | None, scope: Scope, key: bytes) -> OutputChange:
    """Return the change of an output; a sensitive value is redacted."""
    value, sensitive = output_value(block, scope)
    shown = redact(value, [()], key) if sensitive else value
    before = None
    if recorded is not None:
        before = redact(recorded.value, [()], key) if recorded.sensitive else recorded.value
    if recorded is None:
        action = Action.CREATE
    elif not has_unknown_part(shown) and before == shown and same(before, shown):
        action = Action.NO_OP
    else:
        action = Action.UPDATE
    return OutputChange(block.name, action, before, shown, sensitive)


def removed_outputs(recorded: Mapping[str, OutputState], blocks: Mapping[str, OutputBlock]) -> Iterator[OutputChange]:
    """Yield the removal of outputs that are no longer in the configuration."""
    for name, item in sorted(recorded.items()):
        if name not in blocks:
            yield OutputChange(name, Action.DELETE, item.value, None, item.sensitive)


def output_value(block: OutputBlock, scope: Scope) -> tuple[Any, bool]:
    """Return the clear value of an output and whether it is sensitive; raise DiagnosticsError if it hides a secret."""
    value = evaluate(block.value, scope)
    declared = block.sensitive is not None and bool(strip_sensitive(evaluate(block.sensitive, scope)))
    paths = list(sensitive_paths(value))
    if paths and has_withheld(strip_sensitive(value)):
        raise DiagnosticsError(secret_not_kept(block.value.range))
    if paths and not declared:
        raise DiagnosticsError(
            error(
                "Sensitive value in an output",
                f"The value of output {block.name} is sensitive. Say so with sensitive = true, which hides it, "
                "or show it on purpose with nonsensitive(...).",
                block.value.range,
            )
        )
    clear, _ = split_sensitive({"value": value})
    return clear["value"], declared
