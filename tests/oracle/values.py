"""Values: literals of every type of the server's catalogue, the odd ones among them.

A literal is the text that the type's input function takes. `KEYS` names types that make good keys: their equality is
that of their text.
"""

# ruff: noqa: E501 - tables of literals
from __future__ import annotations

TEXTS = (
    "", " ", "a", "NULL", "null", "é", "日本", "e\u0301", "\U0001f600", "a\tb", "a\nb", "a\r\nb", "\\", "\\N", "\\.", '"',
    "'", "''", "%s", "disc%", "{}", "{1,2}", "a,b", "\x01", "\x7f", "\u2028", "$1", "x" * 300,
)  # fmt: skip

JSON = (
    "{}", "[]", "1", "1.50", "true", '"x"', '"\\\\"', '{"a": {"b": [1, 2.50, null]}}', '"\\u00fc"', "[[[[[[]]]]]]",
    '{"metadata": {"data": "}"}}', '"%s"', "12345678901234567890123.4500", '{"a":\t1}', '{"\\"": "\\t"}',
)  # fmt: skip

SAMPLES: dict[str, tuple[str, ...]] = {
    "boolean": ("true", "false"),
    "smallint": ("0", "-32768", "32767"),
    "integer": ("0", "1", "-2147483648", "2147483647"),
    "bigint": ("0", "-9223372036854775808", "9223372036854775807"),
    "numeric": ("0", "1.0", "1.00", "-0.5", "NaN", "Infinity", "-Infinity", "12345678901234567890.123456789", "1e309", "1e-300"),
    "numeric(10,2)": ("0", "1.1", "-99999999.99"),
    "real": ("0", "-0", "1.5", "NaN", "Infinity", "-Infinity", "1e-45", "3.4028235e38", "0.1"),
    "double precision": ("0", "-0", "0.1", "NaN", "Infinity", "-Infinity", "5e-324", "1.7976931348623157e308"),
    "money": ("0", "-12.34", "92233720368547758.07"),
    "text": TEXTS,
    "character varying(400)": TEXTS,
    "character(5)": ("", "a", "abcde", "é", "a  "),
    '"char"': ("a", "", "\\200"),
    "name": ("", "a b", 'q"'),
    "bytea": ("", "\\x00ff", "\\x5c27", "\\x0a"),
    "date": ("2026-02-28", "0044-03-15 BC", "infinity", "-infinity", "5874897-12-31"),
    "time without time zone": ("00:00:00", "24:00:00", "12:34:56.789012"),
    "time with time zone": ("00:00:00+15:59", "12:34:56.789-08"),
    "timestamp without time zone": ("2026-02-28 10:00:00.000001", "infinity", "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59"),
    "timestamp with time zone": ("2026-02-28 10:00:00+05:30", "-infinity", "0001-01-01 00:00:00+00 BC"),
    "timestamp(0) without time zone": ("2026-02-28 10:00:00",),
    "interval": ("0", "1 year -2 mons +3 days -04:05:06.789", "178000000 years", "infinity"),
    "uuid": ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"),
    "json": (*JSON, '{"a": 1, "a": 2}', '{"a": "\\u0000"}', '"\\ud800"', "1e400", "[" * 1100 + "]" * 1100),
    "jsonb": (*JSON, "1e400", "null", '{"a": null}', "[" * 1100 + "]" * 1100),
    "jsonpath": ("$.a", '$."x y"[*] ? (@ > 1)'),
    "xml": (),
    "bit(3)": ("101", "000"),
    "bit varying(70)": ("", "1", "0" * 65),
    "inet": ("127.0.0.1", "::1/64", "10.0.0.1/8"),
    "cidr": ("10.0.0.0/8", "2001:db8::/32"),
    "macaddr": ("08:00:2b:01:02:03",),
    "macaddr8": ("08:00:2b:01:02:03:04:05",),
    "point": ("(1,2)", "(NaN,Infinity)"),
    "line": ("{1,2,3}",),
    "lseg": ("[(1,2),(3,4)]",),
    "box": ("(3,4),(1,2)",),
    "path": ("((1,2),(3,4))", "[(1,2)]"),
    "polygon": ("((1,2),(3,4),(5,6))",),
    "circle": ("<(1,2),3>",),
    "tsvector": ("'a':1A 'b''c':2", ""),
    "tsquery": ("'a' & !'b'", ""),
    "pg_lsn": ("0/0", "FFFFFFFF/FFFFFFFF"),
    "pg_snapshot": ("10:20:10,14",),
    "txid_snapshot": ("10:20:10,14",),
    "xid": ("0", "4294967295"),
    "xid8": ("0", "18446744073709551615"),
    "cid": ("7",),
    "tid": ("(4294967295,65535)",),
    "oid": ("0", "4294967295"),
    "oidvector": ("", "1 2 3"),
    "int2vector": ("1 2",),
    "refcursor": ("a b",),
    "regtype": ("integer", "-"),
    "regclass": ("pg_class",),
    "regproc": ("now",),
    "regprocedure": ("now()",),
    "regoper": ("||/",),
    "regoperator": ("+(integer,integer)",),
    "regrole": ("-",),
    "regnamespace": ("pg_catalog",),
    "regconfig": ("simple",),
    "regdictionary": ("simple",),
    "regcollation": ('"C"',),
    "aclitem": ("postgres=r/postgres",),
    "int4range": ("empty", "[1,5)", "(,)"),
    "int8range": ("[1,5)",),
    "numrange": ("[1.50,2]", "(,1)"),
    "tsrange": ('["2026-01-01 00:00:00",)',),
    "tstzrange": ('["2026-01-01 00:00:00+00","2026-01-02 00:00:00+00")',),
    "daterange": ("[2026-01-01,2026-02-01)", "empty"),
    "int4multirange": ("{}", "{[1,3),[5,9)}"),
    "int8multirange": ("{[1,3)}",),
    "nummultirange": ("{[1.0,3)}",),
    "tsmultirange": ('{["2026-01-01 00:00:00",)}',),
    "tstzmultirange": ('{["2026-01-01 00:00:00+00",)}',),
    "datemultirange": ("{[2026-01-01,2026-02-01)}",),
    "integer[]": ("{}", "{1,NULL}", "{{1,2},{3,4}}", "[0:1]={1,2}"),
    "text[]": ("{}", '{"a,b","\\"","\\\\",NULL,"NULL",""}', "{{a},{b}}"),
    "numeric(6,3)[]": ("{1.5,NULL}",),
    "jsonb[]": ('{"{\\"a\\": [1]}",NULL}',),
    "bytea[]": ('{"\\\\x00ff"}',),
    "timestamp with time zone[]": ('{"2026-01-01 00:00:00+00"}',),
    # Made by the schema itself:
    "mood": ("sad", "so so", 'o"h', "é%"),
    "positive": ("1", "2147483647"),
    "short_text": ("ab", ""),
    "pair": ('(1,"a,b")', "(,)", '(2,"""")'),
    "mood[]": ('{sad,"so so"}',),
    "pair[]": ('{"(1,\\"a,b\\")"}',),
    "doc": ('{"a": [1, "\\u00fc"]}', '"x"'),
    "floatrange": ("[0.5,1.5)",),
}  # fmt: skip

OWN_TYPES = (
    "CREATE TYPE mood AS ENUM ('sad', 'so so', 'o\"h', 'é%')",
    "CREATE DOMAIN positive AS integer CHECK (VALUE > 0)",
    "CREATE DOMAIN short_text AS character varying(3)",
    "CREATE TYPE pair AS (n integer, t text)",
    "CREATE DOMAIN doc AS jsonb",
    "CREATE TYPE floatrange AS RANGE (subtype = double precision, multirange_type_name = floatmultirange)",
)

KEYS = ("integer", "bigint", "text", "numeric", "uuid", "date", "character(5)", "bytea", "positive", "mood", "integer[]",
        "timestamp with time zone", "double precision", "boolean", "inet", "jsonb", "numrange", "name")  # fmt: skip
"""Types of key columns: btree has an operator class for them."""

NO_EQUALITY = frozenset(
    ("json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle", "jsonpath", "txid_snapshot",
     "pg_snapshot", "aclitem", "refcursor", "cid", "xid")
)  # fmt: skip
"""Types without a default btree equality: native replication finds no row by them."""

NOT_STORED = frozenset(
    ("pg_node_tree", "pg_ndistinct", "pg_dependencies", "pg_mcv_list", "pg_brin_bloom_summary",
     "pg_brin_minmax_multi_summary", "gtsvector")
)  # fmt: skip
"""Types that take no value from outside."""


def array_of(name: str) -> str:
    """The array type over a type; an array stays what it is."""
    return name if name.endswith("[]") else f"{name}[]"


def literals(name: str) -> tuple[str, ...]:
    """Literals of a type: its samples, or arrays of those of its elements."""
    if name in SAMPLES:
        return SAMPLES[name]
    elements = SAMPLES[name.removesuffix("[]")]
    mark = ";" if name == "box[]" else ","
    listed = [_quoted(element) for element in elements]
    nested = mark.join("{" + mark.join(pair) + "}" for pair in ((listed[0], "NULL"), ("NULL", listed[-1])))
    return ("{}", "{" + mark.join(listed) + "}", "{" + nested + "}")


def _quoted(element: str) -> str:
    return '"' + element.replace("\\", "\\\\").replace('"', '\\"') + '"'
