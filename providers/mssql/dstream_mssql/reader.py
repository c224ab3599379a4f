"""Reader: reads a table's changes from a capture instance in pages.

A page has the first rows after a position, and every row that shares (LSN, command, sequence) with its last one, as the
two rows of an update do. The end of a page is a position to continue from, also within a transaction. Microsoft
documents that `__$command_id` orders the changes of a transaction, and the sequence does not. Only the change table has
that column, so the table is read directly, along its clustered index. Change tables of servers without KB 3030352 lack
the column; these are read through the function, in the order of the sequence.
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
from dstream_mssql.position import TablePosition
from dstream_mssql.settings import InputSettings
from dstream_mssql.tds_rows import RowBytes
from dstream_sdk import DeniedError, InvalidError, ProviderError, log

_LEAST_LINE, _MOST_OF_A_COLUMN, _LARGE = 200, 256, 32_768


class Gap(ProviderError):
    """Changes were removed before they were read."""


@dataclass(frozen=True, slots=True)
class Page:
    """Lines with their count, and the position after them. `full` means that more changes follow."""

    lines: bytes
    count: int
    position: TablePosition
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
            self.key = ()  # part of a key does not identify a row
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
        """Return how many rows fit in `batch_bytes`, by the average size of the rows so far."""
        return max(1, min(self._config.max_batch_rows, int(self._config.batch_bytes / self._row_bytes)))

    def page(self, database: Database, position: TablePosition, upto: int, most: int | None = None) -> Page:
        """Return the next page after `position`, up to the LSN `upto`. Raises Gap, ProviderError."""
        rows = self.batch_rows() if most is None else max(1, min(most, self.batch_rows()))
        if position.command is not None and not self.instance.command_ids:
            log(f"{self.table.full}: delivers the transaction {to_hex(position.lsn)} again from its beginning")
            position = position.before_transaction()
        # A position of an earlier version, within a transaction and without a command: finish it by sequence.
        numbered = self.instance.command_ids and (position.seq is None or position.command is not None)
        if self.instance.command_ids and not numbered:
            upto = position.lsn
        found = self._rows(database, position, upto, rows, numbered=numbered)
        lines = self._envelopes.changes(found)
        data = b"".join(lines)
        if lines:
            self._row_bytes = max(_LEAST_LINE / 4, 0.5 * self._row_bytes + 0.5 * len(data) / len(lines))
        if len(found) < rows:
            return Page(data, len(lines), position.at(upto), full=False)
        lsn, seq, _, _, command, *_ = found[-1]
        reached = position.at(from_bytes(lsn), from_bytes(seq), int.from_bytes(command, "little") if numbered else None)
        return Page(data, len(lines), reached, full=True)

    def _rows(self, database: Database, position: TablePosition, upto: int, rows: int, *, numbered: bool) -> list[Any]:
        """Return the decoded rows of a page. Raises Gap, ProviderError."""
        within = position.seq is not None
        parameters: list[object] = [rows, to_bytes(position.first), to_bytes(upto)]
        if numbered and position.command is not None:
            parameters.append(position.command)
        if position.seq is not None:
            parameters.append(to_bytes(position.seq))
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
                self._check_complete(database, position)
        except RangeError as problem:
            self._explain(database, position)
            raise ProviderError(problem.summary, problem.detail) from None
        except InvalidError as problem:
            # The statement was valid when the session started; the next session reads the catalog again.
            raise ProviderError(problem.summary, problem.detail) from None
        except LookupError as problem:
            raise ProviderError(f"Could not read the changes of {self.table}", str(problem)) from None
        return found

    def _check_complete(self, database: Database, position: TablePosition) -> None:
        """Check that cleanup has not passed `position`. Raises Gap, ProviderError.

        A change table returns the remaining rows without an error. Cleanup advances the start LSN before it removes
        rows, so a start LSN at or before `position` after the read proves that the page is complete.
        """
        found = database.rows(statements.BEGINNING, self.instance.object_id)
        if not found:
            raise ProviderError(
                f"Could not read the changes of {self.table}",
                f"the capture instance {self.instance.name} was disabled, or created again",
            )
        lowest = from_bytes(found[0][0])
        if position.first < lowest:
            raise lost(self.table, self.instance, position, lowest)

    def _explain(self, database: Database, position: TablePosition) -> None:
        """Find out why the server rejected the range, which error 313 does not tell. Raises Gap, DeniedError."""
        ((low,),) = database.rows(statements.MIN_LSN, self.instance.name)
        lowest = from_bytes(low)
        if not lowest:
            raise DeniedError(
                f"Could not read the changes of {self.table}",
                f"the capture instance {self.instance.name} no longer exists, or this login cannot read it: it "
                "needs SELECT on the table's captured columns and membership in the gating role"
                + (f" {self.instance.role}" if self.instance.role else ""),
            )
        if position.first < lowest:
            raise lost(self.table, self.instance, position, lowest)


def lost(table: Table, instance: Instance, position: TablePosition, lowest: int) -> Gap:
    """Return the error for changes that cleanup removed before they were read."""
    return Gap(
        "Changes were lost",
        f"{table.full}: the checkpoint is at {to_hex(position.lsn)}, and {instance.name} starts at {to_hex(lowest)}: "
        "cleanup removed the changes in between, or CDC was enabled again. To empty the target's table and read it "
        'again, set on_gap = "snapshot"; to continue despite the gap, reset the checkpoint. A longer retention '
        "(sys.sp_cdc_change_job) gives a stopped task more time.",
    )


def _size(column: Column) -> int:
    if column.large:
        return _LARGE
    return len(column.name) + 4 + min(column.length or 16, _MOST_OF_A_COLUMN)
