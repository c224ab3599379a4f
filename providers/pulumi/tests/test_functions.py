"""Function calls of an embedded program: answered by its author or by a plugin, over real gRPC and the real SDK."""

import os
from pathlib import Path

import pulumi
import pytest
from pulumi import CustomResource, InvokeOutputOptions, ProviderResource
from pulumi.runtime import invoke, invoke_output

from dstream_pulumi import Plugin, collect
from dstream_sdk import InvalidError, ProviderError
from tests.e2e.commands import children

SIZE = "acme:stuff:getSize"


def thing(name, **properties):
    return CustomResource("acme:stuff:Thing", name, {"made": None, **properties})


@pytest.fixture
def collected(executable, tmp_path):
    """Collect a program whose calls the plugin answers, about a file `abc`."""
    folder = tmp_path / "things"
    folder.mkdir()
    (folder / "abc").touch()

    def run(program, **given):
        more = {"plugins": [Plugin("acme", path=str(executable))], "settings": {"acme": {"folder": str(folder)}}}
        return collect(lambda: program() and None, **{**more, **given})

    return run


def test_an_author_answers_calls_without_a_plugin():
    def program():
        thing("a", size=invoke(SIZE, {"name": "a"}).value["size"])

    [found] = collect(program, invokes={SIZE: lambda given: {"size": 7 if given["name"] == "a" else 0}})
    assert found.attributes == {"size": 7}


def test_a_plugin_answers_in_either_form(collected):
    def program():
        plain = invoke(SIZE, {"name": "abc"}).value
        later = invoke_output(SIZE, {"name": pulumi.Output.from_input("abc")})
        thing("a", size=plain["size"], ratio=later.apply(lambda found: found["size"] / 2))

    [found] = collected(program)
    assert found.attributes == {"size": 3, "ratio": 1.5} and found.sensitive == [("ratio",)]


def test_an_author_goes_before_a_plugin(collected):
    [found] = collected(
        lambda: thing("a", size=invoke(SIZE, {"name": "none"}).value["size"]), invokes={SIZE: lambda given: {"size": 9}}
    )
    assert found.attributes == {"size": 9}


def test_a_secret_answer_stays_secret_where_the_sdk_drops_its_mark(collected):
    [found] = collected(lambda: thing("a", note=f"with {invoke(SIZE, {'name': 'abc'}).value['key']}", region="north"))
    assert found.attributes["note"] == "with key of abc"
    assert found.sensitive == [("note",)]


def test_nothing_is_called_about_what_the_program_only_describes(collected):
    def program():
        made = thing("new", thingName="new")
        waiting = invoke_output(SIZE, {"name": "new"}, InvokeOutputOptions(depends_on=[made]))
        pulumi.export("size", waiting.apply(lambda found: found["size"]))
        thing("b", size=waiting.apply(lambda found: found["size"]))

    with pytest.raises(InvalidError, match=r"size uses an output of .* known only after it is created"):
        collected(program)


@pytest.mark.parametrize("form", ["plain", "output"])
def test_an_error_of_a_function_is_that_of_the_program_with_the_way_out(collected, form):
    def program():
        if form == "plain":
            invoke(SIZE, {"name": "none"})
        else:
            thing("a", size=invoke_output(SIZE, {"name": "none"}).apply(lambda found: found["size"]))

    with pytest.raises(ProviderError) as raised:
        collected(program)
    assert "there is no none" in raised.value.detail and "_output" in raised.value.detail


def test_arguments_that_a_function_rejects_are_named(collected):
    with pytest.raises(InvalidError, match="acme:stuff:getSize: name: it is required"):
        collected(lambda: invoke(SIZE, {}))


def test_a_program_may_go_on_after_a_failed_call(collected):
    def program():
        try:
            size = invoke(SIZE, {"name": "none"}).value["size"]
        except Exception:  # noqa: BLE001 - what the SDK raises
            size = 1
        thing("a", size=size)

    assert collected(program)[0].attributes == {"size": 1}


def test_a_call_that_nothing_answers_is_refused_with_both_ways_out(executable):
    with pytest.raises(InvalidError) as raised:
        collect(lambda: invoke(SIZE, {}) and None, plugins=[Plugin("acme", path=str(executable))])
    assert 'settings={"acme": ' in raised.value.detail and 'invokes={"acme:stuff:getSize": ' in raised.value.detail


def test_a_call_goes_to_the_plugin_that_was_given(collected):
    other = lambda: invoke("other:index:get", {"name": "abc"})  # noqa: E731
    with pytest.raises(InvalidError, match="other:index:get belongs to other, and the given plugins are acme"):
        collected(other)

    def configured():
        provider = ProviderResource("acme", "mine", {"region": "north"})
        invoke(SIZE, {"name": "abc"}, pulumi.InvokeOptions(provider=provider))

    with pytest.raises(InvalidError, match="sets region"):
        collected(configured)


def test_no_plugin_is_left_behind(collected):
    collected(lambda: thing("a", size=invoke(SIZE, {"name": "abc"}).value["size"]))
    commands = [Path(f"/proc/{each}/cmdline").read_bytes() for each in children(os.getpid())]
    assert not any(b"pulumi-resource-acme" in command for command in commands)
