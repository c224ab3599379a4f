"""Lock metadata: the metadata of the state's cell, readable and writable without its content.

It has the holder of the lock, the open journals, and the lineage, serial and SHA-256 of the content. Stored as text by
text, since blob metadata is that, with a checksum over all of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

from msgspec import Struct
from msgspec.structs import replace

from dstream_state.checksum import MEMBER, digest
from dstream_state.errors import StateDamaged
from dstream_state.holder import Holder
from dstream_state.storage import UNREADABLE

_JOURNAL = re.compile(r"[A-Za-z0-9_-]{1,100}")
_NAMES = ("lineage", "epoch", "serial", "sha256", "journals", "holder", "moved")


class Meta(Struct, frozen=True):
    """`epoch` rises with every change of ownership; `journals` are the open ones, oldest first.

    `sha256` is the hash of the content; empty where an earlier version wrote it, or nothing was written yet.
    `moved` is where the state was moved to, empty unless it was.
    """

    lineage: str = ""
    epoch: int = 0
    serial: int = 0
    journals: tuple[str, ...] = ()
    holder: Holder | None = None
    sha256: str = ""
    moved: str = ""

    def store(self) -> dict[str, str]:
        """Return the stored form."""
        form = {"lineage": self.lineage, "epoch": str(self.epoch), "serial": str(self.serial), "sha256": self.sha256}
        if self.journals:
            form["journals"] = " ".join(self.journals)
        if self.moved:
            form["moved"] = quote(self.moved, safe=":/ ")
        if self.holder is not None:
            form["holder"] = json.dumps(self.holder.to_json(), separators=(",", ":"))
        form = {name: text for name, text in form.items() if text}
        return form | {MEMBER: _checksum(form)}

    @classmethod
    def load(cls, form: Mapping[str, str]) -> Meta:
        """Return what `store` made; an empty mapping gives an empty Meta. Raises StateDamaged."""
        what = "The state's metadata"
        if UNREADABLE in form:
            raise StateDamaged(what, form[UNREADABLE])
        if MEMBER in form and form[MEMBER] != _checksum(form):
            raise StateDamaged(what, "its checksum does not match")
        try:
            return cls(
                lineage=form.get("lineage", ""),
                epoch=int(form.get("epoch", "0")),
                serial=int(form.get("serial", "0")),
                journals=tuple(map(journal_name, form.get("journals", "").split())),
                holder=Holder.from_json(json.loads(form["holder"])) if "holder" in form else None,
                sha256=form.get("sha256", ""),
                moved=unquote(form.get("moved", "")),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StateDamaged(what, f"{type(error).__name__}: {error}") from error

    def released(self) -> Meta:
        """Return the same with the holder marked as gone."""
        return replace(self, holder=self.holder and replace(self.holder, released=True))


def journal_name(text: str) -> str:
    """Return the name of a journal; raise ValueError for one that dstream does not give, such as a path."""
    if not _JOURNAL.fullmatch(text):
        raise ValueError(f"{text[:100]!r} is not the name of a journal")
    return text


def _checksum(form: Mapping[str, str]) -> str:
    """Return the checksum over the members that dstream writes; a service may add others."""
    return digest(json.dumps([[name, form[name]] for name in _NAMES if name in form]).encode())
