"""What the README says about `write_envelopes`, run: the code that it shows gets what the table lists."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import dstream_sdk as sdk

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
LINES = [
    b'{"data":{"id":10,"total":99.5},"metadata":{"TableName":"orders","OperationType":"Insert"}}',
    b'{"data":{"total":1},"metadata":{}}',
    b'{"data":{"id":11}}',
    b"not json",
]


def documented() -> Any:
    """Return the method that the README shows."""
    (code,) = (each for each in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "write_envelopes" in each)
    found: dict[str, Any] = {}
    exec(code, found)
    return found["write_envelopes"]


class Session:
    """A session that keeps what was rejected."""

    def __init__(self) -> None:
        self.rejected: list[tuple[bytes, str]] = []

    def reject(self, line: bytes, reason: str) -> None:
        self.rejected.append((line, reason))


class Table(sdk.Output[Any]):
    """An output as the README has it."""

    write_envelopes = documented()

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.session: Any = Session()


def test_the_code_of_the_readme_gets_records_and_rejects_by_line() -> None:
    output = Table()
    output.write_block(b"".join(line + b"\n" for line in LINES))
    assert output.rows == {"orders": [{"id": 10, "total": 99.5}], "unknown": [{"id": 11}]}
    assert [line for line, _ in output.session.rejected] == [LINES[3], LINES[1]]
    assert output.session.rejected[1][1] == "it has no id"


def test_the_members_and_their_types_are_those_of_the_table() -> None:
    seen: list[sdk.Envelope] = []

    class Kept(sdk.Output[Any]):
        exact_numbers = True

        def write_envelopes(self, envelopes: list[sdk.Envelope]) -> None:
            assert isinstance(envelopes, list)
            seen.extend(envelopes)

    output = Kept()
    output.session = Session()  # type: ignore[assignment]  # it needs to reject alone
    output.write(LINES[:1])
    output.write([b"{"])
    (found,) = seen
    assert found.line == LINES[0] and found.metadata["OperationType"] == "Insert"
    assert found.data == {"id": 10, "total": Decimal("99.5")} and isinstance(found.data["total"], Decimal)
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", README, re.MULTILINE)
    assert {name: kind for name, kind in rows if hasattr(found, name)} == {
        name: type(getattr(found, name)).__name__ for name in found._fields
    }
