"""Plays the provider's side of a transcript: `python scripted_provider.py TRANSCRIPT`.

It checks what the host writes, member by member, and exits 97 with a sentence on standard error if the host departs
from the transcript. Only the standard library is used, so that a host can start it in any environment.
"""

from __future__ import annotations

import json
import os
import signal
import sys

DEPARTED = 97


def matches(expected: object, found: object) -> bool:
    if isinstance(expected, dict):
        if expected == {"$any": True}:
            return True
        return isinstance(found, dict) and all(matches(v, found.get(k)) for k, v in expected.items())
    if isinstance(expected, list):
        return isinstance(found, list) and len(expected) == len(found) and all(map(matches, expected, found))
    return type(expected) is type(found) and expected == found


def departed(number: int, expected: object, found: object) -> None:
    print(f"step {number}: the host was to do {expected!r}, it did {found!r}", file=sys.stderr, flush=True)
    os._exit(DEPARTED)


def say(text: str) -> None:
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def play(number: int, what: str, value: object) -> None:
    line = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    match what:
        case "host":
            found = sys.stdin.buffer.readline()
            try:
                heard = json.loads(found)
            except ValueError:
                heard = found
            if not matches(value, heard):
                departed(number, value, heard)
        case "host_text":
            text = str(value).encode()
            found = sys.stdin.buffer.read(len(text))
            if found != text:
                departed(number, value, found)
        case "host_closes":
            if found := sys.stdin.buffer.readline():
                departed(number, "close standard input", found)
        case "host_signals":
            if signal.sigtimedwait([signal.Signals[str(value)]], 30) is None:
                departed(number, f"send {value}", "nothing for 30 s")
        case "provider":
            say(line + "\n")
        case "provider_any_order":
            say("".join(json.dumps(each, ensure_ascii=False, separators=(",", ":")) + "\n" for each in value))
        case "provider_text":
            say(str(value))
        case "provider_exits":
            os._exit(1 if value == "failure" else int(str(value)))
        case "provider_dies":
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        _, *steps = [json.loads(line) for line in file]
    waited = {signal.Signals[step["host_signals"]] for step in steps if "host_signals" in step}
    signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    for number, step in enumerate(steps, 2):
        (what, value), *_ = step.items()
        play(number, what, value)


if __name__ == "__main__":
    main()
