"""Functions that hash and decrypt."""

from __future__ import annotations

import base64
import hashlib
import uuid as uuids

from dstream.lang.functions.registry import FunctionError, function
from dstream.lang.scope import Surroundings
from dstream.lang.types import STRING
from dstream.lang.values import Unknown, Value


def _digest(name: str, data: bytes) -> hashlib._Hash:
    return hashlib.new(name, data, usedforsecurity=False)


@function("string: string")
def md5(text: Value) -> Value:
    """Return the MD5 hash in hexadecimal digits."""
    return _digest("md5", text.encode()).hexdigest()


@function("string: string")
def sha1(text: Value) -> Value:
    """Return the SHA-1 hash in hexadecimal digits."""
    return _digest("sha1", text.encode()).hexdigest()


@function("string: string")
def sha256(text: Value) -> Value:
    """Return the SHA-256 hash in hexadecimal digits."""
    return _digest("sha256", text.encode()).hexdigest()


@function("string: string")
def sha512(text: Value) -> Value:
    """Return the SHA-512 hash in hexadecimal digits."""
    return _digest("sha512", text.encode()).hexdigest()


@function("string: string")
def base64sha256(text: Value) -> Value:
    """Return the SHA-256 hash in Base64."""
    return base64.b64encode(_digest("sha256", text.encode()).digest()).decode()


@function("string: string")
def base64sha512(text: Value) -> Value:
    """Return the SHA-512 hash in Base64."""
    return base64.b64encode(_digest("sha512", text.encode()).digest()).decode()


def _of_file(surroundings: Surroundings, path: str, name: str) -> bytes:
    from dstream.lang.functions.files import read

    return _digest(name, read(surroundings, path)).digest()


@function("path: string", surrounded=True)
def filemd5(surroundings: Surroundings, path: Value) -> Value:
    """Return the MD5 hash of a file in hexadecimal digits."""
    return _of_file(surroundings, path, "md5").hex()


@function("path: string", surrounded=True)
def filesha1(surroundings: Surroundings, path: Value) -> Value:
    """Return the SHA-1 hash of a file in hexadecimal digits."""
    return _of_file(surroundings, path, "sha1").hex()


@function("path: string", surrounded=True)
def filesha256(surroundings: Surroundings, path: Value) -> Value:
    """Return the SHA-256 hash of a file in hexadecimal digits."""
    return _of_file(surroundings, path, "sha256").hex()


@function("path: string", surrounded=True)
def filesha512(surroundings: Surroundings, path: Value) -> Value:
    """Return the SHA-512 hash of a file in hexadecimal digits."""
    return _of_file(surroundings, path, "sha512").hex()


@function("path: string", surrounded=True)
def filebase64sha256(surroundings: Surroundings, path: Value) -> Value:
    """Return the SHA-256 hash of a file in Base64."""
    return base64.b64encode(_of_file(surroundings, path, "sha256")).decode()


@function("path: string", surrounded=True)
def filebase64sha512(surroundings: Surroundings, path: Value) -> Value:
    """Return the SHA-512 hash of a file in Base64."""
    return base64.b64encode(_of_file(surroundings, path, "sha512")).decode()


@function(surrounded=True)
def uuid(surroundings: Surroundings) -> Value:
    """Return a random UUID, a new one at every evaluation; unknown in a plan."""
    return Unknown(STRING, not_null=True) if surroundings.planning else str(uuids.uuid4())


@function("namespace: string, name: string")
def uuidv5(namespace: Value, name: Value) -> Value:
    """Return the UUID that a name has in a namespace."""
    known = {
        "dns": uuids.NAMESPACE_DNS, "url": uuids.NAMESPACE_URL, "oid": uuids.NAMESPACE_OID,
        "x500": uuids.NAMESPACE_X500,
    }  # fmt: skip
    try:
        space = known.get(namespace) or uuids.UUID(namespace)
    except ValueError:
        raise FunctionError(f'"{namespace}" is not a namespace; use dns, url, oid, x500 or a UUID', 0) from None
    return str(uuids.uuid5(space, name))


@function("string: string, cost?: number", surrounded=True)
def bcrypt(surroundings: Surroundings, text: Value, cost: Value = 10) -> Value:
    """Return the bcrypt hash with a random salt, a new one at every evaluation; unknown in a plan."""
    try:
        import bcrypt as library
    except ModuleNotFoundError:
        raise FunctionError("the package bcrypt is not installed: pip install bcrypt") from None
    if not isinstance(cost, int) or not 4 <= cost <= 31:
        raise FunctionError("the cost must be a whole number between 4 and 31", 1)
    data = text.encode()
    if len(data) > 72:
        raise FunctionError("bcrypt takes at most 72 bytes", 0)
    if surroundings.planning:
        return Unknown(STRING, not_null=True)
    hashed: bytes = library.hashpw(data, library.gensalt(cost, b"2a"))
    return hashed.decode()


@function("ciphertext: string, key: string")
def rsadecrypt(ciphertext: Value, key: Value) -> Value:
    """Return the text that was encrypted (RSA, PKCS #1 v1.5; in Base64) for a private key in PEM."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    data = key.encode()
    try:
        load = load_ssh_private_key if "OPENSSH" in key else load_pem_private_key
        private = load(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise FunctionError("the key is not an RSA private key in PEM format without a passphrase", 1) from None
    if not isinstance(private, rsa.RSAPrivateKey):
        raise FunctionError("the key is not an RSA key", 1)
    try:
        return private.decrypt(base64.b64decode(ciphertext, validate=True), padding.PKCS1v15()).decode()
    except ValueError:
        raise FunctionError("the text cannot be decrypted with this key", 0) from None
