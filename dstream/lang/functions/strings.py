"""Functions of strings."""

from __future__ import annotations

import re

from dstream.config.syntax.source import WHITE_SPACE
from dstream.lang.convert import to_string
from dstream.lang.functions.clusters import clusters
from dstream.lang.functions.registry import FunctionError, function
from dstream.lang.types import STRING, ConversionError
from dstream.lang.values import SetValue, Unknown, Value, contains_unknown, mark, origins, strip_sensitive

_MAX_TEXT = 50_000_000


@function("string: string")
def chomp(text: Value) -> Value:
    """Return the string without line breaks at its end."""
    return re.sub(r"(?:\r\n?|\n)*\Z", "", text)


@function("string: string, suffix: string")
def endswith(text: Value, suffix: Value) -> Value:
    """Return whether the string ends with a suffix."""
    return text.endswith(suffix)


@function("string: string, prefix: string")
def startswith(text: Value, prefix: Value) -> Value:
    """Return whether the string starts with a prefix."""
    return text.startswith(prefix)


@function("string: string, substring: string")
def strcontains(text: Value, part: Value) -> Value:
    """Return whether the string has a part."""
    return part in text


@function("format: string, values...: any|null", name="format")
def format_(spec: Value, *values: Value) -> Value:
    """Return the format with its verbs, such as %s and %05d, replaced by values."""
    from dstream.lang.functions.formatting import formatted

    return formatted(spec, values)


@function("format: string, values...: any|null", shallow=True, gives="list")
def formatlist(spec: Value, *values: Value) -> Value:
    """Return a list of texts: the format with each element of the lists among the values in turn."""
    from dstream.lang.functions.formatting import formatted

    plain = strip_sensitive(values)
    columns = [list(value) if isinstance(value, list | tuple | SetValue) else value for value in plain]
    lengths = {len(column) for column in columns if isinstance(column, list)}
    if len(lengths) > 1:
        raise FunctionError("the lists must have the same length")
    count = lengths.pop() if lengths else 1
    rows = [tuple(column[row] if isinstance(column, list) else column for column in columns) for row in range(count)]
    made = [Unknown(STRING, not_null=True) if contains_unknown(row) else formatted(spec, row) for row in rows]
    return mark(made, origins(values))


@function("spaces: number, string: string")
def indent(spaces: Value, text: Value) -> Value:
    """Return the string with spaces at the start of each line but the first."""
    if not isinstance(spaces, int) or not 0 <= spaces <= 10_000:
        raise FunctionError("the number of spaces must be a whole number, 0 or more", 0)
    return text.replace("\n", "\n" + " " * spaces)


@function("separator: string, lists...: strings")
def join(separator: Value, *lists: Value) -> Value:
    """Return the elements of lists as one string with a separator between them."""
    if not lists:
        raise FunctionError("at least one list is needed")
    items = [item for one in lists for item in one]
    if None in items:
        raise FunctionError(f"element {items.index(None)} is null, which cannot be part of a string", 1)
    return separator.join(items)


@function("string: string")
def lower(text: Value) -> Value:
    """Return the string in lower case."""
    return "".join(character.lower()[:1] for character in text)


@function("string: string")
def upper(text: Value) -> Value:
    """Return the string in upper case."""
    return "".join(character.upper() if len(character.upper()) == 1 else character for character in text)


@function("string: string")
def title(text: Value) -> Value:
    """Return the string with the first letter of each word in upper case."""
    return re.sub(r"(?<!\w)\w", lambda match: _title(match.group()), text)


def _title(character: str) -> str:
    """Return the title case of a character if it is one character, otherwise the character."""
    found = character.title()
    return found if len(found) == 1 else character


@function("pattern: string, string: string")
def regex(pattern: Value, text: Value) -> Value:
    """Return the first match: the text, a list of its groups, or an object of its named groups."""
    from dstream.lang.functions.patterns import captured, compiled

    ready = compiled(pattern, 0)
    match = ready.search(text)
    if match is None:
        raise FunctionError(
            "the pattern does not match the string; use can(regex(...)) or try(...) if that is expected", 1
        )
    return captured(ready, match)


@function("pattern: string, string: string", gives="list")
def regexall(pattern: Value, text: Value) -> Value:
    """Return all matches, each as `regex` returns one."""
    from dstream.lang.functions.patterns import captured, compiled
    from dstream.lang.patterns import find_all

    ready = compiled(pattern, 0)
    return [captured(ready, match) for match in find_all(ready, text)]


@function("string: string, part: string, replacement: string")
def replace(text: Value, part: Value, replacement: Value) -> Value:
    """Return the string with a part replaced; a part between slashes is a regular expression."""
    if len(part) > 1 and part.startswith("/") and part.endswith("/"):
        from dstream.lang.functions.patterns import compiled, expanded
        from dstream.lang.patterns import find_all

        ready = compiled(part[1:-1], 1)
        made: list[str] = []
        end = 0
        for match in find_all(ready, text):
            made.extend((text[end : match.start()], expanded(replacement, ready, match)))
            end = match.end()
        return "".join((*made, text[end:]))
    if len(text) * max(1, len(replacement)) > _MAX_TEXT and not part:
        raise FunctionError("the result is too long")
    return text.replace(part, replacement)


@function("separator: string, string: string", gives="list")
def split(separator: Value, text: Value) -> Value:
    """Return the parts of the string between separators."""
    return list(text) if not separator else text.split(separator)


@function("string: string")
def strrev(text: Value) -> Value:
    """Return the characters of the string in reverse order."""
    return "".join(reversed(clusters(text)))


@function("string: string, offset: number, length: number")
def substr(text: Value, offset: Value, length: Value) -> Value:
    """Return a part of the string; a negative offset counts from the end, length -1 takes all."""
    if not isinstance(offset, int):
        raise FunctionError("the offset must be a whole number", 1)
    if not isinstance(length, int):
        raise FunctionError("the length must be a whole number, 0 or more, or -1 for all that is left", 2)
    characters = clusters(text)
    if offset < 0:
        offset = max(0, offset + len(characters))
    end = len(characters) if length < 0 else offset + length
    return "".join(characters[offset:end])


@function("template: string, values: any", surrounded=True)
def templatestring(surroundings: Value, template: Value, values: Value) -> Value:
    """Return the rendered template."""
    from dstream.lang.functions.files import rendered

    return rendered(surroundings, template, values, "template")


@function("string: string, characters: string")
def trim(text: Value, characters: Value) -> Value:
    """Return the string without any of the characters at both ends."""
    return text.strip(characters) if characters else text


@function("string: string, prefix: string")
def trimprefix(text: Value, prefix: Value) -> Value:
    """Return the string without a prefix."""
    return text.removeprefix(prefix)


@function("string: string, suffix: string")
def trimsuffix(text: Value, suffix: Value) -> Value:
    """Return the string without a suffix."""
    return text.removesuffix(suffix)


@function("string: string")
def trimspace(text: Value) -> Value:
    """Return the string without white space at both ends."""
    return text.strip(WHITE_SPACE)


def text_of(value: Value, argument: int) -> str:
    """Return a primitive value as text; raise FunctionError."""
    try:
        return to_string(value)
    except ConversionError as wrong:
        raise FunctionError(wrong.message, argument) from None
