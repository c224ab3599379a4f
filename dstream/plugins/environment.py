"""Environment: the environment variables of a provider: a short list, and those in `env = [...]` of its block."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from dstream.programs import absolute_path

ALLOWED = frozenset(
    {
        "PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TMP", "TEMP",
        "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "FTP_PROXY",
        "http_proxy", "https_proxy", "no_proxy", "all_proxy", "ftp_proxy",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
    }
)  # fmt: skip
"""PATH, home, locale, temporary folder, proxies, certificate authorities."""

_PREFIXES = ("LC_", "DSTREAM_FAULT_")
_FAULT = "DSTREAM_FAULT"


def provider_environment(
    names: Iterable[str] = (), source: Mapping[str, str] | None = None, **extra: str
) -> dict[str, str]:
    """Return the environment of a provider whose block names `names`; unset ones are left out.

    PATH is without entries that mean the current folder. `extra` is added as it is. Fault points (`DSTREAM_FAULT...`)
    pass through, since tests are about providers too.
    """
    source = os.environ if source is None else source
    named = frozenset(names)
    out = {
        name: value
        for name, value in source.items()
        if name in ALLOWED or name in named or name == _FAULT or name.startswith(_PREFIXES)
    }
    if "PATH" in out:
        out["PATH"] = absolute_path(out)
    out.update(extra)
    return out
