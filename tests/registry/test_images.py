"""Providers in container images, run by a real engine where one can be started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.commands import EXAMPLES, environment, start
from tests.registry.conftest import User
from tests.registry.test_end_to_end import shown
from tests.services.containers import EngineMissing, engine, images
from tests.services.registry import Registry

IN, OUT = "localhost/dstream-in-counter:dev", "localhost/dstream-out-console:dev"


@pytest.fixture(scope="session")
def containers() -> Iterator[dict[str, str]]:
    """An engine with the two images of the example."""
    try:
        with engine() as found:
            images(
                found, {IN: ("dstream-in-counter", "dstream_counter"), OUT: ("dstream-out-console", "dstream_console")}
            )
            yield found
    except EngineMissing as missing:
        pytest.skip(str(missing))


def ask(containers: dict[str, str], *arguments: str) -> str:
    program = containers["DSTREAM_CONTAINER_ENGINE"]
    done = subprocess.run(
        [program, *arguments], env=environment(containers), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def left(containers: dict[str, str]) -> list[str]:
    """The names of our containers, running or not."""
    return ask(containers, "ps", "-a", "--filter", "label=dev.dstream.owner", "--format", "{{.Names}}").split()


def until(condition: Callable[[], object], what: str) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail(f"waited in vain: {what}")


def example(user: User, containers: dict[str, str], text: str | None = None) -> User:
    user.environment.update(containers)
    user.folder.mkdir(exist_ok=True)
    text = text or (EXAMPLES / "oci-validation" / "dstream.hcl").read_text()
    (user.folder / "dstream.hcl").write_text(text)
    return user


def test_the_example_runs_both_providers_in_containers_and_leaves_none(user: User, containers: dict[str, str]) -> None:
    example(user, containers)
    assert "built on this machine, not locked" in user.done("init")
    user.done("apply", "-auto-approve")
    said = user.done("run", "-var", "count=20000", "-unapplied")
    assert said.count('"OperationType":"Insert"') == 20000
    assert "at least once" in said
    until(lambda: not left(containers), "no container is left")


def test_what_a_killed_command_leaves_behind_is_removed_by_the_next(user: User, containers: dict[str, str]) -> None:
    # A provider that ignores the end of its input: nothing but removal ends it.
    stubborn = (EXAMPLES / "oci-validation" / "dstream.hcl").read_text().replace("interval  = 0", "interval  = 50")
    example(user, containers, stubborn)
    user.done("init")
    running = start(user.folder, "run", "-var", "count=0", "-unapplied", env=user.environment)
    try:
        until(lambda: len(left(containers)) == 2, "both containers run")
        ask(containers, "pause", *left(containers))  # what is paused sees neither a signal nor the end of its input
    finally:
        os.kill(running.pid, signal.SIGKILL)
        running.communicate(timeout=60)
    behind = left(containers)
    assert len(behind) == 2
    user.done("plan", "-var", "count=0")
    assert not set(left(containers)) & set(behind)


def test_an_image_of_a_registry_is_locked_by_its_digest(
    user: User, containers: dict[str, str], open_registry: Registry
) -> None:
    tagged = f"{open_registry.host}/images/counter:v1"
    ask(containers, "tag", IN, tagged)
    ask(containers, "push", "-q", tagged)
    ask(containers, "rmi", "-f", tagged)
    user.environment.update(containers)
    limits = '    container {\n      network = "none"\n      memory  = "128m"\n      pids    = 64\n    }\n'
    user.configure(f'provider_image = "{tagged}"\n{limits}')
    assert user.dstream("plan").code == 1
    user.done("init")
    digest = ask(containers, "image", "inspect", tagged, "--format", "{{index .RepoDigests 0}}").strip()
    assert f'digest = "{digest.partition("@")[2]}"' in user.lock.read_text()
    user.done("apply", "-auto-approve")
    assert shown(user.done("run")) == ["1", "2", "3"]
    # The tag means another image now; what is locked goes on being used, until that is asked for.
    ask(containers, "tag", OUT, tagged)
    ask(containers, "push", "-q", tagged)
    user.done("init", "-pull-images")
    assert digest.partition("@")[2] in user.lock.read_text()
    assert shown(user.done("run", "-unapplied")) == []  # it has counted to its end already
    user.done("init", "-upgrade")
    assert digest.partition("@")[2] not in user.lock.read_text()
    refused = user.dstream("init", "-lockfile=readonly", "-pull-images")
    assert refused.code == 0, refused.said


def test_limits_and_variables_reach_the_container(user: User, containers: dict[str, str], tmp_path: Path) -> None:
    from dstream.plugins.container import Container, Limits

    limits = Limits(network="none", memory="64m", user="1234:1234", pids=50)
    container = Container(containers["DSTREAM_CONTAINER_ENGINE"], IN, limits, tmp_path)
    run = container.command(
        {"DSTREAM_PROBE": "1", "SECRET": "x", "OTHER": "y", "PATH": os.environ["PATH"]}, ("SECRET",)
    )
    argv = list(run.argv)
    argv[argv.index(IN) : argv.index(IN) + 1] = ["--entrypoint", "/python/bin/python", IN, "-c"]
    program = (
        "import os; print(os.getuid(), open('/proc/self/status').read().split('CapEff:')[1].split()[0], "
        "sorted(k for k in os.environ if k in ('SECRET', 'OTHER', 'DSTREAM_PROBE')), "
        "os.access('/python', os.W_OK), sorted(os.listdir('/sys/class/net')))"
    )
    done = subprocess.run(
        [*argv, program], env={**run.environment, **containers}, capture_output=True, text=True, timeout=100
    )
    assert done.stdout.split() == ["1234", "0000000000000000", "['DSTREAM_PROBE',", "'SECRET']", "False", "['lo']"], (
        done.stderr
    )
    assert "x" not in [word for word in run.argv if word.startswith("SECRET=")]
