"""Providers in container images, run by a real engine where one can be started."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstream.engine.runs.run_files import read_run_status
from dstream.registry.oci.client import RegistryClient
from dstream.registry.oci.transport import Transport
from dstream.registry.packaging.publish import SBOM_TYPE
from dstream.registry.settings import Settings
from tests.e2e.commands import EXAMPLES, environment, start
from tests.events import until
from tests.registry.conftest import HERE, User
from tests.registry.test_end_to_end import shown
from tests.registry.test_trust import make_keys
from tests.services.containers import EngineMissing, engine, images
from tests.services.registry import Registry, registry

IN, OUT = "localhost/dstream-in-counter-image:dev", "localhost/dstream-out-console-image:dev"


@pytest.fixture(scope="module", params=["docker", "podman"])
def containers(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Each engine, with the two images of the example."""
    try:
        with engine(request.param) as found:
            images(
                found, {IN: ("dstream-in-counter", "dstream_counter"), OUT: ("dstream-out-console", "dstream_console")}
            )
            yield found
    except EngineMissing as missing:
        pytest.skip(str(missing))


def ask(containers: dict[str, str], *arguments: str) -> str:
    program = containers["DSTREAM_CONTAINER_ENGINE"]
    done = subprocess.run(
        [program, *arguments], env=environment(containers), capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def push(containers: dict[str, str], image: str) -> None:
    """Push to a registry without TLS; docker knows by itself that loopback is one."""
    own = ["--tls-verify=false"] if "podman" in containers["DSTREAM_CONTAINER_ENGINE"] else []
    ask(containers, "push", "-q", *own, image)


def left(containers: dict[str, str]) -> list[str]:
    """The names of our containers, running or not."""
    return ask(containers, "ps", "-a", "--filter", "label=dev.dstream.owner", "--format", "{{.Names}}").split()


def pause(containers: dict[str, str]) -> None:
    """Pause our containers. On a busy machine the freezer of the kernel gives up now and then: it is asked again."""
    for name in left(containers):
        for attempt in range(10):
            try:
                ask(containers, "pause", name)
                break
            except AssertionError as problem:
                if "unable to freeze" in str(problem) and attempt < 9:
                    continue
                if "cgroup" not in str(problem):
                    raise
                pytest.skip(f"no container can be paused here: {problem}")


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
        until(lambda: (note := read_run_status(user.folder, "validate")) and note.state == "running", "the run")
        until(lambda: len(left(containers)) == 2, "the containers that planned are removed")
        pause(containers)  # what is paused sees neither a signal nor the end of its input
    finally:
        os.kill(running.pid, signal.SIGKILL)
        running.communicate(timeout=280)
    behind = left(containers)
    assert len(behind) == 2
    user.done("plan", "-var", "count=0")
    assert not set(left(containers)) & set(behind)


def test_an_image_of_a_registry_is_locked_by_its_digest(
    user: User, containers: dict[str, str], open_registry: Registry
) -> None:
    tagged = f"{open_registry.host}/images/counter:v1"
    ask(containers, "tag", IN, tagged)
    push(containers, tagged)
    ask(containers, "rmi", "-f", tagged)
    user.environment.update(containers)
    limits = '    container {\n      network = "none"\n      memory  = "128m"\n      pids    = 64\n    }\n'
    user.configure(f'provider_image = "{tagged}"\n{limits}')
    assert user.dstream("plan").code == 1
    user.done("init")
    digest = RegistryClient(open_registry.host, Transport(Settings())).manifest("images/counter", "v1").digest
    assert f'digest = "{digest}"' in user.lock.read_text()
    user.done("apply", "-auto-approve")
    assert shown(user.done("run")) == ["1", "2", "3"]
    # The tag means another image now; what is locked goes on being used, until that is asked for.
    ask(containers, "tag", OUT, tagged)
    push(containers, tagged)
    user.done("init", "-pull-images")
    assert digest in user.lock.read_text()
    assert shown(user.done("run", "-unapplied")) == []  # it has counted to its end already
    user.done("init", "-upgrade")
    assert digest not in user.lock.read_text()
    refused = user.dstream("init", "-lockfile=readonly", "-pull-images")
    assert refused.code == 0, refused.said


def test_an_image_is_published_for_two_platforms_from_a_folder_with_a_containerfile(
    user: User, containers: dict[str, str], open_registry: Registry
) -> None:
    user.environment.update(containers)
    user.done("providers", "new", "boxed", "-kind", "in", "-lang", "bash")
    package = user.folder / "dstream-in-boxed"
    reference = f"{open_registry.host}/boxed/dstream-in-boxed:v1.0.0"
    # Nothing can be pulled here, so the image of the tests stands in for the base.
    (package / "Containerfile").write_text(f"FROM --platform={HERE.os}/{HERE.arch} {IN}\nLABEL made=here\n")
    platforms = [word for each in ("linux_amd64", "linux_arm64") for word in ("-platform", each)]
    said = user.done("providers", "publish", reference, "dstream-in-boxed", "-image", "-tag", "latest", *platforms)
    assert {"linux_amd64", "linux_arm64"} <= set(said.split())
    digest = next(word for word in said.split() if word.startswith("sha256:"))
    client = RegistryClient(open_registry.host, Transport(Settings()))
    index = client.manifest("boxed/dstream-in-boxed", "latest")
    assert index.digest == digest
    forms = [each.platform for each in index.descriptors("manifests")]
    assert forms == [{"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm64"}]
    assert index.annotations["org.opencontainers.image.version"] == "1.0.0"
    assert [each.artifact_type for each in client.referrers("boxed/dstream-in-boxed", digest)] == [SBOM_TYPE]
    user.configure(f'provider_image = "{reference}"')
    user.done("init")
    assert f'digest = "{digest}"' in user.lock.read_text()
    assert shown(user.done("run", "-unapplied")) == ["1", "2", "3"]
    (package / "Containerfile").unlink()
    ended = user.dstream("providers", "publish", reference, "dstream-in-boxed", "-image", "-no-sbom", "-force")
    assert "Image build failure" in ended.said


def test_an_image_needs_the_signature_that_a_trust_block_wants(
    user: User, containers: dict[str, str], open_registry: Registry
) -> None:
    tagged = f"{open_registry.host}/signed-images/counter:v1"
    ask(containers, "tag", IN, tagged)
    push(containers, tagged)
    user.environment.update(containers)
    secret, public = make_keys(user.home, "ed25519")
    trust = f'trust "{open_registry.host}/signed-images/*" {{\n    keys = ["{public}"]\n  }}'
    user.configure(f'provider_image = "{tagged}"')
    user.done("init")
    user.configure(f'provider_image = "{tagged}"', head=f"dstream {{\n  {trust}\n}}")
    assert "Missing signature" in user.dstream("plan").said
    assert "Missing signature" in user.dstream("init").said
    user.done("providers", "sign", tagged, "-key", str(secret))
    assert "signed by key SHA256:" in user.done("init")
    assert "signed_by" in user.lock.read_text()
    user.done("plan")


def test_an_image_runs_from_a_mirror_that_a_folder_has_brought_there(
    user: User, containers: dict[str, str], open_registry: Registry, tmp_path: Path
) -> None:
    user.environment.update(containers)
    secret, public = make_keys(user.home, "ed25519")
    package = user.folder / "boxed"
    package.mkdir(parents=True)
    (package / "Containerfile").write_text(f"FROM --platform={HERE.os}/{HERE.arch} {IN}\nLABEL made=for-a-mirror\n")

    def forget() -> None:
        found = ask(containers, "images", "-q", "--no-trunc", "--filter", "label=made=for-a-mirror").split()
        ask(containers, "rmi", "-f", *dict.fromkeys(found))

    folder, into = user.home / "mirror", f"{open_registry.host}/mirror/{{registry}}"
    with registry(tmp_path / "origin") as origin:
        image = f"{origin.host}/team/boxed:v1.0.0"
        platforms = [word for each in ("linux_amd64", "linux_arm64") for word in ("-platform", each)]
        user.done("providers", "publish", image, "boxed", "-image", *platforms)
        user.done("providers", "sign", image, "-key", str(secret))
        trust = f'dstream {{\n  trust "*" {{\n    keys = ["{public}"]\n  }}\n}}'
        user.configure(f'provider_image = "{image}"', head=trust)
        user.done("init")
        said = user.done("providers", "mirror", str(folder))
    lock = user.lock.read_text()
    digest = re.search(r'digest += "(sha256:[0-9a-f]{64})"', lock)
    assert digest is not None
    assert f"{image}: {digest[1]}" in said
    assert "No container engine gets images from a folder" in said
    layout = folder / origin.host.replace(":", "_") / "team" / "boxed"
    assert json.loads((layout / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    tags = [each["annotations"] for each in json.loads((layout / "index.json").read_text())["manifests"]]
    assert {"org.opencontainers.image.ref.name": "v1.0.0"} in tags

    # The registry that it came from is gone, and what the engine had of it, and the cache.
    mirrored = f"{open_registry.host}/mirror/{origin.host.replace(':', '_')}/team/boxed"
    forget()
    shutil.rmtree(user.cache)
    settings = user.home / ".dstream" / "config.hcl"
    text = 'registry "*" {{\n  mirrors = [{}]\n  only_mirrors = true\n}}\n'
    settings.write_text(text.format(f'"{folder}"'))
    assert "Image not available from mirrors" in user.dstream("init").said
    user.done("providers", "mirror", into)
    settings.write_text(text.format(f'"{folder}", "{into}"'))
    index = layout / "blobs" / "sha256" / digest[1].removeprefix("sha256:")
    needed = [each["digest"] for each in json.loads(index.read_text())["manifests"]]
    assert len(needed) == 2
    for part in needed[:2]:
        form = json.loads(open_registry.blob(part).read_text())
        needed += [each["digest"] for each in (form["config"], *form["layers"])]
    assert all(open_registry.blob(each).is_file() for each in needed)
    assert "is not on this machine" in " ".join(user.dstream("plan").said.split())
    assert "DSTREAM_OFFLINE" in user.dstream("init", DSTREAM_OFFLINE="1").said

    # What the mirror has is pulled by the digest that is locked, or not at all.
    config = json.loads(open_registry.blob(needed[0]).read_text())["config"]["digest"]
    good = open_registry.blob(config).read_bytes()
    open_registry.blob(config).write_bytes(good.replace(b"for-a-mirror", b"for-whatever"))
    assert "Image pull failure" in user.dstream("init").said
    open_registry.blob(config).write_bytes(good)
    user.done("init", "-lockfile=readonly")
    user.done("apply", "-auto-approve")
    assert shown(user.done("run")) == ["1", "2", "3"]
    assert user.lock.read_text() == lock
    assert ask(containers, "image", "inspect", f"{mirrored}@{digest[1]}")
    user.lock.unlink()
    forget()
    assert "signed by key SHA256:" in user.done("init")  # chosen by its tag in the mirror
    assert user.lock.read_text() == lock
    user.done("plan")


def test_status_shows_the_containers_of_a_task_in_the_background(user: User, containers: dict[str, str]) -> None:
    example(user, containers)
    user.done("init")
    user.done("apply", "-auto-approve", "-var", "count=0")
    user.done("run", "-detach", "-var", "count=0")
    try:
        until(lambda: len(left(containers)) == 2, "both containers run")
        said = user.done("status", "-detailed", "-var", "count=0")
        assert re.search(r"container [0-9a-f]{12} of sha256:[0-9a-f]{12}, [\d.]+\s?[KM]i?B / \S+, dstream-", said), said
        assert re.search(rf"input image {IN}, sha256:[0-9a-f]+", said), said
        names = left(containers)
        form = json.loads(ask(containers, "inspect", *names))
        assert {each["HostConfig"]["Memory"] for each in form} == {256 << 20}
        assert {each["HostConfig"]["NetworkMode"] for each in form} == {"none"}
        assert {each["HostConfig"]["LogConfig"]["Type"] for each in form} == {"none"}
        assert {each["HostConfig"]["AutoRemove"] for each in form} == {True}
    finally:
        user.done("stop", "validate", "-force", "-var", "count=0")
    until(lambda: not left(containers), "no container is left")


def test_an_image_of_this_machine_that_is_called_as_if_it_were_in_a_registry_is_told_apart(
    user: User, containers: dict[str, str], open_registry: Registry
) -> None:
    tagged = f"{open_registry.host}/never-pushed/counter:v1"
    ask(containers, "tag", IN, tagged)
    user.environment.update(containers)
    user.configure(f'provider_image = "{tagged}"\n    container {{\n      network = "none"\n    }}')
    ended = user.dstream("init")
    if "podman" not in containers["DSTREAM_CONTAINER_ENGINE"]:
        assert "built on this machine, not locked" in ended.said
        user.done("plan")
        return
    # podman gives it a digest, which would pass for one of the registry.
    assert ended.code == 1
    assert "Image not in its registry" in ended.said
    assert "localhost/NAME" in ended.said
    assert not user.lock.exists()
    push(containers, tagged)
    user.done("init")
    digest = RegistryClient(open_registry.host, Transport(Settings())).manifest("never-pushed/counter", "v1").digest
    assert f'digest = "{digest}"' in user.lock.read_text()
    user.done("plan")


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
        [*argv, program], env={**run.environment, **containers}, capture_output=True, text=True, timeout=280
    )
    assert done.stdout.split() == ["1234", "0000000000000000", "['DSTREAM_PROBE',", "'SECRET']", "False", "['lo']"], (
        done.stderr
    )
    assert "x" not in [word for word in run.argv if word.startswith("SECRET=")]
