"""Schema: random tables out of a seed, with the DDL that makes them.

Tables are made alike in the source and in both databases that follow.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.oracle.values import KEYS, NO_EQUALITY, OWN_TYPES, SAMPLES, array_of

NAMES = ("orders", "disc%", "Ünï", "select", "tab le", "%s", "back\\slash", "it's", "$1", "l" * 63, "{x}", "data",
         "a.b", 'q"q', "UPPER", ".", " lead", "x.y z", '"quoted"')  # fmt: skip
SCHEMAS = ("public", "public", "public", "sch%ema", "S p", "a.b", 'q"s', "Upper")
COLUMNS = (
    "v",
    "disc%",
    'q"q',
    "Größe",
    "order",
    "Key",
    "%(x)s",
    "data",
    "metadata",
    "b\\s",
    "c" * 63,
    "TableName",
    "x'y",
    "a.b",
    "UPPER",
    " ",
    "${x}",
)
SMALL = 40
"""Unique values come from so few that they are taken from one row and given to another all the time."""


def quote(name: str) -> str:
    """An identifier for SQL."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(slots=True)
class Column:
    """A column and what the workload may do with it: `kind` is plain, unique, toast, reference or computed."""

    name: str
    type: str
    kind: str = "plain"
    nullable: bool = True
    refers: Table | None = None
    fixed: bool = False
    """Whether it is an identity column."""

    @property
    def sql(self) -> str:
        return quote(self.name)


@dataclass(slots=True)
class Table:
    """A table. `key` are the columns of its replica identity, empty where that is the full row."""

    schema: str
    name: str
    columns: list[Column] = field(default_factory=list)
    key: tuple[Column, ...] = ()
    full: bool = False
    primary: bool = False
    leaves: list[Table] = field(default_factory=list)
    parent: Table | None = None
    identity: str = "primary"
    """primary, index, full or full with key."""

    @property
    def sql(self) -> str:
        return f"{quote(self.schema)}.{quote(self.name)}"

    @property
    def configured(self) -> str:
        """The name as the configuration takes it."""
        return self.sql

    @property
    def writable(self) -> list[Column]:
        """Columns that a statement may give a value."""
        return [column for column in self.columns if column.kind != "computed"]

    @property
    def only(self) -> str:
        """The table without its children, or with its partitions."""
        return self.sql if self.leaves else f"ONLY {self.sql}"


@dataclass(slots=True)
class Schema:
    """The tables of a seed. `by_root` says whether partitions are followed as their table, or each by its own name;
    `secured` are the tables whose rows a policy hides, in the source, from all who do not bypass it."""

    ddl: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    triggers: bool = False
    by_root: bool = False
    secured: list[Table] = field(default_factory=list)

    @property
    def followed(self) -> list[Table]:
        """The tables that the task names."""
        if self.by_root:
            return self.tables
        return [leaf for table in self.tables for leaf in (table.leaves or [table])]

    @property
    def references(self) -> bool:
        """Whether there are foreign keys."""
        return any(column.refers for table in self.tables for column in table.columns)

    @property
    def policies(self) -> list[str]:
        """The statements that hide rows of the secured tables, also from their owner.

        The policies of a partitioned table do not hold for who reads its partitions, so those have their own.
        """
        read = [each for table in self.secured for each in ([table] if self.by_root else table.leaves or [table])]
        return [
            statement
            for table in read
            for statement in (
                f"ALTER TABLE {table.sql} ENABLE ROW LEVEL SECURITY",
                f"ALTER TABLE {table.sql} FORCE ROW LEVEL SECURITY",
                f"CREATE POLICY none_at_all ON {table.sql} USING (false)",
            )
        ]


def make(seed: int) -> Schema:
    """The schema of a seed."""
    dice = random.Random(f"schema {seed}")
    schema = Schema(list(OWN_TYPES))
    names = dice.sample(NAMES, dice.randint(2, 4))
    for name in names:
        space = dice.choice(SCHEMAS)
        if space != "public":
            schema.ddl.append(f"CREATE SCHEMA IF NOT EXISTS {quote(space)}")
        schema.tables.append(_table(dice, schema, Table(space, name)))
    if dice.random() < 0.3:
        _trigger(dice, schema)
    schema.by_root = dice.random() < 0.5
    if dice.random() < 0.15:
        schema.secured = dice.sample(schema.tables, dice.randint(1, len(schema.tables)))
    return schema


def _table(dice: random.Random, schema: Schema, table: Table) -> Table:
    kind = dice.choices(("plain", "partitioned", "child"), (6, 1, 1))[0]
    names = dice.sample(COLUMNS, dice.randint(4, 9))
    parents = [each for each in schema.tables if not each.leaves and each.parent is None and not each.full]
    lines: list[str] = []
    after: list[str] = []
    identity = dice.choices(("primary", "index", "full", "full with key"), (6, 1, 2, 1))[0]
    if kind == "partitioned":
        identity = "primary"
    table.identity = identity
    key_types = [dice.choice(KEYS) for _ in range(dice.choice((1, 1, 1, 2)))]
    if kind == "partitioned":
        key_types[0] = "integer"
    if dice.random() < 0.4:
        key_types[0] = "integer"
    keys = []
    for number, type_name in enumerate(key_types):
        column = Column(names[number], type_name, "plain", nullable=False)
        keys.append(column)
        generated = ""
        if type_name in ("integer", "bigint") and dice.random() < 0.3 and kind != "partitioned":
            column.fixed = True
            generated = dice.choice((" GENERATED ALWAYS AS IDENTITY", " GENERATED BY DEFAULT AS IDENTITY"))
        lines.append(f"{column.sql} {type_name}{generated} NOT NULL")
    others = [
        name for name in SAMPLES
        if SAMPLES[name] and not (identity == "full" and name in NO_EQUALITY and dice.random() < 0.9)
    ]  # fmt: skip
    columns = []
    for name in names[len(keys) :]:
        column = Column(name, dice.choice(others))
        if dice.random() < 0.12:
            column.type = array_of(column.type)
        if dice.random() < 0.2:
            column.kind, column.type = "toast", dice.choice(("text", "jsonb", "bytea"))
            after.append(f"ALTER TABLE {table.sql} ALTER {column.sql} SET STORAGE EXTERNAL")
        lines.append(f"{column.sql} {column.type}")
        columns.append(column)
    table.columns = [*keys, *columns]
    if dice.random() < 0.3 and not identity.startswith("full"):  # the source refuses to update such a table
        computed = Column("computed", "text", "computed")
        stored = dice.choice(("STORED", "VIRTUAL")) if kind != "child" else "STORED"
        lines.append(f"computed text GENERATED ALWAYS AS ({keys[0].sql} || '!') {stored}" if keys[0].type in _TEXTUAL
                     else f"computed integer GENERATED ALWAYS AS (1) {stored}")  # fmt: skip
        table.columns.append(computed)
    if dice.random() < 0.2 and kind == "plain":
        always = Column("counted", "integer", "computed")
        lines.append("counted integer GENERATED ALWAYS AS IDENTITY")
        table.columns.append(always)
    names_of_key = ", ".join(column.sql for column in keys)
    if identity in ("primary", "full with key"):
        lines.append(f"PRIMARY KEY ({names_of_key})")
        table.primary = True
        table.key = tuple(keys)
    if identity == "index":
        index = quote(f"{table.name[:20]} identity")
        after += [
            f"CREATE UNIQUE INDEX {index} ON {table.sql} ({names_of_key})",
            f"ALTER TABLE {table.sql} REPLICA IDENTITY USING INDEX {index}",
        ]
        table.key = tuple(keys)
    if identity.startswith("full"):
        after.append(f"ALTER TABLE {table.sql} REPLICA IDENTITY FULL")
        table.full = identity == "full"
    if kind == "plain" and dice.random() < 0.75:
        _unique(dice, table, lines, after)
    if kind == "plain" and dice.random() < 0.4:
        target = dice.choice([*parents, table])
        if len(target.key) == 1 and not target.full:
            _reference(dice, table, target, lines, identity)
    if kind == "child" and parents:
        parent = dice.choice(parents)
        if not {column.name for column in parent.columns} & {column.name for column in table.columns}:
            table.parent = parent
            inherited = list(parent.columns)
            table.columns += [
                Column(each.name, each.type, "computed" if each.kind == "computed" else "plain") for each in inherited
            ]
            schema.ddl.append(f"CREATE TABLE {table.sql} ({', '.join(lines)}) INHERITS ({parent.sql})")
            schema.ddl += after
            return table
    if kind == "partitioned":
        schema.ddl.append(f"CREATE TABLE {table.sql} ({', '.join(lines)}) PARTITION BY HASH ({keys[0].sql})")
        for number in range(2):
            leaf = Table(table.schema, f"{table.name[:40]} p{number}", table.columns, table.key)
            table.leaves.append(leaf)
            schema.ddl.append(
                f"CREATE TABLE {leaf.sql} PARTITION OF {table.sql} FOR VALUES WITH (MODULUS 2, REMAINDER {number})"
            )
        schema.ddl += after
        return table
    schema.ddl.append(f"CREATE TABLE {table.sql} ({', '.join(lines)})")
    schema.ddl += after
    return table


_TEXTUAL = ("text",)


def _unique(dice: random.Random, table: Table, lines: list[str], after: list[str]) -> None:
    """Add a unique column or constraint of some sort."""
    column = Column("taken", "integer", "unique")
    lines.append("taken integer")
    table.columns.append(column)
    sort = dice.choice(
        ("constraint", "deferrable", "deferred", "partial", "expression", "include", "exclusion", "nulls")
    )
    match sort:
        case "constraint":
            lines.append("UNIQUE (taken)")
        case "deferrable":
            lines.append("UNIQUE (taken) DEFERRABLE")
        case "deferred":
            lines.append("UNIQUE (taken) DEFERRABLE INITIALLY DEFERRED")
        case "partial":
            after.append(f"CREATE UNIQUE INDEX ON {table.sql} (taken) WHERE taken > 3")
        case "expression":
            after.append(f"CREATE UNIQUE INDEX ON {table.sql} ((taken / 2))")
        case "include":
            lines.append(f"UNIQUE (taken) INCLUDE ({table.columns[0].sql})")
        case "nulls":
            lines.append("UNIQUE NULLS NOT DISTINCT (taken)")
        case "exclusion":
            lines.append("EXCLUDE USING gist (int4range(taken, taken + 2) WITH &&)")


def _reference(dice: random.Random, table: Table, target: Table, lines: list[str], identity: str) -> None:
    """Add a foreign key to the table itself or an earlier one."""
    if target is table and identity == "index":
        return  # the index is made after the table
    if target is not table and not _has_primary_key(target):
        return
    column = Column("parent", target.key[0].type, "reference", refers=target)
    table.columns.append(column)
    lines.append(
        f"parent {column.type} REFERENCES {target.sql}"
        + dice.choice(("", " ON DELETE CASCADE", " ON DELETE SET NULL", " ON UPDATE CASCADE ON DELETE CASCADE"))
        + dice.choice(("", " DEFERRABLE", " DEFERRABLE INITIALLY DEFERRED"))
    )


def _has_primary_key(table: Table) -> bool:
    return table.primary


def _trigger(dice: random.Random, schema: Schema) -> None:
    """Add triggers that change the row and write to another table: their effects are in the stream already."""
    whole = [each for each in schema.tables if not each.leaves]
    if not whole:
        return
    table = dice.choice(whole)
    texts = [
        column
        for column in table.columns
        if column.type == "text" and column.kind == "plain" and column not in table.key
    ]
    schema.triggers = True
    log = Table("public", "trigger_log", [Column("n", "integer", "computed", nullable=False), Column("what", "text")])
    log.key = (log.columns[0],)
    schema.ddl += [
        "CREATE TABLE trigger_log (n integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, what text)",
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        " INSERT INTO public.trigger_log (what) VALUES (TG_OP); "
        + (f"NEW.{texts[0].sql} := coalesce(NEW.{texts[0].sql}, '') || '.'; " if texts else "")
        + "RETURN NEW; END$$",
        f"CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON {table.sql} FOR EACH ROW EXECUTE FUNCTION touch()",
    ]
    schema.tables.append(log)
