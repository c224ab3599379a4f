"""Typed blocks: the top-level blocks of a configuration. Expressions stay unevaluated.

Blocks are compared by identity, like the syntax nodes in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

if TYPE_CHECKING:
    from pathlib import Path

    from dstream.addresses import Address
    from dstream.config.syntax.tree import Attribute, Block, Body, Expr
    from dstream.diagnostics import SourceRange

LaunchKind = Literal["path", "name", "ref", "image"]


class Launch(Struct, frozen=True, eq=False):
    """How a provider is found (`provider_path`, `provider`, `provider_ref`, `provider_image`) and its environment."""

    kind: LaunchKind | None
    source: Expr | None
    env: Expr | None
    range: SourceRange
    container: Body | None = None
    """The limits of a container."""


class Condition(Struct, frozen=True, eq=False):
    """A condition, and the error message if it is not met."""

    condition: Expr
    error_message: Expr
    range: SourceRange


class Lifecycle(Struct, frozen=True):
    """The meta-argument `lifecycle`."""

    prevent_destroy: bool = False
    ignore_changes: list[str] | Literal["all"] = field(default_factory=list)
    create_before_destroy: bool = False
    replace_triggered_by: tuple[Expr, ...] = ()
    preconditions: tuple[Condition, ...] = ()
    postconditions: tuple[Condition, ...] = ()


class TimeoutsBlock(Struct, frozen=True, eq=False):
    """`timeouts { ... }`: the time limits for changes of an object, by operation."""

    given: dict[str, Expr]
    """Expressions by name, those of `dstream_state.TIMED`."""
    range: SourceRange


class RequiredProvider(Struct, frozen=True, eq=False):
    """One entry of `required_providers`."""

    name: str
    source: str
    version: str | None
    range: SourceRange


class BackendBlock(Struct, frozen=True, eq=False):
    """`backend "TYPE" { ... }`."""

    type: str
    body: Body
    range: SourceRange


class DstreamBlock(Struct, frozen=True, eq=False):
    """`dstream { ... }`: settings of the entire configuration."""

    required_version: str | None
    required_providers: dict[str, RequiredProvider]
    backend: BackendBlock | None
    encryption: Body | None
    range: SourceRange
    trust: tuple[Block, ...] = ()
    """The signatures that providers from registries need, by patterns of their names."""
    drift: Block | None = None
    """Expected differences from the state, with expiry dates."""


class ProviderBlock(Struct, frozen=True, eq=False):
    """`provider "NAME" { ... }`: how to start and configure a provider of resources."""

    name: str
    launch: Launch
    config: Body
    range: SourceRange


class VariableBlock(Struct, frozen=True, eq=False):
    """`variable "NAME" { ... }`: a value given from outside."""

    name: str
    type: Expr | None
    default: Expr | None
    description: str | None
    sensitive: bool
    nullable: bool
    validations: tuple[Condition, ...]
    range: SourceRange


class ResourceBlock(Struct, frozen=True, eq=False):
    """`resource "TYPE" "NAME" { ... }`; the body is without meta-arguments."""

    type: str
    name: str
    body: Body
    for_each: Expr | None
    count: Expr | None
    depends_on: tuple[Expr, ...]
    provider: str | None
    lifecycle: Lifecycle
    range: SourceRange
    timeouts: TimeoutsBlock | None = None


class SideBlock(Struct, frozen=True, eq=False):
    """`input { ... }` or `output { ... }` of a task."""

    label: str | None
    launch: Launch
    config: Body
    range: SourceRange


class TaskBlock(Struct, frozen=True, eq=False):
    """`task "NAME" { ... }`: a data flow from an input to one or more outputs."""

    name: str
    type: Literal["providers"]
    input: SideBlock
    outputs: tuple[SideBlock, ...]
    for_each: Expr | None
    count: Expr | None
    depends_on: tuple[Expr, ...]
    lifecycle: Lifecycle
    range: SourceRange
    timeouts: TimeoutsBlock | None = None
    """Apply to all objects that its providers require."""
    record_limit: Expr | None = None
    max_dead_letters: Expr | None = None


class OutputBlock(Struct, frozen=True, eq=False):
    """`output "NAME" { ... }`: a value shown after apply."""

    name: str
    value: Expr
    sensitive: Expr | None
    description: str | None
    depends_on: tuple[Expr, ...]
    range: SourceRange
    preconditions: tuple[Condition, ...] = ()


class MovedBlock(Struct, frozen=True, eq=False):
    """`moved { from = ... to = ... }`: an object has a new address."""

    from_: Address
    to: Address
    range: SourceRange


class RemovedBlock(Struct, frozen=True, eq=False):
    """`removed { from = ... }`: an object is no longer declared; `destroy` says whether it is also destroyed."""

    from_: Address
    destroy: bool
    range: SourceRange


class ImportBlock(Struct, frozen=True, eq=False):
    """`import { to = ... id = ... }`: an existing object is added to the state."""

    to: Expr
    id: Expr
    for_each: Expr | None
    range: SourceRange


class CheckBlock(Struct, frozen=True, eq=False):
    """`check "NAME" { assert { ... } }`: assertions whose failure is a warning."""

    name: str
    asserts: tuple[Condition, ...]
    range: SourceRange


class PolicyBlock(Struct, frozen=True, eq=False):
    """`policy "NAME" { require { ... } }`: conditions that a plan must meet."""

    name: str
    requires: tuple[Condition, ...]
    advisory: bool
    """Whether a plan that does not meet it is applied, with a warning."""
    time_zone: str | None
    """The time zone of `plan.time`; None is UTC."""
    range: SourceRange


class Config(Struct, frozen=True):
    """A configuration: the blocks of all its files."""

    root: Path
    """The folder of the configuration; relative paths start there."""
    sources: dict[str, str]
    """The texts of the files, by file name."""
    settings: DstreamBlock | None = None
    providers: dict[str, ProviderBlock] = field(default_factory=dict)
    variables: dict[str, VariableBlock] = field(default_factory=dict)
    locals: dict[str, Attribute] = field(default_factory=dict)
    resources: dict[tuple[str, str], ResourceBlock] = field(default_factory=dict)
    tasks: dict[str, TaskBlock] = field(default_factory=dict)
    outputs: dict[str, OutputBlock] = field(default_factory=dict)
    moved: list[MovedBlock] = field(default_factory=list)
    imports: list[ImportBlock] = field(default_factory=list)
    removed: list[RemovedBlock] = field(default_factory=list)
    checks: list[CheckBlock] = field(default_factory=list)
    policies: list[PolicyBlock] = field(default_factory=list)
