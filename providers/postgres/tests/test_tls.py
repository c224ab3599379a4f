"""Sessions over TLS: certificates are checked in both directions, and one that does not match is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dstream_postgres.database import connect, error_of
from dstream_sdk import DeniedError
from providers.postgres.tests.harness import Database, InputRun, OutputRun
from tests.services.postgres import EmbeddedPostgres
from tests.services.postgres_tls import Certificates, TlsFront, TlsServer, programs_with_tls


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def front(server: EmbeddedPostgres, certificates: Certificates) -> Iterator[TlsFront]:
    with TlsFront(server, certificates) as running:
        yield running


def check_a_session(database: Database, dsn: str) -> None:
    """Rows of a snapshot, then changes of all sizes, are read and written over connections with `dsn`."""
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'read')")
    database.execute("CREATE SCHEMA copied; CREATE TABLE copied.t (LIKE t INCLUDING ALL)")
    database.prepare("t")
    config = {**database.config("t"), "connection_string": dsn}
    first = InputRun(config).finish()
    database.execute(
        "INSERT INTO t SELECT i, repeat('x', i * 7) FROM generate_series(2, 900) i;"
        "UPDATE t SET v = repeat('long', 100000) WHERE id = 900; DELETE FROM t WHERE id = 3"
    )
    second = InputRun(config, first.checkpoint).finish()
    assert first.ended
    assert second.ended
    output = OutputRun({"connection_string": dsn, "schema": "copied"})
    output.write(*first.envelopes, *second.envelopes)
    output.checkpoint({"n": 1})
    assert (output.end(), output.rejects) == (0, [])
    assert database.execute("SELECT * FROM t EXCEPT SELECT * FROM copied.t") == []
    assert database.execute("SELECT count(*), max(length(v)) FROM copied.t") == [(899, 400000)]


def test_input_and_output_run_over_tls(database: Database, front: TlsFront, certificates: Certificates):
    before = front.encrypted
    check_a_session(database, certificates.dsn(front.port, database.name))
    assert front.encrypted - before >= 4  # each input has a connection for queries and one for the stream


def test_input_and_output_run_over_tls_of_the_server_itself(certificates: Certificates):
    programs = programs_with_tls()
    if programs is None:
        pytest.skip("no PostgreSQL with OpenSSL on the PATH")
    with TlsServer(programs, certificates) as server:
        database = Database(server, "postgres")
        dsn = certificates.dsn(server.port, "postgres")
        connection = connect(dsn)
        with connection.cursor() as cursor:
            cursor.execute("SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            encrypted, name = cursor.fetchone()
        assert (encrypted, "postgres" in name) == (True, True)
        connection.close()
        # `local` is without TLS, for the test's own statements.
        server.tcp = False
        check_a_session(database, dsn)
        for change, expected in _REFUSED_BY_THE_SERVER.values():
            check_refusal(server.port, certificates, change, expected)


_REFUSED = {
    "another name": ({"host": "127.0.0.1"}, "does not match host name"),
    "another authority": ({"authority": "other"}, "certificate verify failed"),
    "no such authority": ({"authority": "nowhere"}, "does not exist"),
    "no client certificate": ({"client": ""}, "requires a valid client certificate"),
}
_REFUSED_BY_THE_SERVER = {**_REFUSED, "a client certificate of another authority": ({"client": "other"}, "unknown ca")}


def check_refusal(port: int, certificates: Certificates, change: dict[str, str], expected: str) -> None:
    """A connection URL with a change is refused, with a way out."""
    with pytest.raises(DeniedError) as refused:
        connect(certificates.dsn(port, "postgres", **change)).close()
    assert expected in refused.value.detail
    assert "sslrootcert" in refused.value.detail


@pytest.mark.parametrize(("change", "expected"), _REFUSED.values(), ids=_REFUSED)
def test_a_certificate_that_does_not_match_is_refused(
    front: TlsFront, certificates: Certificates, change: dict[str, str], expected: str
):
    check_refusal(front.port, certificates, change, expected)


def test_a_connection_that_breaks_is_still_tried_again():
    for text in ("SSL connection has been closed unexpectedly", "SSL SYSCALL error: EOF detected"):
        assert not isinstance(error_of(OSError(text), "connect to PostgreSQL"), DeniedError)


def test_an_input_says_why_it_is_refused(database: Database, front: TlsFront, certificates: Certificates):
    dsn = certificates.dsn(front.port, database.name, authority="other")
    status = InputRun({**database.config("t"), "connection_string": dsn}).finish().status
    (error,) = status["diagnostics"]
    assert (error["class"], "certificate" in error["detail"]) == ("denied", True)
