"""The index of providers: a static JSON file that any web server can host, and the search in it.

    {"format": 1, "providers": [{"name": "dstream/counter", "tier": "official", "kinds": ["input"],
                                 "source": "ghcr.io/katasec/dstream-in-counter",
                                 "description": "...", "homepage": "..."}]}

`name` is NAMESPACE/NAME; namespaces of the tier "official" are the project's own, all others are "community". The
index that comes with dstream is `dstream/registry/index.json`; a setting or DSTREAM_PROVIDER_INDEX names another file
or URL. docs/distribution.md says how to submit an entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from dstream.bounded_json import InvalidJson, is_integer, parse_object
from dstream.registry.errors import RegistryError
from dstream.registry.oci.reference import parse_reference
from dstream.registry.settings import Settings

BUNDLED = Path(__file__).parent / "index.json"
TIERS = ("official", "community")
KINDS = ("input", "output", "resource")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9-]*")
_MAX = 32 << 20


class Entry(Struct, frozen=True):
    """One published provider."""

    name: str
    tier: str
    source: str
    kinds: tuple[str, ...]
    description: str
    homepage: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON values."""
        return asdict(self)


def load_index(settings: Settings) -> list[Entry]:
    """Return the entries of the configured index, or of the bundled one."""
    place = settings.index or str(BUNDLED)
    if place.startswith(("https://", "http://")):
        raw = _download(place, settings)
    else:
        try:
            with Path(place).expanduser().open("rb") as file:
                raw = file.read(_MAX + 1)
        except OSError as problem:
            raise RegistryError("Unreadable index", f"{place}: {problem.strerror}.") from problem
    return parse_index(raw, place)


def parse_index(raw: bytes, place: str) -> list[Entry]:
    """Return the entries of an index; raise RegistryError naming the first that is wrong."""
    try:
        form = parse_object(raw, limit=_MAX)
    except InvalidJson as problem:
        raise RegistryError("Unreadable index", f"{place} is not an index of providers: {problem}.") from problem
    entries = form.get("providers")
    if not is_integer(form.get("format")) or form["format"] != 1 or not isinstance(entries, list):
        raise RegistryError("Unreadable index", f"{place} is not an index of providers: the format is not 1.")
    return [_entry(each, place) for each in entries]


def search(entries: Iterable[Entry], words: Iterable[str], kind: str | None = None) -> list[Entry]:
    """Return the entries in which every word occurs, the official ones first, then by name."""
    lowered = [word.lower() for word in words]
    found = [
        each
        for each in entries
        if (kind is None or kind in each.kinds)
        and all(word in f"{each.name} {each.description} {each.source}".lower() for word in lowered)
    ]
    return sorted(found, key=lambda each: (TIERS.index(each.tier), each.name))


def _entry(form: Any, place: str) -> Entry:
    if not isinstance(form, dict):
        raise RegistryError("Unreadable index", f"{place} contains an entry that is not an object.")
    texts = {key: form.get(key, "") for key in ("name", "tier", "source", "description", "homepage")}
    wrong = next((key for key, value in texts.items() if not isinstance(value, str)), None)
    if wrong is not None:
        raise RegistryError("Unreadable index", f"{place}: {repr(form)[:200]}: its {wrong} is not a text.")
    name, tier, source = texts["name"], texts["tier"], texts["source"]
    kinds = form.get("kinds")
    if not _NAME.fullmatch(name):
        why = "its name is not NAMESPACE/NAME in lower-case letters, digits and dashes"
    elif tier not in TIERS:
        why = f"its tier is not one of {', '.join(TIERS)}"
    elif not isinstance(kinds, list) or not kinds or not all(kind in KINDS for kind in kinds):
        why = f"its kinds are not among {', '.join(KINDS)}"
    elif not form.get("description"):
        why = "it has no description"
    else:
        parse_reference(source)
        return Entry(name, tier, source, tuple(kinds), texts["description"], texts["homepage"])
    raise RegistryError("Unreadable index", f"{place}: {name[:200] or repr(form)[:200]}: {why}.")


def _download(url: str, settings: Settings) -> bytes:
    from dstream.registry.oci.transport import Transport, body_of

    transport = Transport(settings)
    if not transport.may_see_secrets(url):
        raise RegistryError("Unreadable index", f"{url}: the index must be fetched over https.")
    with transport.send("GET", url, {"Accept": "application/json"}) as response:
        if response.status != 200:
            raise RegistryError("Unreadable index", f"{url} returned status {response.status}.")
        return body_of(response, _MAX, url)
