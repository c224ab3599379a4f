"""Broker: the data plane of one namespace, on AMQP links, over the entities of the model.

Senders, receivers with peek-lock, sessions, dead-letter queues, `$cbs`, and of `$management` what receivers use: peek,
renew-lock, renew-session-lock, update-disposition. Not here: scheduling, transactions, actions of rules,
forwarding, and waiting for a session. How the service reports an entity that is not there varies; `missing` chooses:
`detach` closes the link, `reject` lets it open and refuses the message, `cbs404` refuses the token.
"""

from __future__ import annotations

import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tests.services.azure import lifetimes, sas
from tests.services.azure.amqp.codec import Described, Int, Symbol, Ulong, decode, encode
from tests.services.azure.amqp.connection import (
    ACCEPT,
    ACCEPTED,
    MODIFIED,
    REJECTED,
    Connection,
    Drop,
    Link,
    State,
    problem,
    reject,
)
from tests.services.azure.faults import DataFault, Throttle
from tests.services.azure.limits import check_batch, check_message, check_room, status_against
from tests.services.azure.messages import BATCH, Message, NotTaken, Store, parse, split
from tests.services.azure.model import Azure, Entity, Kind, Namespace
from tests.services.azure.operations import operate
from tests.services.azure.rules import takes

DEAD = "/$deadletterqueue"
SESSION_FILTER = Symbol("com.microsoft:session-filter")
TICKS_OF_1970 = 621_355_968_000_000_000
CBS, MANAGEMENT, ENTITY = "cbs", "management", "entity"


@dataclass
class _End:
    """What a link of ours leads to."""

    kind: str
    path: str
    entity: Entity | None = None
    store: Store | None = None
    dead: bool = False
    session: str | None = None
    used: float = 0.0
    """When something last went over the link."""


class Broker:
    """The data plane of one namespace."""

    max_message_size = 256 * 1024

    def __init__(self, model: Azure, namespace: str, clock: Callable[[], float] = time.time) -> None:
        self.model, self._name, self.clock = model, namespace, clock
        self.lock = model.lock
        self.missing: Literal["detach", "reject", "cbs404"] = "detach"
        self.faults: list[DataFault] = []
        self.throttles: dict[str, Throttle] = {}  # by the entity's name in lower case
        self.visible_after = 0.0
        """Seconds until the data plane knows an entity that was created."""
        self.megabyte = 1024 * 1024
        """Bytes in a megabyte of an entity's size; a test makes it small."""
        self.transfers = 0  # messages and batches that came in, refused ones included
        self.connections = 0
        """Connections so far."""
        self.closed_links = 0
        """Links that were closed from here because their time was over."""
        self._open: set[Connection] = set()
        self._receivers: list[Link] = []
        self._stop = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="broker", daemon=True)

    @property
    def namespace(self) -> Namespace:
        """Return the namespace; Refused if it is gone."""
        return self.model.namespace(self._name)

    def start(self) -> None:
        """Start what time brings about."""
        self._ticker.start()

    def stop(self) -> None:
        """End it."""
        self._stop.set()
        self._ticker.join()

    def serve(self, connection: Connection) -> None:
        """Serve one connection until it is over."""
        self._open.add(connection)
        self.connections += 1
        try:
            connection.run()
        finally:
            self._open.discard(connection)

    def fault(self, entity: str = "", **more: Any) -> None:
        """Have something happen to the next messages for an entity; see `DataFault`."""
        with self.lock:
            self.faults.append(DataFault(entity.lower(), **more))

    def store(self, path: str) -> Store:
        """Return the messages of a queue or of `TOPIC/Subscriptions/NAME`; KeyError if there is no such thing."""
        with self.lock:
            entity = self._find(path)
            if entity is None:
                raise KeyError(path)
            return self._store(entity, path)

    def _tick(self) -> None:
        while not self._stop.wait(0.05):
            with self.lock:
                namespace = self.model.namespaces.get(self._name.lower())
                for _, entity in self.model.walk(namespace) if namespace is not None else ():
                    if entity.store is not None:
                        entity.store.expire()
                for link in list(self._receivers):
                    self._pump(link)
                for connection in list(self._open):
                    self._end_what_is_over(connection)
            for connection in list(self._open):
                connection.keep_alive()

    def _end_what_is_over(self, connection: Connection) -> None:
        now = self.clock()
        for link, error in list(lifetimes.over(connection, now)):
            link.close(error)
            self.detached(link)
            self.closed_links += 1
        if (error := lifetimes.abandoned(connection, now)) is not None:
            connection.close(error)

    # -- entities --------------------------------------------------------------------------------------

    def _find(self, path: str) -> Entity | None:
        namespace = self.model.namespaces.get(self._name.lower())
        if namespace is None:
            return None
        kinds: tuple[Kind, ...] = ("subscription",) if "/subscriptions/" in path.lower() else ("queue", "topic")
        found = (self.model.get(namespace, kind, path) for kind in kinds)
        entity = next((each for each in found if each is not None), None)
        hidden = entity is not None and entity.created + self.visible_after > self.clock() and self.visible_after
        return None if hidden else entity

    def _store(self, entity: Entity, path: str) -> Store:
        if entity.store is None:
            entity.store = Store(path, entity.properties, self.clock)
        entity.store.properties = entity.properties
        return entity.store  # type: ignore[no-any-return]  # the model does not know what it keeps here

    # -- links -----------------------------------------------------------------------------------------

    def attached(self, link: Link) -> Described | None:
        path = urllib.parse.urlsplit(link.address).path.lstrip("/") if "://" in link.address else link.address
        lower = path.lower()
        link.what = _End(ENTITY, path, used=self.clock())
        if lower == "$cbs" or lower.endswith("/$management"):
            link.what.kind = CBS if lower == "$cbs" else MANAGEMENT
            link.what.path = path.removesuffix("/$management").removesuffix("/$Management")
            if link.sending:
                link.connection.note[lower] = link
            return None
        if lower.endswith(DEAD):
            link.what.dead, path = True, path[: -len(DEAD)]
        link.what.path = path
        if (error := self._denied(link, path)) is not None:
            return error
        entity = self._find(path)
        if entity is None:
            lets_in = self.missing == "reject" and not link.sending
            return None if lets_in else problem("amqp:not-found", self._not_found(path))
        return self._bind(link, entity, path)

    def _bind(self, link: Link, entity: Entity, path: str) -> Described | None:
        link.what.entity = entity
        if (status := status_against(entity, sending=not link.sending)) is not None:
            return problem("com.microsoft:entity-disabled", f"The messaging entity '{path}' is {status}.")
        link.max_message_size = int(entity.properties.get("maxMessageSizeInKilobytes") or 256) * 1024
        if not link.sending:
            if entity.kind == "subscription":
                return problem("amqp:not-allowed", "Messages are sent to the topic.")
            size = min(link.max_message_size, 1024 * 1024)
            link.properties = {"com.microsoft:max-message-batch-size": size}
            return None
        if entity.kind == "topic":
            return problem("amqp:not-allowed", "Messages are received from a subscription.")
        store = link.what.store = self._store(entity, path)
        filters = link.source[7] if len(link.source) > 7 and link.source[7] else {}
        if SESSION_FILTER in filters:
            return self._take_session(link, store, filters[SESSION_FILTER])
        if entity.properties.get("requiresSession") and not link.what.dead:
            return problem("amqp:not-allowed", f"'{path}' requires sessions: a receiver without one is not possible.")
        self._receivers.append(link)
        return None

    def _take_session(self, link: Link, store: Store, wanted: Any) -> Described | None:
        session = wanted.value if isinstance(wanted, Described) else wanted
        if session is None:
            free = (each.session_id for each in store.ready if each.session_id not in store.sessions)
            session = next(free, None)
        if session is None:
            return problem("com.microsoft:timeout", "There is no session with messages that nobody holds.")
        if session in store.sessions:
            return problem("com.microsoft:session-cannot-be-locked", f"The session '{session}' is held.")
        store.sessions[session] = link
        link.what.session = session
        link.source[7] = {SESSION_FILTER: session}
        link.properties = {"com.microsoft:locked-until-utc": self._ticks(store)}
        self._receivers.append(link)
        return None

    def _ticks(self, store: Store) -> int:
        return int((self.clock() + store.lock_seconds) * 10_000_000) + TICKS_OF_1970

    def _denied(self, link: Link, path: str) -> Described | None:
        claims: dict[str, frozenset[str]] = link.connection.note.get("claims", {})
        needed = "Listen" if link.sending else "Send"
        places = [path.lower(), *(path.lower()[:at] for at, char in enumerate(path) if char == "/"), ""]
        if any(needed in claims.get(place, ()) for place in places):
            return None
        return problem(
            "amqp:unauthorized-access", f"Unauthorized access. '{needed}' claim(s) are required for '{path}'."
        )

    def _not_found(self, path: str) -> str:
        return f"The messaging entity 'sb://{self._name}/{path}' could not be found. TrackingId:{uuid.uuid4()}"

    def detached(self, link: Link) -> None:
        if link in self._receivers:
            self._receivers.remove(link)
        end: _End | None = link.what
        if end is not None and end.store is not None and end.store.sessions.get(end.session or "") is link:
            del end.store.sessions[end.session or ""]

    # -- sending ---------------------------------------------------------------------------------------

    def received(self, link: Link, payload: bytes, message_format: int) -> State | None:
        end: _End = link.what
        if end.kind != ENTITY:
            self._request(link, payload)
            return ACCEPT
        self.transfers += 1
        end.used = self.clock()
        throttle = self.throttles.get(end.path.lower())
        if throttle is not None and (text := throttle.refuses(end.used)) is not None:
            return reject("com.microsoft:server-busy", text)
        fault = self._fault_for(end.path)
        if fault is not None and not fault.stored and not fault.delay:
            return self._faulty(fault)
        if self._find(end.path) is not end.entity or end.entity is None:
            return reject("amqp:not-found", self._not_found(end.path))
        if (status := status_against(end.entity, sending=True)) is not None:
            return reject("com.microsoft:entity-disabled", f"The messaging entity '{end.path}' is {status}.")
        try:
            self._take_in(end.entity, end.path, payload, message_format)
        except NotTaken as no:
            return reject(no.condition, no.text)
        return ACCEPT if fault is None else self._faulty(fault)

    def _faulty(self, fault: DataFault) -> State | None:
        if fault.drop:
            raise Drop
        if fault.delay:
            time.sleep(fault.delay)
        if fault.silent:
            return None
        return reject(fault.condition, "injected by the test") if fault.condition else ACCEPT

    def _fault_for(self, path: str) -> DataFault | None:
        for fault in self.faults:
            if fault.entity in ("", path.lower()):
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    def _take_in(self, entity: Entity, path: str, payload: bytes, message_format: int) -> None:
        limit = int(entity.properties.get("maxMessageSizeInKilobytes") or 256) * 1024
        if len(payload) > limit:
            raise NotTaken(
                "amqp:link:message-size-exceeded", f"The message is {len(payload)} bytes; at most {limit} are taken."
            )
        if message_format == BATCH:
            _, messages = split(payload)
            check_batch(entity, messages)
        else:
            messages = [parse(payload)]
        targets = [(entity, path)]
        if entity.kind == "topic":
            targets = [(each, f"{path}/Subscriptions/{each.name}") for each in entity.subscriptions.values()]
        stores = [self._store(*target) for target in targets]
        for message in messages:
            check_message(message)
        for store in stores:
            check_room(store, len(payload), self.megabyte)
            for message in messages:
                store.check(message)
        for target, store in zip(targets, stores, strict=True):
            for message in [each.copy() for each in messages] if entity.kind == "topic" else messages:
                if entity.kind != "topic" or takes(target[0], message):
                    store.put(message)
            for receiver in [each for each in self._receivers if each.what.store is store]:
                self._pump(receiver)

    # -- receiving -------------------------------------------------------------------------------------

    def credited(self, link: Link) -> None:
        link.what.used = self.clock()
        if link.what.store is not None:
            self._pump(link)
        if link.draining:
            link.drained()

    def _pump(self, link: Link) -> None:
        end: _End = link.what
        while link.open and link.credit > 0 and end.store is not None:
            found = end.store.take(end.session, end.dead)
            if found is None:
                return
            token, lock = found
            link.send(lock.message.encode(lock.until), token.bytes_le)
            if link.settle_mode == 1:  # receive and delete
                end.store.settle(token, "complete")

    def settled(self, link: Link, tag: bytes, state: State | None) -> State:
        end: _End = link.what
        end.used = self.clock()
        if end.store is None or len(tag) != 16:
            return ACCEPT
        code = int(state.descriptor) if state is not None else ACCEPTED
        fields = state.value if state is not None else []
        outcome, reason, description = "complete", None, None
        if code == REJECTED:
            info = fields[0].value[2] if fields and fields[0] is not None and len(fields[0].value) > 2 else {}
            said = {str(key): value for key, value in (info or {}).items()}
            outcome = "dead-letter"
            reason, description = said.get("DeadLetterReason"), said.get("DeadLetterErrorDescription")
        elif code == MODIFIED:
            outcome = "defer" if len(fields) > 1 and fields[1] else "abandon"
        elif code != ACCEPTED:
            outcome = "release"
        if not end.store.settle(uuid.UUID(bytes_le=tag), outcome, reason, description):
            return reject("com.microsoft:message-lock-lost", "The lock supplied is invalid or has expired.")
        # Clients take an echo of what they asked for as a yes; one with an error in it would be a no.
        return ACCEPT if state is None else Described(state.descriptor, [] if code == REJECTED else fields)

    # -- requests to $cbs and $management -----------------------------------------------------------------

    def _request(self, link: Link, payload: bytes) -> None:
        asked = parse(payload)
        properties = {str(key): value for key, value in asked.application_properties.items()}
        value = decode(asked.sections[0x77])[0].value if 0x77 in asked.sections else None
        end: _End = link.what
        if end.kind == CBS:
            reply, (code, text, body) = "$cbs", self._put_token(link.connection, properties, str(value))
        else:
            reply = f"{end.path}/$management".lower()
            code, text, body = self._manage(end.path, str(properties.get("operation")), value or {})
        target: Link | None = link.connection.note.get(reply)
        if target is None or not target.open:
            return
        said = {
            "status-code": Int(code),
            "status-description": text,
            "statusCode": Int(code),
            "statusDescription": text,
        }
        answer = Message([], {}, [None] * 5 + [asked.message_id], {}, 0)
        answer.sections = {0x74: encode(Described(Ulong(0x74), said)), 0x77: encode(Described(Ulong(0x77), body))}
        target.send(answer.encode(), uuid.uuid4().bytes)

    def _put_token(self, connection: Connection, properties: dict[str, Any], token: str) -> tuple[int, str, Any]:
        path = urllib.parse.urlsplit(str(properties.get("name") or "")).path.strip("/").lower()
        given = sas.rights(self.namespace, token)
        if not given:
            return 401, "InvalidSignature: The token has an invalid signature, or has expired.", None
        if self.missing == "cbs404" and path and self._find(path.removesuffix(DEAD)) is None:
            return 404, self._not_found(path), None
        connection.note.setdefault("claims", {})[path.removesuffix(DEAD)] = given
        connection.note.setdefault("expiries", {})[path.removesuffix(DEAD)] = lifetimes.expiry(token, self.clock())
        return 202, "Accepted", None

    def _manage(self, path: str, operation: str, body: dict[Any, Any]) -> tuple[int, str, Any]:
        dead = path.lower().endswith(DEAD)
        entity = self._find(path[: -len(DEAD)] if dead else path)
        if entity is None:
            return 404, self._not_found(path), None
        return operate(self._store(entity, path), operation, body, dead=dead)
