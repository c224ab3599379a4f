"""A provider that keeps its objects as files and writes down every call, and what a test says to it."""

from tests.services.recorder.recorder import Call, Recorder

__all__ = ["Call", "Recorder"]
