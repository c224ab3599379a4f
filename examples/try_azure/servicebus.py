"""Service Bus: a Standard namespace, and what the output, the input and the resources rely on there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dstream_sdk import decode
from dstream_servicebus.clients import entities_client, messages_client
from dstream_servicebus.service_errors import kind_of
from dstream_servicebus.settings import Connection
from examples.try_azure.checks import Checks, Stage, expect
from examples.try_azure.trial import Trial

VERSION = "2021-11-01"
QUEUE, SESSIONS = "try-plain", "try-sessions"
PATIENCE = 20
check = Checks("servicebus", "[`tests/services/azure`](../tests/services/azure)")
GUIDE = "azure/service-bus-messaging/"


def prepare(trial: Trial) -> None:
    """Create a namespace, and keep its connection string."""
    path = f"Microsoft.ServiceBus/namespaces/dstream-try-{trial.mark}"
    trial.create(path, VERSION, {"sku": {"name": "Standard", "tier": "Standard"}})
    keys = trial.action(f"{path}/authorizationRules/RootManageSharedAccessKey/listKeys", VERSION)
    trial.found["servicebus"] = keys["primaryConnectionString"]
    trial.report.secret(keys["primaryKey"], keys["secondaryKey"], keys["primaryConnectionString"])


def config(trial: Trial, connection: str = "") -> Connection:
    """Return the settings of the provider, with all rights unless another connection string is given."""
    return decode(Connection, {"connection_string": connection or trial.found["servicebus"]})


def send(trial: Trial, queue: str, messages: Any, connection: str = "") -> str:
    """Send, and return how it was refused, as the client library and as the provider understand it; empty if stored."""
    try:
        with messages_client(config(trial, connection)) as client, client.get_queue_sender(queue) as sender:
            sender.send_messages(messages, timeout=PATIENCE)
    except Exception as problem:  # noqa: BLE001 - which one it is, is the question
        return f"{type(problem).__name__}, taken as {kind_of(problem).value}"
    return ""


def receive(trial: Trial, queue: str, most: int, **named: Any) -> list[Any]:
    """Receive and complete messages."""
    with messages_client(config(trial)) as client, client.get_queue_receiver(queue, **named) as receiver:
        found: list[Any] = []
        while len(found) < most and (some := receiver.receive_messages(most, max_wait_time=PATIENCE)):
            found += some
            for each in some:
                receiver.complete_message(each)
        return found


def text(message: Any) -> str:
    """Return the body of a message."""
    return b"".join(message.body).decode()


def message(body: str, **named: Any) -> Any:
    """Return a message."""
    from azure.servicebus import ServiceBusMessage

    return ServiceBusMessage(body, **named)


def statuses(calls: Iterable[Any]) -> list[int]:
    """Return the HTTP status of each call that the management plane refuses, 0 for one that it carries out."""
    from azure.core.exceptions import HttpResponseError

    found = []
    for call in calls:
        try:
            call()
            found.append(0)
        except HttpResponseError as problem:
            found.append(problem.status_code or -1)
    return found


@check("queues", "queues are created once (then 409), and user metadata of 1,024 characters is kept",
       "rest/api/servicebus/create-queue")  # fmt: skip
def queues(trial: Trial) -> None:
    """Create the queues of the checks below."""
    with entities_client(config(trial)) as admin:
        admin.create_queue(QUEUE, requires_duplicate_detection=True, user_metadata="m" * 1024)
        admin.create_queue(SESSIONS, requires_session=True)
        expect(statuses([lambda: admin.create_queue(QUEUE)]), [409])
        expect(admin.get_queue(QUEUE).user_metadata, "m" * 1024, "user metadata")
        expect(admin.get_queue(QUEUE).max_message_size_in_kilobytes in (None, 256), True, "size of a message")


@check("missing-queue", "a queue that does not exist: 404 for the administration client",
       "rest/api/servicebus/get-entity")  # fmt: skip
def missing(trial: Trial) -> str:
    """Ask for a queue that is not there, and send to it."""
    with entities_client(config(trial)) as admin:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            admin.get_queue("try-none")
            expect("a queue", "ResourceNotFoundError")
        except ResourceNotFoundError:
            pass
    found = send(trial, "try-none", message("x"))
    expect(bool(found), True, "sending is refused")
    return f"sending to it: {found}"


@check("large-messages-setting", "a Standard queue with maxMessageSizeInKilobytes: 400",
       f"{GUIDE}service-bus-premium-messaging")  # fmt: skip
def large_setting(trial: Trial) -> None:
    """Ask for large messages, which only Premium has."""
    with entities_client(config(trial)) as admin:
        found = statuses([lambda: admin.create_queue("try-large", max_message_size_in_kilobytes=2048)])
    expect(found, [400])


@check("echoed-size", "an update of a Standard queue that sends its 256 KB for a message back: 400 (reports differ)",
       "https://github.com/hashicorp/terraform-provider-azurerm/issues/28576")  # fmt: skip
def echoed_size(trial: Trial) -> None:
    """Write back what was read."""
    with entities_client(config(trial)) as admin:
        queue = admin.get_queue(SESSIONS)
        queue.max_message_size_in_kilobytes = 256
        expect(statuses([lambda: admin.update_queue(queue)]), [400])


@check("sending", "messages arrive in the order in which they are sent, with id, subject and properties",
       f"{GUIDE}service-bus-amqp-protocol-guide")  # fmt: skip
def sending(trial: Trial) -> None:
    """Send a batch and receive it."""
    batch = [message(f"{n}", message_id=f"m{n}", application_properties={"LSN": "0A"}) for n in range(20)]
    expect(send(trial, QUEUE, batch), "")
    found = receive(trial, QUEUE, 20)
    expect([text(each) for each in found], [f"{n}" for n in range(20)])
    expect(found[0].message_id, "m0")
    expect({_text(k): _text(v) for k, v in found[0].application_properties.items()}, {"LSN": "0A"})


@check("duplicates", "a message with an id that was sent before is dropped", f"{GUIDE}duplicate-detection")
def duplicates(trial: Trial) -> None:
    """Send the same id twice, then another."""
    for body, name in (("first", "d1"), ("again", "d1"), ("last", "d2")):
        expect(send(trial, QUEUE, message(body, message_id=name)), "")
    expect([text(each) for each in receive(trial, QUEUE, 2)], ["first", "last"])


@check("too-large", "a message above 256 KB: MessageSizeExceededError, set aside", f"{GUIDE}service-bus-quotas")
def too_large(trial: Trial) -> None:
    """Send one that is too large."""
    expect(send(trial, QUEUE, message("x" * 300_000)), "MessageSizeExceededError, taken as refused")


@check("dead-letters", "a message that is set aside is in the dead-letter queue, with its reason",
       f"{GUIDE}service-bus-dead-letter-queues")  # fmt: skip
def dead_letters(trial: Trial) -> None:
    """Set one aside and read it there."""
    from azure.servicebus import ServiceBusSubQueue

    expect(send(trial, QUEUE, message("bad", message_id="bad")), "")
    with messages_client(config(trial)) as client, client.get_queue_receiver(QUEUE) as receiver:
        (found,) = receiver.receive_messages(1, max_wait_time=PATIENCE)
        receiver.dead_letter_message(found, reason="poison", error_description="cannot be read")
    (aside,) = receive(trial, QUEUE, 1, sub_queue=ServiceBusSubQueue.DEAD_LETTER)
    expect((text(aside), aside.dead_letter_reason), ("bad", "poison"))


@check("sessions", "a queue with sessions refuses a message without one, and keeps each session in order",
       f"{GUIDE}message-sessions")  # fmt: skip
def sessions(trial: Trial) -> str:
    """Send with and without a session."""
    without = send(trial, SESSIONS, message("none"))
    expect(bool(without), True, "a message without a session is refused")
    for n in range(6):
        expect(send(trial, SESSIONS, message(f"{n}", session_id=f"s{n % 2}")), "")
    found = [text(each) for each in receive(trial, SESSIONS, 3, session_id="s1")]
    expect(found, ["1", "3", "5"])
    return f"without a session: {without}"


@check("sessions-in-a-batch", "a batch of several sessions is refused", f"{GUIDE}message-sessions")
def several_sessions(trial: Trial) -> str:
    """Send two sessions in one batch."""
    found = send(trial, SESSIONS, [message("a", session_id="x"), message("b", session_id="y")])
    expect(bool(found), True, "a batch of two sessions is refused")
    return found


@check("disabled", "sending to a queue that is disabled for it is refused", f"{GUIDE}entity-suspend")
def disabled(trial: Trial) -> str:
    """Disable a queue."""
    with entities_client(config(trial)) as admin:
        queue = admin.get_queue(QUEUE)
        queue.max_message_size_in_kilobytes, queue.status = None, "SendDisabled"
        admin.update_queue(queue)
        found = send(trial, QUEUE, message("x"))
        queue.status = "Active"
        admin.update_queue(queue)
    expect(bool(found), True, "sending is refused")
    return found


@check("rights", "sending with a key that may only listen is refused", f"{GUIDE}service-bus-sas")
def rights(trial: Trial) -> str:
    """Send with such a key: how it is refused decides how fast a task ends for it."""
    rule = f"Microsoft.ServiceBus/namespaces/dstream-try-{trial.mark}/authorizationRules/listen"
    trial.manager.put(f"{trial.group_path}/providers/{rule}", VERSION, {"properties": {"rights": ["Listen"]}})
    keys = trial.action(f"{rule}/listKeys", VERSION)
    trial.report.secret(keys["primaryKey"], keys["secondaryKey"], keys["primaryConnectionString"])
    found = send(trial, QUEUE, message("x"), keys["primaryConnectionString"])
    expect(bool(found), True, "sending is refused")
    return found


@check("names", "the name of a queue is not case-sensitive", "rest/api/servicebus/create-queue")
def names(trial: Trial) -> None:
    """Ask by another spelling."""
    with entities_client(config(trial)) as admin:
        expect(admin.get_queue(QUEUE.upper()).name.lower(), QUEUE)


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


STAGE = Stage(
    "servicebus", "A Standard namespace of Service Bus", "about USD 0.01 (0.0135 an hour)", prepare, tuple(check.all)
)
