"""Findings: what a provider found on its server, as diagnostics at the place of the setting that it is about."""

from __future__ import annotations

import re

from dstream.config import Body
from dstream.consequences import Finding
from dstream.diagnostics import Diagnostic, SourceRange
from dstream.engine.evaluate.source_paths import Path, value_range
from dstream.engine.providers.provider_config import ProviderSpec
from dstream.error_codes import FROM_PROVIDER

_STEP = re.compile(r'\.?([^.\[\]"]+)|\["?([^"\]]+)"?\]')


def finding_diagnostic(found: Finding, spec: ProviderSpec) -> Diagnostic:
    """Return the diagnostic of a finding; its place is the setting, otherwise the block of the provider."""
    detail = f"{found.detail}\nFix: {found.fix}" if found.fix else found.detail
    subject = spec.range
    if found.path and spec.body is not None:
        subject = _setting(spec.body, found.path) or subject
    return Diagnostic(found.severity, found.summary, detail, subject, spec.name, code=FROM_PROVIDER)


def _setting(body: Body, path: str) -> SourceRange | None:
    steps: list[str | int] = [first or second for first, second in _STEP.findall(path.removeprefix("config."))]
    where: Path = tuple(int(step) if str(step).isdigit() else step for step in steps)
    found = value_range(body, where) if where else body.range
    return None if found == body.range else found
