"""Reader: receives and emits messages, and completes them when they are committed, all on one thread.

Messages are held until their position is committed; locks that would expire before are renewed. When the connection
breaks or the process ends, the service delivers the held messages again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dstream_sdk import InputSession, ProviderError, RetriableError, log
from dstream_servicebus.clients import exists, host_of, messages_client
from dstream_servicebus.incoming_messages import line_of
from dstream_servicebus.service_errors import Kind, denied, kind_of, missing, sentence, token_refused
from dstream_servicebus.settings import InputSettings

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage, ServiceBusReceiver

BLOCK = 200
PATIENCE = 300.0
SKEW = 3.0
"""Seconds that the service's clock may be ahead of this one."""
LINGER = 4.0
"""Seconds to wait at the end for the emitted messages to be committed."""
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 10.0


class Reader:
    """One session of the input."""

    def __init__(self, config: InputSettings, session: InputSession) -> None:
        """Create the client. Nothing is received yet."""
        self._config, self._session = config, session
        self._client = messages_client(config)
        self._host = host_of(config)
        self._receiver: ServiceBusReceiver | None = None
        self._held: deque[tuple[int, list[ServiceBusReceivedMessage]]] = deque()
        """Messages that are emitted and not completed, by the number of their checkpoint."""
        self._number = 0
        self._last_sequence: int | None = None
        self._lock_seconds = 60.0
        """The observed duration of locks."""
        self._quiet = 0.0
        """Seconds of receiving without a message. Connecting and settling do not count."""

    @property
    def _entity(self) -> str:
        return self._config.queue or f"{self._config.topic}/{self._config.subscription}"

    def run(self) -> None:
        """Read until the session is stopping, or its end is reached."""
        begun = datetime.now(UTC).timestamp()
        tries, failing_since = 0, 0.0
        while not self._session.stopping:
            if self._session.until_current and self._quiet >= self._config.idle_seconds:
                break
            fresh = self._receiver is None
            try:
                found = self._receive()
                self._complete()
                self._renew()
            except Exception as problem:  # noqa: BLE001 - sorted right here
                kind = kind_of(problem)
                if kind is Kind.DENIED and not fresh:
                    kind = Kind.AGAIN  # the link's token expired, or lost its rights: reconnecting will tell
                self._raise_final(kind, problem)
                failing_since = failing_since if tries else time.monotonic()
                tries += 1
                if time.monotonic() - failing_since > PATIENCE:
                    raise RetriableError(
                        "Service Bus cannot be reached", f"reading {self._entity} failed: {sentence(problem)}"
                    ) from None
                log(f"{self._entity}: {sentence(problem)}; reconnecting")
                self._disconnect()
                if tries >= 2:
                    self._ask(problem)
                self._quiet = 0.0
                self._session.wait(10.0 if kind is Kind.BUSY else min(_FIRST_DELAY * 2**tries, _LONGEST_DELAY))
                continue
            tries = 0
            if found or self._held:
                self._quiet = 0.0
            if found:
                self._emit(found)
                newest = found[-1].enqueued_time_utc
                if self._session.until_current and newest and newest.timestamp() > begun + SKEW:
                    break  # all messages that existed at the start have arrived
            elif self._config.sessions and not self._held:
                self._disconnect()  # the session is empty: accept the next one
        self._finish()

    # -- messages ------------------------------------------------------------------------------------------

    def _receive(self) -> list[ServiceBusReceivedMessage]:
        """Return the messages that arrive within `max_wait`, or none while `prefetch` messages are held."""
        from azure.servicebus.exceptions import OperationTimeoutError

        room = self._config.prefetch - sum(len(messages) for _, messages in self._held)
        if room <= 0:
            self._session.wait(0.05)
            return []
        wait = 0.1 if self._held else self._config.max_wait  # short, to complete committed messages soon
        started = time.monotonic()
        try:
            if self._receiver is None:
                self._receiver = self._open()
                started = time.monotonic()
            found = self._receiver.receive_messages(max_message_count=min(room, BLOCK), max_wait_time=wait)
        except OperationTimeoutError:
            if not self._config.sessions:
                raise
            self._receiver = None  # no session has messages
            self._session.wait(self._config.max_wait)
            found = []
        self._quiet += time.monotonic() - started
        return found

    def _open(self) -> ServiceBusReceiver:
        from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusSubQueue

        more: dict[str, Any] = {"max_wait_time": self._config.max_wait}
        if self._config.dead_letters:
            more["sub_queue"] = ServiceBusSubQueue.DEAD_LETTER
        elif self._config.sessions:
            more["session_id"] = NEXT_AVAILABLE_SESSION
        if self._config.topic:
            receiver = self._client.get_subscription_receiver(self._config.topic, self._config.subscription, **more)
        else:
            receiver = self._client.get_queue_receiver(self._config.queue, **more)
        # The first receive would have to open the link within its short wait, and fail.
        return receiver.__enter__()

    def _emit(self, messages: list[ServiceBusReceivedMessage]) -> None:
        if (until := messages[0].locked_until_utc) is not None:
            self._lock_seconds = max(until.timestamp() - datetime.now(UTC).timestamp(), 1.0)
        lines = [line_of(each, self._entity, self._config.format) for each in messages]
        self._session.emit_bytes(b"\n".join(lines), len(lines))
        self._number += 1
        self._held.append((self._number, messages))
        self._last_sequence = messages[-1].sequence_number
        self._checkpoint()

    def _checkpoint(self) -> None:
        source = {"namespace": self._host, "entity": self._entity, "dead_letters": self._config.dead_letters}
        self._session.checkpoint({"source": source, "number": self._number, "sequence": self._last_sequence})

    def _complete(self) -> None:
        """Complete the committed messages one by one. The library does not wait for the service's answer."""
        committed = self._session.committed
        until = int(committed.get("number") or 0) if isinstance(committed, Mapping) else 0
        while self._held and self._held[0][0] <= until:
            for message in self._held[0][1]:
                self._settle(message)
            self._held.popleft()

    def _settle(self, message: ServiceBusReceivedMessage) -> None:
        from azure.servicebus.exceptions import MessageLockLostError, ServiceBusError, SessionLockLostError

        assert self._receiver is not None  # noqa: S101 - what is held came from it
        try:
            self._receiver.complete_message(message)
        except (MessageLockLostError, SessionLockLostError):
            log(f"{self._entity}: the lock of message {message.sequence_number} is lost; it will be delivered again")
        except ServiceBusError as problem:
            if "lock" not in sentence(problem).lower():
                raise
            log(f"{self._entity}: {sentence(problem)} (message {message.sequence_number}); it will be delivered again")

    def _renew(self) -> None:
        """Renew locks that will expire soon."""
        if self._receiver is None:
            return
        soon = datetime.now(UTC).timestamp() + self._lock_seconds / 3
        if self._config.sessions and self._held and self._receiver.session.locked_until_utc is not None:
            if self._receiver.session.locked_until_utc.timestamp() < soon:
                self._receiver.session.renew_lock()
            return
        for _, messages in self._held:
            for message in messages:
                until = message.locked_until_utc
                if until is not None and until.timestamp() < soon and not message._lock_expired:
                    self._receiver.renew_message_lock(message)

    # -- the end -------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Wait briefly for emitted messages to be committed, so that they are not delivered again; then disconnect."""
        if self._number == 0:
            self._checkpoint()
        deadline = time.monotonic() + LINGER
        while self._held and time.monotonic() < deadline:
            try:
                self._complete()
            except Exception as problem:  # noqa: BLE001 - messages that are not completed are delivered again
                log(f"{self._entity}: {sentence(problem)}")
                break
            if self._held:
                time.sleep(0.05)
        self._disconnect()
        self._client.close()

    def _raise_final(self, kind: Kind, problem: Exception) -> None:
        if isinstance(problem, ProviderError):
            raise problem
        if kind is Kind.MISSING:
            raise missing("subscription" if self._config.topic else "queue", self._entity)
        if kind is Kind.DENIED:
            raise denied(f"read {self._entity}", problem)
        if kind in (Kind.OFF, Kind.REFUSED):
            raise ProviderError("Cannot be read", f"{self._entity}: {sentence(problem)}")

    def _ask(self, problem: Exception) -> None:
        """Query the management plane for whether the entity exists, because the data plane does not report it."""
        kind = "subscription" if self._config.topic else "queue"
        there = exists(self._config, kind, self._entity)
        if there is False:
            raise missing(kind, self._entity)
        if token_refused(problem):
            raise denied(f"read {self._entity}", problem)

    def _disconnect(self) -> None:
        receiver, self._receiver = self._receiver, None
        self._held.clear()
        if receiver is not None:
            try:
                receiver.close()
            except Exception as problem:  # noqa: BLE001 - nothing to do about a failed close
                log(f"{self._entity}: closing the receiver: {sentence(problem)}")
