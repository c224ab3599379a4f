"""`dstream providers sign`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from dstream.cli.options import Command, option
from dstream.cli.render.paint import say


@click.command("sign", cls=Command)
@click.argument("reference")
@option("key", metavar="FILE", required=True, type=click.Path(path_type=Path), help="A private key in PEM.")
def command(reference: str, key: Path) -> None:
    """Sign an artifact in a registry with a key. The signature is stored beside it.

    DSTREAM_KEY_PASSWORD is the password of an encrypted key. To create a key, run: openssl genpkey -algorithm ed25519.
    The format is cosign's (cosign verify --key).
    """
    import base64

    from msgspec.structs import replace

    from dstream.registry.mirror_names import host_of
    from dstream.registry.oci.client import RegistryClient
    from dstream.registry.oci.push import EMPTY, Pusher, artifact_manifest
    from dstream.registry.oci.reference import parse_reference
    from dstream.registry.oci.transport import Transport
    from dstream.registry.settings import load_settings
    from dstream.registry.trust import policy

    where = parse_reference(reference)
    if where.identifier is None:
        raise click.UsageError(f"Give a tag or a digest: {where.name}:TAG or {where.name}@DIGEST.")
    client = RegistryClient(host_of(where.registry), Transport(load_settings()))
    subject = client.manifest(where.repository, where.identifier)
    payload = policy.payload_for(where, subject.digest)
    password = os.environ.get("DSTREAM_KEY_PASSWORD")
    signature = policy.sign(key, password.encode() if password else None, payload)
    pusher = Pusher(client, where.repository)
    pusher.blob(b"{}", EMPTY.media_type)
    text = base64.b64encode(signature).decode()
    layer = replace(pusher.blob(payload, policy.PAYLOAD_TYPE), annotations={policy.SIGNATURE: text})
    manifest = artifact_manifest(policy.COSIGN_TYPE, [layer], subject=subject.descriptor)
    pusher.manifest(manifest)
    pusher.manifest(manifest, f"{subject.digest.replace(':', '-', 1)}.sig")
    say(f"{where.name}@{subject.digest} is signed.")
