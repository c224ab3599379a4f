"""`dstream graph`: the DOT language and JSON."""

import json

from tests.e2e.commands import dstream

TEXT = """
variable "size" { default = 1 }
locals {
  double = var.size * 2
  triple = var.size + local.double
}
output "all" { value = [local.triple, local.double] }
"""


def test_dot_leaves_out_what_follows_from_other_dependencies_and_marks_the_longest_chain(tmp_path):
    (tmp_path / "dstream.hcl").write_text(TEXT)
    out = dstream(tmp_path, "graph").out
    assert [line.strip() for line in out.splitlines() if "->" in line] == [
        '"local.double" -> "var.size" [style = bold]',
        '"local.triple" -> "local.double" [style = bold]',
        '"output.all" -> "local.triple" [style = bold]',
    ]
    full = dstream(tmp_path, "graph", "-full").out
    assert '  "output.all" -> "local.double"\n' in full
    assert '  "local.triple" -> "var.size"\n' in full


def test_json_has_all_dependencies(tmp_path):
    (tmp_path / "dstream.hcl").write_text(TEXT)
    found = json.loads(dstream(tmp_path, "graph", "-json").out)
    assert found["output.all"] == ["local.triple", "local.double"]
    assert found["local.triple"] == ["var.size", "local.double"]
