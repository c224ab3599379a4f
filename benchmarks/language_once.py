"""One measurement of benchmarks/language.py in a process of its own: prints the seconds of the clock and processor."""

import os
import sys
import time
from pathlib import Path


def everything(path: Path) -> int:
    """Read and evaluate a configuration; return how many values there are."""
    from dstream.config import load
    from dstream.lang import UNKNOWN, Module, evaluate, evaluate_body

    config = load(path)
    module = Module(config)
    scope = module.scope(resources=lambda name: UNKNOWN if name == "servicebus_topic" else None)
    count = 0
    for attribute in config.locals.values():
        evaluate(attribute.expr, scope)
        count += 1
    for resource in config.resources.values():
        evaluate_body(resource.body, scope)
        count += 1
    for task in config.tasks.values():
        for side in (task.input, *task.outputs):
            evaluate_body(side.config, scope)
            count += 1
    return count


def expand(path: Path) -> int:
    """Expand and evaluate the instances of a resource with a large for_each."""
    from dstream.config import load
    from dstream.engine.evaluate.expansion import instances
    from dstream.lang import Module, evaluate_body

    config = load(path)
    scope = Module(config).scope()
    block = config.resources["servicebus_queue", "all"]
    made = [evaluate_body(block.body, scope.bind(names)) for _, names in instances(block.for_each, block.count, scope)]
    return len(made)


def parse(path: Path) -> int:
    """Only read a configuration."""
    from dstream.config import parse_text

    return len(parse_text(path.read_text(), str(path)).body.blocks)


def tokens(path: Path) -> int:
    """Only find the words of a text, with the lexer's own pattern."""
    from dstream.config.syntax.lexer import _NORMAL

    return sum(1 for _ in _NORMAL.finditer(path.read_text()))


WHAT = {"all": everything, "parse": parse, "tokens": tokens, "expand": expand}

if __name__ == "__main__":
    do, given = WHAT[sys.argv[1]], Path(sys.argv[2])
    if os.environ.get("PROFILE"):
        import cProfile
        import pstats

        with cProfile.Profile() as profile:
            do(given)
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(25)
        print(0, 0)
    else:
        start, spent = time.perf_counter(), time.process_time()
        if not do(given):
            sys.exit("there was nothing to do")
        print(time.perf_counter() - start, time.process_time() - spent)
