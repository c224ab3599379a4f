"""A sigstore of one's own, without a network: its authority, its two logs, and whoever signs with a certificate of it.

Stands in for Fulcio, a certificate transparency log and Rekor (https://docs.sigstore.dev): what it makes has the form
that these give, and is verified by the library `sigstore` with a trusted root that names its keys. The public service
was not tried.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_ISSUER = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_SCTS = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_SHA256 = ec.ECDSA(hashes.SHA256())


class Sigstore:
    """An authority and two logs, each with a key of its own."""

    def __init__(self) -> None:
        self.begun = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
        self._root, self._ca, self._ct, self._rekor = (ec.generate_private_key(ec.SECP256R1()) for _ in range(4))
        self._root_certificate = self._authority("root", self._root, "root", self._root, 1)
        self._ca_certificate = self._authority("signing", self._ca, "root", self._root, 0)

    def trusted_root(self, path: Path) -> Path:
        """Write the keys and certificates to a file, in the form in which sigstore hands them out."""
        period = {"start": _time(self.begun)}

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            details = {"rawBytes": _b64(_public(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": period}
            own = {"keyId": _b64(_id(key))}
            return {"baseUrl": "https://own.example", "hashAlgorithm": "SHA2_256", "publicKey": details, "logId": own}

        chain = [{"rawBytes": _b64(_der(each))} for each in (self._ca_certificate, self._root_certificate)]
        authority = {
            "subject": {"organization": "own", "commonName": "signing"},
            "uri": "https://own.example",
            "certChain": {"certificates": chain},
            "validFor": period,
        }
        form = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self._rekor)],
            "certificateAuthorities": [authority],
            "ctlogs": [log(self._ct)],
        }
        path.write_text(json.dumps(form))
        return path

    def sign(self, content: bytes, identity: str, issuer: str) -> bytes:
        """Return a bundle by which `identity` signs some content."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(key, identity, issuer)
        signature, digest = key.sign(content, _SHA256), hashlib.sha256(content)
        entry = {
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": digest.hexdigest()}},
                "signature": {"content": _b64(signature), "publicKey": {"content": _b64(_pem(certificate))}},
            },
        }
        message = {
            "messageDigest": {"algorithm": "SHA2_256", "digest": _b64(digest.digest())},
            "signature": _b64(signature),
        }
        return self._bundle(certificate, entry, {"messageSignature": message})

    def attest(self, statement: dict[str, Any], identity: str, issuer: str) -> bytes:
        """Return a bundle by which `identity` signs a statement (in-toto)."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(key, identity, issuer)
        kind, payload = b"application/vnd.in-toto+json", json.dumps(statement).encode()
        signature = key.sign(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload), _SHA256)
        entry = {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": "0" * 64},
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                "signatures": [{"signature": _b64(signature), "verifier": _b64(_pem(certificate))}],
            },
        }
        envelope = {"payload": _b64(payload), "payloadType": kind.decode(), "signatures": [{"sig": _b64(signature)}]}
        return self._bundle(certificate, entry, {"dsseEnvelope": envelope})

    def _bundle(self, certificate: x509.Certificate, entry: dict[str, Any], content: dict[str, Any]) -> bytes:
        """Return a bundle, its entry being the only one of the log."""
        body, now, log = _canonical(entry), int(datetime.now(UTC).timestamp()), _id(self._rekor)
        leaf = hashlib.sha256(b"\0" + body).digest()
        note = f"own.example - 1\n1\n{_b64(leaf)}\n"
        signed = _b64(log[:4] + self._rekor.sign(note.encode(), _SHA256))
        promised = {"body": _b64(body), "integratedTime": now, "logID": log.hex(), "logIndex": 0}
        proof = {
            "logIndex": "0",
            "rootHash": _b64(leaf),
            "treeSize": "1",
            "hashes": [],
            "checkpoint": {"envelope": f"{note}\n\u2014 own.example {signed}\n"},
        }
        logged = {
            "logIndex": "0",
            "logId": {"keyId": _b64(log)},
            "kindVersion": {"kind": entry["kind"], "version": entry["apiVersion"]},
            "integratedTime": str(now),
            "inclusionPromise": {"signedEntryTimestamp": _b64(self._rekor.sign(_canonical(promised), _SHA256))},
            "inclusionProof": proof,
            "canonicalizedBody": _b64(body),
        }
        material = {"certificate": {"rawBytes": _b64(_der(certificate))}, "tlogEntries": [logged]}
        return json.dumps({"mediaType": BUNDLE, "verificationMaterial": material, **content}).encode()

    def _certificate(self, key: ec.EllipticCurvePrivateKey, identity: str, issuer: str) -> x509.Certificate:
        """Return a certificate of ten minutes, with the promise of the log to publish it."""
        now = datetime.now(UTC).replace(microsecond=0)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(_name("signing"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(minutes=5))
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._ca.public_key()), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), critical=True)
            .add_extension(x509.UnrecognizedExtension(_ISSUER, issuer.encode()), critical=False)
        )
        tbs = builder.sign(self._ca, hashes.SHA256()).tbs_certificate_bytes
        when = int(now.timestamp() * 1000)
        about = hashlib.sha256(_public(self._ca)).digest() + struct.pack("!I", len(tbs))[1:] + tbs
        promise = self._ct.sign(struct.pack("!BBQH", 0, 0, when, 1) + about + b"\0\0", _SHA256)
        sct = struct.pack("!B32sQHBBH", 0, _id(self._ct), when, 0, 4, 3, len(promise)) + promise
        listed = struct.pack("!HH", len(sct) + 2, len(sct)) + sct
        scts = x509.UnrecognizedExtension(_SCTS, _asn1(4, listed))
        return builder.add_extension(scts, critical=False).sign(self._ca, hashes.SHA256())

    def _authority(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        issuer: str,
        signer: ec.EllipticCurvePrivateKey,
        length: int,
    ) -> x509.Certificate:
        by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.begun)
            .not_valid_after(self.begun + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(True, length), critical=True)
            .add_extension(_usage(key_cert_sign=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(by, critical=False)
            .sign(signer, hashes.SHA256())
        )


def _asn1(tag: int, content: bytes) -> bytes:
    assert len(content) < 256
    return bytes([tag, *([0x81] if len(content) > 127 else []), len(content)]) + content


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(digital_signature, False, False, False, False, key_cert_sign, False, False, False)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_public(key)).digest()


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _canonical(form: dict[str, Any]) -> bytes:
    return json.dumps(form, sort_keys=True, separators=(",", ":")).encode()
