"""collect: an ordinary Pulumi program, and the objects that it asks for."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pulumi
import pytest
from pulumi import Alias, ComponentResource, CustomResource, ProviderResource, ResourceOptions

from dstream_pulumi import Plugin, collect
from dstream_sdk import Deferred, InvalidError, ProviderError
from tests.services.pulumi.serving import install


class Thing(CustomResource):
    """A resource of a plugin that nobody has to have."""

    made: pulumi.Output[str]

    def __init__(self, name, properties=None, opts=None):
        super().__init__("acme:stuff:Thing", name, {"made": None, **(properties or {})}, opts)


class Group(ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("acme:parts:Group", name, None, opts)


def by_key(resources):
    return {each.key: each for each in resources}


def options(**given):
    return ResourceOptions(**given)


def test_a_program_gives_its_resources_with_snake_case_attributes():
    def program():
        Thing("a", {"maxSize": 5, "ratio": 0.5, "tags": {"CostCenter": "x"}, "off": False, "nothing": None})

    [found] = collect(program)
    assert (found.type, found.key) == ("acme_stuff_Thing", "a")
    assert found.attributes == {"max_size": 5, "ratio": 0.5, "tags": {"CostCenter": "x"}, "off": False}
    assert isinstance(found.attributes["max_size"], int)


def test_the_order_is_the_same_however_the_program_is_written():
    def program(names):
        return lambda: [Thing(name) for name in names]

    names = [f"t{number:02}" for number in range(30)]
    there = [each.key for each in collect(program(names))]
    assert there == names == [each.key for each in collect(program(reversed(names)))]


def test_dependencies_are_those_that_are_said_those_of_values_and_parents():
    def program():
        a = Thing("a")
        b = Thing("b", {"from": a.urn})
        Thing("c", opts=options(depends_on=[b]))
        Thing("d", opts=options(parent=a))
        Thing("e", opts=options(deleted_with=a))

    found = by_key(collect(program))
    pair = ("acme_stuff_Thing", "a")
    assert found["a"].depends_on == []
    assert found["b"].depends_on == [pair]
    assert found["c"].depends_on == [("acme_stuff_Thing", "b")]
    assert found["a/d"].depends_on == [pair]
    assert found["e"].depends_on == [pair]


def test_components_are_left_out_and_give_their_names_and_dependencies_to_what_is_in_them():
    def program():
        first = Thing("first")
        outer = Group("outer", options(depends_on=[first]))
        inner = Group("inner", options(parent=outer))
        Thing("x", opts=options(parent=inner))
        Thing("y", opts=options(parent=outer))
        Thing("last", opts=options(depends_on=[outer]))

    found = by_key(collect(program))
    assert sorted(found) == ["first", "last", "outer/inner/x", "outer/y"]
    assert found["outer/inner/x"].depends_on == [("acme_stuff_Thing", "first")]
    last = found["last"].depends_on
    assert ("acme_stuff_Thing", "outer/y") in last and ("acme_stuff_Thing", "outer/inner/x") in last


class Team(ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("acme:parts:Team", name, None, opts)


def test_two_components_of_one_name_may_not_make_one_object_of_two():
    def program(second):
        return lambda: [Thing("x", {"size": 1}, options(parent=kind("a"))) for kind in (Group, second)] and None

    with pytest.raises(InvalidError, match=r"Two acme:stuff:Thing would both be 'a/x'"):
        collect(program(Team))
    with pytest.raises(InvalidError, match="twice"):
        collect(program(Group))
    with pytest.raises(InvalidError, match="'a/x'"):
        collect(lambda: [Thing("x", opts=options(parent=Group("a"))), Thing("a/x")].clear())


def test_a_component_of_another_type_leaves_its_objects_as_they_are():
    """In Pulumi its children are replaced then, unless it has an alias: their URNs name the types of parents."""
    before, after = (
        collect(lambda kind=kind: Thing("x", opts=options(parent=kind("a"))) and None) for kind in (Group, Team)
    )
    assert before == after


def test_transformations_and_providers_of_a_component_reach_what_is_in_it():
    def tagged(given):
        return pulumi.ResourceTransformationResult({**given.props, "tags": {"team": "x"}}, given.opts)

    def program(version):
        acme = ProviderResource("acme", "mine", {}, options(version=version))
        outer = Group("outer", options(transformations=[tagged], providers=[acme]))
        Thing("x", opts=options(parent=Group("inner", options(parent=outer))))
        outer.register_outputs({"address": Thing("y", opts=options(parent=outer)).made})

    found = by_key(collect(lambda: program("1.2.3"), plugins=[Plugin("acme", "1.2.3")]))
    assert {key: each.attributes.get("tags") for key, each in found.items()} == {
        "outer/inner/x": {"team": "x"},
        "outer/y": {"team": "x"},
    }
    with pytest.raises(InvalidError, match=r"acme 3\.0\.0"):
        collect(lambda: program("3.0.0"), plugins=[Plugin("acme", "1.2.3")])


def test_protect_ignore_changes_and_the_order_of_replacement_come_along():
    def program():
        Thing("a", {"maxSize": 1}, options(protect=True, ignore_changes=["maxSize"]))
        Thing("b", opts=options(delete_before_replace=True))
        Thing("c", opts=options(delete_before_replace=False))
        Thing("d", opts=options(parent=Thing("p", opts=options(protect=True))))

    found = by_key(collect(program))
    assert found["a"].prevent_destroy and found["a"].ignore_changes == ["max_size"]
    assert [found[key].create_before_destroy for key in "abc"] == [False, False, True]
    assert not found["b"].prevent_destroy
    assert found["p/d"].prevent_destroy, "Pulumi's children inherit protect"


def test_secrets_are_marked_and_arrive_in_clear():
    def program():
        password = pulumi.Config().require_secret("password")
        Thing("a", {"adminPassword": password, "user": pulumi.Config().require("user")})
        Thing("b", {"settings": {"url": pulumi.Output.concat("https://me:", password, "@host")}})
        Thing("c", opts=options(additional_secret_outputs=["accessKey"]))

    found = by_key(collect(program, config={"password": "p4ss", "user": "me"}, secrets=["password"]))
    assert found["a"].attributes == {"admin_password": "p4ss", "user": "me"}
    assert found["a"].sensitive == [("admin_password",)]
    assert found["b"].attributes == {"settings": {"url": "https://me:p4ss@host"}}
    assert found["b"].sensitive == [("settings",)]
    assert found["c"].sensitive == [("access_key",)]


def test_aliases_are_earlier_names_types_and_parents():
    def program():
        Thing("new", opts=options(aliases=[Alias(name="old"), Alias(type_="acme:stuff:Widget")]))
        group = Group("group", options(aliases=[Alias(name="team")]))
        Thing("group-x", opts=options(parent=group))
        Thing("moved", opts=options(parent=group, aliases=[Alias(parent=pulumi.ROOT_STACK_RESOURCE)]))
        Thing("byurn", opts=options(aliases=["urn:pulumi:dev::dstream::acme:stuff:Thing::was"]))

    found = by_key(collect(program))
    assert found["new"].aliases == [("acme_stuff_Thing", "old"), ("acme_stuff_Widget", "new")]
    assert ("acme_stuff_Thing", "team/team-x") in found["group/group-x"].aliases
    assert ("acme_stuff_Thing", "moved") in found["group/moved"].aliases
    assert found["byurn"].aliases == [("acme_stuff_Thing", "was")]


def test_assets_are_written_as_a_configuration_writes_them(tmp_path):
    def program():
        Thing("a", {"code": pulumi.FileAsset("./main.sql"), "text": pulumi.StringAsset("hello")})
        Thing("b", {"all": pulumi.AssetArchive({"x": pulumi.RemoteAsset("https://example.com/x")})})

    found = by_key(collect(program))
    assert found["a"].attributes == {"code": {"path": "./main.sql"}, "text": {"text": "hello"}}
    assert found["b"].attributes == {"all": {"assets": {"x": {"uri": "https://example.com/x"}}}}


def test_a_program_may_be_asynchronous_and_apply_functions_to_values():
    async def program():
        await asyncio.sleep(0)
        Thing("a", {"size": pulumi.Output.from_input(2).apply(lambda n: n * 21)})

    assert collect(program)[0].attributes == {"size": 42}


def test_a_program_may_run_where_an_event_loop_runs():
    async def caller():
        return collect(lambda: Thing("a") and None)

    assert asyncio.run(caller())[0].key == "a"


def test_programs_that_run_at_once_do_not_see_each_other():
    def one(number):
        def program():
            assert pulumi.get_stack() == f"s{number}"
            Thing(f"t{number}", {"n": pulumi.Config().require("n")})

        return collect(program, stack=f"s{number}", config={"n": str(number)})

    with ThreadPoolExecutor(4) as pool:
        for number, found in enumerate(pool.map(one, range(12))):
            assert [(each.key, each.attributes) for each in found] == [(f"t{number}", {"n": str(number)})]


REFUSED = {
    "invoke": (lambda: pulumi.runtime.invoke("acme:stuff:getSize", {}), "acme:stuff:getSize"),
    "get": (lambda: Thing("a", opts=options(id="x")), "gets acme:stuff:Thing"),
    "stack reference": (lambda: pulumi.StackReference("org/other/dev"), "org/other/dev"),
    "transforms": (lambda: Thing("a", opts=options(transforms=[lambda given: None])), "transforms"),
    "stack transform": (lambda: pulumi.runtime.register_resource_transform(lambda given: None), "transforms"),
    "hooks": (
        lambda: Thing("a", opts=options(hooks=pulumi.ResourceHookBinding(before_create=[lambda given: None]))),
        "hook",
    ),
    "import": (lambda: Thing("a", opts=options(import_="x")), "import_"),
    "retain": (lambda: Thing("a", opts=options(retain_on_delete=True)), "retain_on_delete"),
    "replace on changes": (lambda: Thing("a", opts=options(replace_on_changes=["x"])), "replace_on_changes"),
    "replace with": (lambda: Thing("a", opts=options(replace_with=[Thing("b")])), "ReplaceWith"),
    "remote component": (lambda: ComponentResource("acme:parts:Far", "far", {}, None, True), "remote component"),
    "twice": (lambda: (Thing("a"), Thing("a")), "twice"),
    "nested ignore": (lambda: Thing("a", opts=options(ignore_changes=["sku.size"])), "sku.size"),
    "unknown": (lambda: Thing("b", {"from": Thing("a").made}), "from uses an output of acme:stuff:Thing 'a'"),
    "unknown in a text": (
        lambda: Thing("b", {"x": pulumi.Output.concat("a-", Thing("a").id)}),
        "x uses an output",
    ),
    "provider settings": (
        lambda: Thing("a", opts=options(provider=ProviderResource("acme", "mine", {"region": "north"}))),
        "region",
    ),
}


def test_what_replaces_by_the_schema_may_be_said_again_as_packages_do(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    plugin = Plugin("frame", path=str(install(tmp_path / "bin", "frame", "tests.services.pulumi.frame")))

    def program(*paths):
        made = lambda: CustomResource(  # noqa: E731
            "frame:local:Command", "a", {"create": "x"}, options(replace_on_changes=list(paths))
        )
        return lambda: made() and None

    [found] = collect(program("triggers[*]"), plugins=[plugin])
    assert found.attributes == {"create": "x"}
    with pytest.raises(InvalidError, match=r"replace_on_changes create\. The plugin decides"):
        collect(program("triggers[*]", "create"), plugins=[plugin])
    with pytest.raises(InvalidError, match=r"name the plugin in collect\(plugins="):
        collect(program("triggers[*]"))


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_honoured_is_refused_by_name(case):
    program, expected = REFUSED[case]
    with pytest.raises(InvalidError) as raised:
        collect(lambda: program() and None)
    assert expected in str(raised.value)
    assert "CLI" not in str(raised.value)


def test_versions_of_programs_and_plugins_go_together():
    def program(version, provider=None):
        return lambda: Thing("a", opts=options(version=version, provider=provider and provider())) and None

    assert collect(program("1.2.3"), plugins=[Plugin("acme", "1.2.3")])
    assert collect(program("1.2.3"), plugins=[Plugin("acme")])
    with pytest.raises(InvalidError, match=r"acme 1\.2\.3, and the given plugin is acme 2\.0\.0"):
        collect(program("1.2.3"), plugins=[Plugin("acme", "2.0.0")])
    with pytest.raises(InvalidError, match="the given plugins are other"):
        collect(program("1.2.3"), plugins=[Plugin("other")])
    explicit = program("", lambda: ProviderResource("acme", "mine", {}, options(version="3.0.0")))
    with pytest.raises(InvalidError, match=r"acme 3\.0\.0"):
        collect(explicit, plugins=[Plugin("acme", "2.0.0")])


def test_an_error_of_the_program_names_its_place():
    def program():
        Thing("a")
        raise ValueError("no such table")

    with pytest.raises(ProviderError) as raised:
        collect(program)
    assert raised.value.summary == "Pulumi program failed"
    assert "ValueError: no such table" in raised.value.detail and "test_collect.py, line" in raised.value.detail


def test_errors_of_the_sdk_pass_unchanged():
    def deferred():
        raise Deferred("config.namespace")

    def refused():
        raise InvalidError("Not a queue name", "it is empty", path="config.name")

    with pytest.raises(Deferred):
        collect(deferred)
    with pytest.raises(InvalidError) as raised:
        collect(refused)
    assert raised.value.path == "config.name"


def test_nothing_of_pulumi_is_imported_before_it_is_needed():
    code = "import sys, dstream_pulumi; print([m for m in sys.modules if m.split('.')[0] in ('pulumi', 'grpc')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
