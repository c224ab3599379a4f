"""Reader: one page of one table's changes, from a capture instance to lines.

A page is what the server finds first after a place, and all that shares the last row's (LSN, command, sequence), as the
two rows of an update do. Where a page ends is a place to go on from, within a transaction too. Microsoft says to order
by the command, and not by the sequence. Only the change table itself has the command, so it is read directly, along its
clustered index. Change tables of servers without KB 3030352 have no command: there the function is asked, by sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dstream_mssql import statements
from dstream_mssql.catalog import Column, Instance, Source
from dstream_mssql.database import Database
from dstream_mssql.decoder import Decoder
from dstream_mssql.envelopes import Envelopes
from dstream_mssql.errors import RangeError
from dstream_mssql.lsn import from_bytes, to_bytes, to_hex
from dstream_mssql.names import Table
from dstream_mssql.position import Place
from dstream_mssql.settings import InputSettings
from dstream_mssql.tds_rows import RowBytes
from dstream_sdk import DeniedError, InvalidError, ProviderError, log

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
        self._numbered = {
            within: statements.changes(instance.name, listed, self.key, within=within) for within in (False, True)
        }
        self._by_function = {
            within: statements.changes_by_function(instance.name, listed, self.key, within=within)
            for within in (False, True)
        }
        self._decoder: Decoder | None = None
        self._row_bytes = float(max(_LEAST_LINE, sum(_size(one) for one in self.columns)))

    def batch_rows(self) -> int:
        """How many rows a page of `batch_bytes` has, by what rows have turned out to need."""
        return max(1, min(self._config.max_batch_rows, int(self._config.batch_bytes / self._row_bytes)))

    def page(self, database: Database, place: Place, upto: int, most: int | None = None) -> Page:
        """The next page after `place`, of what is captured up to `upto`. Raises Gap, ProviderError."""
        rows = self.batch_rows() if most is None else max(1, min(most, self.batch_rows()))
        if place.command is not None and not self.instance.command_ids:
            log(f"{self.table.full}: delivers the transaction {to_hex(place.lsn)} again from its beginning")
            place = place.before_transaction()
        # A place of an earlier version, within a transaction and without a command: on by sequence to its end.
        numbered = self.instance.command_ids and (place.seq is None or place.command is not None)
        if self.instance.command_ids and not numbered:
            upto = place.lsn
        found = self._rows(database, place, upto, rows, numbered=numbered)
        lines = self._envelopes.changes(found)
        data = b"".join(lines)
        if lines:
            self._row_bytes = max(_LEAST_LINE / 4, 0.5 * self._row_bytes + 0.5 * len(data) / len(lines))
        if len(found) < rows:
            return Page(data, len(lines), place.at(upto), full=False)
        lsn, seq, _, _, command, *_ = found[-1]
        reached = place.at(from_bytes(lsn), from_bytes(seq), int.from_bytes(command, "little") if numbered else None)
        return Page(data, len(lines), reached, full=True)

    def _rows(self, database: Database, place: Place, upto: int, rows: int, *, numbered: bool) -> list[Any]:
        """The rows of a page, decoded. Raises Gap, ProviderError."""
        within = place.seq is not None
        parameters: list[object] = [rows, to_bytes(place.first), to_bytes(upto)]
        if numbered and place.command is not None:
            parameters.append(place.command)
        if place.seq is not None:
            parameters.append(to_bytes(place.seq))
        statement = (self._numbered if numbered else self._by_function)[within]
        try:
            with database.errors(f"read the changes of {self.table}"):
                source = RowBytes(database.execute(statement, *parameters))
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
            if numbered:
                self._check_complete(database, place)
        except RangeError as problem:
            self._explain(database, place)
            raise ProviderError(problem.summary, problem.detail) from None
        except InvalidError as problem:
            # It was right when the session began: the next one looks again at what there is.
            raise ProviderError(problem.summary, problem.detail) from None
        except LookupError as problem:
            raise ProviderError(f"Could not read the changes of {self.table}", str(problem)) from None
        return found

    def _check_complete(self, database: Database, place: Place) -> None:
        """Whether cleanup has come to `place` by now. Raises Gap, ProviderError.

        A change table returns what is left without an error. Since cleanup moves the beginning before it removes rows,
        one that is still at or before `place` after the page was read means that the page has them all.
        """
        found = database.rows(statements.BEGINNING, self.instance.object_id)
        if not found:
            raise ProviderError(
                f"Could not read the changes of {self.table}",
                f"the capture instance {self.instance.name} was disabled, or created again",
            )
        lowest = from_bytes(found[0][0])
        if place.first < lowest:
            raise lost(self.table, self.instance, place, lowest)

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
