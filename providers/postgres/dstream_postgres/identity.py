"""Identity: the tables whose replica identity lets the log identify an updated or deleted row.

PostgreSQL refuses UPDATE and DELETE on a table that does not, as soon as a publication publishes them. What counts are
the table itself, or the partitions that hold its rows.
"""

IDENTIFIED = (
    "(p.relreplident = 'f'"
    " OR (p.relreplident = 'd' AND EXISTS (SELECT FROM pg_index x WHERE x.indrelid = p.oid AND x.indisprimary))"
    " OR (p.relreplident = 'i' AND EXISTS (SELECT FROM pg_index x WHERE x.indrelid = p.oid AND x.indisreplident)))"
)
"""SQL: whether the row `p` of pg_class is of such a table."""

HOLDERS = (
    "pg_class p WHERE p.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf)"
    " OR (p.oid = c.oid AND c.relkind = 'r')"
)
"""SQL: the rows `p` of pg_class of the tables that hold the rows of the table `c`."""

UNIDENTIFIED = (
    "SELECT n.nspname, c.relname"  # noqa: S608 - made of constants
    " FROM unnest(%s::text[], %s::text[]) AS t(schema, name)"
    " JOIN pg_namespace n ON n.nspname = t.schema"
    " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name AND c.relkind IN ('r', 'p')"
    f" WHERE NOT (SELECT coalesce(bool_and({IDENTIFIED}), true) FROM {HOLDERS}) ORDER BY 1, 2"
)
"""SQL: schema and name of those of the given tables (two lists) that are not identified."""
