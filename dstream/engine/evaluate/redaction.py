"""Redaction: replaces sensitive values of attributes by fingerprints in plans and in the state.

Attributes have three forms. *Clear* attributes hold the values and exist only in memory. *Redacted* attributes hold
`{"$hmac": TEXT}` at every sensitive path; plans and unencrypted states hold these. A provider receives prior attributes
with `{"$withheld": true}` at these paths, except where the value is known from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dstream.lang import Unknown, child, to_json_value, value_at
from dstream.lang.markers import WITHHELD, escaped, fingerprint_marker, is_fingerprint
from dstream.lang.secret_texts import SecretTexts, texts_in
from dstream_state import fingerprint

Path = tuple[str | int, ...]


def redact(value: Any, paths: Iterable[Path], key: bytes) -> Any:
    """Return clear attributes with the value at each path replaced by its fingerprint under the state's `key`."""
    paths = frozenset(paths)
    return _redact(value, paths, key, ()) if paths else value


def _redact(value: Any, paths: frozenset[Path], key: bytes, here: Path) -> Any:
    if here in paths:
        if value is None or isinstance(value, Unknown) or is_fingerprint(value) or value == WITHHELD:
            return value
        return fingerprint_marker(fingerprint(key, here, value))
    if not any(path[: len(here)] == here for path in paths):
        return value
    if isinstance(value, Mapping):
        return {name: _redact(inner, paths, key, (*here, name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_redact(inner, paths, key, (*here, index)) for index, inner in enumerate(value)]
    return value


def reveal(redacted: Any, *clear: Any) -> Any:
    """Return redacted attributes with each fingerprint replaced by the first clear value at its path.

    A fingerprint with no clear value becomes `WITHHELD`.
    """
    if is_fingerprint(redacted):
        for candidate in clear:
            if candidate is not None and candidate != WITHHELD and not is_fingerprint(candidate):
                return candidate
        return WITHHELD
    if isinstance(redacted, Mapping):
        return {
            name: reveal(inner, *(child(candidate, name) for candidate in clear)) for name, inner in redacted.items()
        }
    if isinstance(redacted, list | tuple):
        return [
            reveal(inner, *(child(candidate, index) for candidate in clear)) for index, inner in enumerate(redacted)
        ]
    return redacted


def prior_for_provider(prior: Mapping[str, Any], paths: Iterable[Path], key: bytes, *known: Any) -> Any:
    """Return redacted prior attributes in wire form, for a provider.

    A sensitive value whose fingerprint matches that of a `known` clear value is filled in; any other is withheld.
    """
    paths = frozenset(paths) | fingerprint_paths(prior)
    candidates = [(clear, redact(clear, paths, key)) for clear in known if clear is not None] if paths else []
    return _on_wire(_fill_known(prior, candidates) if candidates else prior)


def _fill_known(prior: Any, candidates: list[tuple[Any, Any]]) -> Any:
    if is_fingerprint(prior):
        return next((clear for clear, redacted in candidates if redacted == prior and clear != prior), WITHHELD)
    if isinstance(prior, Mapping):
        items: Iterable[tuple[str | int, Any]] = prior.items()
        return {step: _fill_known(inner, _below(candidates, step)) for step, inner in items}
    if isinstance(prior, list | tuple):
        return [_fill_known(inner, _below(candidates, index)) for index, inner in enumerate(prior)]
    return prior


def _below(candidates: list[tuple[Any, Any]], step: str | int) -> list[tuple[Any, Any]]:
    return [(child(clear, step), child(redacted, step)) for clear, redacted in candidates]


def _on_wire(value: Any) -> Any:
    """Return redacted attributes in wire form; remaining fingerprints become `WITHHELD`."""
    if isinstance(value, str | int) or value is None:
        return value
    if isinstance(value, Mapping):
        if is_fingerprint(value) or value == WITHHELD:
            return WITHHELD
        return escaped({name: _on_wire(inner) for name, inner in value.items()})
    if isinstance(value, list | tuple):
        return [_on_wire(inner) for inner in value]
    return to_json_value(value)


def echoed_secrets(
    answered: Mapping[str, Any], desired: Mapping[str, Any], paths: Iterable[Path], secrets: SecretTexts
) -> set[Path]:
    """Return the paths at which a provider's answer repeats a secret that it was given; these are sensitive too.

    `answered` and `desired` are clear attributes, `paths` the sensitive paths of `desired`, `secrets` the texts that
    its secrets may be built from. A value equal to a desired one that is not sensitive stays so, and texts that are
    short enough to match by chance are ignored.
    """
    given = {text for path in paths for text in texts_in(value_at(desired, path))}
    if not given:
        return set()
    known = given | secrets.within(given)
    return {
        path
        for name, value in answered.items()
        if value != desired.get(name)
        for path in _holding(value, known, (name,))
    }


_LONG = 8
"""Characters; a shorter secret, such as `prod`, is in other texts by chance, and is looked for as a whole text."""


def repeated_secrets(answered: Mapping[str, Any], secrets: Iterable[str]) -> set[Path]:
    """Return the paths at which an answer repeats one of the secret texts that its provider was given."""
    known = set(secrets)
    return _holding(answered, {text for text in known if len(text) >= _LONG}, ()) | _equal(answered, known, ())


def _equal(value: Any, known: set[str], here: Path) -> set[Path]:
    if isinstance(value, str):
        return {here} if value in known else set()
    return {path for step, inner in _items(value) for path in _equal(inner, known, (*here, step))}


def _holding(value: Any, known: set[str], here: Path) -> set[Path]:
    if isinstance(value, str):
        return {here} if any(text in value for text in known) else set()
    return {path for step, inner in _items(value) for path in _holding(inner, known, (*here, step))}


def _items(value: Any) -> Iterable[tuple[str | int, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, list | tuple) else ()


def has_withheld(value: Any) -> bool:
    """Return whether a value is withheld or contains a withheld one."""
    if value == WITHHELD:
        return True
    if isinstance(value, Mapping):
        return any(has_withheld(inner) for inner in value.values())
    if isinstance(value, list | tuple):
        return any(has_withheld(inner) for inner in value)
    return False


def fingerprint_paths(redacted: Any, here: Path = ()) -> set[Path]:
    """Return the paths of all fingerprints in redacted attributes."""
    if is_fingerprint(redacted):
        return {here}
    return {path for step, inner in _items(redacted) for path in fingerprint_paths(inner, (*here, step))}
