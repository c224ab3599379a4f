"""Templates: evaluates interpolations and directives, and concatenates the results."""

from __future__ import annotations

from typing import cast

from dstream.config.syntax import tree
from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.lang.comprehensions import pairs, refuse_primitive
from dstream.lang.convert import convert, to_string
from dstream.lang.dispatch import EVALUATORS, Marks, evaluate_inner
from dstream.lang.errors import problem, sentence
from dstream.lang.operators import OperatorError, truth
from dstream.lang.refinements import text_from
from dstream.lang.scope import Scope
from dstream.lang.types import STRING, ConversionError
from dstream.lang.values import Sensitive, Unknown, Value, kind, mark


class _TextBuilder:
    """Puts the parts of a template together."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.known = 0
        """The number of texts before the first unknown part."""
        self.unknown = False
        self.marks: Marks = None

    def add_marks(self, marks: Marks) -> None:
        if marks is not None:
            self.marks = marks if self.marks is None else self.marks | marks

    def add(self, part: tree.Expr, scope: Scope) -> None:
        kind_of = type(part)
        if kind_of is tree.TemplateIf:
            self._add_if(cast(tree.TemplateIf, part), scope)
        elif kind_of is tree.TemplateFor:
            self._add_for(cast(tree.TemplateFor, part), scope)
        else:
            value = EVALUATORS[kind_of](part, scope)
            if type(value) is str:
                self.texts.append(value)
            else:
                self._add_value(part, value)

    def add_all(self, template: tree.Template, scope: Scope) -> None:
        problems: list[Diagnostic] = []
        for part in template.parts:
            try:
                self.add(part, scope)
            except DiagnosticsError as wrong:
                problems.extend(wrong.diagnostics)
        if problems:
            raise DiagnosticsError(problems)

    def _add_value(self, part: tree.Expr, value: Value) -> None:
        if isinstance(value, Sensitive):
            self.add_marks(value.origins)
            value = value.value
        if isinstance(value, Unknown):
            try:
                convert(value, STRING)
            except ConversionError as wrong:
                raise problem("Invalid value in a template", sentence(wrong.message), part) from None
            self._found_unknown()
        elif value is None:
            if part.text == "null":
                raise problem("Null in a template", "null cannot be interpolated.", part)
            detail = (
                f"{part.text} is null, which cannot be interpolated. To use another value for null: "
                f'{part.text} == null ? "" : {part.text}.'
            )
            raise problem("Null in a template", detail, part)
        else:
            try:
                self.texts.append(to_string(value))
            except ConversionError:
                how = 'join(", ", ...) or jsonencode(...)' if isinstance(value, list) else "jsonencode(...)"
                detail = f"{kind(value).capitalize()} cannot be interpolated. Convert it with {how}."
                raise problem("Invalid value in a template", detail, part) from None

    def _add_if(self, part: tree.TemplateIf, scope: Scope) -> None:
        value = evaluate_inner(part.condition, scope)
        if isinstance(value, Sensitive):
            self.add_marks(value.origins)
            value = value.value
        if isinstance(value, Unknown):
            self._found_unknown()
            return
        try:
            chosen = part.yes if truth("the condition of %{ if }", value) else part.no
        except OperatorError as wrong:
            raise problem("Invalid condition", sentence(wrong.message), part.condition) from None
        if chosen is not None:
            self.add_all(chosen, scope)

    def _add_for(self, part: tree.TemplateFor, scope: Scope) -> None:
        collection = evaluate_inner(part.collection, scope)
        if isinstance(collection, Sensitive):
            self.add_marks(collection.origins)
            collection = collection.value
        if isinstance(collection, Unknown):
            refuse_primitive(collection, part.collection)
            self._found_unknown()
            return
        for key, value in pairs(collection, part.collection):
            names = {part.value_name: value} if part.key_name is None else {part.key_name: key, part.value_name: value}
            self.add_all(part.body, scope.bind(names))

    def result(self) -> Value:
        made = text_from("".join(self.texts[: self.known])) if self.unknown else "".join(self.texts)
        return mark(made, self.marks)

    def _found_unknown(self) -> None:
        if not self.unknown:
            self.unknown, self.known = True, len(self.texts)


def _template(expr: tree.Template, scope: Scope) -> Value:
    builder = _TextBuilder()
    builder.add_all(expr, scope)
    return builder.result()


def _directive(expr: tree.TemplateIf | tree.TemplateFor, scope: Scope) -> Value:
    builder = _TextBuilder()
    builder.add(expr, scope)
    return builder.result()


EVALUATORS.update({tree.Template: _template, tree.TemplateIf: _directive, tree.TemplateFor: _directive})
