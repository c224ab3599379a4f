"""Text among the data of an input that is not confirmed: such inputs also log to standard output.

An envelope is a JSON object whose member `data` is an object. Most begin like one, which costs one search to see.
"""

from __future__ import annotations

import json
import re

_USUAL = b'{"data":{'
_UNUSUAL = re.compile(rb'\n(?!\{"data":\{)')


def without_text(chunk: bytes, start: int, cut: int) -> tuple[bytes | None, list[bytes]]:
    """Return the envelopes among the whole lines `chunk[start:cut]`, and the other lines without their newlines.

    None stands for all of the lines. Empty lines are in neither.
    """
    if chunk.startswith(_USUAL, start, cut) and _UNUSUAL.search(chunk, start, cut - 1) is None:
        return None, []
    envelopes, texts = [], []
    for line in chunk[start : cut - 1].split(b"\n"):
        if line.startswith(_USUAL) or _is_envelope(line):
            envelopes.append(line + b"\n")
        elif line.strip():
            texts.append(line)
    return b"".join(envelopes), texts


def _is_envelope(line: bytes) -> bool:
    """Tell whether a line is an envelope; member names may be in any case, as some version 1 providers write them."""
    if not line.lstrip().startswith(b"{"):
        return False
    try:
        value = json.loads(line)
    except ValueError:
        return False
    except RecursionError:
        return True  # the output decides
    return any(name.lower() == "data" and isinstance(content, dict) for name, content in value.items())
