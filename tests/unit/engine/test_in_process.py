"""Providers as threads: they have the interface of a process, and a killed one does nothing more."""

import json
import os
import threading
from functools import partial
from pathlib import Path

from dstream.plugins import process
from dstream.plugins.process import ProviderProcess
from tests.services.recorder.in_process import ThreadProcess, in_process
from tests.services.recorder.provider import recorder
from tests.services.recorder.world import World


def test_a_thread_has_all_that_a_provider_process_has() -> None:
    made = ThreadProcess("rec", None)
    public = {name for name in vars(ProviderProcess) if not name.startswith("_")}
    attributes = {"name", "pid", "started", "stdin", "stdout", "stderr"}
    assert [name for name in public | attributes if not hasattr(made, name)] == []
    made.close()


def test_its_pid_is_nobodys(world: World) -> None:
    world.apply('resource "rec_planned" "a" {\n  name = "a"\n}\n')
    (pid,) = {call.more["pid"] for call in world.recorder.calls()}
    assert pid != os.getpid()
    assert not Path(f"/proc/{pid}").exists()


def test_a_killed_one_closes_its_output_and_does_nothing_more(world: World) -> None:
    ended = threading.Event()
    program = str(world.recorder.bin / "other")
    with in_process({program: partial(recorder, "resource")}):
        made = process.begin("rec", [program], {}, ended=ended.set).result()
    config = {"folder": str(world.recorder.folder)}
    opening = {"command": "serve", "protocol": 2, "role": "resource", "config": config}
    request = {"id": 1, "command": "init", "type": "rec_planned", "key": "a", "desired": {"name": "a"}}
    world.recorder.on("create", "a", gate="later")
    os.write(made.stdin, "".join(json.dumps(each) + "\n" for each in (opening, request)).encode())
    assert os.read(made.stdout, 1000).startswith(b'{"status":"ready"')
    while not world.recorder.calls("create"):
        threading.Event().wait(0.001)
    made.kill()
    assert made.wait(5) == -9
    assert ended.is_set()
    assert os.read(made.stdout, 1000) == b""
    world.recorder.open_gate("later")
    made.close()
    for thread in threading.enumerate():
        if thread.name in ("provider rec", "worker-0"):
            thread.join(5)
    assert world.recorder.names() == []
