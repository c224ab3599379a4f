"""Reader: one page of one table's changes, from a capture instance to lines.

A page is what the server finds first after a place, and all that shares the last row's (LSN, sequence): rows of one
statement that moves several keys do, and a page that ended between them would lose some. Where a page ends is a place
to go on from, within a transaction too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dstream_mssql import statements
from dstream_mssql.catalog import Column, Instance, Source
from dstream_mssql.database import Database
from dstream_mssql.decoder import Decoder
from dstream_mssql.envelopes import Envelopes
from dstream_mssql.lsn import from_bytes, to_bytes
from dstream_mssql.names import Table
from dstream_mssql.position import Place
from dstream_mssql.settings import InputSettings
from dstream_mssql.wire import RowBytes
from dstream_sdk import DeniedError, InvalidError, ProviderError

_UNKNOWN_RANGE = "(error 313)"
_LEAST_LINE, _MOST_OF_A_COLUMN, _LARGE = 200, 256, 32_768


class Gap(ProviderError):
    """Changes were removed before they were read."""


@dataclass(frozen=True, slots=True)
class Page:
    """Lines, how many, and where the table has been read up to. `full`: there is more."""

    lines: bytes
    count: int
    place: Place
    full: bool


class TableReader:
    """Reads the changes of one table, in one capture instance."""

    def __init__(self, source: Source, instance: Instance, key: Sequence[str], config: InputSettings) -> None:
        self.table: Table = source.table
        self.instance = instance
        self.columns: tuple[Column, ...] = tuple(one for one in instance.columns if not one.computed)
        captured = {column.name for column in self.columns}
        self.key = tuple(name for name in key if name in captured)
        if len(self.key) < len(key):
            self.key = ()  # a part of a key is none
        self._large = [(one.name, one.ordinal) for one in self.columns if one.large]
        self._config = config
        self._envelopes = Envelopes(self.table, before_images=config.before_images, large=self._large)
        listed = [column.selected for column in self.columns]
        self._statements = {
            within: statements.changes(instance.name, listed, self.key, within=within) for within in (False, True)
        }
        self._decoder: Decoder | None = None
        self._row_bytes = float(max(_LEAST_LINE, sum(_size(one) for one in self.columns)))

    def batch_rows(self) -> int:
        """How many rows a page of `batch_bytes` has, by what rows have turned out to need."""
        return max(1, min(self._config.max_batch_rows, int(self._config.batch_bytes / self._row_bytes)))

    def page(self, database: Database, place: Place, upto: int, most: int | None = None) -> Page:
        """The next page after `place`, of what is captured up to `upto`. Raises Gap, ProviderError."""
        rows = self.batch_rows() if most is None else max(1, min(most, self.batch_rows()))
        within = place.seq is not None
        parameters: list[object] = [rows, to_bytes(place.first), to_bytes(upto)]
        if place.seq is not None:
            parameters.append(to_bytes(place.seq))
        try:
            with database.errors(f"read the changes of {self.table}"):
                source = RowBytes(database.execute(self._statements[within], *parameters))
                decoder = self._decoder
                if decoder is None or decoder.columns != source.columns:
                    decoder = self._decoder = Decoder(
                        source.columns,
                        self.key,
                        leading=len(statements.META),
                        strings=self._config.values == "string",
                        large=[name for name, _ in self._large],
                    )
                found = decoder.all(source)
        except InvalidError as problem:
            if problem.detail.endswith(_UNKNOWN_RANGE):
                self._explain(database, place)
            # It was right when the session began: the next one looks again at what there is.
            raise ProviderError(problem.summary, problem.detail) from None
        except LookupError as problem:
            raise ProviderError(f"Could not read the changes of {self.table}", str(problem)) from None
        lines = self._envelopes.changes(found)
        data = b"".join(lines)
        if lines:
            self._row_bytes = max(_LEAST_LINE / 4, 0.5 * self._row_bytes + 0.5 * len(data) / len(lines))
        full = len(found) >= rows
        reached = place.at(from_bytes(found[-1][0]), from_bytes(found[-1][1])) if full else place.at(upto)
        return Page(data, len(lines), reached, full)

    def _explain(self, database: Database, place: Place) -> None:
        """Why the server did not accept the range: error 313 says nothing of it. Raises Gap, DeniedError."""
        ((low,),) = database.rows(statements.MIN_LSN, self.instance.name)
        lowest = from_bytes(low)
        if not lowest:
            raise DeniedError(
                f"Could not read the changes of {self.table}",
                f"the capture instance {self.instance.name} no longer exists, or this login cannot read it: it "
                "needs SELECT on the table's captured columns and membership in the gating role"
                + (f" {self.instance.role}" if self.instance.role else ""),
            )
        if place.first < lowest:
            raise lost(self.table, self.instance, place, lowest)


def lost(table: Table, instance: Instance, place: Place, lowest: int) -> Gap:
    """The error for changes that cleanup removed before they were read."""
    from dstream_mssql.lsn import to_hex

    return Gap(
        "Changes were lost",
        f"{table.full}: the checkpoint is at {to_hex(place.lsn)}, and {instance.name} begins at {to_hex(lowest)}: "
        "cleanup removed what lies between, or CDC was enabled again. To empty the target's table and read it again, "
        "set "
        'on_gap = "snapshot"; to continue despite the gap, reset the checkpoint. A longer retention '
        "(sys.sp_cdc_change_job) gives a stopped task more time.",
    )


def _size(column: Column) -> int:
    if column.large:
        return _LARGE
    return len(column.name) + 4 + min(column.length or 16, _MOST_OF_A_COLUMN)
