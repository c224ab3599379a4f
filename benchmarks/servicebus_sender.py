"""The Service Bus output against a bare loop over the same client library, to the same stand-in: `dstream-out-asb`
is given envelopes on its standard input; the loop has the bodies in memory and sends them in batches.

The stand-in runs in a process of its own. Records are counted in its queue, at the end. Seconds of the processor are
compared too: on a machine that others share, the clock says little. (Linux only: they are read from /proc.)
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROUNDS, RECORDS, QUEUE = 5, 20_000, "orders_cdc_events"
PROGRAM = Path(sys.executable).parent / "dstream-out-asb"
PAD = "x" * 200


def serve(pipe: Connection) -> None:
    """Run the stand-in, and answer how many messages the queue has got."""
    from tests.services.azure.running import service_bus

    with service_bus() as bus:
        bus.model.put(bus.namespace, "queue", QUEUE, {})
        pipe.send((bus.connection_string, bus.environment))
        while pipe.recv() != "end":
            store = bus.store(QUEUE)
            count = len(store.history)
            store.history.clear()
            store.ready.clear()
            pipe.send(count)


def envelopes() -> list[bytes]:
    """Return the envelopes that are sent."""
    found = []
    for n in range(RECORDS):
        metadata = {"TableName": "orders", "OperationType": "Update", "Key": {"id": n % 997}, "Position": f"{n:020d}"}
        found.append(json.dumps({"data": {"id": n % 997, "n": n, "pad": PAD}, "metadata": metadata}).encode())
    return found


def processor(pid: int) -> float:
    """Return the seconds of the processor that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


PROPERTIES: dict[str, Any] = {
    "TableName": "orders",
    "OperationType": "Update",
    "Key": '{"id":1}',
    "Position": "00000000000000000000",
}


def bare(string: str, bodies: list[bytes], properties: dict[Any, Any] = PROPERTIES) -> tuple[float, float]:
    """Send with the client library alone, batch after batch, with the properties that the output sets."""
    from azure.servicebus import ServiceBusClient, ServiceBusMessage

    with ServiceBusClient.from_connection_string(string) as client, client.get_queue_sender(QUEUE) as sender:
        sender.create_message_batch()
        begun, used = time.perf_counter(), time.process_time()
        batch = sender.create_message_batch()
        for n, body in enumerate(bodies):
            message = ServiceBusMessage(
                body,
                message_id=str(n),
                subject="Update",
                content_type="application/json",
                application_properties=dict(properties),
            )
            try:
                batch.add_message(message)
            except ValueError:
                sender.send_messages(batch, timeout=60)
                batch = sender.create_message_batch()
                batch.add_message(message)
        sender.send_messages(batch, timeout=60)
        return time.perf_counter() - begun, time.process_time() - used


def output(string: str, environment: dict[str, str], bodies: list[bytes]) -> tuple[float, float]:
    """Send by the provider; from its readiness to its last acknowledgement."""
    process = subprocess.Popen(
        [PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environment}
    )
    assert process.stdin is not None and process.stdout is not None
    opening = {"command": "run", "protocol": 2, "role": "output", "task": "t", "acks": True}
    opening |= {"config": {"connection_string": string}, "streams": [{"name": "orders", "key": ["id"]}]}
    process.stdin.write(json.dumps(opening).encode() + b"\n")
    process.stdin.flush()
    first = {"data": {"id": 0}, "metadata": {"TableName": "orders", "OperationType": "Insert", "Position": "0"}}
    process.stdout.readline()
    process.stdin.write(json.dumps(first).encode() + b'\n{"checkpoint":{"n":0},"n":1}\n')  # opens the sender
    process.stdin.flush()
    process.stdout.readline()
    begun, used = time.perf_counter(), processor(process.pid)
    for at in range(0, len(bodies), 4000):
        process.stdin.write(b"\n".join(bodies[at : at + 4000]) + b"\n")
    process.stdin.write(b'{"checkpoint":{"n":1},"n":2}\n')
    process.stdin.flush()
    process.stdout.readline()
    seconds = time.perf_counter() - begun, processor(process.pid) - used
    process.communicate(b'{"end":true}\n', timeout=60)
    return seconds


def main() -> None:
    """Measure, the sides alternating, and print medians."""
    pipe, theirs = multiprocessing.Pipe()
    context: Any = multiprocessing.get_context("spawn")
    server = context.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    string, environment = pipe.recv()
    bodies = envelopes()
    rates: dict[str, list[float]] = {"bare": [], "output": []}
    costs: dict[str, list[float]] = {"bare": [], "output": []}
    for number in range(ROUNDS + 1):
        for name in rates:
            seconds, used = bare(string, bodies) if name == "bare" else output(string, environment, bodies)
            pipe.send("count")
            count = pipe.recv()
            assert count in (RECORDS, RECORDS + 1), count
            if number:  # the first round warms up
                rates[name].append(RECORDS / seconds)
                costs[name].append(used / RECORDS * 1e6)
    pipe.send("end")
    bare_rate, own_rate = statistics.median(rates["bare"]), statistics.median(rates["output"])
    ratios = [own / other for own, other in zip(rates["output"], rates["bare"], strict=True)]
    print(f"bare loop over azure-servicebus: {bare_rate:,.0f} messages/s")
    print(f"dstream-out-asb:                 {own_rate:,.0f} messages/s")
    print(f"ratio (median of {ROUNDS} rounds):       {statistics.median(ratios):.2f} (aim: 0.8)")
    per_message = {name: statistics.median(found) for name, found in costs.items()}
    both = f"{per_message['bare']:.0f} and {per_message['output']:.0f} µs of the processor for each message"
    print(f"{both}: {per_message['bare'] / per_message['output']:.2f}")


if __name__ == "__main__":
    main()
