"""The digest of a saved plan's secrets is checked at the costs that the file states, within a range."""

import pytest

from dstream.engine.plan.plan_file import _digest, _same_secrets
from dstream_state.passphrase import LEAST_N

PAIRS = [(["var", "password"], "pl4nted"), (["provider", "rec", "token"], "s3cret")]


@pytest.mark.parametrize("n", [LEAST_N, 2 * LEAST_N])
def test_secrets_are_compared_at_the_costs_of_the_file(n: int) -> None:
    saved = _digest(PAIRS, b"0" * 16, n, 8, 1)
    assert _same_secrets(saved, PAIRS[::-1])
    assert not _same_secrets(saved, PAIRS[:1])
    assert not _same_secrets(saved, [*PAIRS[:1], (PAIRS[1][0], "another")])
    assert not _same_secrets(None, PAIRS)


@pytest.mark.parametrize("n", [LEAST_N // 2, 2**24])
def test_a_file_with_costs_out_of_range_is_stale(n: int) -> None:
    saved = {**_digest(PAIRS, b"0" * 16, LEAST_N, 8, 1), "n": n}
    assert not _same_secrets(saved, PAIRS)
