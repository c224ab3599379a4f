"""Trust policy: which signature a provider from a registry needs, from the `trust` blocks of a configuration.

    dstream {
      trust "ghcr.io/team/*" {
        keys = ["./keys/release.pub"]                       # any of these public keys (PEM)
      }
      trust "ghcr.io/other/*" {
        identity = "https://github.com/other/x/.github/workflows/release.yml@refs/tags/*"
        issuer   = "https://token.actions.githubusercontent.com"
      }
    }

The first block whose pattern matches decides; what no block matches needs no signature. What is signed is the digest of
the manifest, so a signature covers every platform. Signatures are looked for among the referrers of the manifest, and,
those with a key, also under the tag `sha256-<hex>.sig`, where cosign puts them.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from dstream.bounded_json import InvalidJson, parse_json
from dstream.registry.errors import NotThere, RegistryError
from dstream.registry.trust.patterns import matches_pattern

if TYPE_CHECKING:
    from dstream.registry.oci.content import Descriptor, Manifest
    from dstream.registry.oci.reference import Reference
    from dstream.registry.oci.source import Source

COSIGN_TYPE = "application/vnd.dev.cosign.artifact.sig.v1+json"
PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
BUNDLE_PREFIX = "application/vnd.dev.sigstore.bundle"
_STATEMENT = "application/vnd.in-toto+json"
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----")


class Signer(Struct, frozen=True):
    """Who has signed a manifest: a key, or the holder of a certificate."""

    key: str = ""
    """The fingerprint of the public key."""
    identity: str = ""
    """The name in the certificate."""
    issuer: str = ""
    """Who vouched for the name, as far as the policy required it."""
    roots: str = ""
    """The fingerprint of the trusted root, empty for the public one."""

    def __str__(self) -> str:
        """Return the signer as text, for people."""
        if self.key:
            return f"key {self.key}"
        issuer = f" ({self.issuer})" if self.issuer else ""
        return f"{self.identity}{issuer}" + (f" (roots {self.roots})" if self.roots else "")


class Policy(Struct, frozen=True):
    """One `trust` block."""

    pattern: str
    keys: tuple[Path, ...] = ()
    identity: str = ""
    """The required identity in the certificate of a sigstore bundle; `*` matches any characters."""
    issuer: str = ""
    trusted_root: Path | None = None
    """The trusted root for sigstore bundles; the public one if None."""
    machine: bool = False
    """Whether it is a block of this machine, not of the configuration."""

    def fits(self, reference: Reference) -> bool:
        """Return whether the block applies to a repository."""
        return matches_pattern(self.pattern, reference.name)

    def accepts(self, signer: Signer) -> bool:
        """Return whether a verified signer is trusted by this policy."""
        if signer.key:
            return any(signer.key == fingerprint(key) for key in self.keys)
        right = self.issuer in ("", signer.issuer) and self._roots() == signer.roots
        return right and bool(self.identity) and matches_pattern(self.identity, signer.identity)

    def _roots(self) -> str:
        """Return the fingerprint of the trusted root, empty for the public one."""
        return "" if self.trusted_root is None else file_fingerprint(self.trusted_root)

    def verify(self, source: Source, reference: Reference, manifest: Manifest) -> Signer:
        """Return the signer of a manifest; raise RegistryError if no trusted signer signed it."""
        problems: list[str] = []
        found = list(_signatures(source, reference, manifest))
        for key in self.keys:
            for payload, signature in (each for each in found if isinstance(each, tuple)):
                if is_signed_by(key, payload, signature) and _is_about(payload, manifest):
                    return Signer(fingerprint(key))
        bundles = [each for each in found if isinstance(each, bytes)]
        if self.identity:
            from dstream.registry.trust.sigstore_bundles import verify_bundle

            for bundle in bundles:
                try:
                    name = verify_bundle(bundle, manifest, self.identity, self.issuer, self.trusted_root)
                    return Signer("", name, self.issuer, self._roots())
                except RegistryError as problem:
                    problems.append(problem.diagnostics[0].detail)
        signers = " or ".join(
            [*(f"the key {key}" for key in self.keys), *([f"the identity {self.identity}"] if self.identity else [])]
        )
        there = f"{len(found)}, by other signers or for other content" if found else "none"
        raise RegistryError(
            "Missing signature",
            f"The trust block {self.pattern!r}{' of this machine' if self.machine else ''} requires a signature of "
            f"{reference.name}@{manifest.digest} by {signers}. Signatures in {source.place}: {there}. "
            f"{' '.join(problems)}".strip()
            + " After it was signed, verify it with: dstream init",
        )


def policy_for(policies: tuple[Policy, ...], reference: Reference) -> Policy | None:
    """Return the first policy that applies to a repository, or None."""
    return next((each for each in policies if each.fits(reference)), None)


def _signatures(source: Source, reference: Reference, manifest: Manifest) -> Iterator[tuple[bytes, bytes] | bytes]:
    """Yield payload and signature of each signature with a key, and the text of each sigstore bundle."""
    for each in source.referrers(reference.repository, manifest.digest):
        kind = each.artifact_type or ""
        if kind == COSIGN_TYPE:
            yield from _with_key(source, reference, source.manifest(reference.repository, each.digest))
        elif kind.startswith(BUNDLE_PREFIX):
            for layer in source.manifest(reference.repository, each.digest).descriptors("layers"):
                yield source.blob_bytes(reference.repository, layer)
    try:
        tagged = source.manifest(reference.repository, f"{manifest.digest.replace(':', '-', 1)}.sig")
    except NotThere:
        return
    yield from _with_key(source, reference, tagged)


def _with_key(source: Source, reference: Reference, manifest: Manifest) -> Iterator[tuple[bytes, bytes]]:
    for layer in manifest.descriptors("layers"):
        signature = _signature(layer)
        if layer.media_type == PAYLOAD_TYPE and signature is not None:
            yield source.blob_bytes(reference.repository, layer), signature


def _signature(layer: Descriptor) -> bytes | None:
    try:
        return base64.b64decode(layer.annotations.get(SIGNATURE, ""), validate=True) or None
    except binascii.Error:
        return None


def _is_about(payload: bytes, manifest: Manifest) -> bool:
    """Return whether a signed payload has the digest of a manifest, under any name."""
    try:
        form: Any = parse_json(payload)
        return bool(form["critical"]["image"]["docker-manifest-digest"] == manifest.digest)
    except (InvalidJson, KeyError, TypeError):
        return False


def payload_for(reference: Reference, digest: str) -> bytes:
    """Return the payload to sign for a manifest: cosign's "simple signing" document."""
    critical = {
        "identity": {"docker-reference": reference.name},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }
    return json.dumps({"critical": critical, "optional": None}, separators=(",", ":")).encode()


def is_signed_by(key: Path, payload: bytes, signature: bytes) -> bool:
    """Return whether a signature of SHA-256 (or Ed25519) belongs to a public key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

    public = _public(key)
    try:
        match public:
            case ec.EllipticCurvePublicKey():
                public.verify(signature, payload, ec.ECDSA(hashes.SHA256()))
            case ed25519.Ed25519PublicKey():
                public.verify(signature, payload)
            case rsa.RSAPublicKey():
                public.verify(signature, payload, padding.PKCS1v15(), hashes.SHA256())
            case _:
                raise _bad_key(key, "it is neither ECDSA, Ed25519 nor RSA")
    except InvalidSignature:
        return False
    return True


def sign(key: Path, password: bytes | None, payload: bytes) -> bytes:
    """Return the signature of a payload with a private key (PEM, encrypted if `password` is given)."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key.read_bytes(), password)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as problem:
        raise _bad_key(key, str(problem)) from problem
    match private:
        case ec.EllipticCurvePrivateKey():
            return private.sign(payload, ec.ECDSA(hashes.SHA256()))
        case ed25519.Ed25519PrivateKey():
            return private.sign(payload)
        case rsa.RSAPrivateKey():
            return private.sign(payload, padding.PKCS1v15(), hashes.SHA256())
        case _:
            raise _bad_key(key, "it is neither ECDSA, Ed25519 nor RSA")


def fingerprint(key: Path) -> str:
    """Return the fingerprint of a public key, `SHA256:...`."""
    from dstream.registry.oci.content import digest_of

    raw = _spki(key)
    if raw is None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        raw = _public(key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"SHA256:{digest_of(raw).partition(':')[2][:32]}"


def file_fingerprint(path: Path) -> str:
    """Return the fingerprint of a file, `SHA256:...`, or a placeholder if the file is missing."""
    from dstream.registry.oci.content import digest_of

    try:
        return f"SHA256:{digest_of(path.read_bytes()).partition(':')[2][:32]}"
    except OSError:
        return "missing"


def _spki(key: Path) -> bytes | None:
    """Return the content of a plain `BEGIN PUBLIC KEY` file without the crypto library, which is slow to import."""
    with contextlib.suppress(OSError, ValueError):
        match = _PEM.fullmatch(key.read_bytes().strip())
        return base64.b64decode(b"".join(match[1].split()), validate=True) if match else None
    return None


def _public(key: Path) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        return load_pem_public_key(key.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as problem:
        raise _bad_key(key, str(problem)) from problem


def _bad_key(key: Path, why: str) -> RegistryError:
    return RegistryError("Unusable key", f"{key}: {why}. The file must contain a public key in PEM format.")
