"""A plan is saved, looked at and carried out: exactly that plan, or nothing. Typed as commands."""

import json
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from dstream_state import Put
from tests.e2e.commands import Ended, dstream
from tests.services.recorder.world import World

A = 'resource "rec_planned" "a" {\n  name = "a"\n  size = 1\n}\n'
NOTED = 'resource "rec_planned" "a" {\n  name = "a"\n  note = file("note.txt")\n}\n'


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(world: World, *arguments: str, code: int = 0, **env: str) -> Ended:
    """Run a command and expect an exit code."""
    done = dstream(world.folder, *arguments, env=env)
    assert done.code == code, done.said
    return done


def save(world: World, *arguments: str, **env: str) -> Ended:
    """Save a plan to p.plan."""
    return run(world, "plan", "-out", "p.plan", *arguments, **env)


def stale(world: World, *arguments: str, **env: str) -> str:
    """Apply the saved plan, expect that it is refused and changes nothing, and return the reason."""
    before = world.recorder.objects()
    said = run(world, "apply", "p.plan", *arguments, code=1, **env).err
    assert "Stale saved plan" in said
    assert world.recorder.objects() == before
    return " ".join(said.replace("│", " ").split())


def test_a_saved_plan_is_carried_out_without_asking_and_only_once(world: World) -> None:
    world.write(A)
    saved = save(world)
    assert "dstream apply p.plan" in saved.out
    assert (world.folder / "p.plan").stat().st_mode & 0o077 == 0
    assert world.recorder.objects() == {}
    applied = run(world, "apply", "p.plan")
    assert "1 added" in applied.out
    assert world.recorder.names() == ["a"]
    assert "a state has been created since" in stale(world).lower()
    run(world, "plan", "-detailed-exitcode")


def test_a_saved_plan_is_refused_when_the_state_has_moved(world: World) -> None:
    world.apply(A)
    world.write(A.replace("1", "2"))
    save(world)
    world.apply(A.replace("1", "3"))
    world.write(A.replace("1", "2"))
    assert "serial" in stale(world)


def test_a_saved_plan_is_refused_when_the_configuration_says_something_else_and_not_for_a_comment(world: World) -> None:
    world.write(A)
    save(world)
    world.write(A.replace("1", "2"))
    assert "configuration says something else" in stale(world)
    world.write("# a comment\n\n" + A.replace("  size", "\n     size") + "# and another\n")
    run(world, "apply", "p.plan")
    assert world.recorder.objects()["rec_planned a"]["size"] == 1


def test_what_was_evaluated_at_plan_is_what_is_applied_though_files_have_changed(world: World) -> None:
    world.write(NOTED)
    (world.folder / "note.txt").write_text("as reviewed")
    save(world)
    (world.folder / "note.txt").write_text("written later")
    run(world, "apply", "p.plan")
    assert world.recorder.objects()["rec_planned a"]["note"] == "as reviewed"


def test_how_long_a_task_lets_its_objects_take_is_in_the_plan(world: World) -> None:
    world.write(world.task("t", more="patience = 60"))
    save(world)
    world.recorder.forget_calls()
    run(world, "apply", "p.plan")
    assert world.recorder.calls("derive") == [], "nobody was asked again"
    assert {call.name: call.more["timeout"] for call in world.recorder.calls("create")}["part-t"] == 60
    run(world, "plan", "-detailed-exitcode")


def test_a_file_that_would_make_other_objects_is_refused(world: World) -> None:
    world.write(
        'resource "rec_planned" "a" {\n  for_each = toset(split(",", file("names.txt")))\n  name     = each.key\n}\n'
    )
    (world.folder / "names.txt").write_text("a,b")
    save(world)
    (world.folder / "names.txt").write_text("a,b,c")
    assert 'such as files, would give another plan now (rec_planned.a["c"])' in stale(world)


VARIED = 'variable "size" {\n  type    = number\n  default = 1\n}\n' + A.replace("= 1", "= var.size")


def test_variables_of_the_command_line_are_kept_and_others_must_be_the_same(world: World) -> None:
    world.write(VARIED)
    save(world, "-var", "size=7")
    assert "var.size" in stale(world, "-var", "size=8")
    run(world, "apply", "p.plan")
    assert world.recorder.objects()["rec_planned a"]["size"] == 7
    save(world, DSTREAM_VAR_size="9")
    assert "var.size" in stale(world, DSTREAM_VAR_size="10")
    assert "var.size" in stale(world)
    run(world, "apply", "p.plan", DSTREAM_VAR_size="9")
    assert world.recorder.objects()["rec_planned a"]["size"] == 9


def test_a_file_of_variables_is_read_again_and_must_say_the_same(world: World) -> None:
    world.write(VARIED)
    (world.folder / "v.dsvars").write_text("size = 5\n")
    save(world, "-var-file", "v.dsvars")
    (world.folder / "v.dsvars").write_text("size = 6\n")
    assert "var.size" in stale(world)
    (world.folder / "v.dsvars").write_text("# five\nsize = 5\n")
    run(world, "apply", "p.plan")
    assert world.recorder.objects()["rec_planned a"]["size"] == 5


def test_a_saved_plan_is_refused_in_another_workspace(world: World) -> None:
    world.write(A)
    save(world, DSTREAM_WORKSPACE="blue")
    assert "workspace blue" in stale(world)
    run(world, "apply", "p.plan", DSTREAM_WORKSPACE="blue")


def test_a_saved_plan_is_refused_when_a_provider_is_another_one(world: World) -> None:
    world.write(A)
    save(world)
    program = world.recorder.bin / "rec"
    text = program.read_text()
    other = (
        "import dataclasses\nfrom tests.services.recorder import provider\nmain = provider.sdk.main\n"
        "provider.sdk.main = lambda it: main(dataclasses.replace(it, version='2.0'))\nfrom tests"
    )
    program.write_text(text.replace("from tests", other))
    assert "provider.rec" in stale(world)
    program.write_text(text)
    run(world, "apply", "p.plan")


def test_providers_are_not_asked_again_for_what_the_plan_knows(world: World) -> None:
    world.write(world.task("Orders", "Customers") + A)
    world.apply()
    world.write(world.task("Orders", "Customers", "Products") + A.replace("1", "2"))
    save(world)
    world.recorder.forget_calls()
    run(world, "apply", "p.plan")
    assert world.recorder.calls("read", "derive") == []
    assert sorted(world.recorder.changes()) == ["created part-Products", "created stream-Products", "updated a"]
    run(world, "plan", "-detailed-exitcode")


def test_the_plan_that_is_applied_is_the_saved_one_though_reality_has_moved(world: World) -> None:
    world.apply(A)
    world.write(A.replace("1", "2"))
    save(world)
    world.recorder.put("rec_planned", "a", size=5)
    run(world, "apply", "p.plan")
    assert world.recorder.objects()["rec_planned a"]["size"] == 2


DEPENDENT = """
resource "rec_marked" "first" {
  name = "first"
}
resource "rec_planned" "second" {
  name = "second"
  note = "after ${rec_marked.first.uid} at ${plantimestamp()}"
}
resource "rec_planned" "third" {
  name = "third"
  note = timestamp()
}
"""


def test_what_is_known_only_after_apply_is_found_by_the_apply_of_a_saved_plan(world: World) -> None:
    world.write(DEPENDENT)
    saved = save(world)
    assert "(known after apply)" in saved.out
    at = json.loads(run(world, "show", "-json", "p.plan").out)["timestamp"]
    run(world, "apply", "p.plan")
    objects = world.recorder.objects()
    assert objects["rec_planned second"]["note"] == f"after uid-of-first at {at}"
    assert objects["rec_planned third"]["note"].startswith("20")


PLANNED_SECRET = """
resource "rec_planned_secret" "a" {
  name     = "a"
  password = env("PASSWORD")
}
"""


def test_a_secret_that_a_provider_makes_up_while_it_plans_makes_no_plan_stale(world: World) -> None:
    world.write(PLANNED_SECRET)
    save(world, PASSWORD="first-5ecret")
    assert "5ecret" not in (world.folder / "p.plan").read_text()
    assert "a secret is not what it was" in stale(world, PASSWORD="second-5ecret")
    run(world, "apply", "p.plan", PASSWORD="first-5ecret")
    made = world.recorder.objects()["rec_planned_secret a"]
    assert made["password"] == "first-5ecret"
    assert made["token"].startswith("made-up-")
    run(world, "plan", "-detailed-exitcode", PASSWORD="first-5ecret")
    world.write(PLANNED_SECRET.replace("password", "size     = 2\n  password"))
    save(world, PASSWORD="first-5ecret")
    run(world, "apply", "p.plan", PASSWORD="first-5ecret")
    assert world.recorder.objects()["rec_planned_secret a"] == {**made, "size": 2}


def test_loss_of_data_has_to_be_allowed_for_a_saved_plan_too(world: World) -> None:
    world.apply(A.replace("rec_planned", "rec_table"))
    save(world, "-destroy")
    refused = run(world, "apply", "p.plan", code=1)
    assert "rec_table.a" in refused.err and "-allow-data-loss" in refused.err
    assert world.recorder.names() == ["a"]
    run(world, "apply", "p.plan", "-allow-data-loss")
    assert world.recorder.names() == []


def test_options_that_shape_a_plan_do_not_go_with_a_saved_one(world: World) -> None:
    world.write(A)
    save(world)
    for option in ("-target=rec_planned.a", "-destroy", "-refresh=false", "-replace=rec_planned.a"):
        assert "saved plan" in run(world, "apply", option, "p.plan", code=1).err


def test_a_file_with_the_name_of_a_task_is_an_error_that_says_how_to_mean_either(world: World) -> None:
    world.write(world.task("Orders"))
    run(world, "plan", "-out", "copy")
    both = run(world, "apply", "copy", code=1)
    assert "./copy" in both.err
    run(world, "apply", "./copy")
    assert world.recorder.names()


@pytest.mark.parametrize("damage", ["cut", "changed", "newer", "text", "missing"])
def test_what_is_no_saved_plan_is_refused_with_a_sentence(world: World, damage: str) -> None:
    world.write(A)
    save(world)
    path = world.folder / "p.plan"
    content = path.read_bytes()
    match damage:
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "changed":
            path.write_bytes(content.replace(b'"a"', b'"b"'))
        case "newer":
            path.write_bytes(content.replace(b'{"dstream_plan":1', b'{"dstream_plan":2'))
        case "text":
            path.write_text("hello")
        case "missing":
            path.unlink()
    for command in ("apply", "show"):
        said = run(world, command, "p.plan", code=1).err
        assert "p.plan" in said
        assert damage != "missing" or "is neither a file nor a task" in said or "No such file" in said
    assert world.recorder.objects() == {}


def test_show_gives_the_same_as_plan_and_starts_no_provider(world: World) -> None:
    world.apply(A + world.task("Orders"))
    world.write(A.replace("1", "2") + 'output "o" {\n  value = rec_planned.a.uid\n}\n' + world.task("Customers"))
    save(world)
    planned = {form: run(world, "plan", "-format", form).out for form in ("text", "markdown", "html")}
    as_json = json.loads(run(world, "plan", "-json").out)
    for path in world.recorder.bin.iterdir():
        path.unlink()
    for form, expected in planned.items():
        assert run(world, "show", "-format", form, "p.plan").out == expected
    shown = json.loads(run(world, "show", "-json", "p.plan").out)
    assert shown | {"timestamp": ""} == as_json | {"timestamp": ""}
    # Nor is a configuration needed.
    (world.folder / "dstream.hcl").unlink()
    assert run(world, "show", "p.plan").out == planned["text"]


def test_show_without_a_file_shows_the_state_in_every_format(world: World) -> None:
    world.write(A)
    assert "nothing was applied" in run(world, "show").out
    world.apply(A + 'output "o" {\n  value = rec_planned.a.uid\n}\n')
    for path in world.recorder.bin.iterdir():
        path.unlink()
    text = run(world, "show").out
    assert "rec_planned.a" in text and '"uid-of-a"' in text
    found = json.loads(run(world, "show", "-json").out)
    [item] = found["values"]["root_module"]["resources"]
    assert (item["address"], item["type"], item["name"]) == ("rec_planned.a", "rec_planned", "a")
    assert item["values"]["size"] == 1
    assert found["values"]["outputs"]["o"]["value"] == "uid-of-a"
    assert "rec_planned.a" in run(world, "show", "-format", "markdown").out
    assert run(world, "show", "-format", "html").out.startswith("<!doctype html>")


def test_the_json_is_as_terraforms_where_the_same_things_exist(world: World) -> None:
    world.apply(A)
    counted = 'resource "rec_marked" "m" {\n  count = 1\n  name = "m"\n}\n'
    world.write(A.replace("size = 1", 'zone = "there"') + counted)
    form = json.loads(run(world, "plan", "-json").out)
    changes = {each["address"]: each for each in form["resource_changes"]}
    replaced = changes["rec_planned.a"]
    assert replaced["change"]["actions"] == ["delete", "create"]
    assert replaced["change"]["replace_paths"] == [["zone"]]
    assert replaced["change"]["before"]["zone"] == "here"
    assert replaced["change"]["after"]["zone"] == "there"
    made = changes["rec_marked.m[0]"]
    assert (made["mode"], made["type"], made["name"], made["index"]) == ("managed", "rec_marked", "m", 0)
    assert made["change"]["after_unknown"] == {"uid": True}
    planned = {each["address"]: each["values"] for each in form["planned_values"]["root_module"]["resources"]}
    assert planned["rec_marked.m[0]"]["name"] == "m"
    assert form["format_version"] == "1.0"


def test_markdown_fits_a_comment_shows_what_destroys_data_first_and_counts_what_it_leaves_out(world: World) -> None:
    name = '"${count.index}-${join("", [for i in range(9) : "0123456789"])}"'
    many = f'resource "rec_planned" "many" {{\n  count = 1500\n  name  = {name}\n}}\n'
    world.apply('resource "rec_table" "t" {\n  name = "t"\n}\nresource "rec_planned" "gone" {\n  name = "gone"\n}\n')
    world.write(many)
    text = run(world, "plan", "-format", "markdown").out
    assert len(text) <= 60_000
    assert text == run(world, "plan", "-format", "markdown").out
    assert text.index("rec_table.t") < text.index("rec_planned.gone") < text.index("rec_planned.many")
    shown = text.count("rec_planned.many[")
    cut = int(text.rpartition("Not shown: ")[2].split()[0])
    assert shown // 2 < 1500
    assert cut == 1500 - text.count("<code>rec_planned.many[") - text.count("- `rec_planned.many[")


def test_a_saved_plan_of_an_encrypted_state_is_encrypted_under_the_same_key(world: World) -> None:
    encrypted = 'dstream {\n  encryption {\n    passphrase = env("PASS")\n  }\n}\n'
    right, wrong = {"PASS": "a passphrase that is long"}, {"PASS": "another passphrase, long too"}
    world.backend = encrypted
    world.write(VARIED)
    save(world, "-var", "size=41", **right)
    content = (world.folder / "p.plan").read_bytes()
    assert b"rec_planned" not in content and b"41" not in content.partition(b"\n")[2][:20]
    assert "State decryption failure" in run(world, "show", "p.plan", code=1, **wrong).err
    assert "State decryption failure" in run(world, "apply", "p.plan", code=1, **wrong).err
    assert "PASS" in run(world, "show", "p.plan", code=1).err
    assert "rec_planned.a" in run(world, "show", "p.plan", **right).out
    run(world, "apply", "p.plan", **right)
    assert world.recorder.objects()["rec_planned a"]["size"] == 41


def test_a_plan_with_errors_saves_nothing(world: World) -> None:
    world.write(A + 'resource "rec_nothing" "x" {\n  name = "x"\n}\n')
    run(world, "plan", "-out", "p.plan", code=1)
    assert not (world.folder / "p.plan").exists()


def test_nobody_else_can_read_a_saved_plan(world: World) -> None:
    world.write(A)
    save(world)
    assert stat.S_IMODE((world.folder / "p.plan").stat().st_mode) == 0o600


def test_a_plan_over_an_unfinished_apply_is_not_carried_out(world: World) -> None:
    world.apply(A)
    item = world.recorded["rec_planned.a"]
    with world.operation().backend.lock("apply") as held:
        held.append([Put("rec_planned.b", replace(item, key="rec_planned.b", identity={"name": "b"}))])
    world.recorder.put("rec_planned", "b")
    world.write(A.replace("1", "2"))
    assert "in progress or was interrupted" in save(world).out
    assert "interrupted when" in stale(world)


def test_nothing_in_a_plan_becomes_markdown_or_html(world: World) -> None:
    evil = "</code></pre><script>alert(1)</script>\n```\n# head"
    world.write(
        f'resource "rec_planned" "a" {{\n  for_each = toset([{json.dumps("<b>`x`")}])\n  name = each.key\n'
        f"  note = {json.dumps(evil)}\n}}\n"
    )
    page = run(world, "plan", "-format", "html").out
    assert "<script" not in page and "&lt;script&gt;" in page
    assert not [word for word in ("http:", "https:", "src=", "href=", "@import", "url(") if word in page]
    text = run(world, "plan", "-format", "markdown").out
    assert "<b>" not in text.replace("<b><code>", "").split("```")[0]
    assert "\n# head" not in text
    fences = [line for line in text.splitlines() if line.startswith("```")]
    assert fences == ["````diff", "````"]
