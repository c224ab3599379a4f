"""Names, durations and settings, without any service."""

from __future__ import annotations

from typing import Any

import pytest

from dstream_sdk import Deferred, InvalidError, PlanContext, ProviderError, Stream, decode
from dstream_sdk.channel import UNKNOWN
from dstream_servicebus import durations
from dstream_servicebus.clients import host_of
from dstream_servicebus.names import Naming, chosen
from dstream_servicebus.output import ServiceBusOutput
from dstream_servicebus.settings import InputSettings, OutputSettings

STRING = "Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=c2VjcmV0"


def settings(**more: Any) -> OutputSettings:
    return decode(OutputSettings, {"connection_string": STRING, **more})


def planned(*tables: str, **more: Any) -> list[str]:
    streams = tuple(Stream(name) for name in tables)
    return [f"{each.type} {each.key}" for each in ServiceBusOutput().plan(settings(**more), PlanContext("t", streams))]


@pytest.mark.parametrize(
    ("written", "shown", "sent"),
    [
        ("60s", "1m", "PT1M"),
        ("PT1M", "1m", "PT1M"),
        ("120s", "2m", "PT2M"),
        ("1h30m", "1h30m", "PT1H30M"),
        ("14d", "14d", "P14D"),
        ("P1DT2H", "1d2h", "P1DT2H"),
        ("0.5s", "0.5s", "PT0.5S"),
        ("unlimited", "unlimited", durations.FOREVER),
        (durations.FOREVER, "unlimited", durations.FOREVER),
    ],
)
def test_durations_have_one_form_in_the_state_and_one_on_the_wire(written: str, shown: str, sent: str) -> None:
    assert (durations.short(written), durations.iso(written)) == (shown, sent)
    assert durations.short(sent) == shown


@pytest.mark.parametrize("wrong", ["", "5", "m", "P", "PT", "5 minutes", "-1m"])
def test_what_is_no_duration_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        durations.short(wrong)


def test_queues_are_named_by_the_template() -> None:
    assert planned("dbo.Orders", "Persons") == ["asb_queue Orders_cdc_events", "asb_queue Persons_cdc_events"]
    assert planned("dbo.Orders", queue_name="cdc/{schema}/{table}") == ["asb_queue cdc/dbo/Orders"]
    assert planned("dbo.Orders", queue_name="{task}-{name}") == ["asb_queue t-dbo.Orders"]
    assert planned("dbo.Orders", "dbo.Persons", queue_name="everything") == ["asb_queue everything"]
    assert (
        planned("dbo.Orders", queues={"dbo.Orders": "o"})
        == planned("dbo.Orders", queues={"Orders": "o"})
        == ["asb_queue o"]
    )
    assert planned(queue_name="everything") == ["asb_queue everything"]


@pytest.mark.parametrize(
    ("tables", "more", "says"),
    [
        (["Order Details"], {}, "queues = "),
        (["x" * 260], {}, "260"),
        (["sales.Orders", "dbo.orders"], {}, "{schema}"),
        (["Orders"], {"queue_name": "{tables}"}, "there is no {tables}"),
        (["Orders"], {"tables": ["Order"]}, "not among the tables of the input: Orders"),
        ([], {}, "list them"),
        ([], {"tables": ["dbo.*"]}, "name each table"),
        (["Orders"], {"entity": "topic"}, "at least one"),
        (["Orders"], {"subscriptions": ["a"]}, 'entity = "topic"'),
        (["Orders"], {"lock_duration": "soon"}, "not a duration"),
        (["Orders"], {"resource_group": "rg"}, "namespace"),
        (["Orders"], {"location": "westeurope"}, "resource_group"),
        (["Orders"], {"connection_string": "Server=x"}, "SharedAccessKeyName"),
        (["Orders"], {"connection_string": ""}, "Entra ID"),
    ],
)
def test_mistakes_are_told_with_how_to_mend_them(tables: list[str], more: dict[str, Any], says: str) -> None:
    with pytest.raises(ProviderError) as told:
        planned(*tables, **more)
    texts = [each["detail"] for each in told.value.diagnostics()]
    assert any(says in text for text in texts), texts
    assert "c2VjcmV0" not in str(texts)


def test_an_unknown_connection_string_defers_the_plan() -> None:
    config = decode(OutputSettings, {"connection_string": UNKNOWN})
    with pytest.raises(Deferred):
        list(ServiceBusOutput().plan(config, PlanContext("t", (Stream("Orders"),))))


def test_topics_are_planned_with_their_subscriptions() -> None:
    found = planned("Orders", entity="topic", subscriptions=["a", "b"])
    assert found == [
        "asb_topic Orders_cdc_events",
        "asb_subscription Orders_cdc_events/a",
        "asb_subscription Orders_cdc_events/b",
    ]
    assert planned("Orders", manage=False) == []


def test_tables_are_chosen_by_name_and_by_pattern() -> None:
    delivered = ["dbo.Orders", "dbo.Persons", "sales.Orders"]
    assert chosen(delivered, []) == delivered
    assert chosen(delivered, ["Orders"]) == ["dbo.Orders", "sales.Orders"]
    assert chosen(delivered, ["dbo.*"]) == ["dbo.Orders", "dbo.Persons"]
    assert chosen([], ["a", "a"]) == ["a"]


def test_two_tables_may_share_a_queue_by_name() -> None:
    naming = Naming("{table}", {"a": "x", "b": "x"}, "t")
    assert naming.all_of(["a", "b"]) == {"a": "x", "b": "x"}
    with pytest.raises(InvalidError):
        Naming("{table}", {"a": "b"}, "t").all_of(["a", "b"])


def test_namespaces_are_found_by_name_and_host() -> None:
    for text in ("shop", "shop.servicebus.windows.net", "sb://shop.servicebus.windows.net/"):
        assert host_of(decode(OutputSettings, {"namespace": text})) == "shop.servicebus.windows.net"


@pytest.mark.parametrize("wrong", [{}, {"queue": "q", "topic": "t"}, {"topic": "t"}])
def test_an_input_reads_one_thing(wrong: dict[str, Any]) -> None:
    with pytest.raises(ProviderError):
        decode(InputSettings, {"connection_string": STRING, **wrong})
