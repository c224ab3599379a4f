"""A line of a provider is a JSON object, or it is none; it never is a mistake of ours."""

from decimal import Decimal

import pytest

from dstream.plugins.wire import decode_object


def test_numbers_keep_their_digits() -> None:
    found = decode_object(b'{"a":12345678901234567890.10,"b":123456789012345678901234567890}')
    assert found == {"a": Decimal("12345678901234567890.10"), "b": 123456789012345678901234567890}


@pytest.mark.parametrize("line", [b"[]", b"{", b"", b"oops", b'{"a":1e9999999999999999999}', b'{"a":"\xff"}'])
def test_everything_else_is_no_object(line: bytes) -> None:
    assert decode_object(line) is None
