"""Names, values and plugins' folders, without a plugin."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dstream_pulumi import Plugin
from dstream_pulumi.names import logical_name, snake, type_name
from dstream_pulumi.private_state import make_private_state, read_private_state, unwrap_secrets
from dstream_pulumi.shapes import json_schema, members_of
from dstream_pulumi.special_values import SIGNATURE, secret
from dstream_pulumi.struct_values import from_struct, to_struct
from dstream_pulumi.translate import from_pulumi, to_attributes, to_properties
from dstream_pulumi.volatile_outputs import is_volatile
from dstream_sdk import UNKNOWN, InvalidError

NAMES = {
    "azure-native:servicebus:Queue": "azure-native_servicebus_Queue",
    "random:index/randomPet:RandomPet": "random_RandomPet",
    "command:local:Command": "command_local_Command",
    "aws:s3/bucket:Bucket": "aws_s3_Bucket",
    "azure-native:servicebus/v20221001preview:Queue": "azure-native_servicebus_v20221001preview_Queue",
}


@pytest.mark.parametrize("token", NAMES)
def test_types_are_called_by_what_is_in_their_token(token):
    assert type_name(token) == NAMES[token]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("maxDeliveryCount", "max_delivery_count"),
        ("enableHTTPSOnly", "enable_https_only"),
        ("ipv4Address", "ipv4_address"),
    ],
)
def test_names_are_in_snake_case(name, expected):
    assert snake(name) == expected


def test_generated_names_begin_with_the_name_of_the_block():
    assert logical_name("acme_stuff_Thing", "acme_stuff_Thing.orders") == "orders"
    assert logical_name("acme_stuff_Thing", 'acme_stuff_Thing.table["Orders.x"]') == "table-Orders-x"
    assert logical_name("acme_stuff_Thing", "group/child") == "group-child"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_any_value_survives_the_wire(values):
    assert from_struct(to_struct(values)) == values


SPEC = {
    "maxSize": {"type": "integer"},
    "tags": {"type": "object", "additionalProperties": {"type": "string"}},
    "sku": {"$ref": "#/types/a:b:Sku"},
    "rules": {"type": "array", "items": {"$ref": "#/types/a:b:Rule"}},
    "body": {"$ref": "pulumi.json#/Asset"},
    "either": {"oneOf": [{"type": "string"}, {"type": "string"}]},
}
TYPES = {
    "a:b:Sku": {"type": "object", "properties": {"skuName": {"type": "string"}, "inner": {"$ref": "#/types/a:b:Sku"}}},
    "a:b:Rule": {"type": "object", "properties": {"portRange": {"type": "string"}}},
}


def test_values_go_there_and_back_by_the_schema():
    members = members_of(SPEC, TYPES.get)
    values = {
        "max_size": 1,
        "tags": {"CostCenter": "x", "snake_case": "y"},
        "sku": {"sku_name": "s"},
        "rules": [{"port_range": "1-2"}],
        "either": "x",
    }
    sent = to_properties(members, values)
    assert sent["tags"] == {"CostCenter": "x", "snake_case": "y"} and sent["sku"] == {"skuName": "s"}
    assert sent["rules"] == [{"portRange": "1-2"}] and sent["maxSize"] == 1
    assert to_attributes(members, sent) == values


def test_a_block_is_an_object():
    members = members_of(SPEC, TYPES.get)
    assert to_properties(members, {"sku": [{"sku_name": "s"}]}) == {"sku": {"skuName": "s"}}


def test_a_type_that_contains_itself_ends():
    assert json_schema(members_of(SPEC, TYPES.get)["sku"].shape)["properties"]["inner"] == {}


def test_assets_are_paths_urls_or_texts_and_their_content_counts(tmp_path):
    members = members_of(SPEC, TYPES.get)
    file = tmp_path / "a.txt"
    file.write_text("one")
    first = to_properties(members, {"body": str(file)})["body"]
    file.write_text("two")
    second = to_properties(members, {"body": {"path": str(file)}})["body"]
    assert first["hash"] != second["hash"] and first[SIGNATURE] == second[SIGNATURE]
    assert to_properties(members, {"body": "https://example.com/x.zip"})["body"]["uri"] == "https://example.com/x.zip"
    with pytest.raises(InvalidError, match="does not exist"):
        to_properties(members, {"body": str(tmp_path / "none")})
    with pytest.raises(InvalidError, match="Invalid asset"):
        to_properties(members, {"body": {"file": "x"}})


def test_pulumis_unknown_is_unknown():
    members = members_of(SPEC, TYPES.get)
    sent = to_properties(members, {"max_size": UNKNOWN})
    assert from_pulumi(members["maxSize"].shape, sent["maxSize"]) is UNKNOWN


def test_a_note_has_no_secret_and_gives_it_back_to_who_knows_it():
    inputs = {"password": "p4ss", "name": "a", "list": [{"key": "p4ss"}]}
    note = make_private_state(inputs, {"key": secret("made"), "name": "a"}, {"p4ss"}, None)
    assert "p4ss" not in str(note) and "made" not in str(note)
    assert read_private_state(note, ["p4ss", "made"]) == (inputs, {"key": "made", "name": "a"})
    assert read_private_state(note, []) == ({"name": "a", "list": [{}]}, {"name": "a"})


def test_marks_of_secrets_are_taken_off_and_their_places_told():
    plain, paths = unwrap_secrets({"a": secret({"b": secret("x")}), "c": [secret(1)]})
    assert plain == {"a": {"b": "x"}, "c": [1]}
    assert set(paths) == {("a",), ("a", "b"), ("c", 0)}


def test_clocks_and_counters_are_known_by_their_names():
    moving = ["updated_at", "created_at", "message_count", "size_in_bytes", "etag", "last_modified", "count_details"]
    steady = ["name", "status", "max_delivery_count_limit", "location", "service_bus_endpoint", "attached", "format"]
    assert all(map(is_volatile, moving)) and not any(map(is_volatile, steady))


def test_plugins_are_found_on_the_path_then_in_pulumis_folder_the_newest_first(tmp_path, monkeypatch):
    for version in ("1.2.3", "1.10.0", "1.9.9"):
        folder = tmp_path / "home" / "plugins" / f"resource-acme-v{version}"
        folder.mkdir(parents=True)
        (folder / "pulumi-resource-acme").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    home = str(tmp_path / "home")
    assert Plugin("acme").find(home).parent.name == "resource-acme-v1.10.0"
    assert Plugin("acme", "1.2.3").find(home).parent.name == "resource-acme-v1.2.3"
    with pytest.raises(InvalidError, match=r"dstream providers pull pulumi/acme@7\.0\.0"):
        Plugin("acme", "7.0.0").find(home)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pulumi-resource-acme").touch(mode=0o755)
    assert Plugin("acme", "1.2.3").find(home).parent == tmp_path / "bin"
    with pytest.raises(InvalidError, match="not an executable file"):
        Plugin("acme", path=str(tmp_path / "nothing")).find(home)


@pytest.mark.parametrize("settings", [{"path": "PROGRAM"}, {"home": "HOME"}])
def test_no_program_that_a_setting_names_starts_for_an_untrusted_configuration(tmp_path, monkeypatch, settings):
    program = tmp_path / "plugins" / "resource-acme-v1.0.0" / "pulumi-resource-acme"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "")
    plugin = Plugin("acme", "1.0.0", str(program) if "path" in settings else "")
    home = str(tmp_path) if "home" in settings else ""
    assert plugin.find(home) == program
    monkeypatch.setenv("DSTREAM_UNTRUSTED", "1")
    with pytest.raises(InvalidError, match="not trusted"):
        plugin.find(home)
