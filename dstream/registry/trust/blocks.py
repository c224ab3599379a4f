"""Trust blocks: reads `trust` blocks, of a configuration or of this machine, and refuses those that say nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dstream.config.syntax.tree import Block
from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.registry.hcl_literal import literal
from dstream.registry.trust.patterns import covers, repository_pattern_problem
from dstream.registry.trust.policy import Policy


def read_policies(blocks: Iterable[Block], folder: Path, *, machine: bool = False) -> tuple[Policy, ...]:
    """Return the policies of blocks in order; raise DiagnosticsError with each block that is wrong, and where.

    Their values are literals: which signatures count must not depend on variables. Files are relative to `folder`.
    """
    found: list[Policy] = []
    problems: list[Diagnostic] = []
    for block in blocks:
        try:
            policy = _policy(block, folder, machine)
        except DiagnosticsError as problem:
            problems.extend(problem.diagnostics)
            continue
        hidden = next((each.pattern for each in found if covers(each.pattern, policy.pattern)), None)
        if hidden is not None:
            why = f"the block {hidden!r} before it applies to the same repositories, and the first one decides"
            problems.append(_ineffective(block, why))
        found.append(policy)
    if problems:
        raise DiagnosticsError(problems)
    return tuple(found)


def _policy(block: Block, folder: Path, machine: bool) -> Policy:
    values: dict[str, Any] = {name: literal(each.expr) for name, each in block.body.attributes.items()}
    keys = values.pop("keys", [])
    texts = {name: values.pop(name, "") for name in ("identity", "issuer", "trusted_root")}
    lists = isinstance(keys, list) and all(isinstance(key, str) and key for key in keys)
    right = len(block.labels) == 1 and not block.body.blocks and not values and lists
    if not right or not all(isinstance(text, str) for text in texts.values()) or not (keys or texts["identity"]):
        detail = (
            'A trust block is written trust "ghcr.io/team/*" { keys = ["./release.pub"] }, or with identity (and '
            "issuer) of sigstore bundles instead of keys, and trusted_root for other roots than the public ones."
        )
        raise DiagnosticsError(error("Invalid trust block", detail, block.header_range))
    why = repository_pattern_problem(block.labels[0])
    if why is not None:
        raise DiagnosticsError(_ineffective(block, why))
    if texts["identity"] and not texts["identity"].strip("*"):
        raise DiagnosticsError(_ineffective(block, "the identity * is everyone who can get a certificate"))
    if not texts["identity"] and (texts["issuer"] or texts["trusted_root"]):
        raise DiagnosticsError(_ineffective(block, "issuer and trusted_root mean nothing without identity"))
    return Policy(
        block.labels[0],
        tuple(folder / Path(key).expanduser() for key in keys),
        texts["identity"],
        texts["issuer"],
        folder / Path(texts["trusted_root"]).expanduser() if texts["trusted_root"] else None,
        machine,
    )


def _ineffective(block: Block, why: str) -> Diagnostic:
    label = block.labels[0] if block.labels else ""
    return error("Trust block without effect", f"trust {label!r} protects nothing: {why}.", block.header_range)
