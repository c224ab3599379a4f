"""Report: what each check found, as text and JSON, without secrets and without names of the subscription."""

from __future__ import annotations

import json
import platform
import re
import time
from typing import Any, NamedTuple

from examples.try_azure.checks import Check

PATTERNS = (
    (re.compile(r"(?i)((?:accountkey|sharedaccesskey|sharedaccesssignature|password|pwd|sig)=)[^;&\s\"']+"), r"\1..."),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "(token)"),
    (re.compile(r"(?i)\bbearer\s+\S+"), "Bearer ..."),
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE), "(id)"),
    (re.compile(r"\b(?!127\.)\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b"), "(address)"),
    (re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]+\b"), "(account)"),
)
OUTCOMES = {"ok": "as modelled", "different": "DIFFERENT", "failed": "FAILED", "skipped": "skipped"}


class Result(NamedTuple):
    """What became of one check."""

    check: Check
    outcome: str
    """ok, different, failed or skipped."""
    found: str
    seconds: float


class Report:
    """Everything that was found. `secret` names texts that must not be shown."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.notes: list[str] = []
        self.left: list[str] = []
        """What could not be deleted."""
        self._secrets: set[str] = set()
        self._started = time.time()

    def secret(self, *texts: str) -> None:
        """Hide these texts from now on, and in everything that was found already."""
        self._secrets.update(each for each in texts if len(each) > 3)

    def clean(self, text: str) -> str:
        """Return a text without secrets, ids, addresses and accounts, in one line."""
        for each in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(each, "(secret)")
        for pattern, instead in PATTERNS:
            text = pattern.sub(instead, text)
        return " ".join(text.split())

    def add(self, check: Check, outcome: str, found: object, seconds: float = 0.0) -> Result:
        """Keep what became of a check."""
        result = Result(check, outcome, "" if found is None else str(found), seconds)
        self.results.append(result)
        return result

    def count(self, outcome: str) -> int:
        """Return how many checks ended like this."""
        return sum(each.outcome == outcome for each in self.results)

    def line(self, result: Result) -> str:
        """Return a result as one line, and two more where it is not as modelled."""
        found = self.clean(result.found)[:600]
        text = f"{OUTCOMES[result.outcome]:<12} {result.check.name}"
        text += f": {found}" if found else ""
        if result.outcome in ("different", "failed"):
            text += f"\n             modelled: {result.check.behaviour}\n             source:   {result.check.source}"
        return text

    def text(self) -> str:
        """Return the report as text."""
        facts = self.facts()
        head = [f"dstream {facts['dstream']} on Azure, {facts['date']}, Python {facts['python']}, {facts['system']}"]
        counts = ", ".join(f"{self.count(name)} {shown.lower()}" for name, shown in OUTCOMES.items())
        notes = [*map(self.clean, self.notes), *(f"LEFT BEHIND: {each}" for each in self.left)]
        return "\n".join([*head, "", *map(self.line, self.results), "", *notes, counts])

    def json(self) -> str:
        """Return the report as JSON."""
        found = [
            {
                "check": each.check.name,
                "outcome": each.outcome,
                "found": self.clean(each.found),
                "modelled": each.check.behaviour,
                "model": each.check.model,
                "source": each.check.source,
                "seconds": round(each.seconds, 2),
            }
            for each in self.results
        ]
        report = {"format": 1, **self.facts(), "results": found, "notes": [*map(self.clean, self.notes)]}
        return json.dumps({**report, "left": self.left}, indent=2, ensure_ascii=False)

    def facts(self) -> dict[str, Any]:
        """Return what the results depend on."""
        from importlib.metadata import version

        from dstream import __version__

        packages = ("azure-identity", "azure-servicebus", "azure-storage-blob", "python-tds")
        return {
            "dstream": __version__,
            "python": platform.python_version(),
            "system": platform.system(),
            "date": time.strftime("%Y-%m-%d", time.gmtime(self._started)),
            "packages": {name: version(name) for name in packages},
        }
