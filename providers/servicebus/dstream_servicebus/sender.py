"""EntitySender: sends messages to one queue or topic, in order, from a thread with a persistent link.

The messages between two flushes are sent in as few batches as possible. The service stores a batch atomically. A batch
whose response was lost is sent again, with the same message ids. A message that the service rejects is passed to
`reject`; transient failures are retried for `retry_timeout`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import Queue
from typing import TYPE_CHECKING, Any

from dstream_sdk import ConflictError, DeniedError, ProviderError, RetriableError, log
from dstream_servicebus.outgoing_messages import Prepared
from dstream_servicebus.packing import Packer
from dstream_servicebus.service_errors import (
    NO_REASON,
    Kind,
    closed_without_reason,
    denied,
    kind_of,
    missing,
    pause_of,
    sentence,
    token_refused,
)
from dstream_servicebus.settings import OutputSettings

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch, ServiceBusSender

WAITING = 8
"""The length of the queue of blocks; a full queue blocks the reader."""
MOST = 4000
"""The maximum number of messages in a batch, below the service's limit."""
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 10.0


ENVELOPE = 1024
"""Bytes that the client library adds to a batch (id, session and partition key of its first message), but does not
count in its size."""


class _Refused(Exception):
    """The service rejected a message or batch."""


class EntitySender:
    """The sender of one entity."""

    def __init__(
        self,
        name: str,
        config: OutputSettings,
        content_type: str,
        connect: Callable[[str], ServiceBusSender],
        reject: Callable[[bytes, str], None],
        exists: Callable[[str], bool | None],
    ) -> None:
        """`connect` opens a link; `exists` queries the management plane, and returns None if it is not accessible."""
        self.name = name
        self._config = config
        self._connect, self._reject, self._exists = connect, reject, exists
        self._packer = Packer(content_type, config.ordering == "session")
        self._sender: ServiceBusSender | None = None
        self._blocks: Queue[Sequence[Prepared] | None] = Queue(WAITING)
        self._problem: BaseException | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"send {name}", daemon=True)
        self._thread.start()

    def put(self, messages: Sequence[Prepared]) -> None:
        """Queue messages. Blocks while the queue is full. Raises the error of an earlier send."""
        self._check()
        self._blocks.put(messages)

    def wait(self) -> None:
        """Wait until the service has stored all messages. Raises the error of a failed send."""
        self._blocks.join()
        self._check()

    def close(self) -> None:
        """Stop after the current send."""
        self._stopped.set()
        self._blocks.put(None)
        self._thread.join()

    def _check(self) -> None:
        if self._problem is not None:
            raise self._problem

    # -- the thread ----------------------------------------------------------------------------------------

    def _work(self) -> None:
        ended = False
        while not ended:
            blocks = [self._blocks.get()]
            while blocks[-1] is not None and not self._blocks.empty():
                blocks.append(self._blocks.get())  # combined blocks fill batches better
            ended = blocks[-1] is None
            try:
                if self._problem is None and not self._stopped.is_set():
                    self._send_all([each for block in blocks if block is not None for each in block])
            except BaseException as problem:  # noqa: BLE001 - raised by the waiting thread
                self._problem = problem
            finally:
                for _ in blocks:
                    self._blocks.task_done()
        self._disconnect()

    def _send_all(self, messages: Sequence[Prepared]) -> None:
        if self._config.ordering == "queue":
            self._send_run(messages)
            return
        # A batch has messages of a single session or partition key. Order holds within each of them.
        lanes: dict[str | None, list[Prepared]] = {}
        for each in messages:
            lanes.setdefault(each.lane, []).append(each)
        for run in lanes.values():
            self._send_run(run)

    def _send_run(self, messages: Sequence[Prepared]) -> None:
        """Send messages with the same key, in batches."""
        at = 0
        while at < len(messages):
            batch, until = self._batch(messages, at)
            if until == at:
                self._send_one(messages[at])
                at += 1
                continue
            try:
                self._send(batch)
            except _Refused:
                for each in messages[at:until]:
                    self._send_one(each)
            at = until

    def _batch(self, messages: Sequence[Prepared], at: int) -> tuple[ServiceBusMessageBatch, int]:
        """Return a batch of the messages from an index, and the end index, which is equal if the first is too big."""
        made: list[ServiceBusMessageBatch] = []
        self._attempt(lambda sender: made.append(_new_batch(sender)))
        return made[0], self._packer.fill(made[0], messages, at, min(at + MOST, len(messages)))

    def _send_one(self, message: Prepared) -> None:
        try:
            self._send(self._packer.message(message))
        except _Refused as problem:
            self._reject(message.line, f"{self.name}: {problem}")

    def _send(self, what: ServiceBusMessage | ServiceBusMessageBatch) -> None:
        self._attempt(lambda sender: sender.send_messages(what, timeout=self._config.send_timeout))

    def _attempt(self, action: Callable[[ServiceBusSender], Any]) -> None:
        """Run an action on the link, with retries. Raises _Refused, or ProviderError if it fails for good."""
        started, tries, warned = time.monotonic(), 0, False
        while True:
            fresh = self._sender is None
            try:
                if self._sender is None:
                    self._sender = self._connect(self.name)
                action(self._sender)
            except Exception as problem:  # noqa: BLE001 - sorted right here
                kind = self._kind(problem, fresh)
                if kind is Kind.REFUSED:
                    raise _Refused(sentence(problem)) from None
                self._raise_final(kind, problem)
                tries += 1
                delay = self._delay(kind, tries, problem)
                left = self._config.retry_timeout - (time.monotonic() - started)
                if kind is Kind.AGAIN:
                    self._disconnect()
                    if tries >= 2:
                        self._ask(problem)
                if left <= delay or self._stopped.is_set():
                    raise self._given_up(kind, problem) from None
                if not warned and kind in (Kind.BUSY, Kind.FULL):
                    warned = True
                    log(f"{self.name}: {sentence(problem)}; waiting {delay:g} s before each retry")
                self._stopped.wait(delay)
            else:
                return

    def _kind(self, problem: Exception, fresh: bool) -> Kind:
        """Classify a failure. An expired token of a link, and an entity that was just created, are retried."""
        kind = kind_of(problem)
        expired = kind is Kind.DENIED and not fresh
        hidden = kind is Kind.MISSING and self._exists(self.name) is True
        return Kind.AGAIN if expired or hidden else kind

    def _delay(self, kind: Kind, tries: int, problem: Exception) -> float:
        if kind in (Kind.BUSY, Kind.FULL):
            requested = pause_of(problem) if kind is Kind.BUSY else None
            return self._config.throttle_wait if requested is None else requested
        return float(min(_FIRST_DELAY * 2 ** (tries - 1), _LONGEST_DELAY))

    def _raise_final(self, kind: Kind, problem: Exception) -> None:
        if isinstance(problem, ProviderError):
            raise problem
        if kind is Kind.MISSING:
            raise missing(self._config.entity, self.name)
        if kind is Kind.DENIED:
            raise denied(f"send to {self.name}", problem)
        if kind is Kind.OFF:
            raise ConflictError(
                "Queue is disabled", f"{self.name} takes no messages: {sentence(problem)}. Set its status to Active"
            )

    def _ask(self, problem: Exception) -> None:
        """Query the management plane for whether the entity exists, because the data plane does not report it."""
        there = self._exists(self.name)
        if there is False:
            raise missing(self._config.entity, self.name)
        if token_refused(problem):
            hint = "" if there else f"; or the {self._config.entity} {self.name!r} does not exist (see dstream plan)"
            raise DeniedError("Access denied", f"the namespace refuses the credentials for {self.name}{hint}")

    def _given_up(self, kind: Kind, problem: Exception) -> ProviderError:
        seconds = self._config.retry_timeout
        texts = {
            Kind.BUSY: ("Service Bus is busy", f"{self.name} was throttled for {seconds} s: a larger tier takes more"),
            Kind.FULL: ("Queue is full", f"{self.name} was full for {seconds} s: check that it is being read"),
        }
        summary, detail = texts.get(
            kind, ("Service Bus cannot be reached", f"sending to {self.name} failed for {seconds} s")
        )
        hint = NO_REASON if kind is Kind.AGAIN and closed_without_reason(problem) else ""
        return RetriableError(summary, f"{detail} ({sentence(problem)}){hint}")

    def _disconnect(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            try:
                sender.close()
            except Exception as problem:  # noqa: BLE001 - nothing to do about a failed close
                log(f"{self.name}: closing the sender: {sentence(problem)}")


def _new_batch(sender: ServiceBusSender) -> ServiceBusMessageBatch:
    """Return an empty batch with a size limit that the service accepts. Opens the link if necessary."""
    empty = sender.create_message_batch()
    return sender.create_message_batch(max_size_in_bytes=empty.max_size_in_bytes - ENVELOPE)
