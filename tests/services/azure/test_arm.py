"""The stand-in of Azure Resource Manager: what its clients rely on."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.services.azure.arm import ArmServer
from tests.services.azure.running import arm_server

GROUP = "/subscriptions/s1/resourceGroups/rg"
SPACE = f"{GROUP}/providers/Microsoft.ServiceBus/namespaces/orders-bus"


@pytest.fixture
def arm() -> Iterator[ArmServer]:
    with arm_server() as server:
        server.model.put_group("s1", "rg")
        yield server


def ask(arm: ArmServer, method: str, path: str, body: Any = None, token: str = "Bearer t") -> tuple[int, Any]:
    url = path if path.startswith("http") else f"{arm.url}{path}?api-version=2022-10-01-preview"
    headers = {"Authorization": token, "Content-Type": "application/json"} if token else {}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as problem:
        return problem.code, json.loads(problem.read())["error"]["code"]


def make(arm: ArmServer, tier: str = "Standard") -> None:
    assert ask(arm, "PUT", SPACE, {"location": "westeurope", "sku": {"name": tier}})[0] == 200


def test_a_queue_is_created_read_changed_listed_and_deleted(arm: ArmServer) -> None:
    make(arm)
    status, made = ask(arm, "PUT", f"{SPACE}/queues/Orders_cdc_events", {"properties": {"maxDeliveryCount": 5}})
    assert (status, made["id"], made["properties"]["maxDeliveryCount"]) == (200, f"{SPACE}/queues/Orders_cdc_events", 5)
    assert made["properties"]["lockDuration"] == "PT1M"
    assert ask(arm, "GET", f"{SPACE}/queues/orders_CDC_events")[1]["name"] == "Orders_cdc_events"
    _, changed = ask(arm, "PUT", f"{SPACE}/queues/Orders_cdc_events", {"properties": {"lockDuration": "PT30S"}})
    assert changed["properties"]["maxDeliveryCount"] == 10, "what is not said becomes the default"
    assert [each["name"] for each in ask(arm, "GET", f"{SPACE}/queues")[1]["value"]] == ["Orders_cdc_events"]
    assert ask(arm, "DELETE", f"{SPACE}/queues/Orders_cdc_events")[0] == 200
    assert ask(arm, "DELETE", f"{SPACE}/queues/Orders_cdc_events")[0] == 204
    assert ask(arm, "GET", f"{SPACE}/queues/Orders_cdc_events") == (404, "MessagingGatewayNotFoundStatusCode")


def test_what_the_service_refuses_is_refused(arm: ArmServer) -> None:
    assert ask(arm, "GET", SPACE) == (404, "ResourceNotFound")
    assert ask(arm, "GET", SPACE.replace("/rg/", "/other/")) == (404, "ResourceGroupNotFound")
    make(arm)
    assert ask(arm, "GET", SPACE, token="") == (401, "AuthenticationFailed")
    assert ask(arm, "PUT", f"{SPACE}/queues/-odd", {})[0] == 400
    assert ask(arm, "PUT", f"{SPACE}/queues/q", {"properties": {"requiresSession": True}})[0] == 200
    assert ask(arm, "PUT", f"{SPACE}/queues/q", {"properties": {"requiresSession": False}})[0] == 400
    assert ask(arm, "PUT", f"{SPACE}/topics/q", {})[0] == 409, "a queue has this name"
    assert ask(arm, "PUT", f"{SPACE}/topics/t/subscriptions/s", {}) == (404, "MessagingGatewayNotFoundStatusCode")


def test_topics_have_subscriptions(arm: ArmServer) -> None:
    make(arm)
    assert ask(arm, "PUT", f"{SPACE}/topics/t", {})[0] == 200
    made = ask(arm, "PUT", f"{SPACE}/topics/t/subscriptions/s", {"properties": {"requiresSession": True}})[1]
    assert made["id"] == f"{SPACE}/topics/t/subscriptions/s"
    assert [each["name"] for each in ask(arm, "GET", f"{SPACE}/topics/t/subscriptions")[1]["value"]] == ["s"]
    assert ask(arm, "DELETE", f"{SPACE}/topics/t")[0] == 200
    assert ask(arm, "GET", f"{SPACE}/topics/t/subscriptions/s")[0] == 404


def test_keys_are_listed_and_a_deleted_group_takes_its_namespaces_along(arm: ArmServer) -> None:
    make(arm)
    keys = ask(arm, "POST", f"{SPACE}/AuthorizationRules/RootManageSharedAccessKey/listKeys")[1]
    assert keys["primaryConnectionString"].startswith("Endpoint=sb://orders-bus.servicebus.windows.net/;Shared")
    assert keys["primaryKey"] in keys["primaryConnectionString"]
    assert ask(arm, "DELETE", GROUP)[0] == 200
    assert arm.model.namespaces == {}


def test_a_long_list_comes_in_pages(arm: ArmServer) -> None:
    make(arm)
    for number in range(120):
        arm.model.put(arm.model.namespace("orders-bus"), "queue", f"q{number:03}", {})
    first = ask(arm, "GET", f"{SPACE}/queues")[1]
    second = ask(arm, "GET", first["nextLink"])[1]
    assert len(first["value"]) == 100
    assert [each["name"] for each in second["value"]] == [f"q{number:03}" for number in range(100, 120)]


def test_faults_hit_the_calls_they_are_meant_for(arm: ArmServer) -> None:
    make(arm)
    arm.fault("PUT .*/queues/a", status=429, code="TooManyRequests")
    assert ask(arm, "PUT", f"{SPACE}/queues/b", {})[0] == 200
    assert ask(arm, "PUT", f"{SPACE}/queues/a", {}) == (429, "TooManyRequests")
    assert ask(arm, "PUT", f"{SPACE}/queues/a", {})[0] == 200
    arm.fault("DELETE .*/queues/a", lost=True)
    with pytest.raises(OSError):
        ask(arm, "DELETE", f"{SPACE}/queues/a")
    assert arm.model.namespace("orders-bus").names() == ["b"], "it was applied, though nobody heard"


def test_a_namespace_takes_its_time_when_it_should() -> None:
    with arm_server(slow_namespaces=2) as arm:
        arm.model.put_group("s1", "rg")
        status, made = ask(arm, "PUT", SPACE, {"sku": {"name": "Premium"}})
        assert (status, made["properties"]["provisioningState"]) == (201, "Creating")
        assert ask(arm, "GET", SPACE)[1]["properties"]["provisioningState"] == "Creating"
        assert ask(arm, "GET", SPACE)[1]["properties"]["provisioningState"] == "Succeeded"


def test_a_slow_creation_is_forgotten_with_its_namespace() -> None:
    with arm_server(slow_namespaces=1000) as arm:
        arm.model.put_group("s1", "rg")
        for away in (SPACE, GROUP):
            arm.slow_namespaces = 1000
            ask(arm, "PUT", SPACE, {"sku": {"name": "Premium"}})
            assert ask(arm, "GET", SPACE)[1]["properties"]["provisioningState"] == "Creating"
            assert ask(arm, "DELETE", away)[0] == 200
            assert ask(arm, "GET", "/subscriptions/operations/orders-bus") == (404, "ResourceNotFound")
            arm.model.put_group("s1", "rg")
            arm.slow_namespaces = 0
            made = ask(arm, "PUT", SPACE, {"sku": {"name": "Premium"}})
            assert made[1]["properties"]["provisioningState"] == "Succeeded"
            ask(arm, "DELETE", SPACE)
