"""An exception inside a run: a sentence, with DSTREAM_DEBUG its traceback; only a bug is called one."""

import errno

import pytest

from dstream.run.run_failure import run_failure


def raised(problem: Exception) -> Exception:
    try:
        raise problem
    except type(problem) as found:
        return found


@pytest.mark.parametrize("debug", (False, True))
def test_a_bug_says_so_and_shows_its_traceback_on_request(debug, monkeypatch):
    monkeypatch.setenv("DSTREAM_DEBUG", "1" if debug else "")
    found = run_failure("The committer of orders", raised(KeyError("position")))
    assert found.title == "Run failure [DS7009]"
    assert found.detail.startswith("The committer of orders failed: KeyError: 'position'\n")
    assert ("in raised" in found.detail) is debug
    assert ("DSTREAM_DEBUG=1" in found.detail) is not debug


@pytest.mark.parametrize("number", (errno.ENOSPC, errno.EACCES, errno.EPIPE, errno.EIO))
def test_what_the_system_refuses_is_no_bug(number, monkeypatch):
    monkeypatch.delenv("DSTREAM_DEBUG", raising=False)
    found = run_failure("The run of orders", raised(OSError(number, "refused", "/state/orders")))
    assert found.detail == f"The run of orders failed: [Errno {number}] refused: '/state/orders'"
