"""The conformance kit behind `dstream providers test`: holds any program against the numbered rules of the protocol."""

from dstream.plugins.conformance.kit import run_kit
from dstream.plugins.conformance.result import Result

__all__ = ["Result", "run_kit"]
