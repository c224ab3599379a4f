"""Durations, and settings that are durations."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dstream_sdk import Duration, SettingsError, decode, setting
from dstream_sdk.durations import describe_duration, format_duration, parse_duration
from dstream_sdk.schema import make_schema


@dataclass(frozen=True)
class Settings:
    pause: Duration = setting(Duration("200ms"), description="time between two looks")
    limit: Duration | None = setting(None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("5s", 5),
        ("1m30s", 90),
        ("2h", 7200),
        ("3d", 259_200),
        ("1.5s", 1.5),
        (" .5h ", 1800),
        ("10us", 1e-5),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "1h-1m", "-5s", "5S", "1w", "1e3s", "٣s"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


def test_each_length_has_one_canonical_form() -> None:
    assert [format_duration(parse_duration(text)) for text in ("90m", "336h", "500ms", "0s", "1d1s")] == [
        "1h30m", "14d", "0.5s", "0s", "1d1s",
    ]  # fmt: skip
    assert [describe_duration(n) for n in (45, 9000, 86_400 * 12)] == ["45 seconds", "2.5 hours", "12 days"]


def test_a_setting_is_its_seconds_and_keeps_its_text() -> None:
    found = decode(Settings, {"pause": "1m", "limit": "2h"})
    assert (found.pause, str(found.pause), found.limit) == (60.0, "1m", 7200.0)
    assert decode(Settings, {"limit": ""}).limit is None
    assert float(Settings().pause) == 0.2


def test_a_wrong_one_is_named_by_its_path() -> None:
    with pytest.raises(SettingsError) as caught:
        decode(Settings, {"pause": 5, "limit": "soon"})
    assert [problem.path for problem in caught.value.problems] == ["config.pause", "config.limit"]
    assert '"5" is not a duration' in caught.value.problems[0].detail


def test_the_schema_shows_the_default_as_text() -> None:
    assert make_schema(Settings)["properties"]["pause"]["default"] == "200ms"
