"""Plugins: provider processes and the wire: finds and probes providers, plans tasks, manages objects."""

from dstream.plugins.binary import Binary, ProviderSource
from dstream.plugins.derivation import Derivation, DerivedResource, PlanRequest
from dstream.plugins.derive import derive
from dstream.plugins.pending import Pending
from dstream.plugins.plan_session import PlanSession
from dstream.plugins.probe import ProviderInfo, begin_probe, probe, probe_many
from dstream.plugins.redact import Redactor
from dstream.plugins.request import Answer, Request
from dstream.plugins.resolve import resolve
from dstream.plugins.schema import ResourceSchema
from dstream.plugins.session import ResourceSession
from dstream.plugins.v1_lifecycle import LegacyLifecycle

__all__ = [
    "Answer",
    "Binary",
    "Derivation",
    "DerivedResource",
    "LegacyLifecycle",
    "Pending",
    "PlanRequest",
    "PlanSession",
    "ProviderInfo",
    "ProviderSource",
    "Redactor",
    "Request",
    "ResourceSchema",
    "ResourceSession",
    "begin_probe",
    "derive",
    "probe",
    "probe_many",
    "resolve",
]
