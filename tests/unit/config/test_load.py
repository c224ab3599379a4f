"""Blocks: what a configuration may declare, and what is said about one that declares something else."""

import pytest

from dstream.config import load, load_text
from dstream.diagnostics import DiagnosticsError

TASK = 'task "t" {\n  input {\n    provider = "a"\n  }\n  output {\n    provider = "b"\n  }\n}\n'


def problems(text):
    with pytest.raises(DiagnosticsError) as caught:
        load_text(text)
    return [(d.summary, d.detail, str(d.subject)) for d in caught.value.diagnostics]


def test_the_task_of_the_documentation_is_read_with_and_without_type():
    text = """
locals {
  tables = ["Orders"]
}
task "mssql-to-asb" {
  TYPE
  input {
    provider_ref = "ghcr.io/katasec/dstream-in-mssql:v0.1.0"
    config {
      tables = local.tables
    }
  }
  output {
    provider_path = "./bin/dstream-out-asb"
    config { tables = local.tables }
  }
}
"""
    for type_ in ('type = "providers"', 'type = ""', ""):
        task = load_text(text.replace("TYPE", type_)).tasks["mssql-to-asb"]
        assert (task.type, task.input.launch.kind, task.outputs[0].launch.kind) == ("providers", "ref", "path")
        assert list(task.input.config.attributes) == ["tables"]


def test_settings_may_be_a_block_or_an_object():
    block = load_text(TASK.replace('provider = "a"', 'provider = "a"\n    config {\n      x = 1\n    }'))
    argument = load_text(TASK.replace('provider = "a"', 'provider = "a"\n    config = {\n      x = 1\n    }'))
    assert list(block.tasks["t"].input.config.attributes) == list(argument.tasks["t"].input.config.attributes) == ["x"]


def test_everything_else_is_read():
    config = load_text(
        """
dstream {
  required_version = ">= 0.1"
  required_providers {
    postgres = { source = "x/postgres", version = "1.0" }
    counter  = "x/counter"
  }
  backend "azurerm" {
    key = "k"
  }
  encryption {
    key = "k"
  }
}
provider "postgres" {
  provider = "postgres"
  env      = ["PGPASSWORD"]
  config { dsn = "x" }
}
variable "v" {
  type        = list(string)
  default     = []
  description = "d"
  sensitive   = true
  nullable    = false
  validation {
    condition     = length(var.v) < 5
    error_message = "too many"
  }
}
resource "postgres_publication" "orders" {
  name       = "n"
  for_each   = toset(["a"])
  provider   = postgres
  depends_on = [task.t, postgres_slot.s]
  nested {
    x = 1
  }
  lifecycle {
    prevent_destroy       = true
    ignore_changes        = [name, tags["a"]]
    create_before_destroy = true
    replace_triggered_by  = [task.t.x]
    precondition {
      condition     = true
      error_message = "m"
    }
  }
}
output "o" {
  value     = 1
  sensitive = true
}
moved {
  from = postgres_publication.a
  to   = task.t.output["x"].asb_queue["q"]
}
removed {
  from = task.old
  lifecycle {
    destroy = false
  }
}
import {
  to = postgres_publication.orders["a"]
  id = "x"
}
check "c" {
  assert {
    condition     = true
    error_message = "m"
  }
}
"""
    )
    assert config.settings is not None and config.settings.backend is not None
    assert config.settings.backend.type == "azurerm"
    assert config.settings.required_providers["counter"].source == "x/counter"
    resource = config.resources["postgres_publication", "orders"]
    assert list(resource.body.attributes) == ["name"] and [b.type for b in resource.body.blocks] == ["nested"]
    assert resource.provider == "postgres" and len(resource.depends_on) == 2
    assert resource.lifecycle.prevent_destroy and resource.lifecycle.ignore_changes == ["name", 'tags["a"]']
    assert [str(moved.to) for moved in config.moved] == ['task.t.output["x"].asb_queue["q"]']
    assert config.removed[0].destroy is False
    assert config.checks[0].asserts and config.imports and config.outputs["o"].sensitive
    assert config.variables["v"].sensitive and not config.variables["v"].nullable


@pytest.mark.parametrize(
    ("text", "summary", "says"),
    [
        ("locals {\n  a {\n  }\n}\n", "Block in locals", "a = { ... }"),
        ("locals {\n  each = 1\n}\n", "Reserved name", "each"),
        ("locals {\n  a = 1\n}\nlocals {\n  a = 2\n}\n", "Local set twice", "line 2"),
        ("locals {\n  a = 1\n  a = 2\n}\n", "Argument set twice", "line 2"),
        ("tsk \"x\" {\n}\n", "Unknown block", 'Did you mean "task"?'),
        ("a = 1\n", "Argument outside of a block", "locals"),
        ("task {\n}\n", "Wrong number of labels", 'task "NAME"'),
        ('task "a b" {\n}\n', "Invalid name", "letters"),
        (TASK + TASK, "Declared twice", "dstream.hcl:1:1"),
        (TASK.replace("input {", 'type = "plugin"\n  input {'), "Plugin tasks not supported", "docs/migration.md"),
        (TASK.replace("input {", 'type = "x"\n  input {'), "Invalid task type", "providers"),
        (TASK.replace('provider = "a"', ""), "Missing provider", "provider_path"),
        (TASK.replace('provider = "a"', 'provider = "a"\n provider_path="b"'), "More than one provider", "one of them"),
        (TASK.replace('provider = "a"', 'provider_pth = "a"'), "Unknown argument", 'Did you mean "provider_path"?'),
        (TASK.replace("input", "output"), "Missing input", "input"),
        (TASK.replace('provider = "a"', 'provider = "a"\n config = {}\n config {\n}\n'), "Block given twice",
        "remove one of them"),
        ('resource "a" "b" {\n  count = 1\n  for_each = {}\n}\n', "for_each and count together", "remove one of them"),
        ('resource "a" "b" {\n  depends_on = ["x"]\n}\n', "Reference expected", "without quotation marks"),
        ('resource "a" "b" {\n  lifecycle {\n    prevent_destroy = var.x\n  }\n}\n', "true or false expected",
        "must be true or false"),
        ('variable "a" {\n  validation {\n    condition = true\n  }\n}\n', "Missing argument", "error_message"),
        ("moved {\n  from = x\n  to = a.b\n}\n", "Invalid address", "not an address"),
    ],
)  # fmt: skip
def test_a_mistake_is_explained(text, summary, says):
    found = [detail for title, detail, _ in problems(text) if title == summary]
    assert found and says in found[0]


def test_empty_locals_and_no_locals_are_fine():
    assert load_text("locals {}\n").locals == load_text("").locals == {}


def test_several_outputs_need_labels():
    two = TASK.replace("  output {", '  output "x" {\n    provider = "c"\n  }\n  output {')
    assert problems(two)[0][0] == "Missing output label"
    fine = load_text(two.replace("  output {", '  output "y" {'))
    assert [side.label for side in fine.tasks["t"].outputs] == ["x", "y"]


def test_all_files_of_a_folder_are_one_configuration(tmp_path):
    (tmp_path / "a.hcl").write_text("locals {\n  a = 1\n}\n")
    (tmp_path / "b.hcl").write_text("locals {\n  b = 2\n}\n")
    (tmp_path / "c.txt").write_text("not read")
    config = load(tmp_path)
    assert set(config.locals) == {"a", "b"} and len(config.sources) == 2 and config.root == tmp_path
    assert set(load(tmp_path / "a.hcl").locals) == {"a"}


def test_one_local_in_two_files_is_an_error_that_names_both(tmp_path):
    (tmp_path / "a.hcl").write_text("locals {\n  a = 1\n}\n")
    (tmp_path / "b.hcl").write_text("locals {\n  a = 2\n}\n")
    with pytest.raises(DiagnosticsError) as caught:
        load(tmp_path)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.summary == "Local set twice"
    assert diagnostic.subject.filename.endswith("b.hcl") and "a.hcl:2:3" in diagnostic.detail


def test_errors_of_all_files_come_together(tmp_path):
    (tmp_path / "a.hcl").write_text("a = \n")
    (tmp_path / "b.hcl").write_bytes(b'locals {\n  a = "\xff"\n}\n')
    with pytest.raises(DiagnosticsError) as caught:
        load(tmp_path)
    assert {d.summary for d in caught.value.diagnostics} == {"Missing value", "File not in UTF-8"}


def test_no_file_at_all_says_what_to_do(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.hcl"):
        with pytest.raises(DiagnosticsError) as caught:
            load(path)
        assert "-c" in caught.value.diagnostics[0].detail


def test_the_entries_of_the_package_stay_functions_after_they_were_used(tmp_path):
    import dstream.config

    (tmp_path / "dstream.hcl").write_text("")
    for _ in range(2):
        dstream.config.load(tmp_path)
        dstream.config.load_text("")
        dstream.config.parse_text("", "x")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("terraform {\n}\n", "dstream { ... }"),
        ('module "m" {\n}\n', "dstream has no modules"),
        ('data "a" "b" {\n}\n', "no data sources"),
        ("input {\n}\n", "belongs in a task"),
        ('tsk "a" {\n}\n', 'Did you mean "task"?'),
    ],
)
def test_a_block_that_is_none_here_is_told_where_it_belongs(text, says):
    with pytest.raises(DiagnosticsError) as caught:
        load_text(text)
    assert caught.value.diagnostics[0].summary == "Unknown block" and says in caught.value.diagnostics[0].detail
