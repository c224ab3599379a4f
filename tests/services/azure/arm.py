"""Azure Resource Manager for Service Bus: resource groups, namespaces, queues, topics, subscriptions, and their keys.

PUT, GET, DELETE and lists as in API version 2021-11-01 and later; any bearer token is taken. With
`slow_namespaces`, a namespace is created as the real service does it: 202 and a state that becomes Succeeded after so
many looks, or an operation to ask (`Azure-AsyncOperation`).
"""

from __future__ import annotations

import re
import ssl
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from tests.services.azure.model import DEFAULTS, Azure, Entity, Kind, Namespace, Refused
from tests.services.azure.web import Answer, Call, WebServer

_GROUP = re.compile(r"/subscriptions/(?P<sub>[^/]+)/resourcegroups/(?P<group>[^/]+)(?P<rest>/.*)?", re.IGNORECASE)
_REST = re.compile(
    r"/providers/microsoft\.servicebus/namespaces(?:/(?P<namespace>[^/]+)(?P<rest>/.*)?)?", re.IGNORECASE
)
_RULE = re.compile(r"/authorizationrules(?:/(?P<rule>[^/]+)(?:/(?P<action>listkeys))?)?", re.IGNORECASE)
_ENTITY = re.compile(
    r"/(?P<kinds>queues|topics)(?:/(?P<name>[^/]+)(?:/subscriptions(?P<inner>/[^/]+)?)?)?", re.IGNORECASE
)
_OPERATION = "/subscriptions/operations/"


class ArmServer(WebServer):
    """The plane that Pulumi's azure-native and azure-mgmt-servicebus talk to."""

    def __init__(self, model: Azure, context: ssl.SSLContext | None = None, *, slow_namespaces: int = 0) -> None:
        super().__init__(context)
        self.model = model
        self.slow_namespaces = slow_namespaces

    def refusal(self, status: int, code: str, message: str, headers: Mapping[str, str]) -> Answer:
        return Answer.of(status, {"error": {"code": code, "message": message}}, **headers)

    def answer(self, call: Call) -> Answer:
        if not call.headers.get("authorization", "").startswith("Bearer "):
            return self.refusal(401, "AuthenticationFailed", "Authentication failed. The header is missing.", {})
        if "api-version" not in call.query:
            return self.refusal(400, "MissingApiVersionParameter", "The api-version query parameter is required.", {})
        try:
            with self.model.lock:
                return self._route(call)
        except Refused as no:
            return self.refusal(no.status, no.code, no.message, {})

    def _route(self, call: Call) -> Answer:
        if call.path.startswith(_OPERATION):
            return self._operation(call.path.removeprefix(_OPERATION))
        group = _GROUP.fullmatch(call.path)
        if group is None:
            return self.refusal(404, "InvalidResourceType", f"nothing is served at {call.path}", {})
        if group["rest"] is None:
            return self._group(call, group["sub"], group["group"])
        rest = _REST.fullmatch(group["rest"])
        if rest is None:
            return self.refusal(404, "InvalidResourceType", f"nothing is served at {call.path}", {})
        if rest["namespace"] is None:
            found = self.model.namespaces_of(group["sub"], group["group"])
            return Answer.of(200, {"value": [self._shown(each) for each in found]})
        if rest["rest"] is None:
            return self._namespace(call, group["sub"], group["group"], rest["namespace"])
        namespace = self._existing(group["sub"], group["group"], rest["namespace"])
        if rule := _RULE.fullmatch(rest["rest"]):
            return self._rule(call, namespace, rule["rule"], rule["action"])
        if entity := _ENTITY.fullmatch(rest["rest"]):
            return self._entity(call, namespace, entity)
        return self.refusal(404, "InvalidResourceType", f"nothing is served at {call.path}", {})

    # -- groups and namespaces -----------------------------------------------------------------------

    def _group(self, call: Call, subscription: str, name: str) -> Answer:
        if call.method == "PUT":
            self.model.put_group(subscription, name, str(call.json().get("location") or "westeurope"))
        if call.method == "DELETE":
            return Answer(200 if self.model.delete_group(subscription, name) else 204)
        return Answer.of(200, self.model.group(subscription, name))

    def _namespace(self, call: Call, subscription: str, group: str, name: str) -> Answer:
        if call.method == "PUT":
            new = name.lower() not in self.model.namespaces
            namespace = self.model.put_namespace(subscription, group, name, call.json())
            if new and self.slow_namespaces:
                namespace.looks = self.slow_namespaces
                where = f"{self.url}{_OPERATION}{urllib.parse.quote(name.lower())}?api-version=2021-11-01"
                return Answer.of(201, self._shown(namespace), Azure_AsyncOperation=where, Retry_After="0")
            return Answer.of(200, self._shown(namespace))
        if call.method == "DELETE":
            try:
                self._existing(subscription, group, name)
            except Refused:
                return Answer(204)
            self.model.delete_namespace(name)
            return Answer(200)
        namespace = self._existing(subscription, group, name)
        namespace.looks = max(namespace.looks - 1, 0)
        return Answer.of(200, self._shown(namespace))

    def _operation(self, name: str) -> Answer:
        namespace = self.model.namespaces.get(name)
        if namespace is None:
            return self.refusal(404, "ResourceNotFound", f"There is no operation for '{name}'.", {})
        namespace.looks = max(namespace.looks - 1, 0)
        return Answer.of(200, {"status": "InProgress" if namespace.looks else "Succeeded"}, Retry_After="0")

    def _existing(self, subscription: str, group: str, name: str) -> Namespace:
        self.model.group(subscription, group)
        namespace = self.model.namespaces.get(name.lower())
        if namespace is None or namespace not in self.model.namespaces_of(subscription, group):
            text = (
                f"The Resource 'Microsoft.ServiceBus/namespaces/{name}' under resource group '{group}' was not found."
            )
            raise Refused(404, "ResourceNotFound", text)
        return namespace

    def _shown(self, namespace: Namespace) -> dict[str, Any]:
        pending = namespace.looks > 0
        state = {
            "provisioningState": "Creating" if pending else "Succeeded",
            "status": "Creating" if pending else "Active",
            "createdAt": stamp(namespace.created),
            "serviceBusEndpoint": f"https://{namespace.host}:443/",
        }
        return {
            "id": _id(namespace),
            "name": namespace.name,
            "type": "Microsoft.ServiceBus/Namespaces",
            **namespace.body,
            "properties": {**namespace.body["properties"], **state},
        }

    # -- entities ------------------------------------------------------------------------------------

    def _entity(self, call: Call, namespace: Namespace, match: re.Match[str]) -> Answer:
        kind: Kind = "queue" if match["kinds"].lower() == "queues" else "topic"
        path = match["name"]
        listed = path is None
        if path is not None and "/subscriptions" in match[0].lower():
            if self.model.get(namespace, "topic", path) is None:
                raise _missing(path)
            kind, listed = "subscription", match["inner"] is None
            path = path if listed else f"{path}/Subscriptions/{match['inner'][1:]}"
        if listed:
            entities = self.model.every(namespace, kind, path or "")
            shown: Callable[[Entity], dict[str, Any]] = lambda each: _entity(namespace, each, path or "")  # noqa: E731 - one use, beside it
            return self._page(call, [shown(each) for each in entities])
        topic = path.partition("/Subscriptions/")[0] if kind == "subscription" else ""
        path = path.replace("~", "/")  # how this plane spells a slash in the name of an entity
        if call.method == "PUT":
            properties = {k: v for k, v in (call.json().get("properties") or {}).items() if k in _writable(kind)}
            made, _ = self.model.put(namespace, kind, path, properties)
            return Answer.of(200, _entity(namespace, made, topic))
        if call.method == "DELETE":
            return Answer(200 if self.model.delete(namespace, kind, path) else 204)
        found = self.model.get(namespace, kind, path)
        if found is None:
            raise _missing(path)
        return Answer.of(200, _entity(namespace, found, topic))

    def _page(self, call: Call, values: list[dict[str, Any]]) -> Answer:
        skip, top = int(call.query.get("$skip") or 0), int(call.query.get("$top") or 100)
        page: dict[str, Any] = {"value": values[skip : skip + top]}
        if skip + top < len(values):
            again = {**call.query, "$skip": str(skip + top)}
            page["nextLink"] = f"{self.url}{urllib.parse.quote(call.path)}?{urllib.parse.urlencode(again)}"
        return Answer.of(200, page)

    def _rule(self, call: Call, namespace: Namespace, rule: str | None, action: str | None) -> Answer:
        if rule is None:
            return Answer.of(200, {"value": [_rule(namespace, each) for each in namespace.keys]})
        if call.method == "PUT":
            rights = (call.json().get("properties") or {}).get("rights") or ()
            self.model.put_rule(namespace, rule, tuple(rights))
        elif call.method == "DELETE":
            namespace.rights.pop(rule, None)
            return Answer(200 if namespace.keys.pop(rule, None) else 204)
        if rule not in namespace.keys:
            raise _missing(rule)
        if action is None:
            return Answer.of(200, _rule(namespace, rule))
        both = {"primary": namespace.keys[rule], "secondary": namespace.keys[rule]}
        strings = {f"{which}ConnectionString": namespace.connection_string(rule) for which in both}
        return Answer.of(200, {"keyName": rule, **{f"{k}Key": v for k, v in both.items()}, **strings})


def stamp(seconds: float) -> str:
    """Return a moment as this plane writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + "Z"


def _writable(kind: Kind) -> set[str]:
    return {*DEFAULTS[kind], "forwardTo", "forwardDeadLetteredMessagesTo", "userMetadata"}


def _missing(path: str) -> Refused:
    return Refused(404, "MessagingGatewayNotFoundStatusCode", f"The messaging entity '{path}' could not be found.")


def _id(namespace: Namespace) -> str:
    group = f"/subscriptions/{namespace.subscription}/resourceGroups/{namespace.group}"
    return f"{group}/providers/Microsoft.ServiceBus/namespaces/{namespace.name}"


def _rule(namespace: Namespace, rule: str) -> dict[str, Any]:
    return {
        "id": f"{_id(namespace)}/AuthorizationRules/{rule}",
        "name": rule,
        "type": "Microsoft.ServiceBus/Namespaces/AuthorizationRules",
        "properties": {"rights": list(namespace.rights.get(rule, ()))},
    }


def _entity(namespace: Namespace, entity: Entity, topic: str) -> dict[str, Any]:
    where = f"topics/{topic}/subscriptions" if topic else f"{entity.kind}s"
    name = entity.name.replace("/", "~")
    moving = {
        "createdAt": stamp(entity.created),
        "updatedAt": stamp(entity.updated),
        "accessedAt": stamp(entity.updated),
        "sizeInBytes": 0,
    }
    return {
        "id": f"{_id(namespace)}/{where}/{name}",
        "name": name,
        "type": f"Microsoft.ServiceBus/Namespaces/{entity.kind.capitalize()}s",
        "location": namespace.body.get("location"),
        "properties": {**entity.properties, **moving},
    }
