"""Sigstore bundles, verified offline with the library `sigstore` (`pip install 'dstream-cli[sigstore]'`).

A bundle has a short-lived certificate of the signer, and the proof of a public log that it was used while valid, so
that verification needs no network. It signs the manifest itself, or an in-toto statement about its digest.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dstream.bounded_json import InvalidJson, parse_json, parse_object
from dstream.registry.errors import RegistryError
from dstream.registry.trust.patterns import matches_pattern

if TYPE_CHECKING:
    from dstream.registry.oci.content import Manifest

_STATEMENT = "application/vnd.in-toto+json"


def verify_bundle(raw: bytes, manifest: Manifest, identity: str, issuer: str, trusted_root: Path | None) -> str:
    """Return the signer of a manifest from a bundle; raise RegistryError if the bundle is not valid.

    `identity` is matched with the names in the certificate, `*` matching any characters; `trusted_root` is a file with
    sigstore's "trusted root" or "client trust config" in JSON, instead of the public one of the library.
    """
    try:
        from sigstore.errors import Error
        from sigstore.models import Bundle
        from sigstore.verify.policy import AnyOf, Identity  # noqa: F401 - the names say whether the library fits
    except ImportError as problem:
        raise RegistryError(
            "Sigstore not installed",
            f"Verifying bundles needs the sigstore library: pip install 'dstream-cli[sigstore]' ({problem}).",
        ) from problem
    verifier = _verifier(trusted_root)
    try:
        statement = _is_statement(raw)
        bundle = Bundle.from_json(raw)
        signer = _names(bundle.signing_certificate)
        name = next((each for each in signer if matches_pattern(identity, each)), None)
        if name is None:
            raise RegistryError(
                "Unexpected signer identity", f"The bundle is signed by {', '.join(signer) or 'no identity'}."
            )
        policy = Identity(identity=name, issuer=issuer or None)
        if statement:
            kind, payload = verifier.verify_dsse(bundle, policy)
            if kind != _STATEMENT or not _is_subject(payload, manifest):
                raise RegistryError(
                    "Signature for other content", f"The signed statement does not cover {manifest.digest}."
                )
        else:
            verifier.verify_artifact(manifest.raw, bundle, policy)
    except (Error, ValueError) as problem:
        raise RegistryError(
            "Invalid sigstore bundle", f"The sigstore bundle cannot be verified: {problem}."
        ) from problem
    return name


def _verifier(trusted_root: Path | None) -> Any:
    import logging

    from sigstore.models import ClientTrustConfig, TrustedRoot
    from sigstore.verify import Verifier

    logging.getLogger("sigstore").setLevel(logging.ERROR)  # that nothing is asked for newer roots is meant
    if trusted_root is None:
        return Verifier.production(offline=True)
    try:
        text = trusted_root.read_text("utf-8")
        if "trustedRoot" in parse_object(text):
            root = ClientTrustConfig.from_json(text).trusted_root
        else:
            root = TrustedRoot.from_file(str(trusted_root))
    except (OSError, ValueError, KeyError) as problem:
        raise RegistryError("Unreadable trusted root", f"{trusted_root}: {problem}.") from problem
    return Verifier(trusted_root=root)


def _names(certificate: Any) -> list[str]:
    """Return the addresses and names in a certificate."""
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        str(name)
        for kind in (x509.UniformResourceIdentifier, x509.RFC822Name)
        for name in found.get_values_for_type(kind)
    ]


def _is_statement(raw: bytes) -> bool:
    return "dsseEnvelope" in parse_object(raw)


def _is_subject(payload: bytes, manifest: Manifest) -> bool:
    """Return whether an in-toto statement has the digest of a manifest."""
    algorithm, _, digest = manifest.digest.partition(":")
    try:
        subjects = parse_json(payload)["subject"]
        return any(each["digest"].get(algorithm) == digest for each in subjects)
    except (InvalidJson, KeyError, TypeError, AttributeError):
        return False
