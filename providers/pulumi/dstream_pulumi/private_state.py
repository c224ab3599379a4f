"""Private state: the last inputs and outputs of a plugin's object, without secrets.

A plugin expects an object's last inputs and outputs as it returned them. The private state has both, with each secret
replaced by a salted digest. When it is read, a digest is replaced by the available value (desired, or recorded in an
encrypted state) with the same digest, and omitted if there is none.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets as random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dstream_pulumi.special_values import SECRET, secret, signature
from dstream_sdk import UNKNOWN, WITHHELD

_DIGEST = "$secret"
MINIMUM_SECRET_LENGTH = 4
"""The minimum length of secrets that are searched for within other strings."""
Path = tuple[str | int, ...]


def make_private_state(
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    hidden: Iterable[Any],
    before: Mapping[str, Any] | None,
    properties: Iterable[str] = (),
    *,
    everything: bool = False,
) -> dict[str, Any]:
    """Return the private state of an object.

    These values are replaced by digests: strings that equal or contain one of `hidden`, everything in `properties`,
    values that the plugin marks as secret or that were digests in `before`; and every value, with `everything`, if it
    is unknown which ones are secret.
    """
    salt = str((before or {}).get("salt") or random.token_hex(16))
    values = {each for each in hidden if isinstance(each, str) and each}
    long = tuple(each.strip() for each in values if len(each.strip()) >= MINIMUM_SECRET_LENGTH)
    made: dict[str, Any] = {"salt": salt}
    for name, tree in (("inputs", inputs), ("outputs", outputs)):
        paths = frozenset(_digests((before or {}).get(name), ())) | {(each,) for each in properties}
        plain, marked = unwrap_secrets(tree)
        open_ones = set() if name == "inputs" else {tuple(path) for path in marked if path[:1] == ("__inputs",)}
        made[name] = _hide(plain, paths | (frozenset(marked) - open_ones), (values, long), salt, (), everything)
    return made


def read_private_state(note: Mapping[str, Any] | None, known: Iterable[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return inputs and outputs, with the secrets found among `known` filled in."""
    if not note:
        return {}, {}
    salt = str(note.get("salt") or "")
    by_digest = {_digest(each, salt): each for tree in known for each in _leaves(tree)}
    inputs, outputs = (_fill(note.get(name) or {}, by_digest) for name in ("inputs", "outputs"))
    return dict(inputs), dict(outputs)


def keep_unchanged(
    note: dict[str, Any], before: Mapping[str, Any], part: str, sent: Mapping[str, Any], answer: Any
) -> None:
    """Keep the previous value of each property that the plugin returned as sent, because secrets were not sent.

    `part` is "inputs" or "outputs", `sent` has the properties of the request, and `answer` those of the response.
    """
    for name, value in (before.get(part) or {}).items():
        if answer.get(name) == sent.get(name):
            note[part][name] = value


def unwrap_secrets(value: Any, here: Path = ()) -> tuple[Any, list[Path]]:
    """Return a value without its secret markers, and the paths of the secrets."""
    if signature(value) == SECRET:
        plain, paths = unwrap_secrets(value.get("value"), here)
        return plain, [here, *paths]
    paths = []
    if isinstance(value, Mapping):
        made = {}
        for name, inner in value.items():
            made[name], below = unwrap_secrets(inner, (*here, name))
            paths += below
        return made, paths
    if isinstance(value, list):
        items = []
        for index, inner in enumerate(value):
            plain, below = unwrap_secrets(inner, (*here, index))
            items.append(plain)
            paths += below
        return items, paths
    return value, paths


def mark_secrets(value: Any, hidden: frozenset[str]) -> Any:
    """Return a value with each string in `hidden` marked as secret."""
    if isinstance(value, str):
        return secret(value) if value in hidden else value
    if isinstance(value, Mapping):
        return {name: mark_secrets(inner, hidden) for name, inner in value.items()}
    if isinstance(value, list):
        return [mark_secrets(inner, hidden) for inner in value]
    return value


def texts_at(value: Any, paths: Iterable[Path]) -> Iterator[str]:
    """Yield every string at or below the paths."""
    for path in paths:
        found = value
        for step in path:
            try:
                found = found[step]
            except (KeyError, IndexError, TypeError):
                found = None
                break
        for leaf in _leaves(found):
            if isinstance(leaf, str) and leaf:
                yield leaf


def _hide(
    value: Any, paths: frozenset[Path], hidden: tuple[set[str], tuple[str, ...]], salt: str, here: Path, below: bool
) -> Any:
    below = below or here in paths
    if isinstance(value, Mapping):
        return {name: _hide(inner, paths, hidden, salt, (*here, name), below) for name, inner in value.items()}
    if isinstance(value, list):
        return [_hide(inner, paths, hidden, salt, (*here, index), below) for index, inner in enumerate(value)]
    if value is None or not (below or (isinstance(value, str) and _reveals(value, *hidden))):
        return value
    return {_DIGEST: _digest(value, salt)}


def _reveals(text: str, values: set[str], long: tuple[str, ...]) -> bool:
    """Return whether a string is a secret, or contains one that is too long to occur by chance."""
    return text in values or any(each in text for each in long)


def _digest(value: Any, salt: str) -> str:
    return hmac.new(salt.encode(), json.dumps(value).encode(), hashlib.sha256).hexdigest()


def _digests(value: Any, here: Path) -> Iterator[Path]:
    if isinstance(value, Mapping):
        if _DIGEST in value:
            yield here
        else:
            for name, inner in value.items():
                yield from _digests(inner, (*here, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _digests(inner, (*here, index))


def _fill(value: Any, by_digest: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if _DIGEST in value:
            return by_digest.get(str(value[_DIGEST]))
        return {name: _fill(inner, by_digest) for name, inner in value.items() if _known(inner, by_digest)}
    if isinstance(value, list):
        return [_fill(inner, by_digest) for inner in value if _known(inner, by_digest)]
    return value


def _known(value: Any, by_digest: Mapping[str, Any]) -> bool:
    return not (isinstance(value, Mapping) and _DIGEST in value and value[_DIGEST] not in by_digest)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)
    elif value is not None and value is not UNKNOWN and value is not WITHHELD:
        yield value
