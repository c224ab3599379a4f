"""The passwords within connection strings and addresses: a driver that complains often tells them alone.

Read are `name=value` pairs, by `;` as ADO.NET and ODBC have them, or by spaces as libpq has them, and the user
information and the query of an address (RFC 3986).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

_SHORTEST = 4
"""Characters; a shorter text turns up in others by chance."""
_NAMES = (
    r"(?:password|passwd|pwd|passphrase|secret|token|access[ _]?key|shared[ _]?access[ _]?key|account[ _]?key"
    r"|client[ _]?secret|access[ _]?token|api[ _-]?key|sig|signature)"
)
_PROXIES = tuple(
    spelling for name in ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy") for spelling in (name, name.upper())
)
_QUOTED = r"""\{(?:[^}]|\}\})*\}|"(?:[^"]|"")*"|'(?:[^'\\]|''|\\.)*'"""
_ENDS = {"{": "}", '"': '"', "'": "'"}
_PAIR = rf"(?i:(?:^|[;&?\s])\s*{_NAMES}\s*=\s*(?P<value>{_QUOTED}|[^;&]*))"
_USER = r"(?i:[a-z][a-z0-9+.-]*://[^/\s:@]*:(?P<value>[^/\s]*)@)"


def passwords_in(text: str) -> Iterator[str]:
    """Yield the passwords, keys and tokens in a text that is a connection string or an address.

    Not those that stand somewhere else in it as well, such as the name of the user: they are no secret.
    """
    by_spaces = ";" not in text and "://" not in text
    for match in (*re.finditer(_PAIR, text), *re.finditer(_USER, text)):
        rest = text[: match.start("value")] + "\0" + text[match.end("value") :]
        for password in _spellings(match["value"].strip(), by_spaces=by_spaces):
            if len(password) >= _SHORTEST and password not in rest:
                yield password


def proxy_passwords(environment: Mapping[str, str] = os.environ) -> set[str]:
    """Return the passwords of the proxies that an environment names, as they are and as an address has them."""
    addresses = [environment[name] for name in _PROXIES if name in environment]
    written = {match["value"] for address in addresses for match in re.finditer(_USER, address)}
    bare = {match["value"] for address in addresses for match in re.finditer(_USER, f"http://{address}")}
    return {spelling for each in written | bare if each for spelling in (each, unquote(each))}


def _spellings(value: str, *, by_spaces: bool) -> set[str]:
    """Return what a value in a connection string may mean, and how it is written there."""
    if value[:1] in _ENDS and value[-1:] == _ENDS[value[0]]:
        inner, end = value[1:-1], value[-1]
        return {inner, inner.replace(end * 2, end), re.sub(r"\\(.)", r"\1", inner)}
    if by_spaces:
        value = value.partition(" ")[0]
    return {value, unquote(value)}
