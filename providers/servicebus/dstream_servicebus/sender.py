"""EntitySender: sends to one queue or topic, in order, in a thread of its own, through one sender that stays open.

What comes between two flushes is sent in as few batches as the service takes. A batch is stored whole or not at all.
One whose answer was lost is sent again: its messages carry the same message_id. What the service refuses for itself is
handed to `reject`; for everything that may pass, it goes on for `retry_timeout`.
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
"""Blocks that wait for the thread before the reader has to."""
MOST = 4000
"""Messages in a batch, below what the service takes."""
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 10.0


ENVELOPE = 1024
"""Bytes for what the client library puts around a batch (id, session and partition key of its first message) and leaves
out when it adds up what fits."""


class _Refused(Exception):
    """The service does not take what it was given."""


class EntitySender:
    """Everything that goes to one entity."""

    def __init__(
        self,
        name: str,
        config: OutputSettings,
        content_type: str,
        connect: Callable[[str], ServiceBusSender],
        reject: Callable[[bytes, str], None],
        exists: Callable[[str], bool | None],
    ) -> None:
        """`connect` opens a sender; `exists` asks the management plane, None when that does not tell."""
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
        """Take messages to send; waits while too many are waiting. Raises what went wrong earlier."""
        self._check()
        self._blocks.put(messages)

    def wait(self) -> None:
        """Return when everything is stored by the service; raise what went wrong."""
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
                blocks.append(self._blocks.get())  # together they fill batches better
            ended = blocks[-1] is None
            try:
                if self._problem is None and not self._stopped.is_set():
                    self._send_all([each for block in blocks if block is not None for each in block])
            except BaseException as problem:  # noqa: BLE001 - the thread that waits raises it
                self._problem = problem
            finally:
                for _ in blocks:
                    self._blocks.task_done()
        self._disconnect()

    def _send_all(self, messages: Sequence[Prepared]) -> None:
        if self._config.ordering == "queue":
            self._send_run(messages)
            return
        # The service takes messages of one session or partition key at a time. Order holds within each of them.
        lanes: dict[str | None, list[Prepared]] = {}
        for each in messages:
            lanes.setdefault(each.lane, []).append(each)
        for run in lanes.values():
            self._send_run(run)

    def _send_run(self, messages: Sequence[Prepared]) -> None:
        """Send messages that may go together, in batches."""
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
        """Return a batch of the messages from a place on, and where it ends; right there if the first is too big."""
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
        """Do something with the sender until it is done; raise _Refused, or ProviderError when it cannot be done."""
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
                    log(f"{self.name}: {sentence(problem)}; waiting {delay:g} s, as long as it takes")
                self._stopped.wait(delay)
            else:
                return

    def _kind(self, problem: Exception, fresh: bool) -> Kind:
        """Return what may be done. A link whose token has expired, and an entity just created, are tried again."""
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
        """Ask the management plane whether the entity exists, where the data plane does not report it."""
        there = self._exists(self.name)
        if there is False:
            raise missing(self._config.entity, self.name)
        if token_refused(problem):
            hint = "" if there else f"; or there is no {self._config.entity} {self.name!r} (dstream plan tells)"
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
            except Exception as problem:  # noqa: BLE001 - it is closed one way or the other
                log(f"{self.name}: closing the sender: {sentence(problem)}")


def _new_batch(sender: ServiceBusSender) -> ServiceBusMessageBatch:
    """Return an empty batch that is small enough for the service when it is full. Opens the sender, if need be."""
    empty = sender.create_message_batch()
    return sender.create_message_batch(max_size_in_bytes=empty.max_size_in_bytes - ENVELOPE)
