"""Run: the data path of one flow from an input to an output, confirmed end to end, restarted as a unit."""

from dstream.run.flow import Endpoint, Flow, RunOptions, RunOutcome, Totals
from dstream.run.reporter import Progress, Reporter, Silent
from dstream.run.supervisor import run_flow, run_flows
from dstream.stopping import Stop, on_signals

__all__ = [
    "Endpoint",
    "Flow",
    "Progress",
    "Reporter",
    "RunOptions",
    "RunOutcome",
    "Silent",
    "Stop",
    "Totals",
    "on_signals",
    "run_flow",
    "run_flows",
]
