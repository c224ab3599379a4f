"""Step results: turns the answer of a provider into the records of a step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, error
from dstream.engine.apply.apply_state import ApplyState
from dstream.engine.apply.live_objects import LiveObjects
from dstream.engine.apply.progress import Progress
from dstream.engine.apply.step_request import RunningStep
from dstream.engine.evaluate.answer_errors import inconsistent_result, invalid_object
from dstream.engine.evaluate.answer_values import described, inconsistencies
from dstream.engine.evaluate.conditions import check_postconditions
from dstream.engine.evaluate.redaction import Path, echoed_secrets, redact, reveal
from dstream.engine.evaluate.resource_values import mark_sensitive
from dstream.engine.evaluate.targeting import DEPOSED
from dstream.engine.evaluate.timeouts import out_of_time
from dstream.engine.plan.plan_result import PlanResult
from dstream.lang.markers import is_withheld
from dstream.plan import Action, with_defaults
from dstream.plugins import Answer
from dstream.plugins.provider_log import note
from dstream.plugins.request import broken
from dstream_state import V1_LIFECYCLE, Drop, ObjectState, Put, Record, Result

_RECORDED = " The values that it reported are recorded in the state."


class StepResults:
    """Processes the answers to the steps of one plan."""

    def __init__(self, state: ApplyState, planned: PlanResult, live: LiveObjects, progress: Progress) -> None:
        """Update `live` with the objects and `progress` with the outcomes of steps."""
        self._state, self._planned, self._live, self._progress = state, planned, live, progress

    def take(self, running: RunningStep, answer: Answer, records: list[Record]) -> bool | None:
        """Process the last answer of a step; add the resulting records to `records`.

        Return whether the step succeeded, None if its provider ended before it answered, or its answer breaks the
        protocol: the intent stays open, and recovery determines its outcome.
        """
        answer = _plausible(running, answer)
        if answer.crashed or not answer.understood:
            self._progress.cut_off.append(running.intent)
            self._progress.fail(running.step, self._crash(running, answer))
            return None
        if answer.status == "gone" or (answer.status == "ok" and running.step.kind == "destroy"):
            return self._missing(running, records)
        if answer.status == "ok":
            return self._succeeded(running, answer, records)
        self._failed(running, answer, records)
        return False

    def _missing(self, running: RunningStep, records: list[Record]) -> bool:
        self._live.by_address.pop(running.intent.address, None)
        if running.step.kind != "destroy":
            records.append(Result(running.intent.id, "gone"))
            address = running.step.change.address
            problem = error("Vanished object", "Its provider reports that it no longer exists.", address=address)
            self._progress.fail(running.step, (problem,))
            return False
        records.append(Result(running.intent.id, "ok"))
        self._progress.done(running.step)
        self._progress.count(running.step)
        return True

    def _succeeded(self, running: RunningStep, answer: Answer, records: list[Record]) -> bool:
        item = self._object(running, answer, "ok")
        wrong = self._unplanned(running, answer, item)
        if wrong and running.step.kind == "create":
            item = replace(item, status="tainted")
        records.append(Result(running.intent.id, "ok", item))
        self._live.by_address[running.intent.address] = item
        self._export(running, answer, item)
        self._progress.count(running.step)
        problems = wrong or self._postconditions(running, answer, item)
        if problems:
            # The object exists and is recorded; what needs it does not begin.
            self._progress.fail(running.step, problems, carried_out=not wrong)
            return not wrong
        self._progress.done(running.step)
        return True

    def _failed(self, running: RunningStep, answer: Answer, records: list[Record]) -> None:
        intent, step, reason = running.intent, running.step, summaries(answer.diagnostics)
        if intent.type == V1_LIFECYCLE and step.kind == "update":
            # A version 1 provider cannot report how far it got: the object is recorded without attributes, and updated
            # again.
            forgotten = replace(self._live.by_address[intent.address], attributes={})
            records.append(Result(intent.id, "error", forgotten, reason))
        else:
            created = step.kind == "create" and answer.identity is not None
            item = self._object(running, answer, "tainted") if created else None
            records.append(Result(intent.id, "error", item, reason))
            if item is not None:
                self._live.by_address[intent.address] = item
            elif step.kind == "create" and step.change.action is Action.CREATE_THEN_DELETE:
                records += self._restore_deposed(step.change.address)
        self._progress.fail(step, answer.diagnostics)

    def _crash(self, running: RunningStep, answer: Answer) -> tuple[Diagnostic, ...]:
        """Return the diagnostic for a change whose provider ended before it answered."""
        if not answer.late:
            return answer.diagnostics
        address, subject = running.step.change.address, running.desired.range if running.desired is not None else None
        what, declared = (address, running.step.kind, running.intent.timeout), self._planned.declares(address)
        return (out_of_time(*what, answer.diagnostics, subject, declared=declared),)

    def _restore_deposed(self, address: str) -> list[Record]:
        """Restore the deposed object to its address if the new one was not created."""
        item = self._live.by_address.pop(address + DEPOSED)
        self._live.by_address[address] = item
        return [Put(address, item), Drop(address + DEPOSED)]

    def _object(self, running: RunningStep, answer: Answer, status: Any) -> ObjectState:
        desired = running.desired
        if desired is None:
            raise AssertionError("only steps that leave an object have one")
        paths: set[Path] = {*desired.sensitive, *running.rules.sensitive_paths}
        answered = answer.attributes if answer.attributes is not None else {}
        clear = {**with_defaults(desired.attributes, running.rules), **answered}
        clear = _fill_withheld(clear, desired.attributes)
        paths |= echoed_secrets(answered, desired.attributes, paths, self._state.operation.secrets)
        private = running.prior.private if running.prior is not None else None
        return ObjectState(
            provider=running.intent.provider,
            type=running.intent.type,
            key=running.intent.key,
            identity=answer.identity if answer.identity is not None else running.intent.identity,
            attributes=clear if self._state.encrypted else redact(clear, paths, self._state.key),
            private=answer.private if answer.private is not None else private,
            dependencies=desired.dependencies,
            sensitive=tuple(sorted(paths, key=str)),
            schema_version=running.rules.version,
            status=status,
            holds_data=running.rules.holds_data,
            create_before_destroy=desired.lifecycle.create_before_destroy,
            prevent_destroy=desired.provider_prevents_destroy,
            protected=desired.lifecycle.prevent_destroy,
            timeouts=desired.timeouts,
        )

    def _export(self, running: RunningStep, answer: Answer, item: ObjectState) -> None:
        desired = running.desired
        if desired is not None and not desired.block.startswith("task."):
            make = partial(_value, running, answer, item)
            self._planned.resource_values.set(desired.type, desired.block.partition(".")[2], desired.instance, make)

    def _unplanned(self, running: RunningStep, answer: Answer, item: ObjectState) -> tuple[Diagnostic, ...]:
        """Return the error for an object that does not match the plan or the schema."""
        desired, rules, answered = running.desired, running.rules, answer.attributes
        if desired is None or not answered or running.intent.type == V1_LIFECYCLE:
            return ()
        address, provider = desired.address, running.intent.provider
        wrong = invalid_object(rules.answer_types, answered, address, provider, running.step.kind, _RECORDED)
        if wrong is None:
            planned = with_defaults(desired.attributes, rules)
            found = list(inconsistencies(planned, answered, rules.schema, rules.computed))
            if found and rules.normalizes:
                note("info", provider, f"{address}: {described(found, item.sensitive)}")
            elif found:
                wrong = inconsistent_result(found, item.sensitive, address, provider)
        return () if wrong is None else (replace(wrong, subject=desired.range),)

    def _postconditions(self, running: RunningStep, answer: Answer, item: ObjectState) -> tuple[Diagnostic, ...]:
        desired = running.desired
        if desired is None or not desired.lifecycle.postconditions:
            return ()
        return tuple(check_postconditions(desired, self._live.scope, _value(running, answer, item)))


def _plausible(running: RunningStep, answer: Answer) -> Answer:
    """Return an answer; where it cannot be one to this step, an answer that is not understood."""
    if running.step.kind != "create" or running.intent.type == V1_LIFECYCLE:
        return answer
    what = f"The provider of {running.intent.address} answered the request to create it with"
    if answer.status == "gone":
        return broken(f"{what} the status gone.")
    if answer.status == "ok" and answer.identity is None:
        return broken(f"{what} ok and without an identity, so that the object cannot be found again.")
    return answer


def _value(running: RunningStep, answer: Answer, item: ObjectState) -> Any:
    """Return the value of an object in expressions."""
    desired = running.desired
    if desired is None:
        raise AssertionError("only steps that leave an object have a value")
    clear = reveal(item.attributes, desired.attributes, answer.attributes)
    return mark_sensitive(running.rules.implied_type.complete(clear), item.sensitive, desired.address)


def _fill_withheld(value: Mapping[str, Any], clear: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an answer, with each withheld value replaced by the desired one."""
    return {name: clear.get(name) if is_withheld(inner) else inner for name, inner in value.items()}


def summaries(diagnostics: tuple[Diagnostic, ...]) -> str:
    """Return diagnostics as one line."""
    return "; ".join(d.summary for d in diagnostics)
