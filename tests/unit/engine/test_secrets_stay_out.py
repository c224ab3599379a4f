"""A planted secret is found nowhere: not in the state, the journal, the plan, its JSON form or what is printed."""

import json
from pathlib import Path

import pytest

from dstream.cli.render.paint import Paint
from dstream.cli.render.plan import plan_lines
from dstream.plan import Action
from dstream_state import ObjectState, passphrase
from tests.services.recorder.world import World, actions, change, refused, said

SECRET = 'pl4nted "${x}" s3cret'
PASSWORD = 'password = env("REC_PASSWORD")'
TEXT = """
resource "rec_secret" "s" {
  name     = "s"
  password = env("REC_PASSWORD")
}
resource "rec_planned" "copy" {
  name   = "copy"
  note   = "is ${rec_secret.s.token}"
  labels = { of = env("REC_PASSWORD") }
}
output "token" {
  value     = rec_secret.s.token
  sensitive = true
}
"""
PARTS = [SECRET.encode(), json.dumps(SECRET).encode()[1:-1], b"pl4nted", b"s3cret", b"token-of-s-5ecret", b"5ecret"]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REC_PASSWORD", SECRET)


def clean(content: bytes) -> bool:
    return not [part for part in PARTS if part in content]


def shown(world: World, **options: object) -> bytes:
    plan = world.plan(**options)
    text = "\n".join(plan_lines(plan, Paint(False)))
    return (text + json.dumps(plan.to_json(), default=str) + repr(plan.changes)).encode()


def test_secrets_reach_the_provider_and_nothing_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    journals: list[bytes] = []

    def keep(address: str) -> None:
        journals.append(world.everything_written())

    world.told.on_started = keep
    world.write(TEXT, config=PASSWORD)
    assert clean(shown(world))
    world.apply()
    objects = world.recorder.objects()
    assert objects["rec_secret s"]["password"] == SECRET
    assert objects["rec_planned copy"]["note"] == "is token-of-s-5ecret"
    assert objects["rec_planned copy"]["labels"] == {"of": SECRET}
    assert len(journals) == 2 and all(b"rec_secret" in each and clean(each) for each in journals)
    assert clean(world.everything_written())
    assert not world.plan().has_changes, "\n".join(plan_lines(world.plan(), Paint(False)))
    assert world.snapshot.outputs["token"].sensitive
    # It changes: the plan says so, and says no more.
    monkeypatch.setenv("REC_PASSWORD", "0ther pl4nted")
    planned = world.plan()
    assert actions(planned) == {"rec_secret.s": Action.UPDATE, "rec_planned.copy": Action.UPDATE}
    assert clean(shown(world))
    world.apply()
    assert world.recorder.objects()["rec_secret s"]["password"] == "0ther pl4nted"
    assert clean(world.everything_written())
    assert not world.plan().has_changes
    world.apply(destroy=True)
    assert clean(world.everything_written())


def test_what_is_not_known_of_the_past_is_withheld_from_the_provider(world: World, monkeypatch) -> None:
    world.apply(TEXT)
    monkeypatch.setenv("REC_PASSWORD", "new")
    world.recorder.put("rec_secret", "s", size=4)
    world.apply()
    update = world.recorder.calls("update")[0]
    assert update.more["prior"]["password"] == {"$withheld": True}
    assert update.more["desired"]["password"] == "new"
    assert update.more["prior"]["size"] == 4
    world.recorder.put("rec_secret", "s", size=5)
    world.apply()
    update = next(call for call in reversed(world.recorder.calls("update")) if call.name == "s")
    assert update.more["prior"]["password"] == "new"


def test_an_error_of_a_provider_does_not_tell_a_secret_of_its_configuration(world: World) -> None:
    world.write('resource "rec_planned" "x" {\n  name = "pl4nted"\n}\n', config='password = env("REC_PASSWORD")')
    world.recorder.on("create", "pl4nted", fail="denied")
    outcome = world.attempt()
    assert SECRET not in said(outcome.diagnostics)


def test_the_provider_of_a_removed_block_comes_back_from_the_state_with_its_secret_as_an_expression(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'resource "rec_planned" "a" {\n  name = "a"\n}\nlocals {\n  p = env("REC_PASSWORD")\n}\n'
    world.write(text, config="password = local.p")
    world.apply()
    recorded = world.snapshot.providers["provider.rec"].config["password"]
    assert recorded == {"$expression": 'env("REC_PASSWORD")', "origins": ["env REC_PASSWORD"]}
    # Everything is gone, the provider block too.
    (world.folder / "dstream.hcl").write_text("")
    monkeypatch.delenv("REC_PASSWORD")
    found = refused(world.attempt)
    assert [each.summary for each in found] == ["Missing secret of a recorded provider"]
    assert "env REC_PASSWORD" in found[0].detail
    monkeypatch.setenv("REC_PASSWORD", "an0ther")
    world.apply()
    assert world.recorder.objects() == {}
    assert world.recorder.calls("delete")[0].more["password"] == "an0ther"
    assert (world.recorded, world.snapshot.providers) == ({}, {})


def test_a_provider_that_is_configured_otherwise_is_recorded_so_although_no_object_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'resource "rec_planned" "a" {\n  name = "a"\n}\n'
    world.write(text, config=PASSWORD)
    world.apply()
    monkeypatch.delenv("REC_PASSWORD")
    monkeypatch.setenv("REC_NEW", "an0ther")
    world.write(text, config='password = env("REC_NEW")')
    world.apply()
    assert world.snapshot.providers["provider.rec"].config["password"]["origins"] == ["env REC_NEW"]
    assert not world.drift().drifts
    (world.folder / "dstream.hcl").write_text("")
    world.apply()
    assert world.recorder.objects() == {}


def test_a_secret_identity_is_refused(world: World) -> None:
    world.write('resource "rec_planned" "a" {\n  name = env("REC_PASSWORD")\n}\n')
    found = refused(world.plan)
    assert "ensitive" in found[0].summary
    assert "nonsensitive" in found[0].detail
    assert clean(said(found).encode())


@pytest.mark.parametrize("argument", ['for_each = toset([env("REC_PASSWORD")])', 'count = length(env("REC_PASSWORD"))'])
def test_secret_keys_are_refused(world: World, argument: str) -> None:
    world.write(f'resource "rec_planned" "a" {{\n  {argument}\n  name = "a"\n}}\n')
    found = refused(world.plan)
    assert "ensitive" in found[0].summary
    assert clean(said(found).encode())


def test_a_type_that_makes_up_secrets_needs_an_encrypted_state_before_anything_is_made(world: World) -> None:
    world.write('resource "rec_generated" "g" {\n  name = "g"\n}\nresource "rec_planned" "a" {\n  name = "a"\n}\n')
    found = refused(world.attempt)
    assert [each.summary for each in found] == ["Encryption required"]
    assert world.recorder.objects() == {}


def test_a_secret_output_must_say_that_it_is_one(world: World) -> None:
    world.write(TEXT.replace("  sensitive = true\n", ""))
    found = refused(world.plan)
    assert [each.summary for each in found] == ["Sensitive value in an output"]


def test_the_encrypted_state_keeps_secrets_that_are_made_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passphrase, "SCRYPT_N", 2**14)  # keys in milliseconds
    encrypted = 'dstream {\n  encryption {\n    passphrase = env("REC_PASSWORD")\n  }\n}\n'
    world.write(encrypted + TEXT + 'resource "rec_generated" "g" {\n  name = "g"\n}\n', config=PASSWORD)
    world.apply()
    assert clean(world.everything_written())
    item: ObjectState = world.recorded["rec_secret.s"]
    assert item.attributes["password"] == SECRET
    assert world.recorded["rec_generated.g"].attributes["key"] == "key-of-g-5ecret"
    assert not world.plan().has_changes
    assert clean(shown(world))
    world.apply(destroy=True)
    assert world.recorder.objects() == {}


def test_ignored_secrets_stay(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ignoring = '\n  lifecycle {\n    ignore_changes = [password]\n  }\n}\nresource "rec_planned"'
    text = TEXT.replace('\n}\nresource "rec_planned"', ignoring)
    world.apply(text)
    monkeypatch.setenv("REC_PASSWORD", "0ther")
    assert "rec_secret.s" not in actions(world.plan())
    assert change(world.plan(), "rec_secret.s").action is Action.NO_OP


def test_the_state_is_for_its_owner_only(world: World, tmp_path: Path) -> None:
    world.apply(TEXT)
    state = next((world.folder / ".dstream").rglob("*state*"))
    assert state.stat().st_mode & 0o077 == 0 or state.is_dir()
