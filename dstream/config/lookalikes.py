"""Lookalikes: names that a reader cannot tell apart, or that are one name on a file system that ignores case.

Compared are compatibility forms (NFKC, as Unicode UAX #15 has them) and letters of Cyrillic and Greek that look like
Latin ones. Letters of ASCII, such as `l` and `1`, are not confused with each other.
"""

from __future__ import annotations

import unicodedata

_LATIN = str.maketrans(
    "аеорсухіјѕһԁԛԝвкмнтАВЕЅІЈКМНОРСТУХѴԜԌνοιαρυκχΑΒΕΖΗΙΚΜΝΟΡΤΥΧıℓɡ",
    "aeopcyxijshdqwbkmhtABESIJKMHOPCTYXVWGvoiapukxABEZHIKMNOPTYXilg",
)


def look(name: str, *, fold_case: bool) -> str:
    """Return what a name looks like: two names with one look are confused. With `fold_case`, case is ignored."""
    if not name.isascii():
        name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).translate(_LATIN))
    return name.casefold() if fold_case else name
