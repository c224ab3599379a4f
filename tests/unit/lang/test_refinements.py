"""What is known of unknown values, held against what OpenTofu 1.12.6 plans for the same outputs.

In OpenTofu `u` was `terraform_data.a.id` of an object that is to be created: a text that is not null.
"""

import json

import pytest

from dstream.config import parse_expression
from dstream.lang import Scope, Sensitive, Unknown, evaluate
from dstream.lang.types import STRING

OPENTOFU = """
true     "a-${u}" != null
false    "a-${u}" == null
true     u != null
false    upper(u) == null
false    "a-${u}" == "b-x"
unknown  "a-${u}" == "a-x"
true     "a-${u}" != "b-x"
true     startswith("a-${u}", "a-")
false    startswith("a-${u}", "b")
unknown  startswith("a-${u}", "a-b")
unknown  startswith("ab${u}", "ab")
true     startswith("ab${u}", "a")
true     startswith(format("a-%s", u), "a-")
2        length(sort(["b", u]))
2        length(reverse(["b", u]))
unknown  length(distinct(["b", u]))
3        length(concat(["b", u], ["c"]))
3        length(concat(sort(["b", u]), ["c"]))
unknown  length(toset(["b", u]))
1        length(toset([u]))
unknown  length(keys({(u) = 1}))
2        length(u == "x" ? ["a", "b"] : ["c", "d"])
unknown  length(u == "x" ? ["a", "b"] : ["c"])
false    (u == "x" ? ["a", "b"] : ["c"]) == null
false    (u == "x" ? "a" : "b") == null
unknown  (u == "x" ? "a" : null) == null
true     (u == "x" ? null : null) == null
false    (u == "x") == null
false    length(u) == null
unknown  length(split(",", u))
2        length([for x in ["a", u] : x])
2        length([for x in sort(["a", u]) : x])
unknown  length([for x in ["a", u] : x if x != "q"])
unknown  [for x in ["a", u] : x if x != "q"] == null
unknown  length(compact(["a", u]))
1        length(values({a = u}))
4        length(setproduct(["a", u], ["c", "d"]))
2        length(flatten([["a"], u]))
false    coalesce(u, "x") == null
2        length(u == "x" ? toset(["a", "b"]) : toset(["c", "d"]))
false    "${u}-a" == null
false    "a-${u}" == "a"
false    "a-%{if u == "x"}b%{endif}" == null
true     startswith("a-%{if u == "x"}b%{endif}", "a-")
unknown  startswith("a-%{for q in [u]}b${q}%{endfor}", "a-b")
unknown  tostring("a-${u}") == null
false    jsonencode({a = u}) == null
true     startswith(jsonencode({a = u}), "{")
true     startswith(jsonencode([u]), "[")
false    startswith(jsonencode(u), "{")
false    join("-", ["a", u]) == null
unknown  startswith(join("-", ["a", u]), "a")
2        length(slice(["a", u, "c"], 0, 2))
unknown  length(range(u == "x" ? 1 : 2))
false    lookup({a = u}, "a", "z") == null
false    timestamp() == null
false    -length(u) == null
false    [u] == null
false    {a = u} == null
false    [u] == []
unknown  [u, "x"] == ["y", "z"]
unknown  "a" == u
2        length(chunklist(["a", u, "c"], 2))
2        length(merge({a = 1}, {b = u}))
false    max(length(u), 3) == null
true     tomap({a = 1, b = trim(u, "a")}).a == "1"
true     (true ? 1 : upper(u)) == "1"
false    (true ? 1 : length(u)) == "1"
false    tolist(["a", "b"])[length(u)] == 1
true     tolist([1, upper(u)])[0] == "1"
true     tolist([1, length(u)])[0] == 1
false    split(",", u)[0] == 1
false    element(tolist(["a"]), length(u)) == 1
false    element(tolist([1]), length(u)) == "1"
false    lookup(tomap({a = 1}), u, 2) == "2"
false    distinct(split(",", u))[0] == 1
false    sort([u, "b"])[0] == 1
true     tolist([true, startswith(u, "a")])[0] == true
true     tolist([md5(u), 1])[1] == "1"
false    (length(u) > 100 ? upper(u) : 1) == 1
false    range(length(u))[0] == "1"
false    slice(split(",", u), 0, 1)[0] == 1
"""
ROWS = [(line[:8].strip(), line[9:]) for line in OPENTOFU.strip().splitlines()]
KNOWN_TO_US = {
    '[u, "x"] == ["y", "z"]': False,
    '[for x in ["a", u] : x if x != "q"] == null': False,
}
"""What OpenTofu does not know, and we do."""


def value(text: str, **names: object) -> object:
    u = Unknown(STRING, not_null=True)
    return evaluate(parse_expression(text, "x"), Scope({"u": u, **names}))


@pytest.mark.parametrize(("known", "text"), ROWS, ids=[text for _, text in ROWS])
def test_what_opentofu_knows_is_known_and_the_same(known: str, text: str) -> None:
    found = value(text)
    if known != "unknown":
        assert found == json.loads(known) and not isinstance(found, Unknown)
    elif text in KNOWN_TO_US:
        assert found is KNOWN_TO_US[text]
    else:
        assert isinstance(found, Unknown)


@pytest.mark.parametrize("start", ["a", "ab", "e", "a\N{COMBINING ACUTE ACCENT}"])
def test_a_start_may_change_with_what_follows_it(start: str) -> None:
    # "e" and a combining accent are one other character: what is known ends before the last letter.
    assert isinstance(value(f'startswith("{start}${{u}}", "{start}")'), Unknown)


def test_what_is_known_of_a_sensitive_value_is_sensitive() -> None:
    secret = Sensitive(Unknown(STRING, not_null=True), {"var s"})
    assert value('"a-${s}" == null', s=secret) == Sensitive(False, {"var s"})
    assert isinstance(value('"a-${s}"', s=secret), Sensitive)


def test_a_count_that_asks_for_null_is_known() -> None:
    assert value('"prefix-${u}" != null ? 1 : 0') == 1
    assert isinstance(value("v != null ? 1 : 0", v=Unknown()), Unknown)
