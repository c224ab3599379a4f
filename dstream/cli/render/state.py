"""The state as text, as JSON in the shape of Terraform's, and as a document. Sensitive values are never shown."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from dstream import __version__
from dstream.addresses import DerivedAddress, ResourceAddress, parse_address
from dstream.cli.render.document import PLAIN, Document, Entry, Section
from dstream.cli.render.paint import Paint
from dstream.cli.render.values import SENSITIVE, attribute_name, literal_lines
from dstream.plan.plan import known, sensitive_part
from dstream_state import ObjectState, OutputState, Snapshot

FORMAT_VERSION = "1.0"
_PHRASES = {
    "tainted": "tainted: the next apply replaces it",
    "pending": "pending",
    "unresolved": "unresolved: check whether it exists, then run dstream import or dstream state rm",
}


def hidden(item: ObjectState) -> dict[str, Any]:
    """Return the attributes with fingerprints for sensitive values, even if an encrypted state has the values."""
    from dstream.engine.evaluate.redaction import redact

    return dict(redact(dict(item.attributes), item.sensitive, b"never shown"))


def object_lines(address: str, item: ObjectState, paint: Paint) -> Iterator[str]:
    """Yield the lines that show one object."""
    yield paint(f"# {address}" + ("" if item.status == "ok" else f" ({item.status})"), "bold")
    if item.status in _PHRASES:
        yield paint(f"# {_PHRASES[item.status]}", "yellow")
    yield f"{item.type} {{"
    shown = hidden(item)
    width = max((len(attribute_name(name)) for name in shown), default=0)
    for name in sorted(shown):
        first, *rest = literal_lines(shown[name], "    ")
        yield f"    {attribute_name(name):<{width}} = {first}"
        yield from rest
    yield "}"


def output_lines(name: str, item: OutputState) -> Iterator[str]:
    """Yield the lines that show one output."""
    first, *rest = [SENSITIVE] if item.sensitive else literal_lines(item.value, "")
    yield f"{name} = {first}"
    yield from rest


def state_lines(snapshot: Snapshot, pending: int, paint: Paint) -> Iterator[str]:
    """Yield the lines that show the state."""
    if pending:
        yield f"An apply is in progress or was interrupted: {pending} pending records are assumed complete."
        yield ""
    for address in sorted(snapshot.resources):
        yield from object_lines(address, snapshot.resources[address], paint)
        yield ""
    if snapshot.outputs:
        yield paint("Outputs:", "bold")
        for name in sorted(snapshot.outputs):
            yield from (f"  {line}" for line in output_lines(name, snapshot.outputs[name]))
        yield ""
    yield _headline(snapshot)


def _headline(snapshot: Snapshot) -> str:
    count = len(snapshot.resources)
    if not snapshot.serial and not count:
        return "No state found: nothing was applied yet."
    return f"{count} object{'s' if count != 1 else ''}, serial {snapshot.serial}."


def state_document(snapshot: Snapshot, pending: int) -> Document:
    """Return a state as a document; objects to review come first."""
    odd = [address for address, item in sorted(snapshot.resources.items()) if item.status != "ok"]
    fine = [address for address, item in sorted(snapshot.resources.items()) if item.status == "ok"]
    notes = (
        (f"An apply is in progress or was interrupted: {pending} pending records are assumed complete.",)
        if pending
        else ()
    )
    outputs = tuple(
        Entry(name, "", partial(lambda n, each: list(output_lines(n, each)), name, item))
        for name, item in sorted(snapshot.outputs.items())
    )
    sections = (
        Section("To review", "objects to review", tuple(_entry(each, snapshot) for each in odd)),
        Section("Objects", "objects", tuple(_entry(each, snapshot) for each in fine)),
        Section("Outputs", "outputs", outputs),
    )
    return Document(_headline(snapshot), notes, tuple(each for each in sections if each.entries))


def _entry(address: str, snapshot: Snapshot) -> Entry:
    item = snapshot.resources[address]
    phrase = "" if item.status == "ok" else f"({item.status}): {_PHRASES.get(item.status, '')}"
    return Entry(address, phrase, lambda: list(object_lines(address, item, PLAIN)), alarming=item.status != "ok")


def state_json(snapshot: Snapshot, pending: int, workspace: str) -> dict[str, Any]:
    """Return the state as JSON values; `docs/plan-format.md` describes them."""
    return {
        "format_version": FORMAT_VERSION,
        "dstream_version": __version__,
        "workspace": workspace,
        "lineage": snapshot.lineage if snapshot.serial else None,
        "serial": snapshot.serial,
        "pending": pending,
        "values": {
            "outputs": {name: _output(item) for name, item in sorted(snapshot.outputs.items())},
            "root_module": {"resources": [_object(each, snapshot) for each in sorted(snapshot.resources)]},
        },
        "tasks": [{"address": name, "applied_at": item.applied_at} for name, item in sorted(snapshot.tasks.items())],
    }


def _output(item: OutputState) -> dict[str, Any]:
    return {"sensitive": item.sensitive, **({} if item.sensitive else {"value": item.value})}


def _object(address: str, snapshot: Snapshot) -> dict[str, Any]:
    item = snapshot.resources[address]
    parsed = parse_address(address.partition("#")[0])
    name, index, task = item.key, None, None
    if isinstance(parsed, ResourceAddress):
        name, index = parsed.name, parsed.key
    elif isinstance(parsed, DerivedAddress):
        task = str(parsed.task)
    shown = hidden(item)
    return {
        "address": address,
        "task": task,
        "mode": "managed",
        "type": item.type,
        "name": name,
        "index": index,
        "provider_name": item.provider,
        "schema_version": item.schema_version,
        "status": item.status,
        "tainted": item.status == "tainted",
        "identity": item.identity,
        "values": known(shown),
        "sensitive_values": sensitive_part(shown) or {},
        "depends_on": list(item.dependencies),
    }
