"""`plan -untrusted`: whoever opens a pull request learns nothing of the machine, and starts nothing on it."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path

import pytest

from dstream.cli import untrusted_plan
from dstream.cli.render.document import PLAIN, plan_document
from dstream.cli.render.markdown import markdown
from dstream.cli.render.page import page
from dstream.cli.render.plan import plan_lines
from dstream.cli.untrusted_plan import plan_in_limits, untrusted_inputs
from dstream.diagnostics import DiagnosticsError
from dstream.engine.plan.plan_result import PlanOptions
from dstream.lang import Unknown
from dstream_state import ObjectState, ProviderState, Snapshot
from dstream_state.codec import dumps
from dstream_state.state_files import save

SECRET = "s3cret-of-the-runner"


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A checkout as the current folder, beside a file with a secret; the secret is in the environment, too."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "token").write_text(f"{SECRET}\n")
    folder = tmp_path / "checkout"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CI_SECRET", SECRET)
    monkeypatch.setenv("HOME", str(tmp_path / "outside"))
    return folder


class Planned:
    """A plan in every format, or the errors in its place."""

    def __init__(self, text: str, **options) -> None:
        self.plan = None
        Path("dstream.hcl").write_text(text)
        before = {path: path.lstat().st_mtime_ns for path in Path().rglob("*")}
        given = {"var": (), "var_file": (), "env": (), "providers": (), "state": None, "config": ".", **options}
        inputs = [given[name] for name in ("config", "var", "var_file", "env", "providers", "state")]
        try:
            self.plan = plan_in_limits(untrusted_inputs(*inputs), PlanOptions(), None, ())
        except DiagnosticsError as problem:
            self.shown = "\n".join(f"{each.summary}: {each.detail}" for each in problem.diagnostics)
        else:
            document = plan_document(self.plan)
            text = "\n".join(plan_lines(self.plan, PLAIN))
            forms = (text, dumps(self.plan.to_json()).decode(), markdown(document), "".join(page(document)))
            self.shown = "\n".join(forms)
            for each in self.plan.left_out:
                assert each.reason in text
        assert {path: path.lstat().st_mtime_ns for path in Path().rglob("*")} == before, "the checkout was written to"
        assert SECRET not in self.shown

    def withheld(self, kind: str) -> set[str]:
        """Return the names of a kind that the plan says it left out."""
        assert self.plan is not None, self.shown
        return {each.name for each in self.plan.left_out if each.kind == kind}


@pytest.mark.parametrize(
    "text",
    [
        'output "a" {\n  value = nonsensitive(env("CI_SECRET"))\n}\n',
        'output "a" {\n  value = nonsensitive(env("CI_SECRET", "default"))\n}\n',
        'output "a" {\n  value = try(nonsensitive(env("CI_SECRET")), "none")\n}\n',
        'output "a" {\n  value = nonsensitive("{{ env \\"CI_SECRET\\" }}")\n}\n',
        'output "a" {\n  value = nonsensitive(sha256(env("CI_SECRET")))\n}\n',
        'output "a" {\n  value = nonsensitive(length(env("CI_SECRET")))\n}\n',
        'output "a" {\n  value = nonsensitive(templatestring("$${env(\\"CI_SECRET\\")}", {}))\n}\n',
        'variable "a" {\n  default = env("CI_SECRET")\n}\noutput "a" {\n  value = nonsensitive(var.a)\n}\n',
        'locals {\n  a = [for c in [env("CI_SECRET")] : c]\n}\noutput "a" {\n  value = nonsensitive(local.a)\n}\n',
    ],
)
def test_the_environment_is_not_resolved(checkout, text):
    found = Planned(text)
    assert "CI_SECRET" in found.withheld("environment variable")


def test_the_environment_is_not_resolved_in_values_of_variables(checkout):
    variable = 'variable "a" {\n  type = list(string)\n}\noutput "a" {\n  value = nonsensitive(var.a)\n}\n'
    (checkout / "x.auto.dsvars").write_text('a = [env("CI_SECRET")]\n')
    assert "CI_SECRET" in Planned(variable).withheld("environment variable")
    (checkout / "x.auto.dsvars").unlink()
    title = 'a=[env("CI_SECRET"), file("../outside/token")]'  # such as the title of the pull request
    found = Planned(variable, var=(title,))
    assert "CI_SECRET" in found.withheld("environment variable")
    assert "../outside/token" in found.withheld("file")


def test_a_variable_whose_value_is_in_the_environment_has_none(checkout, monkeypatch):
    monkeypatch.setenv("DSTREAM_VAR_password", SECRET)
    found = Planned('variable "password" {}\noutput "a" {\n  value = var.password\n}\n')
    assert found.withheld("variable") == {"password"}
    assert found.withheld("environment variable") == {"DSTREAM_VAR_password"}
    found = Planned('variable "password" {\n  default = "x"\n}\noutput "a" {\n  value = var.password\n}\n')
    assert found.withheld("environment variable") == {"DSTREAM_VAR_password"}


def test_what_is_allowed_is_resolved(checkout, monkeypatch):
    monkeypatch.setenv("REGION", "weu")
    monkeypatch.setenv("DSTREAM_VAR_size", "7")
    text = 'variable "size" {}\noutput "a" {\n  value = nonsensitive("${env("REGION")}-${var.size}")\n}\n'
    found = Planned(text, env=("REGION", "DSTREAM_VAR_size"))
    assert [output.after for output in found.plan.outputs] == ["weu-7"]
    assert not found.withheld("environment variable")


def test_a_plan_that_fails_says_what_was_withheld(checkout):
    found = Planned('output "a" {\n  value = [env("CI_SECRET"), 1 + null]\n}\n')
    assert found.plan is None
    assert "environment variable CI_SECRET" in found.shown


FUNCTIONS = (
    "file(P)", "filebase64(P)", "filesha256(P)", "filemd5(P)", "filebase64sha512(P)", "templatefile(P, {})",
    'try(file(P), "none")', "can(file(P))", "fileexists(P)", 'fileset(dirname(P), "*")',
    'file(join("", [P]))', 'templatestring("$${file(p)}", { p = P })',
)  # fmt: skip
PLACES = ("../outside/token", "link/token", "~/token", "ABSOLUTE", "/proc/self/environ", "a/../../outside/token")


@pytest.mark.parametrize("place", PLACES)
def test_no_file_outside_the_project_is_read(checkout, place):
    outside = checkout.parent / "outside"
    (checkout / "link").symlink_to(outside)
    (checkout / "a").mkdir()
    path = place.replace("ABSOLUTE", str(outside / "token"))
    texts = [each.replace("P", json.dumps(path)) for each in FUNCTIONS]
    found = Planned("".join(f'output "a{n}" {{\n  value = {text}\n}}\n' for n, text in enumerate(texts)))
    assert path in found.withheld("file")
    assert len(found.withheld("file")) == 2  # the file, and the folder
    assert [output.name for output in found.plan.outputs if not isinstance(output.after, Unknown)] == []


def test_a_link_to_a_file_outside_is_not_read(checkout):
    (checkout / "link").symlink_to("../outside/token")
    assert Planned('output "a" {\n  value = file("link")\n}\n').withheld("file") == {"link"}


@pytest.mark.parametrize("name", [".git/config", ".env", ".dstream/state/default/state.json", "sub/.netrc"])
def test_hidden_files_of_the_checkout_are_not_read(checkout, name):
    """A checkout action keeps its token in .git/config."""
    path = checkout / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"token = {SECRET}\n")
    assert name in Planned(f'output "a" {{\n  value = file("{name}")\n}}\n').withheld("file")


def test_files_of_the_project_are_read(checkout):
    (checkout / "queries").mkdir()
    (checkout / "queries" / "a.sql").write_text("select ${x}")
    (checkout / "same").symlink_to("queries/a.sql")
    values = 'templatefile("queries/a.sql", { x = 1 }), fileset(".", "**/*.sql"), file("same")'
    found = Planned(f'output "a" {{\n  value = [{values}]\n}}\n')
    assert not found.withheld("file")
    assert "select 1" in found.shown


@pytest.mark.parametrize("name", ["more.hcl", "x.auto.dsvars", "dstream.dsvars"])
@pytest.mark.parametrize("target", ["../outside/token", ".git/config"])
def test_a_symbolic_link_to_a_file_that_is_read_as_configuration_is_refused(checkout, name, target):
    """An error in such a file would show the line."""
    (checkout / ".git").mkdir()
    (checkout / ".git" / "config").write_text(f"{SECRET} = {SECRET} {SECRET}\n")
    (checkout / name).symlink_to(target)
    found = Planned("")
    assert "File outside the project" in found.shown


def test_a_symbolic_link_on_the_way_to_what_the_command_line_names_is_refused(checkout):
    (checkout / "folder").symlink_to("../outside")
    (checkout / "prod.dsvars").symlink_to("../outside/token")
    folders = ({"config": "folder"}, {"config": str(checkout / "folder")})
    for options in ({"var_file": ("prod.dsvars",)}, {"var_file": ("folder/token",)}, *folders):
        assert "File outside the project" in Planned("", **options).shown


def test_the_workspace_that_the_checkout_selects_does_not_count(checkout):
    (checkout / ".dstream").mkdir()
    (checkout / ".dstream" / "workspace").symlink_to("/proc/self/environ")
    assert Planned("").plan.workspace == "default"


TASK = """
task "good" {
  count = 0
  input {
    provider = "counter"
  }
  output {
    provider = "console"
  }
}
task "bad" {
  ARGUMENTS
  input {
    INPUT
  }
  output {
    provider = "console"
  }
}
"""


@pytest.mark.parametrize(
    ("launch", "arguments", "reason"),
    [
        ('provider_path = "./trap"', "", "program of the checkout"),
        ("provider_path = each.key", 'for_each = toset(["./trap"])', "program of the checkout"),
        ('provider_path = "trap"', "", "program of the checkout"),
        ('provider_path = abspath("./trap")', "", "program of the checkout"),
        ('provider = "counter"', "", "-allow-provider"),
        ('provider_ref = "registry.example/x/dstream-in-y:v1.0.0"', "", "no trust block of this machine"),
        ('provider_image = "registry.example/x/y:v1.0.0"', "", "no trust block of this machine"),
        ('provider_path = env("CI_SECRET")', "", "not known here"),
    ],
)
def test_no_provider_of_the_checkout_is_started(checkout, launch, arguments, reason):
    head = 'dstream {\n  trust "*" {\n    keys = ["./own.pub"]\n  }\n}\n'  # it does not count: it is of the checkout
    (checkout / "trap").write_text(f"#!/bin/sh\ntouch {checkout.parent}/executed\n")
    (checkout / "trap").chmod(0o755)
    found = Planned(head + TASK.replace("INPUT", launch).replace("ARGUMENTS", arguments), providers=("console",))
    assert found.withheld("block") == {"task.bad"}
    assert reason in next(each.reason for each in found.plan.left_out if each.kind == "block")
    assert not (checkout.parent / "executed").exists()


def test_what_depends_on_a_block_that_is_left_out_is_left_out_too(checkout):
    found = Planned(
        'provider "rec" {\n  provider_path = "./trap"\n}\nresource "rec_x" "a" {\n  name = "a"\n}\n'
        'output "a" {\n  value = rec_x.a.name\n}\noutput "b" {\n  value = 1\n}\n'
    )
    assert found.withheld("block") == {"provider.rec", "rec_x.a"}
    assert [output.name for output in found.plan.outputs] == ["b"]


def test_objects_that_only_a_copy_of_the_state_has_start_nothing_either(checkout):
    source = {"kind": "path", "value": "./trap", "env": []}
    snapshot = Snapshot.new()
    snapshot = Snapshot(
        snapshot.lineage,
        hmac_key=snapshot.hmac_key,
        providers={"provider.rec": ProviderState(source=source, version="1", config={}, role="resource")},
        resources={"rec_x.gone": ObjectState(type="rec_x", key="gone", provider="provider.rec", attributes={})},
    )
    copy = checkout.parent / "copy.dsstate"
    save(copy, snapshot)
    found = Planned("", state=str(copy))
    assert found.withheld("block") == {"rec_x.gone"}
    assert not found.withheld("state")
    assert not found.plan.has_changes


def test_neither_the_backend_nor_the_key_of_the_checkout_is_used(checkout):
    found = Planned(
        'dstream {\n  backend "azurerm" {\n    storage_account_name = "attacker"\n    endpoint = "http://127.0.0.1:9"\n'
        '    container_name = "x"\n    key = "x"\n    access_key = env("CI_SECRET")\n  }\n'
        '  encryption {\n    passphrase = env("CI_SECRET")\n  }\n}\noutput "a" {\n  value = 1\n}\n'
    )
    assert found.withheld("state") == {"state"}
    assert not found.plan.to_json()["applyable"]
    assert not found.plan.to_json()["complete"]


def test_memory_and_time_are_limited(checkout, monkeypatch):
    before = [resource.getrlimit(kind) for kind in (resource.RLIMIT_CPU, resource.RLIMIT_DATA)]
    monkeypatch.setattr(untrusted_plan, "PROCESSOR_SECONDS", 1)
    numbers = "range(1000)"
    product = f"[for a in {numbers} : [for b in {numbers} : [for c in {numbers} : a * b]]]"
    slow = f'output "a" {{\n  value = length({product})\n}}\n'
    started = time.process_time()
    assert "Plan too large" in Planned(slow).shown
    assert time.process_time() - started < 15
    monkeypatch.setattr(untrusted_plan, "PROCESSOR_SECONDS", 120)
    doubled = "".join(f'  a{n} = "${{local.a{n - 1}}}${{local.a{n - 1}}}"\n' for n in range(1, 50))
    found = Planned(f'locals {{\n  a0 = "{"x" * 64}"\n{doubled}}}\noutput "a" {{\n  value = local.a49\n}}\n')
    assert "Plan too large" in found.shown
    assert [resource.getrlimit(kind) for kind in (resource.RLIMIT_CPU, resource.RLIMIT_DATA)] == before
