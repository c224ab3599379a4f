"""Meta: what stands beside the state's content, readable and writable without it.

It says who holds the lock, which journals are open, and which lineage and serial the content has. Stored as
text by text, since blob metadata is that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from dstream_state.errors import StateDamaged
from dstream_state.holder import Holder


@dataclass(frozen=True, slots=True)
class Meta:
    """`epoch` rises with every change of ownership; `journals` are the open ones, oldest first."""

    lineage: str = ""
    epoch: int = 0
    serial: int = 0
    journals: tuple[str, ...] = ()
    holder: Holder | None = None

    def store(self) -> dict[str, str]:
        """Return the stored form."""
        form = {"lineage": self.lineage, "epoch": str(self.epoch), "serial": str(self.serial)}
        if self.journals:
            form["journals"] = " ".join(self.journals)
        if self.holder is not None:
            form["holder"] = json.dumps(self.holder.to_json(), separators=(",", ":"))
        return {name: text for name, text in form.items() if text}

    @classmethod
    def load(cls, form: Mapping[str, str]) -> Meta:
        """Return what `store` made; an empty mapping gives an empty Meta. Raises StateDamaged."""
        try:
            return cls(
                lineage=form.get("lineage", ""),
                epoch=int(form.get("epoch", "0")),
                serial=int(form.get("serial", "0")),
                journals=tuple(form.get("journals", "").split()),
                holder=Holder.from_json(json.loads(form["holder"])) if "holder" in form else None,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StateDamaged("The state's metadata", f"{type(error).__name__}: {error}") from error

    def released(self) -> Meta:
        """Return the same with the holder marked as gone."""
        return replace(self, holder=self.holder and replace(self.holder, released=True))
