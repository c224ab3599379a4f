"""Origins: scheme, host and port of a URL, which decide what it may be sent. All three count, as for a browser.

URLs in headers come from servers: any text may be in them.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urljoin, urlsplit

from dstream.registry.errors import RegistryError

_PORTS = {"http": 80, "https": 443}


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL; raise RegistryError if it is not an http or https URL."""
    parts = _split(url)
    try:
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise _malformed(url) from None
    if parts.scheme not in _PORTS or not host:
        raise _malformed(url)
    return parts.scheme, host, port if port is not None else _PORTS[parts.scheme]


def same_origin(url: str, other: str) -> bool:
    """Return whether two URLs have the same scheme, host and port."""
    return origin(url) == origin(other)


def place_of(url: str) -> str:
    """Return host and port of a URL as messages show them, without a login that may be in it."""
    return _split(url).netloc.rpartition("@")[2] or url


def target_of(url: str, location: str) -> str:
    """Return the URL that a Location header of `url` names.

    Raise RegistryError if it is malformed, or leads from https to http.
    """
    try:
        target = urljoin(url, location)
    except ValueError:
        raise _malformed(location) from None
    refuse_downgrade(url, target)
    return target


def refuse_downgrade(url: str, target: str) -> None:
    """Raise RegistryError if `url` is encrypted and `target`, which its server names, is not."""
    if origin(url)[0] == "https" and origin(target)[0] == "http":
        raise RegistryError(
            "Redirect to plain http",
            f"{place_of(url)} names {target.partition('?')[0]}, which is not encrypted. Nothing was sent there.",
        )


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise _malformed(url) from None


def _malformed(url: str) -> RegistryError:
    return RegistryError("Malformed registry address", f"{url[:200]!r} is not an http or https address.")
