"""Pools: connections are reused, and replaced when an error broke them."""

from __future__ import annotations

import threading

import pytest

from dstream_sdk.pool import Pool, Pools


class Lost(Exception):
    pass


class Connection:
    def __init__(self) -> None:
        self.open = True

    def close(self) -> None:
        self.open = False


def lend_two(pool: Pool[Connection]) -> tuple[Connection, Connection]:
    with pool.lend() as one, pool.lend() as two:
        return one, two


def test_a_connection_is_used_again() -> None:
    pool = Pool(Connection)
    with pool.lend() as first:
        pass
    with pool.lend() as second:
        assert second is first


def test_an_error_closes_the_connection_that_it_passed_through() -> None:
    pool = Pool(Connection, lost=(Lost,))
    one, two = lend_two(pool)
    with pytest.raises(ValueError, match="odd"), pool.lend() as used:
        raise ValueError("odd")
    assert not used.open
    assert [one.open, two.open].count(True) == 1


def test_an_error_that_is_kept_does_not() -> None:
    pool = Pool(Connection, lost=(Lost,), kept=(Exception,))
    with pytest.raises(ValueError, match="odd"), pool.lend() as used:
        raise ValueError("odd")
    assert used.open
    with pytest.raises(Lost), pool.lend() as same:
        raise Lost
    assert same is used
    assert not used.open


@pytest.mark.parametrize("error", [Lost, KeyboardInterrupt])
def test_a_server_that_is_lost_closes_what_is_idle(error: type[BaseException]) -> None:
    pool = Pool(Connection, lost=(Lost,))
    one, two = lend_two(pool)
    with pytest.raises(error), pool.lend():
        raise error
    assert not (one.open or two.open)


def test_a_connection_that_is_not_usable_any_more_is_replaced() -> None:
    pool = Pool(Connection, kept=(Exception,), usable=lambda connection: connection.open)
    with pytest.raises(ValueError), pool.lend() as broken:
        broken.open = False
        raise ValueError
    with pool.lend() as next_one:
        assert next_one is not broken
    with pool.lend() as again:
        assert again is next_one


def test_no_more_are_lent_than_the_size_allows() -> None:
    pool = Pool(Connection, size=1)
    lent: list[Connection] = []

    def other() -> None:
        with pool.lend() as connection:
            lent.append(connection)

    thread = threading.Thread(target=other)
    with pool.lend() as first:
        thread.start()
        thread.join(0.05)
        assert not lent
    thread.join(30)
    assert lent == [first]


def test_each_key_has_its_own_connections() -> None:
    made: list[str] = []

    def connect(key: str) -> Connection:
        made.append(key)
        return Connection()

    pools: Pools[str, Connection] = Pools(connect, size=1)
    for key in ("a", "b", "a"):
        with pools.lend(key):
            pass
    assert made == ["a", "b"]
