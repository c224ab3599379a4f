"""Variables and locals: where values come from, and what is said when they do not fit."""

import pytest

from dstream.config import load_text
from dstream.diagnostics import DiagnosticsError
from dstream.lang import Module, Sensitive, SetValue, Unknown, evaluate


def module(text, root=None, **given):
    given.setdefault("env", {})
    return Module(load_text(text, root=root), **given)


def variable(block, name="v", **given):
    return module(f'variable "{name}" {{\n{block}\n}}\n', **given).variables[name]


def problem(function, *arguments, **named):
    with pytest.raises(DiagnosticsError) as caught:
        function(*arguments, **named)
    return caught.value.diagnostics[0]


def local(text, name, **given):
    made = module(text, **given)
    return evaluate(made.config.locals[name].expr, made.scope())


@pytest.mark.parametrize(
    ("type_", "given", "value"),
    [
        ("string", "x", "x"), ("string", "[1]", "[1]"), ("number", "1.5", None), ("bool", "true", True), ("any",
        "x", "x"),
        ("any", "[1, 2]", [1, 2]), ("any", "5", 5),
        ("list(string)", '["a", 1]', ["a", "1"]), ("set(number)", "[2, 1, 2]", SetValue([1, 2])),
        ("map(bool)", '{ a = "true" }', {"a": True}), ("tuple([string, number])", '[1, "2"]', ["1", 2]),
        ("object({ a = string, b = optional(number, 5) })", "{ a = 1, c = 2 }", {"a": "1", "b": 5}),
        ("object({ a = optional(string) })", "{}", {"a": None}), ("list(object({ a = number }))",
        '[{ a = "1" }]', [{"a": 1}]),
        ("list(any)", '[1, "a"]', ["1", "a"]), ("map(list(string))", "{ a = [1] }", {"a": ["1"]}),
    ],
)  # fmt: skip
def test_a_value_given_as_text_becomes_the_type(type_, given, value):
    found = variable(f"type = {type_}", variables={"v": given})
    assert found == value if value is not None else str(found) == given


@pytest.mark.parametrize(
    ("type_", "given", "says"),
    [
        ("number", "x", "a number is required"), ("bool", "yes", "true or false"), ("list(number)",
        '["a"]', "[0]: a number"),
        ("object({ a = string })", "{}", '"a" required'), ("map(string)", "[1]", "a map is required, not a list"),
        ("tuple([string])", "[]", "1 elements is required"), ("object({ a = object({ b = number }) })",
        "{ a = { b = [] } }", "a.b"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_explained(type_, given, says):
    found = problem(variable, f"type = {type_}", variables={"v": given})
    assert (found.summary, found.subject.start.line) == ("Invalid value for a variable", 1)
    assert says in found.detail


def test_the_strongest_value_wins(tmp_path):
    text = 'variable "v" {\n  default = "default"\n}\n'
    assert module(text).variables["v"] == "default"
    env = {"DSTREAM_VAR_v": "environment"}
    assert module(text, env=env).variables["v"] == "environment"
    (tmp_path / "dstream.dsvars").write_text('v = "plain"\nother = 1\n')
    assert module(text, root=tmp_path, env=env).variables["v"] == "plain"
    (tmp_path / "b.auto.dsvars").write_text('v = "auto b"\n')
    (tmp_path / "a.auto.dsvars").write_text('v = "auto a"\n')
    assert module(text, root=tmp_path, env=env).variables["v"] == "auto b"
    (tmp_path / "x.dsvars").write_text('v = "file"\n')
    files = (tmp_path / "x.dsvars",)
    assert module(text, root=tmp_path, env=env, variable_files=files).variables["v"] == "file"
    given = {"v": "command line"}
    assert module(text, root=tmp_path, env=env, variable_files=files, variables=given).variables["v"] == "command line"


def test_a_missing_variable_is_asked_for_or_is_an_error():
    assert variable("type = number", ask=lambda block: "5") == 5
    found = problem(variable, 'description = "how many"')
    assert found.summary == "Missing variable" and "how many" in found.detail and "DSTREAM_VAR_v" in found.detail
    assert isinstance(variable("", lint=True), Unknown)


def test_null_follows_nullable():
    assert variable("default = null") is None
    assert variable('default = "d"\nnullable = false', variables={"v": None}) == "d"
    assert problem(variable, "default = null\nnullable = false").summary == "Null variable"


def test_a_sensitive_variable_is_marked_and_its_validation_shows_nothing():
    found = variable("sensitive = true", variables={"v": "secret-value"})
    assert isinstance(found, Sensitive) and found.origins == {"var v"}
    rule = 'sensitive = true\nvalidation {\n condition = length(var.v) > 99\n error_message = "too short: ${var.v}"\n}'
    assert "secret-value" not in problem(variable, rule, variables={"v": "secret-value"}).detail


@pytest.mark.parametrize("type_", ["number", "list(number)"])
def test_a_sensitive_variable_that_does_not_fit_is_not_shown(type_):
    found = problem(variable, f"sensitive = true\ntype = {type_}", variables={"v": "secret-value"})
    assert "secret" not in found.detail and "not fit" in found.detail


def test_a_validation_that_fails_gives_its_message_and_the_value():
    rule = 'type = number\nvalidation {\n condition = var.v > 5\n error_message = "More than five, please."\n}'
    assert variable(rule, variables={"v": "6"}) == 6
    found = problem(variable, rule, variables={"v": "4"})
    assert "More than five, please." in found.detail and "The value is 4" in found.detail


def test_unknown_names_of_variables_are_errors(tmp_path):
    assert "vv" in problem(module, 'variable "vv" {\n default = 1\n}', variables={"vb": "1"}).detail
    (tmp_path / "x.dsvars").write_text("vb = 1\n")
    found = problem(module, 'variable "vv" {\n default = 1\n}', variable_files=(tmp_path / "x.dsvars",))
    assert found.subject.filename.endswith("x.dsvars")


@pytest.mark.parametrize(
    "type_", ['"string"', "strng", "list()", "object(string)", "optional(string)", "tuple(string)", "5"]
)
def test_a_type_that_is_none_is_explained(type_):
    found = problem(variable, f"type = {type_}\ndefault = null")
    assert found.detail and found.subject.start.line == 2


def test_a_default_that_does_not_fit_is_an_error():
    assert problem(variable, 'type = number\ndefault = "x"').summary == "Invalid default"


def test_locals_refer_to_each_other_in_any_order():
    text = 'locals {\n  a = "${local.b}!"\n  b = upper(local.c)\n  c = var.v\n}\nvariable "v" {\n  default = "x"\n}\n'
    assert local(text, "a") == "X!"


@pytest.mark.parametrize(
    "text", ["a = local.a", "a = local.b\nb = local.c\nc = [local.a]", 'a = "${local.b}"\nb = local.a']
)
def test_a_cycle_names_its_members(text):
    found = problem(module, f"locals {{\n{text}\n}}\n")
    assert found.summary == "Locals in a cycle" and "local.a -> " in found.detail and "-> local.a" in found.detail


def test_a_cycle_through_the_whole_of_local_is_an_error_too():
    assert problem(local, "locals {\n  a = keys(local)\n  b = local\n}\n", "b").summary == "Locals in a cycle"


def test_an_undefined_local_shows_which_there_are():
    found = problem(local, "locals {\n  tables = 1\n  other = local.tabels\n}\n", "other")
    assert (
        found.summary == "Unknown local" and "Did you mean tables?" in found.detail and "other, tables" in found.detail
    )


def test_not_more_than_twenty_names_are_listed():
    many = "\n".join(f"l{number:02} = {number}" for number in range(30))
    found = problem(local, f"locals {{\n{many}\nx = local.zzz\n}}\n", "x")
    assert "l19" in found.detail and "l20" not in found.detail and "11 more" in found.detail


def test_a_resource_is_looked_up_by_its_type():
    made = module("locals {\n  a = queue.q.name\n}\n")
    scope = made.scope(resources=lambda name: {"q": {"name": "Q"}} if name == "queue" else None)
    assert evaluate(made.config.locals["a"].expr, scope) == "Q"


def test_path_and_workspace_are_known(tmp_path):
    text = 'locals {\n  a = "${path.root} ${dstream.workspace}"\n}\n'
    assert local(text, "a", root=tmp_path, workspace="w") == f"{tmp_path} w"


@pytest.mark.parametrize(
    "form",
    [
        '"{{ env \\"X\\" }}"',
        '"{{ env "X" }}"',
        '"{{ env `X` }}"',
        '{{ env "X" }}',
        "{{env `X`}}",
        'env("X")',
        '"{{- env "X" -}}"',
    ],
)
def test_a_template_value_is_data(form):
    password = 'a"b${c}%{d}\\'
    found = local(f"locals {{\n  a = {form}\n}}\n", "a", env={"X": password})
    assert found.value == password and found.origins == {"env X"}


def test_a_template_value_is_data_inside_text_and_heredocs():
    text = 'locals {\n  a = "x={{ env "X" }};${local.b}"\n  b = <<-E\n    {{ env "X" }} {{ no }} {{\n  E\n}\n'
    value = '"${1}'
    assert local(text, "a", env={"X": value}).value == f"x={value};{value} {{{{ no }}}} {{{{\n"


def test_braces_in_comments_do_no_harm():
    assert local('locals {\n  # {{ env "NOPE" }}\n  a = 1 // {{ x }}\n}\n', "a") == 1


def test_an_unset_name_is_an_error_with_its_place_and_unknown_in_lint():
    text = 'locals {\n  a = "{{ env "NOPE" }}"\n  b = {{ env "NOPE" | default "d" }}\n}\n'
    found = problem(local, text, "a")
    assert "NOPE" in found.detail and found.subject.start.line == 2
    assert local(text, "b") == "d"
    assert isinstance(local(text, "a", lint=True).value, Unknown)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("terraform.workspace", "dstream.workspace"), ("module.m.x", "no modules"), ("data.a.b", "no data sources"),
        ("each.key", "for_each"), ("count.index", "count"), ("self.x", "postcondition"), ("task.t", "address"),
        ("v", "var.v"),
    ],
)  # fmt: skip
def test_a_name_that_is_not_here_is_told_where_it_is(text, says):
    found = problem(local, f'variable "v" {{\n  default = 1\n}}\nlocals {{\n  a = {text}\n}}\n', "a")
    assert found.summary == "Unknown name" and says in found.detail
