"""How fast the language is: reading and evaluating configurations of 1,000 and 10,000 lines, and a large for_each.

    python -m benchmarks.language [--runs N] [--strict] [--profile]

Each measurement is a fresh process with byte code and the parser's table in their caches, as a command has it; the
time counts from the first import of ours to the last value. Processor time says what remains on a quiet machine.
Everything is evaluated: locals, bodies of tasks and resources (for each instance), outputs. `tokens` is the control: a
bare regular expression over the same text, which no reader written in Python can beat.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

UNIT = """
# Number {n}: what one team of a large company would write.
resource "servicebus_queue" "queue_{n}" {{
  name                 = "orders-${{local.environment}}-{n}"
  max_delivery_count   = local.limit_{n} * 2 + 1
  dead_lettering       = local.environment == "live" || {n} % 2 == 0
  tags                 = merge(local.tags, {{ number = "{n}", owner = upper("team-{n}") }})
  tables               = [for t in local.tables_{n} : "${{t}}_cdc" if t != "Skipped"]
  lock_duration        = "PT${{local.limit_{n} > 100 ? 5 : 1}}M"
  forward_to {{
    name = servicebus_topic.main.name
  }}
}}

locals_{n}

task "copy-{n}" {{
  input {{
    provider_path = "./in"
    config {{
      connection_string = env("DATABASE")
      tables            = local.tables_{n}
      description       = <<-EOT
        Copies ${{length(local.tables_{n})}} tables:
        %{{ for t in local.tables_{n} ~}}
        - ${{t}}
        %{{ endfor ~}}
      EOT
    }}
  }}
  output {{
    provider_path = "./out"
    config = {{ path = "out-{n}.jsonl", tables = local.tables_{n} }}
  }}
}}
"""
LOCALS = """  limit_{n}  = {n} + 10
  tables_{n} = ["Orders", "Customers_{n}", "Skipped", "Products"]
"""
HEAD = """locals {{
  environment = "test"
  tags        = {{ product = "dstream", stage = "test" }}
{locals}}}

resource "servicebus_topic" "main" {{
  name = "main"
}}
"""
KEYS = """locals {
  keys = { for i in flatten([for h in range(10) : [for n in range(1000) : h * 1000 + n]]) : "key-${i}" => "table_${i}" }
}

resource "servicebus_queue" "all" {
  for_each = local.keys
  name     = "${each.key}-${each.value}"
  size     = length(each.value) + 1
}
"""


def configuration(lines: int) -> str:
    """Return a configuration of about so many lines."""
    per_unit = UNIT.replace("\nlocals_{n}\n", "").count("\n") + LOCALS.count("\n")
    count = max(1, round(lines / per_unit))
    units = "".join(UNIT.replace("\nlocals_{n}\n", "").format(n=n) for n in range(count))
    return HEAD.format(locals="".join(LOCALS.format(n=n) for n in range(count))) + units


@dataclass(frozen=True)
class Case:
    """One measurement: a name, what the process does, its text, and how long it may take (s; 0: a control)."""

    name: str
    what: str
    text: str
    target: float

    def measure(self, folder: Path, *, profile: bool = False) -> tuple[float, float]:
        """Return the seconds that one fresh process took, and those of the processor."""
        path = folder / f"{self.name.replace(' ', '-').replace(',', '')}.hcl"
        path.write_text(self.text)
        command = [sys.executable, "-m", "benchmarks.language_once", self.what, str(path)]
        environment = {**ENVIRONMENT, **({"PROFILE": "1"} if profile else {}), "DATABASE": 'a"b${c}'}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{self.name}: ended with {done.returncode}\n{done.stderr}")
        if profile:
            print(f"== {self.name}\n{done.stderr}")
        wall, processor = map(float, done.stdout.split())
        return wall, processor


CASES = [
    Case("1,000 lines", "all", configuration(1000), 0.35),
    Case("2,000 lines", "all", configuration(2000), 0),
    Case("5,000 lines", "all", configuration(5000), 0),
    Case("10,000 lines", "all", configuration(10_000), 2.5),
    Case("10,000 lines, parse", "parse", configuration(10_000), 0),
    Case("10,000 lines, tokens", "tokens", configuration(10_000), 0),
    Case("for_each, 10,000 keys", "expand", KEYS, 0.3),
]


def main() -> int:
    """Measure and print a table; exit code 1 if a target was missed and `--strict` was given."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--strict", action="store_true", help="end with 1 when a target is missed")
    options.add_argument("--profile", action="store_true", help="show where the time goes, function by function")
    given = options.parse_args()
    missed = False
    with tempfile.TemporaryDirectory(prefix="dstream-bench-") as name:
        folder = Path(name)
        for case in CASES:
            case.measure(folder, profile=given.profile)
        found: dict[str, list[tuple[float, float]]] = {case.name: [] for case in CASES}
        for _ in range(given.runs):
            for case in CASES:
                found[case.name].append(case.measure(folder))
    print(f"{'':24} {'lines':>6} {'median':>8} {'fastest':>8} {'processor':>9} {'target':>8}")
    for case in CASES:
        walls = [wall for wall, _ in found[case.name]]
        processor = median(processor for _, processor in found[case.name])
        late = bool(case.target) and median(walls) > case.target
        missed = missed or late
        target = f"{case.target:6.2f} s" if case.target else ""
        times = f"{median(walls):6.3f} s {min(walls):6.3f} s {processor:7.3f} s"
        print(f"{case.name:24} {case.text.count(chr(10)):6d} {times} {target:>8}" + ("  MISSED" if late else ""))
    return 1 if missed and given.strict else 0


if __name__ == "__main__":
    sys.exit(main())
