"""Write a dstream provider: an input, an output, and the resources they need.

    from dataclasses import dataclass
    from dstream_sdk import Input, Provider, main, setting

    @dataclass(frozen=True)
    class Settings:
        interval: int = setting(1000, description="milliseconds between two records")

    class Counter(Input[Settings]):
        def run(self, config, session):
            n = (session.checkpoint_position or {"n": 0})["n"]
            while not session.wait(config.interval / 1000):
                n += 1
                session.emit({"n": n})
                session.checkpoint({"n": n})

    main(Provider("counter", "1.0", input=Counter()))

Standard output belongs to the protocol; print and log to standard error. The protocol itself is described in
`providers/protocol/PROTOCOL.md`.
"""

from dstream_sdk.catalog import Catalog
from dstream_sdk.channel import UNKNOWN, WITHHELD, encode, log, write_all
from dstream_sdk.consequence import Consequence, Finding, Prior
from dstream_sdk.durations import Duration
from dstream_sdk.errors import (
    ConflictError,
    Deferred,
    DeniedError,
    HostGone,
    InvalidError,
    ProviderError,
    RetriableError,
    SettingsError,
    Stopped,
)
from dstream_sdk.failpoints import fault
from dstream_sdk.input import Input, InputSession
from dstream_sdk.json_numbers import show
from dstream_sdk.model import Column, Envelope, Notice, Object, PlanContext, Released, Resource, Stream
from dstream_sdk.output import Output, OutputSession
from dstream_sdk.program import main
from dstream_sdk.provider import Provider
from dstream_sdk.resource import ResourceContext, ResourceType
from dstream_sdk.settings import decode, setting

__all__ = [
    "UNKNOWN",
    "WITHHELD",
    "Catalog",
    "Column",
    "ConflictError",
    "Consequence",
    "Deferred",
    "DeniedError",
    "Duration",
    "Envelope",
    "Finding",
    "HostGone",
    "Input",
    "InputSession",
    "InvalidError",
    "Notice",
    "Object",
    "Output",
    "OutputSession",
    "PlanContext",
    "Prior",
    "Provider",
    "ProviderError",
    "Released",
    "Resource",
    "ResourceContext",
    "ResourceType",
    "RetriableError",
    "SettingsError",
    "Stopped",
    "Stream",
    "decode",
    "encode",
    "fault",
    "log",
    "main",
    "setting",
    "show",
    "write_all",
]
