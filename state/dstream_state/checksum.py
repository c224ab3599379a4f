"""Checksums: the last member of a stored JSON line is the SHA-256 of the line without it.

Lines of earlier versions have none and are read as they are.
"""

from __future__ import annotations

import hashlib
import re

from dstream_state.codec import Json, dumps, loads
from dstream_state.errors import StateDamaged

MEMBER = "checksum"
_END = re.compile(rb',"checksum":"([0-9a-f]{64})"}')
_LENGTH = len(b',"checksum":"') + 64 + len(b'"}')


def digest(content: bytes) -> str:
    """Return the SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def checked_line(form: dict[str, Json]) -> bytes:
    """Return `form`, which has at least one member, as one line of JSON with its checksum and a line break."""
    line = dumps(form)
    return b'%s,"checksum":"%s"}\n' % (line[:-1], digest(line).encode())


def read_line(line: bytes, what: str) -> Json:
    """Return the JSON value of a line; raise StateDamaged, naming `what`, unless its checksum, if any, is right.

    A checksum that is not at the end of the line (the JSON was formatted again) is compared with that of the values.
    """
    form = loads(line, what)
    if not isinstance(form, dict) or MEMBER not in form:
        return form
    stored = form.pop(MEMBER)
    text = line.strip()
    end = _END.fullmatch(text[-_LENGTH:])
    found = digest(text[:-_LENGTH] + b"}") if end is not None else digest(dumps(form))
    if found != stored:
        raise StateDamaged(
            what,
            f"its checksum does not match: it was changed after dstream wrote it. If you edited it, remove its member "
            f'"{MEMBER}" and use `dstream state push`',
        )
    return form
