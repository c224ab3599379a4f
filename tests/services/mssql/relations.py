"""Change tables as relations: as the table itself, and as fn_cdc_get_all_changes_INSTANCE returns it.

The function has no __$command_id and no __$end_lsn; the table's clustered index is (__$start_lsn, __$command_id,
__$seqval, __$operation). See learn.microsoft.com: cdc-capture-instance-ct-transact-sql, and
cdc-fn-cdc-get-all-changes-capture-instance-transact-sql.
"""

from __future__ import annotations

from tests.services.mssql.change_table import Captured, Instance
from tests.services.mssql.model import lsn_bytes
from tests.services.mssql.query import Field, Relation
from tests.services.mssql.types import SqlType

_LSN, _INT = SqlType("binary", 10), SqlType("int", precision=10)
_START: Field = ("__$start_lsn", _LSN, True)
_REST: list[Field] = [
    ("__$seqval", _LSN, True),
    ("__$operation", _INT, True),
    ("__$update_mask", SqlType("varbinary", 128), True),
]


def _columns(instance: Instance) -> list[Field]:
    return [(column.name, column.type, True) for column in instance.columns]


def changes(instance: Instance, rows: list[Captured]) -> Relation:
    """What the function returns."""
    return Relation(
        [_START, *_REST, *_columns(instance)],
        [
            (lsn_bytes(one.start_lsn), lsn_bytes(one.seqval), one.operation, one.update_mask, *one.values)
            for one in rows
        ],
    )


def change_table(instance: Instance, *, command_ids: bool) -> Relation:
    """cdc.INSTANCE_CT."""
    fields: list[Field] = [_START, ("__$end_lsn", _LSN, True), *_REST, *_columns(instance)]
    last: list[Field] = [("__$command_id", _INT, True)] if command_ids else []
    return Relation(
        fields + last,
        [
            (
                lsn_bytes(one.start_lsn),
                None,
                lsn_bytes(one.seqval),
                one.operation,
                one.update_mask,
                *one.values,
                *((one.command_id,) if command_ids else ()),
            )
            for one in instance.rows
        ],
    )
