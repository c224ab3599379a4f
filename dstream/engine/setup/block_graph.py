"""The graph of blocks: which local, variable, provider, resource, task and output needs which other.

Names: `var.x`, `local.x`, `provider.x`, `TYPE.NAME`, `task.x`, `output.x`. References to anything else
(`each`, `count`, `self`, `path`, a name that is not declared) make no edge; evaluation reports what is undeclared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from dstream.config import (
    Condition,
    Config,
    ImportBlock,
    Lifecycle,
    OutputBlock,
    ResourceBlock,
    SideBlock,
    TaskBlock,
    TimeoutsBlock,
)
from dstream.diagnostics import Diagnostic, DiagnosticsError, SourceRange, error
from dstream.graph import Dependencies, cycles
from dstream.lang import Reference, references


def provider_of(block: ResourceBlock) -> str:
    """Return the name of the `provider` block of a resource: as it says, else the first word of its type."""
    return block.provider or block.type.split("_", 1)[0]


Needs = Mapping[str, tuple[str, ...]]
"""What each block needs directly, by name; cheap, since most operations need it before any graph."""


def block_needs(config: Config) -> Needs:
    """Return what each block of the configuration refers to, among what is declared."""
    return {
        name: tuple(dict.fromkeys(needed for needed in needs if _declared(config, needed)))
        for name, _, needs in _blocks(config)
    }


def block_graph(config: Config, needs: Needs) -> Dependencies:
    """Return the graph of the configuration's blocks; raise DiagnosticsError on a cycle."""
    graph = Dependencies()
    for name, needed in needs.items():
        graph.add(name, needed)
    found = cycles(graph)
    if found:
        ranges = {name: declared for name, declared, _ in _blocks(config)}
        raise DiagnosticsError([_cycle(cycle, ranges) for cycle in found])
    return graph


def _cycle(names: list[str], ranges: dict[str, SourceRange]) -> Diagnostic:
    path = " -> ".join([*names, names[0]])
    listed = "\n".join(f"  {name} at {ranges[name]}" for name in names)
    detail = (
        f"{path}\n{listed}\nEach of these needs the next one, so none can come first. "
        "Take one of the references out, or move what both need into a local of its own."
    )
    return error("Dependency cycle", detail, ranges[names[0]])


def imported_block(block: ImportBlock) -> str:
    """Return the name of the block that an `import` block is for, or nothing where it names none."""
    return next((name for name in map(block_name, references(block.to)) if name is not None), "")


def _blocks(config: Config) -> Iterator[tuple[str, SourceRange, Iterator[str]]]:
    imports: dict[str, list[str]] = {}
    for block in config.imports:
        target = imported_block(block)
        needs = (name for name in _names(block.to, block.id, block.for_each) if name != target)
        imports.setdefault(target, []).extend(needs)
    for name, variable in config.variables.items():
        yield f"var.{name}", variable.range, iter(())
    for name, attribute in config.locals.items():
        yield f"local.{name}", attribute.range, _names(attribute.expr)
    for name, provider in config.providers.items():
        yield f"provider.{name}", provider.range, _names(provider.config, provider.launch.source, provider.launch.env)
    for (type_, name), resource in config.resources.items():
        address = f"{type_}.{name}"
        yield address, resource.range, chain(_resource_needs(resource), imports.get(address, ()))
    for name, task in config.tasks.items():
        address = f"task.{name}"
        yield address, task.range, chain(_task_needs(task), imports.get(address, ()))
    for name, output in config.outputs.items():
        yield f"output.{name}", output.range, _output_needs(output)


def _output_needs(output: OutputBlock) -> Iterator[str]:
    yield from _names(output.value, *output.depends_on)
    yield from _conditions(*output.preconditions)


def _resource_needs(block: ResourceBlock) -> Iterator[str]:
    yield f"provider.{provider_of(block)}"
    yield from _names(block.body, block.for_each, block.count, *block.depends_on)
    yield from _lifecycle(block.lifecycle)
    yield from _timeouts(block.timeouts)


def _task_needs(block: TaskBlock) -> Iterator[str]:
    yield from _names(block.for_each, block.count, *block.depends_on)
    yield from _lifecycle(block.lifecycle)
    yield from _timeouts(block.timeouts)
    for side in (block.input, *block.outputs):
        if side is not None:
            yield from _side(side)


def _side(side: SideBlock) -> Iterator[str]:
    yield from _names(side.config, side.launch.source, side.launch.env)


def _lifecycle(lifecycle: Lifecycle) -> Iterator[str]:
    yield from _names(*lifecycle.replace_triggered_by)
    yield from _conditions(*lifecycle.preconditions, *lifecycle.postconditions)


def _timeouts(block: TimeoutsBlock | None) -> Iterator[str]:
    if block is not None:
        yield from _names(*block.given.values())


def _conditions(*conditions: Condition) -> Iterator[str]:
    for condition in conditions:
        yield from _names(condition.condition, condition.error_message)


def references_outside_blocks(config: Config) -> Iterator[str]:
    """Yield what is referred to outside of the graph: by settings, checks, imports and validations."""
    settings = config.settings
    if settings is not None:
        yield from _names(settings.backend.body if settings.backend is not None else None, settings.encryption)
        yield from _names(*(block.body for block in settings.trust))
    for check in config.checks:
        yield from _conditions(*check.asserts)
    for block in config.imports:
        yield from _names(block.to, block.id, block.for_each)
    for variable in config.variables.values():
        yield from (name for name in _conditions(*variable.validations) if name != f"var.{variable.name}")


def _names(*parts: Any) -> Iterator[str]:
    for part in parts:
        if part is not None:
            for reference in references(part):
                name = block_name(reference)
                if name is not None:
                    yield name


def block_name(reference: Reference) -> str | None:
    """Return the name of the block that a reference is to, such as `local.tables`, or None if it names none."""
    if not reference.path or not isinstance(reference.path[0], str):
        return None
    return f"{reference.root}.{reference.path[0]}"


def _declared(config: Config, name: str) -> bool:
    kind, _, rest = name.partition(".")
    match kind:
        case "var":
            return rest in config.variables
        case "local":
            return rest in config.locals
        case "provider":
            return rest in config.providers
        case "task":
            return rest in config.tasks
        case "output":
            return False
        case _:
            return (kind, rest) in config.resources


class ObjectDependencies:
    """The resources and tasks that each block depends on, found once for each block."""

    def __init__(self, needs: Needs) -> None:
        """Take what each block needs directly; a cycle is an error that is reported elsewhere."""
        self._needs = needs
        self._sets: dict[str, frozenset[str]] = {}
        self._found: dict[str, tuple[str, ...]] = {}

    def of(self, block: str) -> tuple[str, ...]:
        """Return the resources and tasks that a block needs, directly or through locals and providers, sorted."""
        found = self._found.get(block)
        if found is None:
            found = self._found[block] = tuple(sorted(self._set(block)))
        return found

    def _set(self, block: str) -> frozenset[str]:
        """Return what a block needs as a set; blocks on the way are found once too, without recursion."""
        sets, pending, on_path = self._sets, [block], set[str]()
        while pending:
            name = pending[-1]
            if name in sets:
                pending.pop()
                continue
            on_path.add(name)
            needs = self._needs.get(name, ())
            through = [each for each in needs if each in self._needs and _leads_on(each)]
            missing = [each for each in through if each not in sets and each not in on_path]
            if missing:
                pending.extend(missing)
                continue
            objects = frozenset(each for each in needs if each in self._needs and not _leads_on(each))
            sets[name] = _union(objects, (sets[each] for each in through if each in sets))
        return sets[block]


def _leads_on(block: str) -> bool:
    """Return whether a block is no object itself, so that its dependents depend on what it needs."""
    return block.startswith(("var.", "local.", "provider.", "output."))


def _union(first: frozenset[str], others: Iterable[frozenset[str]]) -> frozenset[str]:
    """Return the union, as one of the sets where that has everything, so that a chain of locals shares one."""
    for other in others:
        if not other <= first:
            first = other if first <= other else first | other
    return first
