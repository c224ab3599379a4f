"""A task that runs stays visible and can be stopped although its block is renamed, gone, or has fewer instances."""

import pytest

from dstream.cli.main import _run
from dstream.diagnostics import DiagnosticsError
from dstream.engine.runs import detached
from dstream.engine.runs.run_files import log_path, make_run_folder
from dstream.engine.runs.running import flows_of
from dstream.engine.setup.operation import OperationInputs, open_operation

TASK = """
task "NAME" {
  MORE
  input { provider = "counter" }
  output { provider = "console" }
}
"""
CHANGED = {
    "renamed": ("orders", TASK.replace("NAME", "sales").replace("MORE", "")),
    "gone": ("orders", ""),
    "of an instance that is gone": (
        'orders["b"]',
        TASK.replace("NAME", "orders").replace("MORE", 'for_each = toset(["a"])'),
    ),
    "of an output that is gone": ("orders/audit", TASK.replace("NAME", "orders").replace("MORE", "")),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("flow", "text"), CHANGED.values(), ids=CHANGED)
def test_a_run_that_is_not_declared_is_shown_logged_and_stopped(flow, text, folder, capsys, monkeypatch):
    (folder / "dstream.hcl").write_text(f"locals {{}}\n{text}")
    operation = open_operation(OperationInputs(config=folder))
    make_run_folder(operation.root)
    log_path(operation.root, "orders").write_text("record 1\n")
    signalled = []
    monkeypatch.setattr(detached, "send", lambda pid, started, number: signalled.append(pid))
    monkeypatch.setattr(detached, "alive", lambda pid, started: False)
    with operation.backend.task(flow).acquire("run"):
        for words in (["status"], ["status", "orders"]):
            assert _run(words) == 0
            shown = capsys.readouterr().out
            assert f"{flow}: no checkpoint, running (" in shown
            assert "task.orders: running" in shown
        assert _run(["logs", "orders"]) == 0
        assert capsys.readouterr().out == "record 1\n"
        assert flow in flows_of(operation, "orders")
        assert _run(["stop", "orders"]) == 0
        assert f"{flow}: stopped" in capsys.readouterr().out and len(signalled) == 1


def test_a_task_that_is_neither_declared_nor_running_is_unknown_but_keeps_its_log(folder, capsys):
    (folder / "dstream.hcl").write_text(TASK.replace("NAME", "sales").replace("MORE", ""))
    operation = open_operation(OperationInputs(config=folder))
    with operation.backend.task("orders").acquire("run"):
        pass
    with pytest.raises(DiagnosticsError, match="Unknown task"):
        flows_of(operation, "orders")
    assert _run(["status", "sale"]) == 1 and "Did you mean sales?" in capsys.readouterr().err
    assert _run(["stop", "orders"]) == 1 and "There is no task 'orders'" in capsys.readouterr().err
    make_run_folder(operation.root)
    log_path(operation.root, "orders").write_text("the end\n")
    assert _run(["logs", "orders", "-follow"]) == 0
    assert capsys.readouterr().out == "the end\n"


@pytest.mark.parametrize("words", ([], ["any-id"], ["-force"], ["any-id", "-force", "-kill"]), ids=" ".join)
def test_force_unlock_without_a_lock_says_so_and_asks_nothing(words, folder, capsys):
    (folder / "dstream.hcl").write_text("locals {}\n")
    assert _run(["force-unlock", *words]) == 1
    printed = capsys.readouterr()
    assert "There is no lock to release" in printed.err and printed.out == ""
    operation = open_operation(OperationInputs(config=folder))
    with operation.backend.lock("apply"):
        assert _run(["force-unlock", "-force", "any-id"]) == 1
        assert "not any-id" in capsys.readouterr().err
    assert _run(["force-unlock", *words]) == 1
    assert "There is no lock to release" in capsys.readouterr().err
