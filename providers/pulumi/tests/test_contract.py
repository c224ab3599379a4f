"""What is used of pulumi beyond its documented interface. A new minor version of pulumi has to pass this first."""

import inspect
from importlib import metadata

import pulumi
from pulumi.runtime import Settings, configure, rpc, run_in_stack, set_all_config
from pulumi.runtime.proto import (
    engine_pb2_grpc,
    provider_pb2,
    provider_pb2_grpc,
    resource_pb2,
    resource_pb2_grpc,
    status_pb2,
)

from dstream_pulumi import monitor, special_values
from dstream_pulumi.program import _UNSUPPORTED


def methods(servicer):
    return {name for name in vars(servicer) if name[:1].isupper()}


def fields(message):
    return set(message.DESCRIPTOR.fields_by_name)


def test_the_minor_version_is_the_one_that_was_tried():
    assert metadata.version("pulumi").startswith("3.272.")


def test_settings_take_a_monitor_and_an_engine_that_are_objects():
    assert list(inspect.signature(Settings).parameters)[:4] == ["project", "stack", "monitor", "engine"]
    assert {"dry_run", "organization"} <= set(inspect.signature(Settings).parameters)
    marker = object()
    assert Settings("p", "s", marker, marker).monitor is marker
    assert all(map(callable, (configure, run_in_stack, set_all_config)))


def test_the_monitor_answers_or_refuses_every_method_of_the_service():
    answered = {name for name in vars(monitor.Monitor) if name[:1].isupper()}
    known = methods(resource_pb2_grpc.ResourceMonitorServicer)
    assert answered <= known
    assert known - answered == {
        "SupportsFeature", "ExistsResource", "RegisterStackTransform", "RegisterStackInvokeTransform",
        "RegisterResourceHook", "RegisterErrorHook", "RegisterPackage",
    }  # fmt: skip
    assert {"Log", "RequirePulumiVersion"} <= methods(engine_pb2_grpc.EngineServicer)


def test_a_registration_has_the_fields_that_are_read():
    read = {
        "type", "name", "parent", "custom", "object", "protect", "dependencies", "provider", "propertyDependencies",
        "deleteBeforeReplace", "deleteBeforeReplaceDefined", "ignoreChanges", "version", "additionalSecretOutputs",
        "importId", "customTimeouts", "aliases", "remote", "replaceOnChanges", "retainOnDelete", "deletedWith",
        "replace_with", "replacement_trigger", "hooks",
    }  # fmt: skip
    assert read <= fields(resource_pb2.RegisterResourceRequest)


def test_the_options_of_a_resource_are_those_that_were_thought_of():
    thought_of = {
        "parent", "depends_on", "protect", "delete_before_replace", "ignore_changes", "provider", "providers",
        "version", "aliases", "additional_secret_outputs", "id", "import_", "custom_timeouts", "transformations",
        "transforms", "urn", "replace_on_changes", "plugin_download_url", "retain_on_delete", "deleted_with", "hooks",
        "replace_with", "replacement_trigger", "hide_diffs", "env_var_mappings", "state_migrations",
    }  # fmt: skip
    assert set(inspect.signature(pulumi.ResourceOptions).parameters) - {"self"} == thought_of


def test_the_sdk_refuses_unsupported_features_in_the_words_that_are_understood():
    source = inspect.getsource(pulumi.runtime.resource) + inspect.getsource(pulumi.runtime.stack)
    said = source.count("Please update the Pulumi CLI.")
    assert said == len(_UNSUPPORTED.findall(source)) > 5


def test_the_marks_of_special_values_are_those_of_the_sdk():
    assert rpc._special_sig_key == special_values.SIGNATURE
    assert rpc._special_secret_sig == special_values.SECRET
    assert rpc._special_asset_sig == special_values.ASSET
    assert rpc._special_archive_sig == special_values.ARCHIVE
    assert rpc._special_resource_sig == special_values.RESOURCE
    assert rpc._special_output_value_sig == special_values.OUTPUT
    assert special_values.UNKNOWN_TEXT == rpc.UNKNOWN


def test_the_service_of_plugins_has_the_methods_that_are_called():
    called = {
        "Handshake", "GetSchema", "CheckConfig", "DiffConfig", "Configure", "Check", "Diff", "Create", "Read",
        "Update", "Delete", "Cancel", "Invoke",
    }  # fmt: skip
    assert called <= methods(provider_pb2_grpc.ResourceProviderServicer)
    assert {"id", "properties", "reasons", "inputs"} <= fields(provider_pb2.ErrorResourceInitFailed)
    assert {"code", "message", "details"} <= fields(status_pb2.Status)


def test_a_function_call_has_the_fields_that_are_read_and_written():
    assert {"tok", "args", "provider", "version"} <= fields(resource_pb2.ResourceInvokeRequest)
    assert fields(resource_pb2.ResourceInvokeResponse) == {"return", "failures", "unknown"}
    assert {"tok", "args"} <= fields(provider_pb2.InvokeRequest)
    assert fields(provider_pb2.InvokeResponse) == {"return", "failures"}
