"""Incoming messages: converts a message to an envelope."""

from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any

from dstream_sdk import encode
from dstream_sdk.json_numbers import loads

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage


def line_of(message: ServiceBusReceivedMessage, entity: str, format: str) -> bytes:
    """Return the envelope of a message, without a newline: the body if it is an envelope, otherwise a new one."""
    body = b"".join(_body(message))
    if format == "envelope":
        value = _json(body)
        if isinstance(value, dict) and isinstance(value.get("data"), dict):
            if body.startswith(b'{"data":') and b"\n" not in body:
                return body
            metadata = value.get("metadata")
            return encode({"data": value["data"], "metadata": metadata if isinstance(metadata, dict) else {}})
    return encode({"data": _data(body), "metadata": _metadata(message, entity)})


def _body(message: ServiceBusReceivedMessage) -> list[bytes]:
    body = message.body
    if isinstance(body, bytes):
        return [body]
    if isinstance(body, str):
        return [body.encode()]
    if hasattr(body, "__iter__") and not isinstance(body, dict):
        parts = list(body)
        if all(isinstance(part, bytes) for part in parts):
            return parts
        body = parts
    return [json.dumps(body, default=str).encode()]


def _json(body: bytes) -> Any:
    """Parse a body, with all digits of numbers. Returns None if it is not JSON."""
    try:
        return loads(body)
    except ValueError:
        return None


def _data(body: bytes) -> dict[str, Any]:
    value = _json(body)
    if isinstance(value, dict):
        return value
    if value is not None:
        return {"body": value}
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}


def _metadata(message: ServiceBusReceivedMessage, entity: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "TableName": entity,
        "OperationType": "Insert",
        "Key": {"SequenceNumber": message.sequence_number},
        "Position": f"{message.sequence_number or 0:020d}",
        "MessageId": message.message_id,
        "SessionId": message.session_id,
        "Subject": message.subject,
        "CorrelationId": message.correlation_id,
        "ContentType": message.content_type,
        "Timestamp": message.enqueued_time_utc.isoformat() if message.enqueued_time_utc else None,
    }
    properties = {_text(key): _plain(value) for key, value in (message.application_properties or {}).items()}
    if properties:
        metadata["Properties"] = properties
    return {name: value for name, value in metadata.items() if value is not None}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)
