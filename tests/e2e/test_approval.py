"""The question before an apply: Ctrl-C ends it whenever it comes."""

import os
import pty
import select
import sys
import time

PATIENCE = 60.0
ASKING = """
import signal, sys, threading
from types import SimpleNamespace
from dstream.cli.render.approval import Approval
from dstream.cli.render.paint import paint_for
from dstream.engine.apply.consent import Consent

# A thread takes the signal, as it may happen to any: what waits in the main one is not woken.
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
plan = SimpleNamespace(changes=(), diagnostics=(), destroy=False)
try:
    approval = Approval(paint_for(sys.stdout), auto=False, consent=Consent(), show=lambda plan: None)
    print("taken as", approval(plan))
except KeyboardInterrupt:
    print("interrupted")
"""


def typed(keys: bytes) -> str:
    """Return what a program shows that asks, and is answered on its terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-u", "-c", ASKING])
    shown, end = b"", time.monotonic() + PATIENCE
    try:
        while time.monotonic() < end:
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    shown += os.read(terminal, 4096)
                except OSError:  # it has ended
                    break
            if keys and b"Enter a value: " in shown:
                os.write(terminal, keys)
                keys = b""
        else:
            os.kill(pid, 9)
    finally:
        os.waitpid(pid, 0)
        os.close(terminal)
    return shown.decode()


def test_an_interrupt_that_does_not_wake_the_reader_ends_the_question_too() -> None:
    assert "interrupted" in typed(b"\x03")


def test_only_yes_is_taken_as_yes() -> None:
    assert "taken as True" in typed(b"yes\n")
    assert "taken as False" in typed(b"y\n")
