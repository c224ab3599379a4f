"""Schemas: the type rules that a plan uses, each read once, and the settings of providers, each checked once."""

from __future__ import annotations

from dstream.diagnostics import DiagnosticsError, SourceRange, has_errors
from dstream.engine.evaluate.schema_validation import check_settings
from dstream.engine.plan.errors import encryption_required, unknown_type
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec
from dstream.engine.providers.type_rules import NO_RULES, ResourceTypeRules, rules_of


class Schemas:
    """The schemas of the providers of one plan."""

    def __init__(self, pool: ProviderPool, *, encrypted: bool) -> None:
        """Read schemas through `pool`; a state that is not `encrypted` cannot keep secrets."""
        self._pool, self._encrypted = pool, encrypted
        self._rules: dict[tuple[str, str], ResourceTypeRules | None] = {}
        self._checked: set[str] = set()

    def rules(self, spec: ProviderSpec, type_: str) -> ResourceTypeRules | None:
        """Return the rules of a type, None if its provider does not have it."""
        where = (spec.name, type_)
        if where not in self._rules:
            self._rules[where] = rules_of(self._pool.installed(spec).info, type_)
        return self._rules[where]

    def required_rules(self, spec: ProviderSpec, type_: str, subject: SourceRange | None) -> ResourceTypeRules:
        """Return the rules of a declared type; raise DiagnosticsError if it cannot be managed."""
        rules = self.rules(spec, type_)
        if rules is None:
            raise DiagnosticsError(unknown_type(type_, self._pool.installed(spec).info, subject))
        if rules.unreadable and not self._encrypted:
            raise DiagnosticsError(encryption_required(type_, rules.unreadable, subject))
        return rules

    def prior_rules(self, spec: ProviderSpec | None, type_: str) -> ResourceTypeRules:
        """Return the rules of a prior object; empty rules if its provider is unknown or no longer has the type."""
        return NO_RULES if spec is None else self.rules(spec, type_) or NO_RULES

    def check_settings(self, spec: ProviderSpec) -> None:
        """Raise DiagnosticsError, once, for settings that do not match the schema of a provider."""
        if spec.name in self._checked:
            return
        self._checked.add(spec.name)
        found = check_settings(spec.config, spec.body, self._pool.installed(spec).info, address=spec.name)
        if has_errors(found):
            raise DiagnosticsError(found)
