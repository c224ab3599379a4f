"""Unknown and sensitive values: both spread through expressions, and no error shows what is sensitive."""

import pytest

from dstream.config import parse_expression
from dstream.diagnostics import DiagnosticsError
from dstream.lang import (
    Scope,
    Sensitive,
    SetValue,
    Unknown,
    contains_unknown,
    evaluate,
    sensitive_paths,
    strip_sensitive,
)
from dstream.lang.scope import Surroundings
from dstream.lang.types import BOOL, NUMBER, STRING, Collection, ObjectType, TupleType

SECRET = "s3cr3t-value"
SCOPE = Scope(
    {
        "u": Unknown(),
        "s": Sensitive(SECRET, {"var s"}),
        "n": Sensitive(7, {"var n"}),
        "l": [1, Unknown(), 3],
        "o": {"a": Sensitive(SECRET, {"env A"}), "b": 2},
        "sl": Sensitive(["x", SECRET], {"var sl"}),
        "so": Sensitive({SECRET: 1}, {"var so"}),
    },
    surroundings=Surroundings(env={"SET": "value"}),
)


def value(text):
    return evaluate(parse_expression(text, "x"), SCOPE)


@pytest.mark.parametrize(
    "text",
    [
        "u", "u + 1", "-u", "!u", "u == 1", "u.a.b", "u[0]", "u[*].a", "[for x in u : x]", '"a${u}"', "upper(u)",
        "u ? 1 : 2", "l[1]", "{ (u) = 1 }", "contains(l, 5)", "u && true", "[for x in [1] : x if u]", "max(u...)",
        "sum(l)", "jsonencode(l)", "true ? u : 1", '"%{ if u }a%{ endif }"', "concat(u, [1])", "u < 2", "toset(u)",
    ],
)  # fmt: skip
def test_what_needs_an_unknown_value_is_unknown(text):
    assert isinstance(value(text), Unknown)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("length(l)", 3), ("l[0]", 1), ("false && u", False), ("true || u", True), ("u || true", True),
        ("try(u, 1) == 1 ? 1 : 2", None), ("keys({ a = u })", ["a"]), ("[u][*]", None),
        ("{ a = u }.a == u ? 1 : 2", None),
        ("merge({ a = u }, { b = 1 }).b", 1), ("false ? u : 1", 1), ("reverse(l)[0]", 3), ("element(l, 0)", 1),
        ("[1, u] == [2, u]", False), ("lookup({ a = 1, b = u }, \"a\")", 1),
        ("zipmap([\"a\"], [u])[\"a\"] == 1 ? 1 : 2", None),
    ],
)  # fmt: skip
def test_what_does_not_need_it_is_known(text, known):
    found = value(text)
    assert isinstance(found, Unknown | list) if known is None else found == known


@pytest.mark.parametrize(
    "text",
    [
        "s", '"a${s}"', "n + 1", "s == 1", "n > 1 ? 1 : 2", "upper(s)", "sl[0]", "so.nothing == null ? 1 : 2",
        "[for x in sl : x]", '{ "${s}" = 1 }', "join(\",\", [s])", "-n", "s != null && true",
        "{ for x in sl : x => x }",
        '"%{ if n > 1 }a%{ endif }"', '"%{ for x in sl }a%{ endfor }"', "jsonencode(o)", "toset([s])", "length(s)",
        "sl[*]", "[for x in [1] : x if n > 1]", "coalesce(s, \"x\")", "contains([s], \"x\")", 'env("SET")', "o.a",
    ],
)  # fmt: skip
def test_what_needs_a_sensitive_value_is_sensitive(text):
    if "nothing" in text:
        with pytest.raises(DiagnosticsError):
            value(text)
    else:
        assert isinstance(value(text), Sensitive)


def test_only_the_parts_that_need_it_are_sensitive():
    assert sensitive_paths(value("{ x = s, y = [1, s], z = o.b }")) == [(("x",), {"var s"}), (("y", 1), {"var s"})]
    assert value("o.b") == 2
    assert value("keys(o)") == ["a", "b"]
    assert value("nonsensitive(s)") == SECRET
    assert value('"${nonsensitive(s)}!"') == SECRET + "!"


def test_origins_are_gathered():
    assert value('"${s}${o.a}${env("SET")}"').origins == {"var s", "env A", "env SET"}
    assert value("[s, n][*]")[1].origins == {"var n"}


def test_a_sensitive_unknown_is_both():
    found = evaluate(parse_expression("x + 1", "x"), Scope({"x": Sensitive(Unknown(), {"var x"})}))
    assert isinstance(found, Sensitive) and isinstance(found.value, Unknown)


@pytest.mark.parametrize(
    "text",
    [
        "1 + s", "s + 1", "-s", "!s", "so.nothing", 'so["nothing"]', "sl[9]", "sl[s]", "{ for x in [1, 2] : s => x }",
        "tonumber(s)", "parseint(s, 10)", "jsondecode(s)", "s ? 1 : 2", "s && true", "abs(s)", "cidrhost(s, 1)",
        "timeadd(s, \"1h\")", "regex(\"x\", s)", "tobool([s])", "max([s]...)", "formatdate(\"YYYY\", s)",
        "base64decode(s)",
        "lookup(so, \"x\")", "uuidv5(s, \"x\")", "index(sl, \"q\")", "[for x in n : x]", "s.a", "s[0]", "file(s)",
        "format(\"%d\", s)", "setproduct(s, [])", "o.a.b", "sum([s])", "transpose({ a = [[s]] })",
        "{ for x in sl : x.y => 1 }",
        "o.a < 1", "\"a${so}\"", "textencodebase64(\"x\", s)", "templatestring(s, {}).x",
    ],
)  # fmt: skip
def test_no_error_shows_a_sensitive_value(text):
    with pytest.raises(DiagnosticsError) as caught:
        value(text)
    assert all(SECRET not in f"{d.summary} {d.detail}" for d in caught.value.diagnostics)
    assert SECRET not in str(caught.value)


def test_printing_a_sensitive_value_shows_nothing():
    assert SECRET not in repr(value("{ x = s, y = toset([s]) }"))
    assert SECRET not in f"{value('s')} {[value('s')]}"


def test_the_marks_come_off_at_any_depth():
    assert strip_sensitive(value("{ x = [s], y = toset([s]) }")) == {"x": [SECRET], "y": SetValue([SECRET])}


@pytest.mark.parametrize(
    "text",
    [
        "text.name", "text[0]", "-flag", "!amount", "-names", "[for x in text : x]", "names[*].name", "amount + \"x\"",
        '"x${names}"', "[1, 2][flag]", "{ a = 1 }[names]", "upper(names)", "join(\",\", text)", "text.*.name",
        '"%{ for x in flag }%{ endfor }"', "tolist(text)", "tonumber(flag)",
    ],
)  # fmt: skip
def test_what_is_known_of_an_unknown_value_is_enough_for_an_error(text):
    with pytest.raises(DiagnosticsError) as caught:
        evaluate(parse_expression(text, "x"), TYPED)
    assert caught.value.diagnostics[0].detail


@pytest.mark.parametrize(
    "text",
    ["upper(text)", "text + 1", "amount > 5", '"${text} ${amount} ${flag}"', "names[0]", "names[*]", "map[*].name",
     "map.name", "[for x in names : x]", "flag ? 1 : 2", "!flag", "names[amount]", "length(names)", "tolist(names)",
     "tostring(flag)", "contains(names, text)"],
)  # fmt: skip
def test_what_may_turn_out_right_is_unknown(text):
    assert contains_unknown(evaluate(parse_expression(text, "x"), TYPED))


TYPED = Scope(
    {
        "text": Unknown(STRING), "amount": Unknown(NUMBER), "flag": Unknown(BOOL),
        "names": Unknown(Collection("list", STRING)), "map": Unknown(Collection("map", STRING)),
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [("alltrue([false, flag])", False), ("anytrue([true, flag])", True), ('contains(["a", text], "a")', True)],
)
def test_what_is_decided_already_is_known(text, value):
    assert evaluate(parse_expression(text, "x"), TYPED) is value


@pytest.mark.parametrize("text", ["u ? 1 : [][0]", "u ? [][0] : 1", "u && [][0]", "u || [][0]", "u ? [][0] : [][1]"])
def test_an_error_in_what_may_not_count_is_none_while_the_condition_is_unknown(text):
    assert isinstance(value(text), Unknown)


def test_what_a_branch_may_give_stays_sensitive_if_the_other_one_fails():
    assert isinstance(value("u ? s : [][0]"), Sensitive)


@pytest.mark.parametrize("text", ["u ? 1 : nope", "u ? upp(1) : 1", "u && nope", "u || (u ? nope : true)"])
def test_a_name_that_does_not_exist_is_an_error_whatever_the_condition(text):
    with pytest.raises(DiagnosticsError) as caught:
        value(text)
    assert caught.value.diagnostics[0].summary in ("Unknown name", "Unknown function")


@pytest.mark.parametrize("text", ["[][0] && u", "true && [][0]", "false || [][0]", "true ? [][0] : 1", "[][0] ? 1 : 2"])
def test_an_error_in_what_counts_is_one(text):
    with pytest.raises(DiagnosticsError):
        value(text)


def test_what_a_type_says_of_a_value_that_is_not_known_is_kept():
    objects = Collection("list", ObjectType({"a": NUMBER}))
    scope = Scope({"l": Unknown(objects), "t": Unknown(TupleType((STRING, STRING))), "s": Sensitive("abc", {"x"})})
    splat = evaluate(parse_expression("l[*].a", "x"), scope)
    assert isinstance(splat, Unknown) and splat.type == Collection("list", NUMBER)
    assert evaluate(parse_expression("length(t)", "x"), scope) == 2
    assert evaluate(parse_expression("length(t[*])", "x"), scope) == 2
    assert isinstance(evaluate(parse_expression("length(l)", "x"), scope), Unknown)
    assert evaluate(parse_expression("length(s)", "x"), scope).origins == {"x"}
    with pytest.raises(DiagnosticsError):
        evaluate(parse_expression("l[*].b", "x"), scope)
