"""The two ways to read a replication stream: cut from the socket, and through libpq."""

from __future__ import annotations

import random
import select
import socket

import psycopg2.errors
import pytest

from dstream_postgres.copyboth import CopyBoth, Replication
from dstream_postgres.database import connect
from dstream_postgres.frames import Frames
from dstream_postgres.wire import readable
from dstream_sdk import ProviderError, RetriableError
from providers.postgres.tests.harness import Database
from tests.events import until


def message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def change(payload: bytes) -> bytes:
    return message(b"d", b"w" + bytes(24) + payload)


def keepalive(wal_end: int, *, reply: bool) -> bytes:
    return message(b"d", b"k" + wal_end.to_bytes(8, "big") + bytes(8) + bytes([reply]))


def error(state: bytes, text: bytes) -> bytes:
    return message(b"E", b"SFATAL\0C" + state + b"\0M" + text + b"\0\0")


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield Frames(ours), theirs


def test_messages_are_cut_wherever_the_server_s_packets_end(pair: tuple[Frames, socket.socket]):
    frames, server = pair
    dice = random.Random(7)
    payloads = [dice.randbytes(dice.choice((1, 5, 40, 70_000))) for _ in range(60)]
    stream = b"".join(change(payload) + dice.choice((b"", message(b"N", b"a notice"))) for payload in payloads)
    found: list[bytes] = []
    at = 0
    while at < len(stream):
        end = at + dice.choice((1, 2, 3, 4, 6, 29, 30, 31, 50_000))
        server.sendall(stream[at:end])
        found += frames.read()
        at = end
    assert found == payloads
    assert frames.read() == []


def test_a_keepalive_is_answered_where_the_server_requests_it(pair: tuple[Frames, socket.socket]):
    frames, server = pair
    frames.flushed, frames.written = 3, 5
    server.sendall(keepalive(9, reply=False) + change(b"x") + keepalive(11, reply=True))
    assert frames.read() == [b"x"]
    assert frames.wal_end == 11
    answer = server.recv(100)
    assert answer[:6] == b"d" + (38).to_bytes(4, "big") + b"r"
    assert [int.from_bytes(answer[at : at + 8], "big") for at in (6, 14, 22)] == [5, 3, 3]


@pytest.mark.parametrize(
    ("end", "kind", "said"),
    [
        (error(b"57P01", b"terminating connection"), RetriableError, "terminating connection"),
        (error(b"42704", b"no such publication"), ProviderError, "no such publication"),
        (message(b"c", b""), RetriableError, "ended the stream"),
        (message(b"?", b""), RetriableError, "unexpected message"),
        (b"", RetriableError, "closed the connection"),
    ],
)
def test_what_came_before_the_end_is_read_and_then_the_end_is_told(
    pair: tuple[Frames, socket.socket], end: bytes, kind: type[ProviderError], said: str
):
    frames, server = pair
    server.sendall(change(b"one") + change(b"two") + end)
    server.shutdown(socket.SHUT_WR)
    assert frames.read() == [b"one", b"two"]
    for _ in range(2):
        with pytest.raises(ProviderError, match=said) as raised:
            frames.read()
        assert type(raised.value) is kind


def collected(stream: Replication, connection: object, count: int) -> list[bytes]:
    found: list[bytes] = []

    def enough() -> bool:
        select.select([connection], [], [], 0.1)
        found.extend(stream.read())
        return len(found) >= count

    until(enough, "all messages")
    return found


def test_both_ways_read_the_same_from_a_server(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE PUBLICATION p FOR TABLE t")
    for slot in ("a", "b"):
        database.execute(f"SELECT pg_create_logical_replication_slot('{slot}_{database.name}', 'pgoutput')")
    database.execute("INSERT INTO t SELECT n, repeat('x', n * 97) FROM generate_series(1, 900) n")
    database.execute("UPDATE t SET v = 'y' WHERE id % 3 = 0; DELETE FROM t WHERE id % 2 = 0")
    count = 900 + 300 + 450 + 2 * 2 + 1  # and begin, commit and the relation
    command = "START_REPLICATION SLOT {}_{} LOGICAL 0/0 (proto_version '1', publication_names 'p')"
    first, second = connect(database.dsn, replication=True), connect(database.dsn, replication=True)
    try:
        assert readable(first)
        frames = Frames(first)
        frames.start(command.format("a", database.name))
        second.cursor().start_replication_expert(command.format("b", database.name), decode=False)
        assert collected(frames, first, count) == collected(CopyBoth(second), second, count)
    finally:
        first.close()
        second.close()


def test_a_start_that_the_server_refuses_can_be_tried_again(database: Database):
    database.execute("CREATE PUBLICATION p")
    slot = f"a_{database.name}"
    command = f"START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '1', publication_names 'p')"
    connection = connect(database.dsn, replication=True)
    try:
        frames = Frames(connection)
        for _ in range(2):
            with pytest.raises(psycopg2.errors.UndefinedObject, match=slot) as raised:
                frames.start(command)
            assert raised.value.pgcode == "42704"
        database.execute(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
        frames.start(command)
    finally:
        connection.close()
