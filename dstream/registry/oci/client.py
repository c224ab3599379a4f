"""RegistryClient: reads from a registry by the OCI distribution specification 1.1, and checks all content."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from dstream.bounded_json import InvalidJson, parse_object
from dstream.files import make_folder, owner_writes
from dstream.registry.errors import NotThere, RegistryError, Tampered, Unreachable
from dstream.registry.oci.content import (
    MANIFEST_TYPES,
    MAX_MANIFEST,
    OCI_INDEX,
    Descriptor,
    Manifest,
    check,
    hasher,
    parse_manifest,
    wrong_digest,
    wrong_size,
)
from dstream.registry.oci.login import Login
from dstream.registry.oci.origins import refuse_downgrade, same_origin
from dstream.registry.oci.reference import DIGEST, is_repository, is_tag
from dstream.registry.oci.source import Progress
from dstream.registry.oci.transport import Transport, body_of

_CHUNK = 1 << 18
_MAX_SMALL = 16 << 20
_PAGES = 1000
_MOST_NAMES = 1_000_000
_RESUMES = 5
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')


class RegistryClient:
    """A client of one registry. `prefix` is prepended to every repository: mirrors store copies below it."""

    def __init__(self, host: str, transport: Transport, prefix: str = "") -> None:
        """Send no request yet."""
        self.host, self.transport = host, transport
        self.login = Login(host, transport)
        self._prefix = f"{prefix.strip('/')}/" if prefix else ""

    @property
    def place(self) -> str:
        """Its name in messages."""
        return f"{self.host}/{self._prefix}".rstrip("/")

    @property
    def base(self) -> str:
        """The URL of the registry, without a path."""
        return f"{self.transport.scheme(self.host)}://{self.host}"

    def path(self, repository: str) -> str:
        """Return the repository's name at this registry."""
        return f"{self._prefix}{repository}"

    @contextlib.contextmanager
    def request(
        self,
        method: str,
        path: str,
        scope: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Path | None = None,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Send a request to a path or URL of this registry, with authentication if required; yield the response.

        Raise NotThere for 404 and Denied for 401 and 403; callers handle other responses.
        """
        url = f"{self.base}{path}" if path.startswith("/") else path
        refuse_downgrade(self.base, url)
        home = same_origin(url, self.base)  # an upload may go elsewhere, where our login is not known
        for attempt in range(2):
            known = self.login.header(scope) if home else None
            sent = {**(headers or {}), **({"Authorization": known} if known else {})}
            with self.transport.send(method, url, sent, body) as response:
                answered = home and same_origin(response.url or url, self.base)  # not where a redirect has led
                if response.status == 401 and answered and attempt == 0:
                    response.drain_conn()
                    self.login.forget(scope)
                    self.login.answer(response, scope)
                    continue
                if response.status in (401, 403):
                    raise self.login.denied(scope)
                if response.status == 404:
                    raise NotThere(
                        "Not found in the registry", f"{self.host}{urlsplit(url).path}: {reason_of(response)}"
                    )
                yield response
                return

    def manifest(self, repository: str, identifier: str) -> Manifest:
        """Return a manifest by tag or digest, checked against the digest if one is known."""
        where = f"{self.place}/{repository}{'@' if DIGEST.fullmatch(identifier) else ':'}{identifier}"
        headers = {"Accept": ", ".join(MANIFEST_TYPES)}
        try:
            with self._get(repository, f"manifests/{identifier}", headers) as response:
                raw = body_of(response, MAX_MANIFEST, where)
                stated = response.headers.get("Docker-Content-Digest")
                media_type = response.headers.get("Content-Type", "")
        except NotThere:
            raise NotThere("Not found in the registry", f"{where} does not exist or is not public.") from None
        if DIGEST.fullmatch(identifier):
            check(raw, identifier, None, where)
        elif stated and DIGEST.fullmatch(stated):
            check(raw, stated, None, where)
        return parse_manifest(raw, media_type, where)

    def tags(self, repository: str) -> list[str]:
        """Return all tags of a repository, from all pages."""
        path = f"/v2/{self.path(repository)}/tags/list?n=1000"
        try:
            return self._names(path, self._pull_scope(repository), "tags", is_tag)
        except NotThere:
            raise NotThere("Not found in the registry", f"{self.place}/{repository} does not exist.") from None

    def catalog(self) -> list[str]:
        """Return the repositories of a registry; raise RegistryError if it does not list them."""
        return self._names("/v2/_catalog?n=1000", "registry:catalog:*", "repositories", is_repository)

    def blob(self, repository: str, descriptor: Descriptor, target: Path, progress: Progress | None = None) -> None:
        """Download a blob to `target`, resuming an interrupted download.

        A partial download is a file `.partial` beside the target, locked against concurrent downloads. The target
        appears atomically, with the right size and digest.
        """
        make_folder(target.parent)
        partial = target.with_name(f"{target.name}.partial")
        with open(partial, "ab+", opener=owner_writes) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if target.exists():  # another process has fetched it meanwhile
                with contextlib.suppress(FileNotFoundError):
                    if partial.stat().st_ino == _inode(file):
                        partial.unlink()
                return
            try:
                self._fill(repository, descriptor, file, progress)
            except Tampered:
                partial.unlink(missing_ok=True)
                raise
            partial.replace(target)

    def _fill(self, repository: str, descriptor: Descriptor, file: IO[bytes], progress: Progress | None) -> None:
        where = f"{self.place}/{repository}@{descriptor.digest}"
        found = hasher(descriptor.digest)
        file.seek(0)
        while chunk := file.read(_CHUNK):
            found.update(chunk)
        done, tries = file.tell(), 0
        if done > descriptor.size:
            file.truncate(0)
            found, done = hasher(descriptor.digest), 0
        while done < descriptor.size:
            headers = {"Range": f"bytes={done}-"} if done else {}
            before = done
            try:
                with self._get(repository, f"blobs/{descriptor.digest}", headers) as response:
                    if done and (response.status != 206 or not _starts_at(response, done)):
                        file.truncate(0)  # no ranges here: from the beginning
                        found, done = hasher(descriptor.digest), 0
                        if response.status == 206:
                            continue
                    for chunk in response.stream(_CHUNK, decode_content=False):
                        done += len(chunk)
                        if done > descriptor.size:
                            raise wrong_size(where, descriptor.size, done)
                        found.update(chunk)
                        file.write(chunk)
                        if progress is not None:
                            progress(done, descriptor.size)
            except HTTPError as problem:
                file.flush()
                tries = 0 if done > before else tries + 1
                if tries > _RESUMES:
                    detail = (
                        f"{where} was interrupted {tries} times, after {done} of {descriptor.size} bytes: {problem}"
                    )
                    raise Unreachable("Download interrupted", detail) from problem
                continue
            if done == before and descriptor.size:
                raise wrong_size(where, descriptor.size, done)
        file.flush()
        if found.hexdigest() != descriptor.digest.partition(":")[2]:
            raise wrong_digest(where, descriptor.digest, f"{descriptor.digest.partition(':')[0]}:{found.hexdigest()}")

    def blob_bytes(self, repository: str, descriptor: Descriptor) -> bytes:
        """Return a small blob, checked."""
        where = f"{self.place}/{repository}@{descriptor.digest}"
        if descriptor.size > _MAX_SMALL:
            raise RegistryError("Blob too large", f"{where} has {descriptor.size} bytes; a small file was expected.")
        with self._get(repository, f"blobs/{descriptor.digest}", {}) as response:
            raw = body_of(response, descriptor.size, where)
        check(raw, descriptor.digest, descriptor.size, where)
        return raw

    def referrers(self, repository: str, digest: str) -> list[Descriptor]:
        """Return the referrers of a manifest: by the referrers API, otherwise by the fallback tag `sha256-<hex>`."""
        try:
            with self._get(repository, f"referrers/{digest}", {"Accept": OCI_INDEX}) as response:
                if response.status == 200 and response.headers.get("Content-Type", "").startswith(OCI_INDEX):
                    raw = body_of(response, MAX_MANIFEST, f"{self.place}/{repository}")
                    form = parse_manifest(raw, OCI_INDEX, f"referrers of {digest}")
                    return form.descriptors("manifests")
        except NotThere:
            pass
        try:
            return self.manifest(repository, digest.replace(":", "-", 1)).descriptors("manifests")
        except NotThere:
            return []

    @contextlib.contextmanager
    def _get(self, repository: str, rest: str, headers: Mapping[str, str]) -> Iterator[urllib3.BaseHTTPResponse]:
        path = f"/v2/{self.path(repository)}/{rest}"
        with self.request("GET", path, self._pull_scope(repository), headers) as response:
            if response.status not in (200, 206):
                raise RegistryError("Registry error", f"{self.host}{path}: {reason_of(response)}")
            yield response

    def _names(self, path: str | None, scope: str, member: str, valid: Callable[[str], bool]) -> list[str]:
        """Return the names in a list of several pages; raise RegistryError if it is malformed or has no end."""
        found: list[str] = []
        seen: set[str] = set()
        while path is not None:
            if path in seen or len(seen) == _PAGES or len(found) > _MOST_NAMES:
                raise RegistryError("Registry error", f"{self.host}{path[:200]}: the list of {member} has no end.")
            seen.add(path)
            names, path = self._page(path, scope, member)
            wrong = next((name for name in names if not isinstance(name, str) or not valid(name)), None)
            if wrong is not None:
                raise RegistryError("Registry error", f"{self.host}: {repr(wrong)[:200]} is in the list of {member}.")
            found += names
        return found

    def _page(self, path: str, scope: str, member: str) -> tuple[list[Any], str | None]:
        with self.request("GET", path, scope) as response:
            if response.status != 200:
                raise RegistryError("Registry error", f"{self.host}{path}: {reason_of(response)}")
            raw = body_of(response, _MAX_SMALL, path)
            link = _NEXT.search(response.headers.get("Link", ""))
        try:
            names = parse_object(raw, limit=_MAX_SMALL).get(member)
            following = urlsplit(urljoin(f"{self.base}{path}", link[1])) if link else None
        except ValueError as problem:
            raise RegistryError("Registry error", f"{self.host}{path}: {problem}.") from problem
        if not isinstance(names, list | None):
            raise RegistryError("Registry error", f"{self.host}{path}: {member} is not a list.")
        # Only the path: a link to another host would carry our login there.
        return names or [], f"/{following.path.lstrip('/')}?{following.query}" if following else None

    def _pull_scope(self, repository: str) -> str:
        return f"repository:{self.path(repository)}:pull"


def _inode(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_ino


def _starts_at(response: urllib3.BaseHTTPResponse, offset: int) -> bool:
    return response.headers.get("Content-Range", "").replace(" ", "").startswith(f"bytes{offset}-")


def reason_of(response: urllib3.BaseHTTPResponse) -> str:
    """Return the status and the errors in the body (`{"errors": [{"code", "message"}]}`) as text."""
    try:
        errors = parse_object(body_of(response, _CHUNK, "")).get("errors")
    except (InvalidJson, RegistryError):
        errors = None
    forms = [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    reasons = "; ".join(f"{each.get('code')}: {each.get('message')}" for each in forms)[:300]
    return f"{response.status} {reasons or response.reason or ''}".strip()
