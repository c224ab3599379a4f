"""Recovery: resolves the pending changes of an operation or provider that was killed.

The provider looks the object up by the intent's id, or by the planned identity. If neither gives an answer, the object
is recorded as unresolved, and neither created nor destroyed until a user decides. An object that another program
created is never adopted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.engine.apply.apply_state import ApplyState
from dstream.engine.evaluate.answer_errors import invalid_object
from dstream.engine.evaluate.redaction import Path, fingerprint_paths, prior_for_provider, redact
from dstream.engine.providers.provider_config import ProviderSpec
from dstream.engine.providers.type_rules import NO_RULES, rules_of
from dstream.plugins import Answer, LegacyLifecycle, Request
from dstream.plugins.request import broken
from dstream_state import Intent, ObjectState, Result

_OPEN = (
    " An earlier operation was cut off while it changed this object. Nothing is recorded now: the next operation asks "
    "the provider again."
)


def recover_interrupted(state: ApplyState) -> None:
    """Resolve the changes that an earlier operation left pending, before anything else."""
    if state.held.unresolved:
        state.processes.record()
        recover(state, state.held.unresolved, {})


def recover(state: ApplyState, intents: Iterable[Intent], specs: Mapping[str, ProviderSpec]) -> None:
    """Record a result for each intent; raise DiagnosticsError at the end for those whose provider does not answer.

    `specs` has the providers of the plan, which take precedence over those of the state.
    """
    pending = list(intents)
    if not pending:
        return
    state.observer.recovering(len(pending))
    began = time.time()
    problems: list[Diagnostic] = []
    for intent in pending:
        try:
            spec = specs.get(intent.provider) or state.prior_spec(intent.provider)
            outcome = _InterruptedChange(state, intent, spec, began).resolve()
        except DiagnosticsError as problem:
            problems += (replace(each, address=each.address or intent.address) for each in problem.diagnostics)
            continue
        state.held.append([outcome])
        state.observer.recovered(intent.address, _phrase(intent, outcome))
    if problems:
        raise DiagnosticsError(problems)


def _phrase(intent: Intent, result: Result) -> str:
    if result.object is not None and result.object.status == "unresolved":
        return "unknown whether it was made: look for it by hand (dstream state show)"
    if intent.action == "create":
        return "was created" if result.object is not None else "was not created"
    if intent.action == "destroy":
        return "was destroyed" if result.object is None else "was not destroyed"
    return "is recorded as its provider reports it" if result.object is not None else "no longer exists"


def _unanswered(answer: Answer) -> bool:
    """Return whether the provider gave no usable answer, so that a later attempt may resolve the change."""
    unclear = answer.crashed or not answer.sent or not answer.understood
    return unclear or answer.error_class in ("retriable", "denied", "conflict")


class _InterruptedChange:
    """One intent without a result."""

    def __init__(self, state: ApplyState, intent: Intent, spec: ProviderSpec, began: float) -> None:
        self.state, self.intent, self.spec, self.began = state, intent, spec, began
        self.recorded: ObjectState | None = state.held.current().resources.get(intent.address)
        self.session = state.pool.session(spec)
        self.rules = rules_of(state.pool.installed(spec).info, intent.type) or NO_RULES

    def resolve(self) -> Result:
        """Return the result of the intent."""
        if isinstance(self.session, LegacyLifecycle):
            # Version 1 cannot be asked; its init and destroy are repeatable by convention: the next plan does it again.
            again = replace(self.recorded, attributes={}) if self.recorded is not None else None
            return Result(self.intent.id, "error", again, "was cut off; it is done again")
        if self.intent.action == "create":
            return self._create()
        answer = self._settled(lambda: self._status(self.intent.identity))
        if answer.status == "gone":
            return Result(self.intent.id, "gone")
        if answer.status == "ok":
            self._check(answer, "status")
            return Result(self.intent.id, "ok", self._object(answer))
        raise self._unreachable(answer)

    def _check(self, answer: Answer, request: str) -> None:
        """Raise DiagnosticsError if the attributes of an answer are not of the types in the schema."""
        wrong = invalid_object(
            self.rules.answer_types, answer.attributes, self.intent.address, self.intent.provider, request, _OPEN
        )
        if wrong is not None:
            raise DiagnosticsError(wrong)

    def _create(self) -> Result:
        answer = self._settled(
            lambda: self._query(
                Request(
                    command="find",
                    type=self.intent.type,
                    key=self.intent.key,
                    identity=self.intent.identity,
                    intent=self.intent.id,
                )
            )
        )
        known = self.intent.planned and self.intent.identity is not None
        if answer.status == "error" and not _unanswered(answer) and known:
            answer = self._settled(lambda: self._status(self.intent.identity))
        if answer.status == "gone":
            return Result(self.intent.id, "gone")
        if answer.status == "ok" and answer.identity is None and self.intent.identity is None:
            answer = broken("The provider answered that the object exists, without an identity.")
        if answer.status == "ok":
            self._check(answer, "find")
            return Result(self.intent.id, "ok", self._object(answer))
        if _unanswered(answer):
            raise self._unreachable(answer)
        lost = ObjectState(
            self.intent.provider,
            self.intent.type,
            self.intent.key,
            self.intent.identity,
            attributes=self.intent.desired or {},
            dependencies=self.intent.dependencies,
            sensitive=tuple(sorted(fingerprint_paths(self.intent.desired), key=str)),
            status="unresolved",
            timeouts=self.intent.timeouts,
        )
        return Result(self.intent.id, "error", lost, "cannot be told")

    def _settled(self, ask: Callable[[], Answer]) -> Answer:
        """Query until the answer is reliable: a missing object may still be created by a request in transit.

        That can happen for `settle` seconds after the request was cut off, which was at the latest when recovery began:
        a request that timed out or was retried ended long after its intent. An answer counts for the time of its query.
        """
        until = self.began + self.rules.settle
        pause = 0.5
        while True:
            queried_at = time.time()
            answer = ask()
            if answer.status != "gone" or self.intent.action == "destroy" or queried_at >= until:
                return answer
            self.state.held.ensure()
            time.sleep(min(pause, max(0.0, until - time.time())))
            pause = min(pause * 2, 5)

    def _status(self, identity: object) -> Answer:
        key = self.state.key
        prior = prior_for_provider(self.recorded.attributes, (), key) if self.recorded is not None else None
        private = self.recorded.private if self.recorded is not None else None
        return self._query(
            Request(
                command="status",
                type=self.intent.type,
                key=self.intent.key,
                identity=identity,
                prior=prior,
                private=private,
                timeout=(self.recorded or self.intent).timeouts.read,
            )
        )

    def _query(self, request: Request) -> Answer:
        self.state.held.ensure()
        answers: list[Answer] = []
        answered = threading.Event()

        def take(answer: Answer) -> None:
            answers.append(answer)
            answered.set()

        self.state.pool.session(self.spec).submit(request, take)
        answered.wait()
        return answers[0]

    def _object(self, answer: Answer) -> ObjectState:
        base = self.recorded or ObjectState(
            self.intent.provider,
            self.intent.type,
            self.intent.key,
            schema_version=self.rules.version,
            holds_data=self.rules.holds_data,
        )
        # The intent has a fingerprint wherever the configuration had a secret: the answer has it in clear.
        sensitive_desired = fingerprint_paths(self.intent.desired)
        paths: set[Path] = {*base.sensitive, *self.rules.sensitive_paths, *sensitive_desired}
        clear = answer.attributes or {}
        attributes = clear if self.state.encrypted else redact(clear, paths, self.state.key)
        return replace(
            base,
            identity=answer.identity if answer.identity is not None else self.intent.identity,
            attributes=attributes,
            private=answer.private if answer.private is not None else base.private,
            dependencies=self.intent.dependencies or base.dependencies,
            sensitive=tuple(sorted(paths, key=str)),
            status="ok" if base.status in ("pending", "unresolved") else base.status,
            timeouts=base.timeouts if self.intent.action == "destroy" else self.intent.timeouts,
        )

    def _unreachable(self, answer: Answer) -> DiagnosticsError:
        detail = "\n".join(f"{d.summary}: {d.detail}" if d.detail else d.summary for d in answer.diagnostics)
        return DiagnosticsError(
            error(
                "Unknown outcome of a change",
                f"An earlier operation was cut off while it was to {self.intent.action} this object, and its provider "
                f"does not answer now. Nothing was changed; try again when it does.\n{detail}",
                address=self.intent.address,
            )
        )
