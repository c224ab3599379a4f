"""NamespaceServer: one namespace at one address: its entities over https (ATOM), its messages on AMQP.

The real service has two ports for this, one of which takes AMQP in WebSockets too. Here the first bytes of a connection
tell which it is, so that one connection string leads to all.
"""

from __future__ import annotations

import ssl
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from io import BufferedReader
from socketserver import StreamRequestHandler
from types import TracebackType
from typing import Any, Self
from xml.sax.saxutils import escape

from tests.services.azure import sas, websocket
from tests.services.azure.amqp.connection import Connection
from tests.services.azure.arm import stamp
from tests.services.azure.broker import Broker
from tests.services.azure.model import DEFAULTS, Azure, Entity, Kind, Namespace, Refused
from tests.services.azure.rules import Rule, rule_of, rules_of
from tests.services.azure.web import Answer, Call, WebServer

ATOM = "http://www.w3.org/2005/Atom"
COUNTS = "http://schemas.microsoft.com/netservices/2011/06/servicebus"
SCHEMA = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"
ENTRY, FEED = "application/atom+xml;type=entry;charset=utf-8", "application/atom+xml;type=feed;charset=utf-8"
_TEXTS = ("forwardTo", "forwardDeadLetteredMessagesTo", "userMetadata")


class NamespaceServer(WebServer):
    """A namespace of the model. `connection_string` is what its clients are given."""

    def __init__(self, model: Azure, namespace: str, context: ssl.SSLContext) -> None:
        super().__init__(context)
        self.model, self._name = model, namespace
        self.broker = Broker(model, namespace)
        self.web_sockets = 0
        """Connections over WebSockets so far."""

    def __enter__(self) -> Self:
        self.broker.start()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, at: TracebackType | None
    ) -> None:
        super().__exit__(kind, problem, at)
        self.broker.stop()

    def connection_string(self, rule: str = "RootManageSharedAccessKey") -> str:
        """Return the connection string of an authorization rule; AMQP is without TLS then."""
        key = self.model.namespace(self._name).keys[rule]
        where = f"Endpoint=sb://127.0.0.1:{self.port}"
        return f"{where};SharedAccessKeyName={rule};SharedAccessKey={key};UseDevelopmentEmulator=true;"

    def takes_over(self, handler: StreamRequestHandler) -> bool:
        reader = handler.rfile
        assert isinstance(reader, BufferedReader)
        start = reader.peek(4)
        if start.startswith(f"GET {websocket.PATH}".encode()):
            self._serve_web_socket(reader, handler)
            return True
        if start[:4] != b"AMQP":
            return False
        handler.request.settimeout(None)
        self.broker.serve(Connection(reader, handler.request.sendall, self.broker))
        return True

    def _serve_web_socket(self, reader: BufferedReader, handler: StreamRequestHandler) -> None:
        reader.readline()
        lines = iter(lambda: reader.readline().decode().strip(), "")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        handler.request.settimeout(None)
        handler.request.sendall(websocket.handshake(headers))
        messages = websocket.Messages(reader, handler.request.sendall)
        self.web_sockets += 1
        self.broker.serve(Connection(BufferedReader(messages), messages.send, self.broker))

    def refusal(self, status: int, code: str, message: str, headers: Mapping[str, str]) -> Answer:
        text = f"<Error><Code>{status}</Code><Detail>{escape(message)}</Detail></Error>"
        return Answer(status, text.encode(), "application/xml; charset=utf-8", headers)

    def answer(self, call: Call) -> Answer:
        token = call.headers.get("authorization", "")
        try:
            namespace = self.model.namespace(self._name)
            if "Manage" not in sas.rights(namespace, token.removeprefix("Bearer ")):
                return self.refusal(401, "Unauthorized", "Manage,EntityWrite claims required for this operation.", {})
            with self.model.lock:
                return self._route(call)
        except Refused as no:
            return self.refusal(no.status, no.code, no.message, {})

    def _route(self, call: Call) -> Answer:
        namespace = self.model.namespace(self._name)
        path = call.path.strip("/")
        lower = path.lower()
        if lower == "$namespaceinfo":
            return Answer(200, _namespace_entry(namespace).encode(), ENTRY)
        if lower in ("$resources/queues", "$resources/topics"):
            kind: Kind = "queue" if lower.endswith("queues") else "topic"
            return self._feed(call, [(each.name, each) for each in self.model.every(namespace, kind)])
        if "/subscriptions/" in lower and (at := lower.rfind("/rules")) > 0 and lower[at + 6 : at + 7] in ("", "/"):
            subscription = self.model.get(namespace, "subscription", path[:at])
            if subscription is None:
                raise Refused(404, "NotFound", f"The subscription '{path[:at]}' could not be found.")
            return self._rule(call, rules_of(subscription), path, path[at + 7 :])
        if lower.endswith("/subscriptions"):
            topic = path[: -len("/subscriptions")]
            if self.model.get(namespace, "topic", topic) is None:
                raise Refused(404, "NotFound", f"The topic '{topic}' could not be found.")
            every = self.model.every(namespace, "subscription", topic)
            return self._feed(call, [(f"{path}/{each.name}", each) for each in every])
        kinds: tuple[Kind, ...] = ("subscription",) if "/subscriptions/" in lower else ("queue", "topic")
        found = next((e for e in (self.model.get(namespace, kind, path) for kind in kinds) if e is not None), None)
        if call.method == "PUT":
            kind, properties = _described(call.body)
            if found is not None and call.headers.get("if-match") != "*":
                raise Refused(409, "Conflict", f"SubCode=40900. Conflict. Entity '{path}' already exists.")
            if found is None and call.headers.get("if-match") == "*":
                raise Refused(404, "NotFound", f"SubCode=40400. Not Found. Entity '{path}' does not exist.")
            made, new = self.model.put(namespace, kind, path, properties)
            return Answer(201 if new else 200, _entry(path, made).encode(), ENTRY)
        if call.method == "DELETE":
            if found is None:
                raise Refused(404, "NotFound", f"SubCode=40400. Not Found. Entity '{path}' does not exist.")
            self.model.delete(namespace, found.kind, path)
            return Answer(200)
        if found is None:  # what the service answers to a GET of what is not there
            return Answer(200, _feed([]).encode(), FEED)
        return Answer(200, _entry(path, found).encode(), ENTRY)

    def _rule(self, call: Call, rules: dict[str, Rule], path: str, name: str) -> Answer:
        if not name:
            shown = list(rules.values()) if not int(call.query.get("$skip") or 0) else []
            inner = "".join(_rule_entry(path, rule) for rule in shown)
            return Answer(200, f'<feed xmlns="{ATOM}"><title>x</title><id>x</id>{inner}</feed>'.encode(), FEED)
        if call.method == "PUT":
            if name in rules and call.headers.get("if-match") != "*":
                raise Refused(409, "Conflict", f"SubCode=40900. Conflict. Rule '{name}' already exists.")
            content = ET.fromstring(call.body).find(f"{{{ATOM}}}content")
            if content is None or not len(content):
                raise Refused(400, "BadRequest", "SubCode=40000. The body has no description.")
            rules[name] = rule_of(name, content[0])
            return Answer(201, _rule_entry(path, rules[name]).encode(), ENTRY)
        if name not in rules:
            raise Refused(404, "NotFound", f"SubCode=40400. Not Found. Rule '{name}' does not exist.")
        if call.method == "DELETE":
            del rules[name]
            return Answer(200)
        return Answer(200, _rule_entry(path, rules[name]).encode(), ENTRY)

    def _feed(self, call: Call, entities: list[tuple[str, Entity]]) -> Answer:
        skip, top = int(call.query.get("$skip") or 0), int(call.query.get("$top") or 100)
        links = [f'<link rel="self" href="{self.url}{escape(call.path)}"/>']
        if skip + top < len(entities):
            following = f"{self.url}{escape(call.path)}?$skip={skip + top}&amp;$top={top}"
            links.append(f'<link rel="next" href="{following}"/>')
        return Answer(200, _feed(entities[skip : skip + top], links).encode(), FEED)


def _described(body: bytes) -> tuple[Kind, dict[str, Any]]:
    """Return what kind of entity a body describes, and its properties."""
    content = ET.fromstring(body).find(f"{{{ATOM}}}content")
    described = content[0] if content is not None and len(content) else None
    if described is None:
        raise Refused(400, "BadRequest", "SubCode=40000. The body has no description.")
    kinds: dict[str, Kind] = {
        "QueueDescription": "queue",
        "TopicDescription": "topic",
        "SubscriptionDescription": "subscription",
    }
    kind = kinds.get(described.tag.rpartition("}")[2])
    if kind is None:
        raise Refused(400, "BadRequest", f"SubCode=40000. {described.tag} is not a description.")
    properties: dict[str, Any] = {}
    for each in described:
        name = each.tag.rpartition("}")[2]
        name = name[:1].lower() + name[1:]
        if name in _TEXTS:
            properties[name] = each.text
        elif name in DEFAULTS[kind] and each.text is not None:
            properties[name] = _value(DEFAULTS[kind][name], each.text)
    return kind, properties


def _value(example: Any, text: str) -> Any:
    if isinstance(example, bool):
        return text.strip().lower() == "true"
    return int(text) if isinstance(example, int) else text


def _entry(path: str, entity: Entity) -> str:
    name = f"{entity.kind.capitalize()}Description"
    lines = []
    for key, value in entity.properties.items():
        if value is not None:
            shown = str(value).lower() if isinstance(value, bool) else str(value)
            lines.append(f"<{key[:1].upper()}{key[1:]}>{escape(shown)}</{key[:1].upper()}{key[1:]}>")
    moments = {"CreatedAt": entity.created, "UpdatedAt": entity.updated, "AccessedAt": entity.updated}
    lines += [f"<{key}>{stamp(value)}</{key}>" for key, value in moments.items()]
    store = entity.store
    if store is not None:
        lines.append(f"<SizeInBytes>{store.size}</SizeInBytes>")
    if entity.kind != "topic":
        waiting, dead = (0, 0) if store is None else (len(store.ready) + len(store.locked), len(store.dead))
        lines.append(f"<MessageCount>{waiting + dead + (len(store.deferred) if store else 0)}</MessageCount>")
        counts = {"Active": waiting, "DeadLetter": dead, "Scheduled": 0, "Transfer": 0, "TransferDeadLetter": 0}
        each = "".join(f"<d:{what}MessageCount>{count}</d:{what}MessageCount>" for what, count in counts.items())
        lines.append(f'<CountDetails xmlns:d="{COUNTS}">{each}</CountDetails>')
    inner = f'<{name} xmlns="{SCHEMA}">{"".join(lines)}</{name}>'
    title = escape(path.rpartition("/")[2])
    return (
        f'<entry xmlns="{ATOM}"><id>https://x/{escape(path)}</id><title type="text">{title}</title>'
        f"<published>{stamp(entity.created)}</published><updated>{stamp(entity.updated)}</updated>"
        f'<author><name>x</name></author><content type="application/xml">{inner}</content></entry>'
    )


def _rule_entry(path: str, rule: Rule) -> str:
    inner = (
        f'<RuleDescription xmlns="{SCHEMA}" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">{rule.filter}'
        f'<Action i:type="EmptyRuleAction"/><CreatedAt>{stamp(0)}</CreatedAt><Name>{escape(rule.name)}</Name>'
        "</RuleDescription>"
    )
    return (
        f'<entry xmlns="{ATOM}"><id>https://x/{escape(path)}</id><title type="text">{escape(rule.name)}</title>'
        f'<updated>{stamp(0)}</updated><content type="application/xml">{inner}</content></entry>'
    )


def _namespace_entry(namespace: Namespace) -> str:
    moment = stamp(namespace.created)
    inner = (
        f"<Alias/><CreatedTime>{moment}</CreatedTime><MessagingSKU>{namespace.tier}</MessagingSKU>"
        f"<MessagingUnits>1</MessagingUnits><ModifiedTime>{moment}</ModifiedTime><Name>{namespace.name}</Name>"
        "<NamespaceType>Messaging</NamespaceType>"
    )
    return (
        f'<entry xmlns="{ATOM}"><id>https://x/$namespaceinfo</id><title type="text">{namespace.name}</title>'
        f'<updated>{moment}</updated><author><name>x</name></author><content type="application/xml">'
        f'<NamespaceInfo xmlns="{SCHEMA}">{inner}</NamespaceInfo></content></entry>'
    )


def _feed(entities: list[tuple[str, Entity]], links: Sequence[str] = ()) -> str:
    inner = "".join([*links, *(_entry(path, entity) for path, entity in entities)])
    return f'<feed xmlns="{ATOM}"><title type="text">Publicly Listed Services</title><id>x</id>{inner}</feed>'
