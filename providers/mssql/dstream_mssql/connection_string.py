"""Connection strings: parses ADO.NET and ODBC key=value pairs, and URLs, into a Target.

    Server=tcp:db.example.com,1433;Database=shop;User ID=reader;Password="a;b";Encrypt=yes
    Driver={ODBC Driver 18};Server=db\\INSTANCE;Database=shop;UID=reader;PWD={p}}w};TrustServerCertificate=yes
    sqlserver://reader:p%40ss@db.example.com:1433?database=shop&encrypt=disable

Error messages name the key and never a value, because the string has a password in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

DEFAULT_PORT = 1433

_KEYS = {
    "server": "server", "data source": "server", "address": "server", "addr": "server", "network address": "server",
    "database": "database", "initial catalog": "database",
    "user id": "user", "uid": "user", "user": "user", "username": "user",
    "password": "password", "pwd": "password",
    "port": "port",
    "encrypt": "encrypt", "encryption": "encrypt",
    "trustservercertificate": "trust", "trust server certificate": "trust",
    "hostnameincertificate": "certificate_host", "host name in certificate": "certificate_host",
    "servercertificateauthority": "authority", "cafile": "authority", "certificate": "authority",
    "authentication": "authentication", "fedauth": "authentication",
    "applicationintent": "intent", "application intent": "intent",
    "application name": "application", "app": "application", "app name": "application",
    "connection timeout": "timeout", "connect timeout": "timeout", "timeout": "timeout", "dial timeout": "timeout",
    "packet size": "packet_size",
    "tenant id": "tenant", "tenantid": "tenant",
    "integrated security": "integrated", "trusted_connection": "integrated",
}  # fmt: skip
_WITHOUT_EFFECT = {
    "driver", "multipleactiveresultsets", "mars_connection", "multisubnetfailover", "pooling", "min pool size",
    "max pool size", "persist security info", "connectretrycount", "connectretryinterval", "command timeout",
    "workstation id", "wsid", "transparentnetworkipresolution", "keepalive", "log", "language", "columnencryption",
    "column encryption setting", "connection lifetime", "load balance timeout", "failover partner", "provider",
}  # fmt: skip
_AUTHENTICATIONS = {
    "": "sql", "sqlpassword": "sql", "sql password": "sql", "notspecified": "sql",
    "activedirectorydefault": "default", "activedirectoryazcli": "default", "activedirectorymanagedidentity": "managed",
    "activedirectorymsi": "managed", "activedirectoryserviceprincipal": "principal",
    "activedirectoryapplication": "principal",
}  # fmt: skip
_YES, _NO = ("yes", "true", "1", "mandatory"), ("no", "false", "0", "optional", "disable")
_PAIR = re.compile(
    r"""\s*(?P<key>[^=;]+?)\s*=\s*(?:\{(?P<brace>(?:[^}]|\}\})*)\}|"(?P<double>(?:[^"]|"")*)"|'(?P<single>(?:[^']|'')*)'"""
    r"""|(?P<plain>[^;]*))\s*(?:;|$)""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Target:
    """The server to connect to, the credentials, and the connection options."""

    host: str
    database: str
    port: int | None = DEFAULT_PORT
    instance: str = ""
    user: str = ""
    password: str = ""
    authentication: str = "sql"
    """`sql`, or the source of an Azure access token: `default`, `managed` (identity) or `principal` (service)."""
    tenant: str = ""
    encrypt: bool = True
    trust: bool = False
    certificate_host: str = ""
    authority: str = ""
    """A file with CA certificates; the system's by default."""
    read_only: bool = False
    application: str = "dstream"
    timeout: float = 15.0
    packet_size: int = 16000
    ignored: tuple[str, ...] = ()
    """Keys of the string that this provider ignores."""


def parse(text: str) -> Target:
    """Parse a connection string. Raises ValueError, whose message has no values of the string."""
    text = text.strip()
    if re.match(r"(sqlserver|mssql)(\+\w+)?://", text):
        return _make(_from_url(text))
    return _make(_pairs(text))


def _pairs(text: str) -> list[tuple[str, str]]:
    out, at = [], 0
    while text[at:].strip(" ;"):
        found = _PAIR.match(text, at)
        if found is None or found.end() == at:
            raise ValueError('expected key=value pairs with ";" between them, or a URL such as sqlserver://host/...')
        brace, double, single = found["brace"], found["double"], found["single"]
        if brace is not None:
            value = brace.replace("}}", "}")
        elif double is not None:
            value = double.replace('""', '"')
        elif single is not None:
            value = single.replace("''", "'")
        else:
            value = found["plain"].strip()
        out.append((found["key"], value))
        at = found.end()
    return out


def _from_url(text: str) -> list[tuple[str, str]]:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("the URL cannot be read: escape special characters of the password as %XX") from None
    instance = unquote(parts.path.strip("/"))
    out = [("server", (parts.hostname or "") + (f"\\{instance}" if instance else ""))]
    if port:
        out.append(("port", str(port)))
    if parts.username:
        out.append(("user id", unquote(parts.username)))
    if parts.password:
        out.append(("password", unquote(parts.password)))
    return out + parse_qsl(parts.query, keep_blank_values=True)


def _make(pairs: list[tuple[str, str]]) -> Target:
    given: dict[str, str] = {}
    ignored = []
    for key, value in pairs:
        name = _KEYS.get(key.lower())
        if name is not None:
            given.setdefault(name, value)
        elif key.lower() in _WITHOUT_EFFECT:
            ignored.append(key)
        else:
            raise ValueError(f"{key!r} is not a supported key of a connection string")
    if given.get("integrated", "no").lower() not in _NO:
        raise ValueError("Windows logins (Integrated Security) are not supported: use a SQL login or Azure AD")
    host, instance, port = _server(given)
    if not given.get("database"):
        raise ValueError("Database is missing: change data capture belongs to a database")
    authentication = _authentication(given)
    encrypt = given.get("encrypt", "yes").lower()
    if encrypt == "strict":
        raise ValueError(
            "Encrypt=strict (TDS 8.0) is not supported: use Encrypt=yes, which encrypts everything as well"
        )
    if encrypt not in _YES + _NO:
        raise ValueError("Encrypt must be yes or no")
    return Target(
        host=host,
        port=port,
        instance=instance,
        database=given["database"],
        user=given.get("user", ""),
        password=given.get("password", ""),
        authentication=authentication,
        tenant=given.get("tenant", ""),
        encrypt=encrypt in _YES,
        trust=given.get("trust", "no").lower() in _YES,
        certificate_host=given.get("certificate_host", ""),
        authority=given.get("authority", ""),
        read_only=given.get("intent", "").lower() == "readonly",
        application=given.get("application") or "dstream",
        timeout=_number(given, "timeout", 15, 1, 600),
        packet_size=_number(given, "packet_size", 16000, 512, 32767),
        ignored=tuple(ignored),
    )


def _server(given: Mapping[str, str]) -> tuple[str, str, int | None]:
    server = given.get("server", "").strip()
    if not server:
        raise ValueError("Server is missing")
    server = re.sub(r"^(tcp|np|lpc):", "", server)
    server, _, port = server.partition(",")
    host, _, instance = server.partition("\\")
    if not port and ":" in host and host.count(":") == 1:
        host, _, port = host.partition(":")
    port = port.strip() or given.get("port", "")
    if port and not (port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("the port is not a number between 1 and 65535")
    host = "localhost" if host in (".", "(local)") else host
    return host.strip(), "" if port else instance, int(port) if port else None if instance else DEFAULT_PORT


def _authentication(given: Mapping[str, str]) -> str:
    authentication = given.get("authentication", "").replace(" ", "").replace("_", "").lower()
    kind = _AUTHENTICATIONS.get(authentication)
    if kind is None:
        raise ValueError(
            "Authentication is SqlPassword, ActiveDirectoryDefault, ActiveDirectoryManagedIdentity or "
            "ActiveDirectoryServicePrincipal (the ones that work without user interaction)"
        )
    if kind == "sql" and not given.get("user"):
        raise ValueError("User ID is missing: set User ID and Password, or an Authentication of Azure AD")
    if kind == "principal" and not (given.get("user") and given.get("password")):
        raise ValueError("a service principal needs its client id as User ID and its secret as Password")
    return kind


def _number(given: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = given.get(name, "")
    if not text:
        return default
    if not text.isdigit() or not low <= int(text) <= high:
        raise ValueError(f"{name.replace('_', ' ')} is a number from {low} to {high}")
    return int(text)
