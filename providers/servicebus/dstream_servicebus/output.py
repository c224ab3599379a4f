"""The output: sends each envelope as a message to the queue or topic of its table."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dstream_sdk import ConflictError, Consequence, Finding, Output, OutputSession, PlanContext, Resource, Stream
from dstream_servicebus.planning import entities_of, naming_of, resources
from dstream_servicebus.settings import OutputSettings

BLOCK_MESSAGES, BLOCK_BYTES = 500, 1024 * 1024
"""The size at which a block is passed to its sender."""
_PARALLEL = 8


class ServiceBusOutput(Output[OutputSettings]):
    """Sends each envelope to the entity of its table. `flush` returns when the service has stored all of them."""

    preloads = (
        "azure.servicebus",
        "dstream_servicebus.clients",
        "dstream_servicebus.outgoing_messages",
        "dstream_servicebus.routing",
        "dstream_servicebus.sender",
    )

    def plan(self, config: OutputSettings, context: PlanContext) -> Iterable[Resource]:
        """Return the queues, or the topics and subscriptions, of the tables. Makes no requests."""
        names = entities_of(config, context.task, context.streams)
        if not config.manage:
            return ()
        if config.by_resource_manager:
            from dstream_servicebus.program import resources as by_program

            return by_program(config, names)
        return resources(config, names)

    def consequences(self, config: OutputSettings, context: PlanContext) -> Iterable[Consequence | Finding]:
        """Report how full the entities are, and what managing and using them would fail on."""
        if config.by_resource_manager:  # its rights are those of the resource manager, which the plan of objects needs
            return ()
        from dstream_servicebus.consequences import consequences

        return consequences(config, entities_of(config, context.task, context.streams))

    def open(self, config: OutputSettings, session: OutputSession) -> None:
        """Check that the entities exist, if the credentials allow it."""
        from dstream_servicebus.clients import host_of, messages_client
        from dstream_servicebus.outgoing_messages import Preparer
        from dstream_servicebus.routing import Router
        from dstream_servicebus.sender import EntitySender

        self._config, self._session = config, session
        host = host_of(config)
        self._router = Router(config, naming_of(config, session.task), session.streams, self._exists)
        self._preparer = Preparer(config, f"sb://{host}")
        self._client = messages_client(config)
        self._senders: dict[str, EntitySender] = {}
        self._blocks: dict[str, list[Any]] = {}
        self._sizes: dict[str, int] = {}
        self._check_entities()

    def write(self, lines: list[bytes]) -> None:
        """Queue envelopes, which are sent in the background."""
        from dstream_servicebus.envelopes import parse

        prepare, route, reject = self._preparer.prepare, self._router.route, self._session.reject
        for line in lines:
            try:
                envelope = parse(line)
                where = route(envelope.table)
                prepared = prepare(line, envelope) if where.entity else None
            except ValueError as problem:
                reject(line, f"not an envelope: {problem}")
                continue
            if prepared is not None:
                self._add(where.entity, prepared)
            elif where.discover:
                self.flush(None)
                self._session.discover(Stream(envelope.table, tuple((envelope.metadata or {}).get("Key") or ())))
            elif not where.skip:
                reject(line, where.reason)

    def flush(self, checkpoint: dict[str, Any] | None) -> None:
        """Wait until the service has stored all messages."""
        for entity in list(self._blocks):
            self._hand_over(entity)
        for sender in self._senders.values():
            sender.wait()

    def close(self, ended: bool) -> None:
        """Close the senders. Messages that are neither flushed nor in flight are not sent."""
        for sender in self._senders.values():
            sender.close()
        self._client.close()

    # -- parts ---------------------------------------------------------------------------------------------

    def _add(self, entity: str, prepared: Any) -> None:
        block = self._blocks.setdefault(entity, [])
        block.append(prepared)
        size = self._sizes[entity] = self._sizes.get(entity, 0) + len(prepared.body)
        if len(block) >= BLOCK_MESSAGES or size >= BLOCK_BYTES:
            self._hand_over(entity)

    def _hand_over(self, entity: str) -> None:
        block = self._blocks.pop(entity, None)
        self._sizes.pop(entity, None)
        if block:
            self._sender(entity).put(block)

    def _sender(self, entity: str) -> Any:
        from dstream_servicebus.sender import EntitySender

        found = self._senders.get(entity)
        if found is None:
            found = self._senders[entity] = EntitySender(
                entity, self._config, self._preparer.content_type, self._connect, self._session.reject, self._exists
            )
        return found

    def _connect(self, entity: str) -> Any:
        if self._config.entity == "topic":
            return self._client.get_topic_sender(entity)
        return self._client.get_queue_sender(entity)

    def _exists(self, entity: str) -> bool | None:
        from dstream_servicebus.clients import exists

        return exists(self._config, self._config.entity, entity)

    def _check_entities(self) -> None:
        """Raise ProviderError if an entity does not exist."""
        from dstream_servicebus.service_errors import missing

        entities = self._router.planned
        if not entities:
            return
        first = self._exists(entities[0])
        if first is None:
            return  # a key with only the right Send: a missing entity is detected when something is sent to it
        with ThreadPoolExecutor(_PARALLEL) as pool:
            there = [first, *pool.map(self._exists, entities[1:])]
        gone = [entity for entity, found in zip(entities, there, strict=True) if found is False]
        if len(gone) == 1:
            raise missing(self._config.entity, gone[0])
        if gone:
            names = ", ".join(gone[:10]) + (", ..." if len(gone) > 10 else "")
            raise ConflictError("Queues are missing", f"{len(gone)} do not exist: {names}. Create them: dstream apply")
